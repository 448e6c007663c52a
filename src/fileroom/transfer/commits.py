"""The transactions that make progress: rows, counters, failures, ledger and cursor together.

Whatever a batch or a deferred object changes is written with the progress it means, under the fence
of its coordinator: a crash at any moment leaves both or neither (I3, I4, I6).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from fileroom.database import operations
from fileroom.database.engine import now_microseconds
from fileroom.database.values.operations import DeferredObject
from fileroom.transfer.ledger import count_lines, deferred_line, encode_chunk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from fileroom.database.engine import Connection
    from fileroom.operations.runner import Run
    from fileroom.transfer.ledger import LedgerLine
    from fileroom.transfer.pipeline import Batch, ItemT

    Settle = Callable[[Connection], Sequence[LedgerLine | DeferredObject]]

LINE: Final = 0
LANE: Final = 1
ATTEMPTS_MAX: Final = 5
"""Times a deferred object is tried before it fails."""
RETRY_SECONDS: Final = 1.0
RETRY_SECONDS_MAX: Final = 300.0


def commit_batch(
    run: Run, batch: Batch[ItemT], deferred: Sequence[DeferredObject], settle: Settle
) -> None:
    """Write what became of a batch and move the cursor past it.

    ``settle`` writes what the batch changes and gives a line for each object that is settled, or
    what is to be finished in the second lane after all.

    Raises
    ------
    Aborted
        If another coordinator took over, or the batch was committed already.
    """

    def commit(transaction: Connection) -> None:
        operation = run.operation
        operations.lock_operation(transaction, operation, next_ordinal=batch.first_ordinal)
        lines, undecided = _parted(settle(transaction))
        later = [*deferred, *undecided]
        assert len(lines) + len(later) == len(batch.items), "an object is unaccounted for"
        operations.insert_deferred(transaction, operation, later)
        _keep(transaction, run, [*lines, *map(deferred_line, later)], lane=LINE)
        operations.advance_operation(
            transaction,
            operation,
            replace(count_lines(lines), listed=len(batch.items), deferred=len(later)),
            cursor=batch.cursor,
            next_ordinal=batch.next_ordinal,
        )

    run.database.write(commit, lane="batch")


def commit_deferred(run: Run, deferred: DeferredObject, settle: Settle) -> None:
    """Write what became of a deferred object, exactly once; ``settle`` may put it off again.

    Raises
    ------
    Aborted
        If another coordinator took over, or the object was finished already.
    """

    def commit(transaction: Connection) -> None:
        operation = run.operation
        operations.lock_operation(transaction, operation)
        operations.take_deferred(transaction, operation, deferred.ordinal)
        lines, undecided = _parted(settle(transaction))
        if undecided:
            operations.insert_deferred(transaction, operation, undecided)
            return
        _keep(transaction, run, lines, lane=LANE)
        operations.advance_operation(
            transaction, operation, replace(count_lines(lines), deferred=-1)
        )

    run.database.write(commit, lane="batch")


def put_off(run: Run, deferred: DeferredObject, why: str) -> bool:
    """Try a deferred object again later; False if it was tried often enough."""
    attempts = deferred.attempts + 1
    if attempts >= ATTEMPTS_MAX:
        return False
    delay = min(RETRY_SECONDS * 4.0**attempts, RETRY_SECONDS_MAX)
    later = replace(
        deferred,
        attempts=attempts,
        why=why,
        not_before=now_microseconds() + int(delay * 1_000_000),
    )

    def put(transaction: Connection) -> None:
        operations.lock_operation(transaction, run.operation)
        operations.defer_again(transaction, run.operation, later)

    run.database.write(put)
    return True


def due_deferred(run: Run, at_most: int, without: Iterable[int]) -> list[DeferredObject]:
    """Give deferred objects whose time has come."""
    with run.database.read() as connection:
        return operations.due_deferred(
            connection,
            run.operation,
            at_most=at_most,
            without=without,
            longest_seconds=RETRY_SECONDS_MAX,
        )


def has_deferred(run: Run) -> bool:
    """Tell whether any deferred object is left."""
    return run.read().counters.deferred > 0


def _parted(
    settled: Sequence[LedgerLine | DeferredObject],
) -> tuple[list[LedgerLine], list[DeferredObject]]:
    return (
        [one for one in settled if not isinstance(one, DeferredObject)],
        [one for one in settled if isinstance(one, DeferredObject)],
    )


def _keep(transaction: Connection, run: Run, lines: list[LedgerLine], *, lane: int) -> None:
    lines.sort(key=lambda line: line.ordinal)
    operations.insert_ledger_chunk(
        transaction,
        run.operation,
        first_ordinal=lines[0].ordinal,
        lane=lane,
        count=len(lines),
        chunk=encode_chunk(lines),
    )
