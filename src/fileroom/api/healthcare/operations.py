"""``projects.locations.datasets.operations``, and every failure of one: ``:failures``."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

from fileroom.api.calls import Answer
from fileroom.api.row_formats import asked_type
from fileroom.api.wire import EMPTY, int64, json_answer, timestamp
from fileroom.database import operations, stores
from fileroom.database.operations import Kind, State
from fileroom.database.pages import PAGE_SIZE_MAX
from fileroom.errors import InvalidArgument, Reason, Unimplemented
from fileroom.operations.auditing import METHOD_NAMES
from fileroom.operations.operation import account, seconds_left
from fileroom.rows import CSV, NDJSON, as_csv, ndjson
from fileroom.transfer.changing.undoing import request_undo

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from fileroom.api.calls import Call
    from fileroom.database.engine import Connection
    from fileroom.database.operations import Operation
    from fileroom.errors import ObjectFailure
    from fileroom.names import OperationName

_WITH_OBJECTS: Final = frozenset(Kind) - {Kind.CREATE_DATASET}
_CSV_COLUMNS: Final = ("source", "reason", "code", "message", "tag", "byteOffset")
_DONE_FILTERS: Final = {"": None, "done=true": True, "done=false": False, "done:true": True}


def get(call: Call) -> Answer:
    """Give an operation as it stands."""
    return json_answer(to_wire(_get(call), call))


def list_(call: Call) -> Answer:
    """Give the operations of a dataset, newest first."""
    if (call.parameter("returnPartialSuccess") or "").lower() == "true":
        raise Unimplemented(
            "return_partial_success is not offered; leave it out", "return_partial_success"
        )
    text = (call.parameter("filter") or "").strip()
    if text.replace(" ", "").lower() not in _DONE_FILTERS:
        raise InvalidArgument(
            f"filter is not understood: {text[:100]!r}; what can be asked for is done=true or"
            " done=false",
            "filter",
        )
    with call.deployment.database.read() as connection:
        stores.get_dataset(connection, call.dataset, permission=call.permission)
        page = operations.list_operations(
            connection,
            call.dataset,
            page_size=call.page_size(),
            page_token=call.parameter("pageToken") or "",
            done=_DONE_FILTERS[text.replace(" ", "").lower()],
        )
    content: dict[str, Any] = {"operations": [to_wire(item, call) for item in page.items]}
    if page.next_page_token:
        content["nextPageToken"] = page.next_page_token
    return json_answer({key: value for key, value in content.items() if value})


def cancel(call: Call) -> Answer:
    """Ask an operation to end; what it has done so far stays."""
    kept = call.deployment.settings.operation_retention_microseconds
    return _request(call, partial(operations.request_cancel, retention_microseconds=kept))


def pause(call: Call) -> Answer:
    """Ask an operation to wait."""
    return _request(call, operations.request_pause)


def resume(call: Call) -> Answer:
    """Have an operation go on that was asked to wait."""
    return _request(call, operations.request_resume)


def undo(call: Call) -> Answer:
    """Start to take an import back; the answer names the operation that does it."""
    with call.deployment.database.read() as connection:
        stores.get_dataset(connection, call.dataset, permission=call.permission)
    operation = request_undo(
        call.deployment.facilities,
        call.operation,
        api_version=call.api_version,
        principal=call.principal.name,
        permission=call.permission,
    )
    return json_answer({"name": str(operation)})


def _request(call: Call, request: Callable[[Connection, OperationName], None]) -> Answer:
    def change(transaction: Connection) -> None:
        stores.get_dataset(transaction, call.dataset, permission=call.permission)
        request(transaction, call.operation)

    call.deployment.database.write(change)
    call.deployment.runner.wake()
    return EMPTY


def failures(call: Call) -> Answer:
    """Give the objects of an operation that failed: a page as JSON, or all as NDJSON or CSV."""
    reason = _reason(call.parameter("reason"))
    media_type = asked_type(call, (NDJSON, CSV), in_pages=True)
    if media_type is not None:
        _get(call)
        some = _all(call, reason)
        body = (
            ndjson(map(_to_lines, some))
            if media_type == NDJSON
            else as_csv(map(_to_cells, some), _CSV_COLUMNS)
        )
        return Answer(media_type=f"{media_type}; charset=UTF-8", body=body)
    with call.deployment.database.read() as connection:
        stores.get_dataset(connection, call.dataset, permission=call.permission)
        page = operations.list_failures(
            connection,
            call.operation,
            page_size=call.page_size(),
            page_token=call.parameter("pageToken") or "",
            reason=reason,
        )
    content: dict[str, Any] = {"failures": [failure_to_wire(item) for item in page.items]}
    if page.next_page_token:
        content["nextPageToken"] = page.next_page_token
    return json_answer({key: value for key, value in content.items() if value})


def to_wire(operation: Operation, call: Call) -> dict[str, Any]:
    """Give an operation as on the wire.

    References
    ----------
    Cloud Healthcare v1 OperationMetadata: the version in its names is that of the method which
    started the operation, whatever version it is read through.
    """
    operation = call.deployment.runner.as_it_stands(operation)
    package = f"google.cloud.healthcare.{operation.api_version}"
    metadata: dict[str, Any] = {
        "@type": f"type.googleapis.com/{package}.OperationMetadata",
        "apiMethodName": f"{package}.{METHOD_NAMES[operation.kind]}",
        "createTime": timestamp(operation.created_at),
    }
    if operation.ended_at is not None:
        metadata["endTime"] = timestamp(operation.ended_at)
    if operation.cancel_requested:
        metadata["cancelRequested"] = True
    if operation.kind in _WITH_OBJECTS:
        metadata |= _progress(operation)
        metadata["fileroomRequest"] = operation.lasting_request
        metadata["logsUrl"] = call.deployment.runner.logs_url(operation)
    content: dict[str, Any] = {"name": str(operation.name), "metadata": metadata}
    if operation.state is State.DONE:
        content["done"] = True
        if operation.error is not None:
            content["error"] = operation.error
        else:
            content["response"] = operation.response or {}
    return content


def failure_to_wire(failure: ObjectFailure) -> dict[str, Any]:
    """Give one failed object as on the wire."""
    content: dict[str, Any] = {
        "source": failure.source,
        "error": {"code": int(failure.code), "message": failure.message},
        "reason": str(failure.reason),
    }
    if failure.tag is not None:
        content["tag"] = failure.tag
    if failure.byte_offset is not None:
        content["byteOffset"] = str(failure.byte_offset)
    return content


def _get(call: Call) -> Operation:
    with call.deployment.database.read() as connection:
        stores.get_dataset(connection, call.dataset, permission=call.permission)
        return operations.get_operation(connection, call.operation)


def _progress(operation: Operation) -> dict[str, Any]:
    terms: dict[str, Any] = dict(account(operation))
    counter = {
        "pending": int64(terms["pending"]),
        "success": int64(operation.counters.succeeded),
        "failure": int64(operation.counters.failed),
    }
    counter = {name: value for name, value in counter.items() if value}
    if operation.total is not None:
        terms["total"] = operation.total
    terms["bytes"] = operation.counters.bytes
    if operation.pace is not None:
        terms["objectsPerSecond"] = round(operation.pace.objects_per_second, 1)
        terms["bytesPerSecond"] = round(operation.pace.bytes_per_second)
    if (left := seconds_left(operation)) is not None:
        terms["secondsLeft"] = round(left)
    if operation.state is State.PAUSED and operation.paused_why:
        terms["pausedWhy"] = operation.paused_why
    if operation.pause_requested and operation.state is not State.DONE:
        terms["pauseRequested"] = True
    return {**({"counter": counter} if counter else {}), "fileroom": terms}


def _reason(text: str | None) -> Reason | None:
    if not text:
        return None
    if text not in Reason.__members__:
        raise InvalidArgument(
            f"unknown reason {text[:64]!r}; known are {', '.join(Reason.__members__)}", "reason"
        )
    return Reason(text)


def _all(call: Call, reason: Reason | None) -> Iterator[tuple[ObjectFailure, ...]]:
    """Give all failures page by page, each page read in a short transaction of its own."""
    token = ""
    while True:
        with call.deployment.database.read() as connection:
            page = operations.list_failures(
                connection,
                call.operation,
                page_size=PAGE_SIZE_MAX,
                page_token=token,
                reason=reason,
            )
        yield page.items
        token = page.next_page_token
        if not token:
            return


def _to_lines(failures: Iterable[ObjectFailure]) -> list[dict[str, Any]]:
    return [failure_to_wire(failure) for failure in failures]


def _to_cells(failures: Iterable[ObjectFailure]) -> list[dict[str, Any]]:
    return [
        {
            "source": failure.source,
            "reason": str(failure.reason),
            "code": int(failure.code),
            "message": failure.message,
            "tag": failure.tag,
            "byteOffset": failure.byte_offset,
        }
        for failure in failures
    ]
