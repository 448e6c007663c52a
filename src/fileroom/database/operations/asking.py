"""Operations as callers see them: asked for, read, listed, cancelled."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final

from sqlalchemy import case, exists, func, insert, or_, select, tuple_, update

from fileroom.database import schema
from fileroom.database.dialects import lock
from fileroom.database.engine import now_microseconds
from fileroom.database.pages import (
    INT64_MAX,
    Page,
    decode_page_token,
    encode_page_token,
    page_size_within_limits,
)
from fileroom.errors import Code, FailedPrecondition, NotFound, ResourceExhausted
from fileroom.names import DatasetName, LocationName, OperationName

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from sqlalchemy import Row, Select

    from fileroom.database.engine import Connection

from fileroom.database.values.operations import (
    COUNTER_NAMES,
    KEPT_MICROSECONDS,
    Counters,
    Json,
    Kind,
    Operation,
    Pace,
    State,
)

PAUSED_ON_REQUEST: Final = "somebody asked it to wait, and has to ask it to go on"
"""Why an operation is paused that no fault keeps from going on."""
GOING: Final = 0
"""When an operation expires whose rows are being deleted."""
_DONE: Final = (State.DONE,)
_UNFINISHED: Final = tuple(state for state in State if state is not State.DONE)


def insert_operation(
    transaction: Connection,
    dataset_row_id: int,
    *,
    kind: Kind,
    api_version: str,
    principal: str = "",
    request: Json,
    store_id: int | None = None,
    response: Json | None = None,
    priority: int = 0,
    retention_microseconds: int = KEPT_MICROSECONDS,
    unfinished_max: int | None = None,
) -> str:
    """Insert an operation and give its identifier; with a ``response`` it is done at once.

    Raises
    ------
    ResourceExhausted
        If as many of the store's as there may be wait or run already.
    """
    lock(transaction)  # so that numbers are committed in their order: see collection.newest_writer
    if unfinished_max is not None:
        _check_unfinished(transaction, store_id, unfinished_max)
    now = now_microseconds()
    operation_id = str(secrets.randbelow(9 * 10**18) + 10**18)
    done = response is not None
    transaction.execute(
        insert(schema.operations).values(
            dataset_id=dataset_row_id,
            operation_id=operation_id,
            kind=kind,
            api_version=api_version,
            principal=principal,
            is_end_told=done,
            store_id=store_id,
            request=request,
            priority=priority,
            state=State.DONE if done else State.QUEUED,
            response=response,
            created_at=now,
            ended_at=now if done else None,
            expires_at=now + retention_microseconds if done else None,
        )
    )
    return operation_id


def _check_unfinished(transaction: Connection, store_id: int | None, most: int) -> None:
    some = (
        select(schema.operations.c.id)
        .where(schema.operations.c.store_id == store_id, schema.operations.c.state.in_(_UNFINISHED))
        .limit(most)
        .subquery()
    )
    if transaction.execute(select(func.count()).select_from(some)).scalar_one() >= most:
        raise ResourceExhausted(
            f"Quota exceeded: {most} operations of the DICOM store wait or run; wait for some to"
            " end, or cancel them. The setting unfinished_operations says how many.",
            "operations",
        )


def get_operation(connection: Connection, name: OperationName) -> Operation:
    """Give an operation of a living dataset.

    Raises
    ------
    NotFound
        If there is none of that name, or it ended so long ago that it is not kept.
    """
    row = connection.execute(
        _select_living(name.parent).where(schema.operations.c.operation_id == name.operation_id)
    ).one_or_none()
    if row is None:
        raise _no_longer_kept(name)
    return operation_of_row(row)


def keep_longer(transaction: Connection, operation: Operation) -> None:
    """Keep an operation that has ended as long again from now: another one builds on it.

    Raises
    ------
    NotFound
        If it is no longer kept.
    """
    table = schema.operations.c
    until = now_microseconds() + KEPT_MICROSECONDS
    result = transaction.execute(
        update(schema.operations)
        .where(table.id == operation.id, table.expires_at > GOING)
        .values(expires_at=case((table.expires_at > until, table.expires_at), else_=until))
    )
    if result.rowcount != 1:
        raise _no_longer_kept(operation.name)


def _no_longer_kept(name: OperationName) -> NotFound:
    return NotFound(f"operation {name} does not exist, or it is no longer kept", "name")


def list_operations(
    connection: Connection,
    dataset: DatasetName,
    *,
    page_size: int | None = None,
    page_token: str = "",
    done: bool | None = None,
) -> Page[Operation]:
    """Give a page of a dataset's operations, the newest first."""
    size = page_size_within_limits(page_size)
    listing = f"{dataset}/operations?done={done}"
    table = schema.operations.c
    statement = _select_living(dataset)
    if done is not None:
        statement = statement.where(table.state.in_(_DONE if done else _UNFINISHED))
    if page_token:
        created_at, row_id = decode_page_token(listing, page_token, tuple[int, int])
        # As a pair: an index is walked from there on, not from its beginning.
        statement = statement.where(tuple_(table.created_at, table.id) < (created_at, row_id))
    statement = statement.order_by(table.created_at.desc(), table.id.desc()).limit(size + 1)
    found = [operation_of_row(row) for row in connection.execute(statement)]
    token = ""
    if len(found) > size:
        last = found[size - 1]
        token = encode_page_token(listing, (last.created_at, last.id))
    return Page(items=tuple(found[:size]), next_page_token=token)


