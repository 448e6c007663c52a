"""Rows of long-running operations: what is asked, how far it is, what failed.

Progress (``cursor``, ``next_ordinal``, counters) moves only in the transaction of the rows it
counts, and only under the fence that the claim drew: whoever was claimed away from commits nothing
(I3, I6). Every write takes the transaction as its first argument.
"""

from __future__ import annotations

import secrets
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from sqlalchemy import and_, delete, func, insert, or_, select, update

from fileroom.database import schema
from fileroom.database.engine import now_microseconds
from fileroom.database.pages import (
    Page,
    decode_page_token,
    encode_page_token,
    page_size_within_limits,
)
from fileroom.errors import Aborted, Code, NotFound, ObjectFailure, Reason
from fileroom.names import DatasetName, DicomStoreName, LocationName, OperationName, parse_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sqlalchemy import ColumnElement, Row, Select

    from fileroom.database.engine import Connection

Json = dict[str, "str | int | bool | list[Json] | Json | None"]

LEASE_MICROSECONDS: Final = 30_000_000
"""How long a claim holds without a heartbeat; expiry permits a claim, the fence alone is right."""


class Kind(StrEnum):
    """What an operation does: the last part of Google's method name."""

    CREATE_DATASET = "CreateDataset"
    IMPORT = "ImportDicomData"
    EXPORT = "ExportDicomData"


class State(StrEnum):
    """Where an operation stands."""

    QUEUED = "QUEUED"
    """Waiting to be claimed."""
    RUNNING = "RUNNING"
    PAUSED = "PAUSED"
    """Waiting for its environment (``paused_why``); it goes on by itself."""
    DONE = "DONE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Counters:
    """What became of the objects of an operation; ``deferred`` are those still to be finished."""

    listed: int = 0
    imported: int = 0
    identical: int = 0
    kept: int = 0
    replaced: int = 0
    exported: int = 0
    unchanged: int = 0
    failed: int = 0
    deferred: int = 0
    bytes: int = 0

    @property
    def succeeded(self) -> int:
        """Objects that reached the state that was asked for."""
        return (
            self.imported
            + self.identical
            + self.kept
            + self.replaced
            + self.exported
            + self.unchanged
        )


_COUNTER_NAMES: Final = tuple(field.name for field in fields(Counters))


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """A long-running operation as its row stands; times in microseconds since 1970."""

    id: int
    name: OperationName
    kind: Kind
    api_version: str
    store_id: int | None
    request: Json
    state: State
    paused_why: str | None
    cancel_requested: bool
    start_seq: int | None
    fence: int
    cursor: str | None
    next_ordinal: int
    total: int | None
    """Objects that the source lists, once a counting pass has come to its end."""
    counters: Counters
    error: Json | None
    response: Json | None
    created_at: int
    ended_at: int | None

    @property
    def dicom_store_name(self) -> DicomStoreName | None:
        """The DICOM store it works on, which may have been deleted since."""
        name = self.request.get("name")
        store = parse_name(name) if isinstance(name, str) else None
        return store if isinstance(store, DicomStoreName) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeferredObject:
    """An object that left the line, to be finished in the second lane."""

    ordinal: int
    source: str
    version: str | None
    size: int
    why: str
    attempts: int = 0
    not_before: int = 0
    state: Json | None = None


# ---------------------------------------------------------------------------------- asking


def insert_operation(
    transaction: Connection,
    dataset_row_id: int,
    *,
    kind: Kind,
    api_version: str,
    request: Json,
    store_id: int | None = None,
    response: Json | None = None,
) -> str:
    """Insert an operation and give its identifier; with a ``response`` it is done at once."""
    now = now_microseconds()
    operation_id = str(secrets.randbelow(9 * 10**18) + 10**18)
    done = response is not None
    transaction.execute(
        insert(schema.operations).values(
            dataset_id=dataset_row_id,
            operation_id=operation_id,
            kind=kind,
            api_version=api_version,
            store_id=store_id,
            request=request,
            state=State.DONE if done else State.QUEUED,
            response=response,
            created_at=now,
            ended_at=now if done else None,
        )
    )
    return operation_id


