"""Operations as their coordinator sees them: claimed, advanced under a fence, ended.

Progress (``cursor``, ``next_ordinal``, counters) moves only in the transaction of the rows it
counts, and only under the fence that the claim drew: whoever was claimed away from commits nothing
(I3, I6).
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Final, NamedTuple

from sqlalchemy import and_, delete, exists, or_, select, update

from fileroom.database import schema
from fileroom.database.dialects import clock_microseconds
from fileroom.database.engine import now_microseconds
from fileroom.errors import Aborted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import ColumnElement

    from fileroom.database.engine import Connection

from fileroom.database.operations.asking import (
    GOING,
    PAUSED_ON_REQUEST,
    operation_of_row,
    select_operations,
)
from fileroom.database.values.operations import Counters, Json, Operation, Pace, State

LEASE_MICROSECONDS: Final = 30_000_000
"""How long a claim holds without a heartbeat; expiry permits a claim, the fence alone is right."""


def void_leases(transaction: Connection, owner: str) -> None:
    """End every lease but ``owner``'s: for a server that knows that no other one lives."""
    transaction.execute(
        update(schema.operations)
        .where(schema.operations.c.owner != owner, schema.operations.c.state != State.DONE)
        .values(lease_until=0)
    )


def claim_operation(
    transaction: Connection, owner: str, *, without: Sequence[int] = ()
) -> Operation | None:
    """Take the oldest operation that nobody runs, under a new fence; None if there is none.

    ``without`` are operations that ``owner`` knows to be run.
    """
    now = clock_microseconds(transaction)
    table = schema.operations.c
    # Whoever ran them died before it could say that they wait.
    transaction.execute(
        update(schema.operations)
        .where(
            table.state == State.RUNNING,
            table.lease_until < now,
            table.pause_requested,
            ~_has_no_store(),
        )
        .values(state=State.PAUSED, paused_why=PAUSED_ON_REQUEST)
    )
    row_id = transaction.execute(
        select(table.id)
        .where(
            table.state.in_((State.QUEUED, State.RUNNING, State.PAUSED)),
            or_(table.lease_until.is_(None), table.lease_until < now),
            or_(~table.pause_requested, _has_no_store()),
            table.id.not_in(without),
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
            objects_per_second=None,
            bytes_per_second=None,
        )
    )
    return operation_of_row(
        transaction.execute(select_operations().where(table.id == row_id)).one()
    )


def _has_no_store() -> ColumnElement[bool]:
    """Whether the store of an operation was deleted, so that it ends whatever was asked of it."""
    stores = schema.dicom_stores.c
    return exists().where(stores.id == schema.operations.c.store_id, stores.deleted_at.is_not(None))


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


def prolong_lease(transaction: Connection, operation: Operation, pace: Pace | None = None) -> None:
    """Say that the operation's coordinator lives, and how fast it goes."""
    now = clock_microseconds(transaction)
    values = {"heartbeat_at": now, "lease_until": now + LEASE_MICROSECONDS}
    _update_claimed(transaction, operation, values | ({} if pace is None else asdict(pace)))


def release_operation(transaction: Connection, operation: Operation) -> None:
    """Give the operation up for another server to claim at once, unless it is to wait.

    Under a new fence: a heartbeat that comes after it would keep everybody away for a lease.
    """
    values: dict[str, object] = {"lease_until": 0, "fence": operation.fence + 1}
    if requests_of(transaction, operation).pause:
        values |= {"state": State.PAUSED, "paused_why": PAUSED_ON_REQUEST}
    _update_claimed(transaction, operation, values)


def pause_operation(transaction: Connection, operation: Operation, why: str) -> None:
    """Say that the operation waits for its environment."""
    _update_claimed(transaction, operation, {"state": State.PAUSED, "paused_why": why})


def resume_operation(transaction: Connection, operation: Operation) -> None:
    """Say that the operation goes on."""
    _update_claimed(transaction, operation, {"state": State.RUNNING, "paused_why": None})


class Requests(NamedTuple):
    """What somebody has asked of a running operation."""

    cancel: bool
    pause: bool


def requests_of(connection: Connection, operation: Operation) -> Requests:
    """Give what somebody has asked of an operation; nothing of one that is not there.

    Raises
    ------
    Aborted
        If another server claimed it meanwhile.
    """
    table = schema.operations.c
    row = connection.execute(
        select(
            table.fence,
            table.cancel_requested,
            and_(table.pause_requested, ~_has_no_store()).label("pause"),
        ).where(table.id == operation.id)
    ).one_or_none()
    if row is None:
        return Requests(cancel=False, pause=False)
    if row.fence != operation.fence:
        raise _claimed_away(operation)
    return Requests(cancel=bool(row.cancel_requested), pause=bool(row.pause))


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
        raise _claimed_away(operation)


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
            "request": operation.lasting_request,
            "listed": listed,
            "error": error,
            "response": response,
            "ended_at": now,
            "expires_at": now + retention_microseconds,
            "lease_until": None,
        },
    )


def untold_ends(connection: Connection, *, ended_before: int, rows_max: int) -> list[Operation]:
    """Give operations that have ended and of whose end the audit log may not tell yet."""
    table = schema.operations.c
    rows = connection.execute(
        select_operations()
        .where(table.state == State.DONE, ~table.is_end_told, table.ended_at <= ended_before)
        .order_by(table.ended_at)
        .limit(rows_max)
    )
    return [operation_of_row(row) for row in rows]


def note_ends_told(transaction: Connection, ended: Sequence[Operation]) -> None:
    """Note that the audit log tells of the ends of some operations."""
    transaction.execute(
        update(schema.operations)
        .where(schema.operations.c.id.in_([operation.id for operation in ended]))
        .values(is_end_told=True)
    )


def delete_expired_operations(transaction: Connection, rows_max: int) -> int:
    """Delete some rows of an operation whose time of keeping is over; give how many there were.

    What it noted of its objects goes first, in slices: there may be millions. Nobody finds it from
    the first slice on, or could build on what is left of it.
    """
    table = schema.operations.c
    expired = select(table.id).where(table.expires_at < now_microseconds()).limit(1)
    row_id = transaction.execute(expired.with_for_update(skip_locked=True)).scalar()
    if row_id is None:
        return 0
    transaction.execute(
        update(schema.operations).where(table.id == row_id).values(expires_at=GOING)
    )
    for noted, ordinal in (
        (schema.operation_failures, schema.operation_failures.c.ordinal),
        (schema.operation_deferred, schema.operation_deferred.c.ordinal),
        (schema.operation_ledger, schema.operation_ledger.c.first_ordinal),
        (schema.operation_foreseen, schema.operation_foreseen.c.sop_instance_uid),
    ):
        of_operation = noted.c.operation_id == row_id
        last = transaction.execute(
            select(ordinal).where(of_operation).order_by(ordinal).limit(1).offset(rows_max - 1)
        ).scalar()
        if last is not None:
            return transaction.execute(delete(noted).where(of_operation, ordinal <= last)).rowcount
    return transaction.execute(delete(schema.operations).where(table.id == row_id)).rowcount


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
        raise _claimed_away(operation)


def _claimed_away(operation: Operation) -> Aborted:
    return Aborted(f"operation {operation.name} is no longer run by this coordinator")