def operations_from(
    connection: Connection,
    projects: Collection[str],
    *,
    start: int | None = None,
    operation_id: str | None = None,
    newest_first: bool = False,
    at_most: int,
) -> list[Operation]:
    """Give operations of the living datasets of projects, as they were asked for or backwards.

    ``start`` is the row that comes first; ``operation_id`` leaves one of that identifier.
    """
    row_id, owner = schema.operations.c.id, schema.datasets.alias()
    # As a condition by itself, so that no plan begins with the datasets and sorts all they own.
    is_theirs = exists().where(
        owner.c.id == schema.operations.c.dataset_id,
        owner.c.project.in_(projects),
        owner.c.deleted_at.is_(None),
    )
    statement = select_operations().where(is_theirs)
    if operation_id is not None:
        statement = statement.where(schema.operations.c.operation_id == operation_id)
    if newest_first:
        statement = statement.where(row_id <= (INT64_MAX if start is None else start))
    else:
        statement = statement.where(row_id >= (start or 0))
    statement = statement.order_by(row_id.desc() if newest_first else row_id).limit(at_most)
    return [operation_of_row(row) for row in connection.execute(statement)]


def request_cancel(
    transaction: Connection,
    name: OperationName,
    *,
    retention_microseconds: int = KEPT_MICROSECONDS,
) -> None:
    """Ask an operation to end; one that nobody has begun ends here, one that has ended stays.

    A deletion goes on all the same: what it hid is not shown again half deleted.

    Raises
    ------
    NotFound
        If there is no such operation.
    """
    operation = _locked(transaction, name)
    if operation.state is State.DONE:
        return
    # One that somebody had wait goes on to its end.
    values: dict[str, object] = {"cancel_requested": True, "pause_requested": False}
    if operation.state is State.QUEUED and operation.kind.can_be_cancelled:
        now = max(now_microseconds(), operation.created_at)
        values |= {
            "state": State.DONE,
            "request": operation.lasting_request,
            "error": {"code": int(Code.CANCELLED), "message": "the operation was cancelled"},
            "ended_at": now,
            "expires_at": now + retention_microseconds,
        }
    _update(transaction, operation, values)