def get_operation(connection: Connection, name: OperationName) -> Operation:
    """Give an operation of a living dataset.

    Raises
    ------
    NotFound
        If there is none of that name, or it ended so long ago that it is not kept.
    """
    row = connection.execute(
        _select_operations(name.parent).where(schema.operations.c.operation_id == name.operation_id)
    ).one_or_none()
    if row is None:
        raise NotFound(f"operation {name} does not exist, or it is no longer kept", "name")
    return _operation(row)


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
    statement = _select_operations(dataset)
    if done is not None:
        statement = statement.where((table.state == State.DONE) == done)
    if page_token:
        created_at, row_id = decode_page_token(listing, page_token)
        statement = statement.where(
            or_(
                table.created_at < created_at,
                and_(table.created_at == created_at, table.id < row_id),
            )
        )
    statement = statement.order_by(table.created_at.desc(), table.id.desc()).limit(size + 1)
    found = [_operation(row) for row in connection.execute(statement)]
    token = ""
    if len(found) > size:
        last = found[size - 1]
        token = encode_page_token(listing, (last.created_at, last.id))
    return Page(items=tuple(found[:size]), next_page_token=token)


def request_cancel(transaction: Connection, name: OperationName) -> None:
    """Ask an operation to end; one that has ended stays as it is.

    Raises
    ------
    NotFound
        If there is no such operation.
    """
    operation = get_operation(transaction, name)
    transaction.execute(
        update(schema.operations)
        .where(schema.operations.c.id == operation.id, schema.operations.c.state != State.DONE)
        .values(cancel_requested=True)
    )


def list_failures(
    connection: Connection,
    name: OperationName,
    *,
    page_size: int | None = None,
    page_token: str = "",
    reason: Reason | None = None,
) -> Page[ObjectFailure]:
    """Give a page of the objects that failed, in the order in which they were listed."""
    size = page_size_within_limits(page_size)
    operation = get_operation(connection, name)
    listing = f"{name}:failures?reason={reason}"
    table = schema.operation_failures.c
    statement = select(schema.operation_failures).where(table.operation_id == operation.id)
    if reason is not None:
        statement = statement.where(table.reason == reason)
    if page_token:
        (ordinal,) = decode_page_token(listing, page_token)
        statement = statement.where(table.ordinal > ordinal)
    rows = connection.execute(statement.order_by(table.ordinal).limit(size + 1)).all()
    return Page(
        items=tuple(_failure(row) for row in rows[:size]),
        next_page_token=(
            encode_page_token(listing, (rows[size - 1].ordinal,)) if len(rows) > size else ""
        ),
    )


def count_failures(connection: Connection, operation_id: int) -> dict[Reason, int]:
    """Give how many objects of an operation failed for each reason."""
    table = schema.operation_failures.c
    rows = connection.execute(
        select(table.reason, func.count())
        .where(table.operation_id == operation_id)
        .group_by(table.reason)
        .order_by(table.reason)
    )
    return {Reason(reason): count for reason, count in rows}


def first_failures(
    connection: Connection, operation_id: int, at_most: int
) -> tuple[ObjectFailure, ...]:
    """Give the first objects of an operation that failed."""
    table = schema.operation_failures.c
    rows = connection.execute(
        select(schema.operation_failures)
        .where(table.operation_id == operation_id)
        .order_by(table.ordinal)
        .limit(at_most)
    )
    return tuple(_failure(row) for row in rows)


# ---------------------------------------------------------------------------------- running


def void_leases(transaction: Connection, owner: str) -> None:
    """End every lease but ``owner``'s: for a server that knows that no other one lives."""
    transaction.execute(
        update(schema.operations)
        .where(schema.operations.c.owner != owner, schema.operations.c.state != State.DONE)
        .values(lease_until=0)
    )


