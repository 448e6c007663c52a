"""Cloud Logging's ``entries:list`` over what failed in operations, and over how each ended.

Entries are in the order in which their operations were asked for. What failed bears that time too,
for the failures of an operation are not dated singly.

References
----------
Cloud Logging API v2, entries.list; Cloud Healthcare documentation, "Viewing error logs";
``google.cloud.healthcare.logging``
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from fileroom.api.authorizing import of_project, require_of
from fileroom.api.log_filters import parse_log_filter
from fileroom.api.requests import snake
from fileroom.api.wire import Message, int64, json_answer, timestamp
from fileroom.database.operations import (
    Kind,
    State,
    failures_from,
    operations_from,
)
from fileroom.database.pages import (
    INT64_MAX,
    decode_page_token,
    encode_page_token,
    page_size_within_limits,
)
from fileroom.errors import Code, InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fileroom.api.calls import Answer, Call
    from fileroom.api.log_filters import LogFilter
    from fileroom.api.wire import JsonObject
    from fileroom.database.engine import Connection
    from fileroom.database.operations import Operation
    from fileroom.errors import ObjectFailure

RESOURCE_NAMES_MAX: Final = 100
OPERATIONS_MAX: Final = 1000
"""Looked at for a page, which is cut short then."""
_OPERATIONS_A_READ: Final = 100
_ORDERS: Final = {"": False, "timestamp": False, "timestamp asc": False, "timestamp desc": True}
_PROJECT: Final = re.compile(r"projects/([^/]{1,64})")
_LOGGING: Final = "type.googleapis.com/google.cloud.healthcare.logging"
_PAYLOADS: Final = {
    Kind.IMPORT: ("ImportDicomLogEntry", "source"),
    Kind.EXPORT: ("ExportDicomLogEntry", "resourceName"),
}
"""Google's message for a failed object, and the field that names it."""
_END: Final = INT64_MAX
"""Stands for the ordinal of an operation's end, which comes after all of its objects."""


class ListLogEntriesRequest(Message):
    """``ListLogEntriesRequest``."""

    resource_names: tuple[str, ...] = ()
    filter: str = ""
    order_by: str = ""
    page_size: int = 0
    page_token: str = ""


class ListLogEntriesResponse(Message):
    """``ListLogEntriesResponse``."""

    entries: tuple[dict[str, Any], ...] = ()
    next_page_token: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    projects: tuple[str, ...]
    log_filter: LogFilter
    newest_first: bool
    after: tuple[int, int] | None
    """The operation and the ordinal at which the page before ended."""
    size: int
    listing: str


def list_(call: Call) -> Answer:
    """Give log entries: a failed object each, and the end of each operation."""
    asked = _parse(call.request_as(ListLogEntriesRequest))
    for project in asked.projects:
        require_of(call, of_project(project))
    entries: list[JsonObject] = []
    next_page_token = ""
    looked_at = 0
    last: tuple[int, int] | None = None
    with call.deployment.database.read() as connection:
        for place, entry in _walk(connection, asked):
            if len(entries) == asked.size or looked_at == OPERATIONS_MAX:
                assert last is not None
                next_page_token = encode_page_token(asked.listing, last)
                break
            last = place
            if entry is None:
                looked_at += 1
            else:
                entries.append(entry)
    return json_answer(
        ListLogEntriesResponse(entries=tuple(entries), next_page_token=next_page_token)
    )


def _parse(request: ListLogEntriesRequest) -> _Asked:
    if not 0 < len(request.resource_names) <= RESOURCE_NAMES_MAX:
        raise InvalidArgument(
            f"resource_names: name 1 to {RESOURCE_NAMES_MAX}, as in ['projects/PROJECT']",
            "resource_names",
        )
    projects = []
    for name in request.resource_names:
        found = _PROJECT.fullmatch(name)
        if found is None:
            raise InvalidArgument(
                f"resource_names: {name[:100]!r} is not of the form projects/PROJECT",
                "resource_names",
            )
        projects.append(found[1])
    order = " ".join(request.order_by.split())
    if order not in _ORDERS:
        raise InvalidArgument(
            f"order_by {order[:40]!r}: use 'timestamp asc' or 'timestamp desc'", "order_by"
        )
    listing = f"log entries of {sorted(projects)}: {request.filter!r} {_ORDERS[order]}"
    after = None
    if request.page_token:
        after = decode_page_token(listing, request.page_token, tuple[int, int])
    return _Asked(
        projects=tuple(projects),
        log_filter=parse_log_filter(request.filter),
        newest_first=_ORDERS[order],
        after=after,
        size=page_size_within_limits(request.page_size),
        listing=listing,
    )