def request_pause(transaction: Connection, name: OperationName) -> None:
    """Ask an operation to wait until it is asked to go on; one that has ended stays.

    Raises
    ------
    FailedPrecondition
        If it is a deletion, which hid what it has not deleted yet.
    NotFound
        If there is no such operation.
    """
    operation = _locked(transaction, name)
    if operation.state is State.DONE:
        return
    if not operation.kind.can_be_cancelled:
        raise FailedPrecondition("a deletion goes on to its end: it cannot be paused", "name")
    values: dict[str, object] = {"pause_requested": True}
    if operation.state is State.QUEUED:
        values |= {"state": State.PAUSED, "paused_why": PAUSED_ON_REQUEST}
    _update(transaction, operation, values)


def request_resume(transaction: Connection, name: OperationName) -> None:
    """Have an operation go on that was asked to wait; nothing becomes of any other.

    Raises
    ------
    NotFound
        If there is no such operation.
    """
    operation = _locked(transaction, name)
    if operation.pause_requested:
        _update(transaction, operation, {"pause_requested": False})


def _locked(transaction: Connection, name: OperationName) -> Operation:
    """Give an operation that nobody claims or ends before the transaction does."""
    found = get_operation(transaction, name)
    row = select(schema.operations.c.id).where(schema.operations.c.id == found.id)
    transaction.execute(row.with_for_update())
    return get_operation(transaction, name)


def _update(transaction: Connection, operation: Operation, values: Mapping[str, object]) -> None:
    transaction.execute(
        update(schema.operations).where(schema.operations.c.id == operation.id).values(**values)
    )


def read_progress(connection: Connection, operation: Operation) -> Operation:
    """Give the operation as its row stands, whatever became of its dataset."""
    return operation_of_row(
        connection.execute(select_operations().where(schema.operations.c.id == operation.id)).one()
    )


def select_operations() -> Select[tuple[object, ...]]:
    """Give the query of operations with the names of their datasets, deleted ones included."""
    table = schema.datasets.c
    return select(
        schema.operations,
        table.project,
        table.location,
        table.dataset_id.label("dataset_name"),
    ).join(schema.datasets, table.id == schema.operations.c.dataset_id)


def _select_living(dataset: DatasetName) -> Select[tuple[object, ...]]:
    """Give the query of a living dataset's operations.

    The dataset is looked up by itself: in a join PostgreSQL sorts all that it owns for each page.
    """
    owner = schema.datasets.alias()
    owner_id = (
        select(owner.c.id)
        .where(
            owner.c.project == dataset.parent.project,
            owner.c.location == dataset.parent.location,
            owner.c.dataset_id == dataset.dataset_id,
            owner.c.deleted_at.is_(None),
        )
        .scalar_subquery()
    )
    table = schema.operations.c
    return select_operations().where(
        table.dataset_id == owner_id, or_(table.expires_at.is_(None), table.expires_at > GOING)
    )


def operation_of_row(row: Row[tuple[object, ...]]) -> Operation:
    """Give the value of a row of ``select_operations``."""
    columns = row._mapping
    dataset = DatasetName(LocationName(row.project, row.location), row.dataset_name)
    return Operation(
        id=columns["id"],
        name=OperationName(dataset, columns["operation_id"]),
        kind=Kind(columns["kind"]),
        api_version=columns["api_version"],
        principal=columns["principal"],
        store_id=columns["store_id"],
        request=columns["request"],
        state=State(columns["state"]),
        paused_why=columns["paused_why"],
        cancel_requested=bool(columns["cancel_requested"]),
        pause_requested=bool(columns["pause_requested"]),
        start_seq=columns["start_seq"],
        fence=columns["fence"],
        cursor=columns["cursor"],
        next_ordinal=columns["next_ordinal"],
        total=columns["total"],
        counters=Counters(**{name: columns[name] for name in COUNTER_NAMES}),
        pace=_pace_of_row(row),
        error=columns["error"],
        response=columns["response"],
        created_at=columns["created_at"],
        ended_at=columns["ended_at"],
    )


def _pace_of_row(row: Row[tuple[object, ...]]) -> Pace | None:
    if row.objects_per_second is None or row.state != State.RUNNING:
        return None
    return Pace(
        objects_per_second=row.objects_per_second, bytes_per_second=row.bytes_per_second or 0.0
    )