def claim_operation(transaction: Connection, owner: str) -> Operation | None:
    """Take the oldest operation that nobody runs, under a new fence; None if there is none."""
    now = now_microseconds()
    table = schema.operations.c
    row_id = transaction.execute(
        select(table.id)
        .where(
            table.state.in_((State.QUEUED, State.RUNNING, State.PAUSED)),
            or_(table.lease_until.is_(None), table.lease_until < now),
        )
        .order_by(table.priority.desc(), table.id)
        .limit(1)
        .with_for_update(skip_locked=True)
    ).scalar()
    if row_id is None:
        return None
    transaction.execute(
        update(schema.operations)
        .where(table.id == row_id)
        .values(
            state=State.RUNNING,
            paused_why=None,
            owner=owner,
            fence=table.fence + 1,
            lease_until=now + LEASE_MICROSECONDS,
            heartbeat_at=now,
        )
    )
    return _operation(transaction.execute(_select_any_operation().where(table.id == row_id)).one())


def begin_operation(
    transaction: Connection, operation: Operation, *, start_seq: int, total: int | None
) -> None:
    """Note the store's change number at which the operation's first run began.

    Deletions after it win over the operation; an export gives what was stored up to it.
    """
    _update_claimed(transaction, operation, {"start_seq": start_seq, "total": total})


def set_total(transaction: Connection, operation: Operation, total: int) -> None:
    """Note how many objects the source lists."""
    _update_claimed(transaction, operation, {"total": total})


def prolong_lease(transaction: Connection, operation: Operation) -> None:
    """Say that the operation's coordinator lives."""
    now = now_microseconds()
    _update_claimed(
        transaction, operation, {"heartbeat_at": now, "lease_until": now + LEASE_MICROSECONDS}
    )


def release_operation(transaction: Connection, operation: Operation) -> None:
    """Give the operation up for another server to claim at once."""
    _update_claimed(transaction, operation, {"lease_until": 0})


def pause_operation(transaction: Connection, operation: Operation, why: str) -> None:
    """Say that the operation waits for its environment."""
    _update_claimed(transaction, operation, {"state": State.PAUSED, "paused_why": why})


def resume_operation(transaction: Connection, operation: Operation) -> None:
    """Say that the operation goes on."""
    _update_claimed(transaction, operation, {"state": State.RUNNING, "paused_why": None})


def is_cancel_requested(connection: Connection, operation: Operation) -> bool:
    """Tell whether somebody asked the operation to end."""
    return bool(
        connection.execute(
            select(schema.operations.c.cancel_requested).where(
                schema.operations.c.id == operation.id
            )
        ).scalar()
    )


def read_progress(connection: Connection, operation: Operation) -> Operation:
    """Give the operation as its row stands, whatever became of its dataset."""
    return _operation(
        connection.execute(
            _select_any_operation().where(schema.operations.c.id == operation.id)
        ).one()
    )


def lock_operation(
    transaction: Connection, operation: Operation, *, next_ordinal: int | None = None
) -> None:
    """Hold the operation's row until the transaction ends (core order: it is locked first).

    Raises
    ------
    Aborted
        If another server claimed it meanwhile, or the batch at ``next_ordinal`` was committed.
    """
    table = schema.operations.c
    statement = select(table.id).where(
        table.id == operation.id, table.fence == operation.fence, table.state == State.RUNNING
    )
    if next_ordinal is not None:
        statement = statement.where(table.next_ordinal == next_ordinal)
    if transaction.execute(statement.with_for_update()).scalar() is None:
        raise Aborted(f"operation {operation.name} is no longer run by this coordinator")