def _walk(
    connection: Connection, asked: _Asked
) -> Iterator[tuple[tuple[int, int], JsonObject | None]]:
    """Give each entry with its place, and after those of an operation its place alone."""
    for operation in _operations(connection, asked):
        seen = None
        if asked.after is not None and asked.after[0] == operation.id:
            seen = asked.after[1]
        groups = (_failed(connection, asked, operation, seen), _ended(asked, operation, seen))
        for group in reversed(groups) if asked.newest_first else groups:
            yield from group
        yield (operation.id, 0 if asked.newest_first else _END), None


def _operations(connection: Connection, asked: _Asked) -> Iterator[Operation]:
    """Give the operations that may have entries, from the one where the page before ended."""
    named, step = asked.log_filter.operation_id, -1 if asked.newest_first else 1
    start = None
    if asked.after is not None:
        start, seen = asked.after
        if seen == (0 if asked.newest_first else _END):
            start += step  # all of it was told
    while True:
        operations = operations_from(
            connection,
            asked.projects,
            start=start,
            operation_id=named,
            newest_first=asked.newest_first,
            at_most=_OPERATIONS_A_READ,
        )
        yield from (each for each in operations if each.kind is not Kind.CREATE_DATASET)
        if not operations or named is not None:
            return
        start = operations[-1].id + step


def _failed(
    connection: Connection, asked: _Asked, operation: Operation, seen: int | None
) -> Iterator[tuple[tuple[int, int], JsonObject]]:
    """Give an entry for each object that failed, in one order or the other."""
    head = _head(operation, "ERROR", operation.created_at)
    if not operation.counters.failed or not asked.log_filter.matches(head):
        return
    while True:
        failures = failures_from(
            connection,
            operation.id,
            seen=seen,
            last_first=asked.newest_first,
            at_most=asked.size + 1,
        )
        for ordinal, failure in failures:
            name = f"{operation.name.operation_id}-{ordinal}"
            payload = _payload(operation.kind, failure)
            yield (operation.id, ordinal), {"insertId": name, "jsonPayload": payload, **head}
        if not failures:
            return
        seen = failures[-1][0]


def _ended(
    asked: _Asked, operation: Operation, seen: int | None
) -> Iterator[tuple[tuple[int, int], JsonObject]]:
    """Give the entry that tells how an operation ended, if it has."""
    if operation.state is not State.DONE or operation.ended_at is None or seen == _END:
        return
    if seen is not None and asked.newest_first:
        return
    error = operation.error
    severity = "INFO"
    if error is not None:
        severity = "WARNING" if error.get("code") == int(Code.CANCELLED) else "ERROR"
    head = _head(operation, severity, operation.ended_at)
    if not asked.log_filter.matches(head):
        return
    succeeded, failed = operation.counters.succeeded, operation.counters.failed
    counter = {"success": int64(succeeded), "failure": int64(failed)}
    payload: JsonObject = {
        "message": f"{operation.kind} ended: {succeeded} succeeded, {failed} failed",
        "counter": {name: value for name, value in counter.items() if value},
    }
    if error is not None:
        payload["error"] = {name: error[name] for name in ("code", "message") if name in error}
    name = f"{operation.name.operation_id}-end"
    yield (operation.id, _END), {"insertId": name, "jsonPayload": payload, **head}


def _head(operation: Operation, severity: str, microseconds: int) -> JsonObject:
    """Give what entries of one kind have in common; filters look at nothing else."""
    dataset = operation.name.parent
    project, moment = dataset.parent.project, timestamp(microseconds)
    log = snake(operation.kind).lower().removesuffix("_data")
    return {
        "logName": f"projects/{project}/logs/healthcare.googleapis.com%2F{log}",
        "operation": {
            "id": str(operation.name),
            "producer": f"healthcare.googleapis.com/{operation.kind}",
        },
        "receiveTimestamp": moment,
        "resource": {
            "type": "healthcare_dataset",
            "labels": {
                "dataset_id": dataset.dataset_id,
                "location": dataset.parent.location,
                "project_id": project,
            },
        },
        "severity": severity,
        "timestamp": moment,
    }


def _payload(kind: Kind, failure: ObjectFailure) -> JsonObject:
    message, field = _PAYLOADS.get(kind, ("", "source"))
    payload: JsonObject = {"@type": f"{_LOGGING}.{message}"} if message else {}
    payload[field] = failure.source
    payload["error"] = {"code": int(failure.code), "message": failure.message}
    payload["reason"] = str(failure.reason)
    return payload
