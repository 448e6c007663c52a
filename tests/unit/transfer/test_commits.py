"""Rows, counters, failures, ledger and cursor are written together or not at all."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import insert, update

from fileroom.database import operations, schema
from fileroom.database.engine import now_microseconds
from fileroom.database.operations import Counters, DeferredObject
from fileroom.errors import Aborted
from fileroom.transfer import commits
from fileroom.transfer.ledger import LedgerLine, count_lines, decode_chunk
from fileroom.transfer.pipeline import Batch
from tests.unit.database.rows import all_rows, claimed
from tests.unit.transfer.numbers import Number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fileroom.database.engine import Connection, Database
    from fileroom.operations.runner import Run


def batch(first: int, count: int) -> Batch[Number]:
    numbers = range(first, first + count)
    return Batch(items=tuple(map(Number, numbers)), cursor=f"after {first + count - 1}")


def settle(*results: str, first: int = 0) -> commits.Settle:
    """Write one fact for each object, and give its line."""

    def settle(transaction: Connection) -> list[LedgerLine]:
        for n in range(first, first + len(results)):
            transaction.execute(insert(schema.meta).values(key=str(n), value=""))
        return [
            LedgerLine(ordinal=n, source=f"gs://b/{n}", result=result, size=10)
            for n, result in enumerate(results, first)
        ]

    return settle


def deferred(ordinal: int) -> DeferredObject:
    return DeferredObject(
        ordinal=ordinal, source=f"gs://b/{ordinal}", version=None, size=5, why="SLOW"
    )


def ledger(database: Database, run: Run) -> list[LedgerLine]:
    with database.read() as connection:
        chunks = operations.ledger_chunks(connection, run.operation.id, after=(-1, 0), at_most=100)
    return [line for *_, chunk in chunks for line in decode_chunk(chunk)]


def facts(database: Database) -> Sequence[str]:
    with database.read() as connection:
        return [row.key for row in all_rows(connection, schema.meta)]


def take_over(database: Database) -> None:
    def take(transaction: Connection) -> None:
        transaction.execute(update(schema.operations).values(lease_until=0))
        claimed(transaction, "boot-2")

    database.write(take)


def test_batch_is_committed_with_its_progress(database: Database, run: Run) -> None:
    commits.commit_batch(run, batch(0, 3), [deferred(1)], settle("imported", "failed"))

    progress = run.read()
    assert (progress.next_ordinal, progress.cursor) == (3, "after 2")
    assert progress.counters == Counters(listed=3, imported=1, failed=1, deferred=1, bytes=20)
    assert facts(database) == ["0", "1"]
    assert [each.ordinal for each in commits.due_deferred(run, 9, [])] == [1]
    assert commits.has_deferred(run)


def test_lines_of_the_ledger_sum_to_the_counters(database: Database, run: Run) -> None:
    commits.commit_batch(run, batch(0, 3), [deferred(2)], settle("imported", "failed"))
    commits.commit_batch(run, batch(3, 2), [], settle("kept", "identical", first=3))
    commits.commit_deferred(run, deferred(2), settle("imported", first=2))

    lines = ledger(database, run)
    counted = count_lines(lines)
    counters = run.read().counters
    assert counted.succeeded == counters.succeeded == 4
    assert counted.failed == counters.failed == 1
    assert counted.bytes == counters.bytes
    assert {line.ordinal for line in lines} == set(range(counters.listed))
    assert [line.ordinal for line in lines if line.result == "deferred"] == [2]


def test_batch_that_was_committed_is_not_committed_again(database: Database, run: Run) -> None:
    commits.commit_batch(run, batch(0, 2), [], settle("imported", "imported"))
    before = run.read()

    with pytest.raises(Aborted):
        commits.commit_batch(run, batch(0, 2), [], settle("kept", "kept", first=5))
    assert run.read() == before
    assert facts(database) == ["0", "1"]


def test_batch_is_not_committed_before_the_one_it_follows(database: Database, run: Run) -> None:
    with pytest.raises(Aborted):
        commits.commit_batch(run, batch(2, 1), [], settle("imported"))
    assert facts(database) == []


def test_stale_coordinator_commits_nothing(database: Database, run: Run) -> None:
    commits.commit_batch(run, batch(0, 2), [deferred(1)], settle("imported"))
    take_over(database)
    before = run.read()
    waiting = commits.due_deferred(run, 9, [])

    with pytest.raises(Aborted):
        commits.commit_batch(run, batch(2, 1), [], settle("imported", first=2))
    with pytest.raises(Aborted):
        commits.commit_deferred(run, deferred(1), settle("imported", first=3))
    with pytest.raises(Aborted):
        commits.put_off(run, deferred(1), "UNREADABLE")
    assert run.read() == before
    assert commits.due_deferred(run, 9, []) == waiting
    assert facts(database) == ["0"]


def test_batch_with_an_object_unaccounted_for_is_not_committed(
    database: Database, run: Run
) -> None:
    with pytest.raises(AssertionError, match="unaccounted"):
        commits.commit_batch(run, batch(0, 3), [], settle("imported"))
    assert run.read().next_ordinal == 0
    assert facts(database) == []


def test_error_while_settling_leaves_nothing_behind(database: Database, run: Run) -> None:
    def fails(transaction: Connection) -> list[LedgerLine]:
        settle("imported")(transaction)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        commits.commit_batch(run, batch(0, 1), [], fails)
    assert run.read().next_ordinal == 0
    assert facts(database) == []


def test_deferred_object_is_finished_exactly_once(database: Database, run: Run) -> None:
    commits.commit_batch(run, batch(0, 1), [deferred(0)], settle())
    commits.commit_deferred(run, deferred(0), settle("imported"))

    with pytest.raises(Aborted, match="finished already"):
        commits.commit_deferred(run, deferred(0), settle("imported", first=7))
    assert run.read().counters == Counters(listed=1, imported=1, bytes=10)
    assert facts(database) == ["0"]
    assert not commits.has_deferred(run)


@pytest.mark.parametrize("hours", [-1, -24 * 365 * 20])
def test_object_that_is_put_off_does_not_wait_for_a_clock_that_was_set_back(
    database: Database, run: Run, monkeypatch: pytest.MonkeyPatch, hours: int
) -> None:
    commits.commit_batch(run, batch(0, 1), [deferred(0)], settle())
    assert commits.put_off(run, deferred(0), "UNREADABLE")
    assert commits.due_deferred(run, 9, []) == []
    real = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: real() + hours * 3600 * 10**9)

    assert [each.ordinal for each in commits.due_deferred(run, 9, [])] == [0]


def test_object_is_put_off_longer_each_time_and_given_up_at_last(
    database: Database, run: Run
) -> None:
    commits.commit_batch(run, batch(0, 1), [deferred(0)], settle())
    waits = []
    current = deferred(0)
    while commits.put_off(run, current, "UNREADABLE"):
        with database.read() as connection:
            (row,) = all_rows(connection, schema.operation_deferred)
        waits.append((row.not_before - now_microseconds()) / 1_000_000)
        current = DeferredObject(
            ordinal=0,
            source="gs://b/0",
            version=None,
            size=5,
            why=row.why,
            attempts=row.attempts,
            not_before=row.not_before,
        )

    assert len(waits) == commits.ATTEMPTS_MAX - 1
    assert waits == sorted(waits)
    assert waits[0] > 1
    assert waits[-1] <= commits.RETRY_SECONDS_MAX
    assert run.read().counters.deferred == 1