def advance_operation(
    transaction: Connection,
    operation: Operation,
    counted: Counters,
    *,
    cursor: str | None = None,
    next_ordinal: int | None = None,
) -> None:
    """Add to the counters and, for a batch of the line, move the cursor."""
    table = schema.operations.c
    values: dict[str, object] = {
        name: table[name] + amount for name, amount in asdict(counted).items() if amount
    }
    if next_ordinal is not None:
        values |= {"next_ordinal": next_ordinal, "cursor": cursor}
    _update_claimed(transaction, operation, values)


def finish_operation(
    transaction: Connection,
    operation: Operation,
    *,
    listed: int,
    error: Json | None = None,
    response: Json | None = None,
    retention_microseconds: int,
) -> None:
    """End the operation; what is listed but was not worked on stays counted as not started."""
    now = max(now_microseconds(), operation.created_at)
    _update_claimed(
        transaction,
        operation,
        {
            "state": State.DONE,
            "listed": listed,
            "error": error,
            "response": response,
            "ended_at": now,
            "expires_at": now + retention_microseconds,
            "lease_until": None,
        },
    )


def delete_expired_operations(transaction: Connection, at_most: int) -> int:
    """Delete operations whose time of keeping is over; give how many."""
    table = schema.operations.c
    expired = transaction.execute(
        select(table.id).where(table.expires_at < now_microseconds()).limit(at_most)
    ).scalars()
    ids = list(expired)
    if ids:
        transaction.execute(delete(schema.operations).where(table.id.in_(ids)))
    return len(ids)


# ---------------------------------------------------------------------- per object


def insert_failures(
    transaction: Connection, operation: Operation, failures: Iterable[tuple[int, ObjectFailure]]
) -> None:
    """Insert what failed, each beside its ordinal."""
    rows = [
        {
            "operation_id": operation.id,
            "ordinal": ordinal,
            "source": failure.source,
            "code": int(failure.code),
            "reason": failure.reason,
            "message": failure.message,
            "tag": failure.tag,
            "byte_offset": failure.byte_offset,
        }
        for ordinal, failure in failures
    ]
    if rows:
        transaction.execute(insert(schema.operation_failures), rows)


def insert_deferred(
    transaction: Connection, operation: Operation, objects: Sequence[DeferredObject]
) -> None:
    """Insert objects that leave the line."""
    if objects:
        transaction.execute(
            insert(schema.operation_deferred),
            [{"operation_id": operation.id, **asdict(deferred)} for deferred in objects],
        )


def due_deferred(
    connection: Connection, operation: Operation, *, at_most: int, without: Iterable[int]
) -> list[DeferredObject]:
    """Give deferred objects whose time has come, the longest waiting first."""
    table = schema.operation_deferred.c
    rows = connection.execute(
        select(schema.operation_deferred)
        .where(
            table.operation_id == operation.id,
            table.not_before <= now_microseconds(),
            table.ordinal.not_in(list(without)),
        )
        .order_by(table.not_before, table.ordinal)
        .limit(at_most)
    )
    return [
        DeferredObject(**{field.name: getattr(row, field.name) for field in fields(DeferredObject)})
        for row in rows
    ]


def defer_again(transaction: Connection, operation: Operation, deferred: DeferredObject) -> None:
    """Put off a deferred object that could not be finished yet."""
    table = schema.operation_deferred.c
    transaction.execute(
        update(schema.operation_deferred)
        .where(table.operation_id == operation.id, table.ordinal == deferred.ordinal)
        .values(
            attempts=deferred.attempts,
            not_before=deferred.not_before,
            why=deferred.why,
            state=deferred.state,
        )
    )


def take_deferred(transaction: Connection, operation: Operation, ordinal: int) -> None:
    """Delete a deferred object, which its outcome's transaction does exactly once.

    Raises
    ------
    Aborted
        If it was finished already.
    """
    table = schema.operation_deferred.c
    result = transaction.execute(
        delete(schema.operation_deferred).where(
            table.operation_id == operation.id, table.ordinal == ordinal
        )
    )
    if result.rowcount != 1:
        raise Aborted(f"object {ordinal} of operation {operation.name} was finished already")


