"""The objects of an operation: those that failed, those put off, what became of all."""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Final

from sqlalchemy import and_, delete, func, insert, or_, select, update

from fileroom.database import schema
from fileroom.database.engine import now_microseconds
from fileroom.database.many_rows import insert_rows
from fileroom.database.pages import (
    Page,
    decode_page_token,
    encode_page_token,
    page_size_within_limits,
)
from fileroom.errors import Aborted, Code, ObjectFailure, Reason

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from collections.abc import Set as AbstractSet

    from sqlalchemy import Row

    from fileroom.database.engine import Connection
    from fileroom.names import OperationName

from fileroom.database.operations.asking import get_operation
from fileroom.database.values.operations import DeferredObject, Operation

_ORDINALS_AT_A_TIME: Final = 500


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
        (ordinal,) = decode_page_token(listing, page_token, tuple[int])
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


def failures_from(
    connection: Connection,
    operation_id: int,
    *,
    seen: int | None = None,
    last_first: bool = False,
    at_most: int,
) -> list[tuple[int, ObjectFailure]]:
    """Give objects that failed with their ordinals, from after the one ``seen`` on or backwards."""
    table = schema.operation_failures.c
    statement = select(schema.operation_failures).where(table.operation_id == operation_id)
    if seen is not None:
        statement = statement.where(table.ordinal < seen if last_first else table.ordinal > seen)
    order = table.ordinal.desc() if last_first else table.ordinal
    rows = connection.execute(statement.order_by(order).limit(at_most))
    return [(row.ordinal, _failure(row)) for row in rows]


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
    insert_rows(transaction, schema.operation_failures, rows)


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
    connection: Connection,
    operation: Operation,
    *,
    at_most: int,
    without: Iterable[int],
    longest_seconds: float | None = None,
) -> list[DeferredObject]:
    """Give deferred objects whose time has come, the longest waiting first.

    Nobody puts one off for more than ``longest_seconds``: one that would have to wait for longer
    was put off before the clock was set back, and is due.
    """
    table = schema.operation_deferred.c
    now = now_microseconds()
    due = table.not_before <= now
    if longest_seconds is not None:
        due = or_(due, table.not_before > now + int(longest_seconds * 1_000_000))
    rows = connection.execute(
        select(schema.operation_deferred)
        .where(
            table.operation_id == operation.id,
            due,
            table.ordinal.not_in(list(without)),
        )
        .order_by(table.not_before, table.ordinal)
        .limit(at_most)
    )
    return [
        DeferredObject(**{field.name: getattr(row, field.name) for field in fields(DeferredObject)})
        for row in rows
    ]


def deferred_among(
    connection: Connection, operation_id: int, ordinals: Sequence[int]
) -> AbstractSet[int]:
    """Give which of some objects are still put off."""
    table = schema.operation_deferred.c
    found: set[int] = set()
    for start in range(0, len(ordinals), _ORDINALS_AT_A_TIME):
        some = ordinals[start : start + _ORDINALS_AT_A_TIME]
        rows = connection.execute(
            select(table.ordinal).where(table.operation_id == operation_id, table.ordinal.in_(some))
        )
        found.update(rows.scalars())
    return found


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


def _failure(row: Row[tuple[object, ...]]) -> ObjectFailure:
    return ObjectFailure(
        source=row.source,
        code=Code(row.code),
        reason=Reason(row.reason),
        message=row.message,
        tag=row.tag,
        byte_offset=row.byte_offset,
    )