def insert_ledger_chunk(
    transaction: Connection,
    operation: Operation,
    *,
    first_ordinal: int,
    lane: int,
    count: int,
    chunk: bytes,
) -> None:
    """Keep what became of ``count`` objects; lane 0 is the line, 1 the deferred lane."""
    transaction.execute(
        insert(schema.operation_ledger).values(
            operation_id=operation.id,
            first_ordinal=first_ordinal,
            lane=lane,
            n=count,
            z=chunk,
        )
    )


def ledger_chunks(
    connection: Connection, operation_id: int, *, after: tuple[int, int], at_most: int
) -> Sequence[tuple[int, int, bytes]]:
    """Give chunks ``(first_ordinal, lane, chunk)`` of the ledger after a place in it."""
    table = schema.operation_ledger.c
    first_ordinal, lane = after
    rows = connection.execute(
        select(table.first_ordinal, table.lane, table.z)
        .where(
            table.operation_id == operation_id,
            or_(
                table.first_ordinal > first_ordinal,
                and_(table.first_ordinal == first_ordinal, table.lane > lane),
            ),
        )
        .order_by(table.first_ordinal, table.lane)
        .limit(at_most)
    )
    return [(row.first_ordinal, row.lane, row.z) for row in rows]


# ---------------------------------------------------------------------------------- rows to values


def _update_claimed(
    transaction: Connection, operation: Operation, values: Mapping[str, object]
) -> None:
    result = transaction.execute(
        update(schema.operations)
        .where(
            schema.operations.c.id == operation.id,
            schema.operations.c.fence == operation.fence,
            schema.operations.c.state != State.DONE,
        )
        .values(**values)
    )
    if result.rowcount != 1:
        raise Aborted(f"operation {operation.name} is no longer run by this coordinator")


def _select_any_operation() -> Select[tuple[object, ...]]:
    table = schema.datasets.c
    return select(
        schema.operations,
        table.project,
        table.location,
        table.dataset_id.label("dataset_name"),
    ).join(schema.datasets, table.id == schema.operations.c.dataset_id)


def _select_operations(dataset: DatasetName) -> Select[tuple[object, ...]]:
    return _select_any_operation().where(_is_living(dataset))


def _is_living(dataset: DatasetName) -> ColumnElement[bool]:
    table = schema.datasets.c
    return and_(
        table.project == dataset.parent.project,
        table.location == dataset.parent.location,
        table.dataset_id == dataset.dataset_id,
        table.deleted_at.is_(None),
    )


def _operation(row: Row[tuple[object, ...]]) -> Operation:
    columns = row._mapping
    dataset = DatasetName(LocationName(row.project, row.location), row.dataset_name)
    return Operation(
        id=columns["id"],
        name=OperationName(dataset, columns["operation_id"]),
        kind=Kind(columns["kind"]),
        api_version=columns["api_version"],
        store_id=columns["store_id"],
        request=columns["request"],
        state=State(columns["state"]),
        paused_why=columns["paused_why"],
        cancel_requested=bool(columns["cancel_requested"]),
        start_seq=columns["start_seq"],
        fence=columns["fence"],
        cursor=columns["cursor"],
        next_ordinal=columns["next_ordinal"],
        total=columns["total"],
        counters=Counters(**{name: columns[name] for name in _COUNTER_NAMES}),
        error=columns["error"],
        response=columns["response"],
        created_at=columns["created_at"],
        ended_at=columns["ended_at"],
    )


def _failure(row: Row[tuple[object, ...]]) -> ObjectFailure:
    return ObjectFailure(
        source=row.source,
        code=Code(row.code),
        reason=Reason(row.reason),
        message=row.message,
        tag=row.tag,
        byte_offset=row.byte_offset,
    )
