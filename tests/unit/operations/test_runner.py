"""Operations are claimed, run, paused, cancelled, given up and ended."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import update

from fileroom.database import operations, schema
from fileroom.database.engine import now_microseconds
from fileroom.database.operations import Counters, State
from fileroom.errors import (
    Cancelled,
    Code,
    NotFound,
    ObjectFailure,
    Reason,
    ResourceExhausted,
    Unavailable,
)
from fileroom.operations.runner import Run, pause_seconds
from tests.unit.database.rows import HOUR, OWNER, add_operation, all_rows, claimed
from tests.unit.operations.running import claimed_run, read_operation, running, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from fileroom.database.engine import Connection, Database
    from fileroom.names import OperationName

pytestmark = pytest.mark.usefixtures("quick")
OTHER_OWNER = "boot-2"


def ended(database: Database, name: OperationName) -> operations.Operation:
    wait_until(lambda: read_operation(database, name).state is State.DONE)
    return read_operation(database, name)


def advance(run: Run, counters: Counters) -> None:
    ordinal = run.read().next_ordinal
    run.database.write(
        lambda transaction: operations.advance_operation(
            transaction, run.operation, counters, cursor="c", next_ordinal=ordinal + counters.listed
        )
    )


def until_told(run: Run) -> bool:
    """Work until the server stops or the operation is cancelled."""
    while not run.stopping:
        run.check()
        time.sleep(0.01)
    return False


class Turn:
    """A job that does another thing each time it is called."""

    def __init__(self, *turns: Callable[[Run], bool]) -> None:
        self._turns = iter(turns)
        self.calls = 0

    def __call__(self, run: Run) -> bool:
        self.calls += 1
        return next(self._turns)(run)


def fails(error: Exception) -> Callable[[Run], bool]:
    def turn(_: Run) -> bool:
        raise error

    return turn


def succeeds(_: Run) -> bool:
    return True


# Ends


def test_operation_without_failures_ends_with_a_response(database: Database) -> None:
    name = database.write(add_operation)

    def job(run: Run) -> bool:
        advance(run, Counters(listed=2, imported=2))
        return True

    with running(database, job):
        done = ended(database, name)

    assert done.response == {
        "@type": "type.googleapis.com/google.cloud.healthcare.v1.dicom.ImportDicomDataResponse"
    }
    assert done.error is None
    assert done.counters == Counters(listed=2, imported=2)
    assert done.ended_at is not None
    assert done.ended_at >= done.created_at


def test_operation_with_failures_ends_with_an_error_and_no_response(database: Database) -> None:
    name = database.write(add_operation)
    failure = ObjectFailure(
        source="gs://b/1", code=Code.INVALID_ARGUMENT, reason=Reason.EMPTY, message="empty."
    )

    def job(run: Run) -> bool:
        advance(run, Counters(listed=2, imported=1, failed=1))
        database.write(
            lambda transaction: operations.insert_failures(
                transaction, run.operation, [(1, failure)]
            )
        )
        return True

    with running(database, job):
        done = ended(database, name)

    assert done.response is None
    assert done.error is not None
    assert done.error["message"] == (
        "1 of 2 objects could not be imported (1 EMPTY). First: gs://b/1: empty. "
        f"All failures: http://fileroom.example/console/{name}/logs"
    )


def test_error_of_the_operation_ends_it_with_what_was_known_of(database: Database) -> None:
    name = database.write(add_operation)

    def job(run: Run) -> bool:
        database.write(lambda transaction: operations.set_total(transaction, run.operation, 9))
        advance(run, Counters(listed=2, imported=2))
        raise NotFound("no object matches gs://b/x")

    with running(database, job):
        done = ended(database, name)

    assert done.error == {"code": 5, "message": "no object matches gs://b/x"}
    assert done.response is None
    assert (done.counters.listed, done.counters.imported) == (9, 2)


def test_fault_of_the_server_ends_one_operation_and_the_runner_lives(database: Database) -> None:
    first, second = database.write(add_operation), database.write(add_operation)
    job = Turn(fails(ZeroDivisionError("inner text")), succeeds)
    with running(database, job, at_once=1):
        failed, good = ended(database, first), ended(database, second)

    assert failed.error == {
        "code": Code.INTERNAL,
        "message": "the operation met a fault of the server; its log has more",
    }
    assert good.error is None


# Pauses


@pytest.mark.parametrize(
    "error", [Unavailable("the volume is gone"), ResourceExhausted("no space")]
)
def test_fault_of_the_environment_pauses_the_operation_which_then_goes_on(
    database: Database, error: Exception
) -> None:
    name = database.write(add_operation)
    seen: list[tuple[State, str | None]] = []

    def look(run: Run) -> bool:
        seen.append((run.read().state, run.read().paused_why))
        return True

    with running(database, Turn(fails(error), look)):
        done = ended(database, name)

    assert done.error is None
    assert seen == [(State.RUNNING, None)]


def test_paused_operation_says_what_it_waits_for(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fileroom.operations.runner.BACKOFF_SECONDS_MAX", 60.0)
    name = database.write(add_operation)
    with running(database, fails(ResourceExhausted("no space on the disk"))):
        wait_until(lambda: read_operation(database, name).state is State.PAUSED)

        assert read_operation(database, name).paused_why == "no space on the disk"


def test_paused_operation_can_be_cancelled(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fileroom.operations.runner.BACKOFF_SECONDS_MAX", 60.0)
    name = database.write(add_operation)
    finished: list[OperationName] = []

    def hear(operation: operations.Operation) -> None:
        finished.append(operation.name)

    with running(database, fails(Unavailable("away")), on_finished=hear):
        wait_until(lambda: read_operation(database, name).state is State.PAUSED)
        assert not finished
        database.write(lambda transaction: operations.request_cancel(transaction, name))
        done = ended(database, name)

    assert finished == [name]
    assert done.error == {"code": Code.CANCELLED, "message": "the operation was cancelled"}


def test_paused_operation_is_given_up_when_the_server_stops(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fileroom.operations.runner.BACKOFF_SECONDS_MAX", 60.0)
    name = database.write(add_operation)
    with running(database, fails(Unavailable("away"))):
        wait_until(lambda: read_operation(database, name).state is State.PAUSED)

    taken = database.write(lambda transaction: claimed(transaction, OTHER_OWNER))
    assert (taken.name, taken.state) == (name, State.RUNNING)


def test_paused_operation_leaves_its_place_to_the_next(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fileroom.operations.runner.BACKOFF_SECONDS_MAX", 60.0)
    names = [database.write(add_operation) for _ in range(3)]
    job = Turn(fails(Unavailable("away")), fails(Unavailable("away")), succeeds)
    with running(database, job, at_once=1):
        ended(database, names[2])

        states = [read_operation(database, name).state for name in names[:2]]
    assert states == [State.PAUSED, State.PAUSED]


def test_pauses_grow_to_a_bound_however_long_the_environment_takes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("fileroom.operations.runner.BACKOFF_SECONDS_MAX", 30.0)

    assert [pause_seconds(pauses) for pauses in (1, 2, 3, 4, 5, 100_000)] == [2, 4, 8, 16, 30, 30]


def test_paused_operation_keeps_its_lease(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fileroom.operations.runner.BACKOFF_SECONDS_MAX", 60.0)
    name = database.write(add_operation)
    with running(database, fails(Unavailable("away"))):
        wait_until(lambda: read_operation(database, name).state is State.PAUSED)
        database.write(
            lambda transaction: transaction.execute(
                update(schema.operations).values(lease_until=now_microseconds() + 40_000)
            ).close()
        )
        time.sleep(0.15)

        assert read_operation(database, name).fence == 1
        with database.read() as connection:
            (row,) = all_rows(connection, schema.operations)
        assert row.lease_until > now_microseconds()


# Cancel


@pytest.mark.usefixtures("quick")
def test_running_operation_waits_and_goes_on(database: Database) -> None:
    name = database.write(add_operation)
    job = Turn(until_told, until_told, succeeds)
    with running(database, job) as runner:
        for calls in (1, 2):
            wait_until(lambda calls=calls: job.calls == calls)  # type: ignore[misc]
            database.write(lambda tx: operations.request_pause(tx, name))
            wait_until(lambda: read_operation(database, name).state is State.PAUSED)
            assert "asked it to wait" in str(read_operation(database, name).paused_why)
            time.sleep(0.2)
            assert job.calls == calls
            database.write(lambda tx: operations.request_resume(tx, name))
            runner.wake()
        assert ended(database, name).error is None


def test_running_operation_is_cancelled(database: Database) -> None:
    name = database.write(add_operation)

    def job(run: Run) -> bool:
        advance(run, Counters(listed=5, imported=4, deferred=1))
        return until_told(run)

    with running(database, job):
        wait_until(lambda: read_operation(database, name).counters.imported == 4)
        database.write(lambda transaction: operations.request_cancel(transaction, name))
        done = ended(database, name)

    assert done.error == {"code": 1, "message": "the operation was cancelled"}
    assert done.counters == Counters(listed=5, imported=4, deferred=1)


def test_cancellation_before_the_start_ends_it_at_its_first_check(database: Database) -> None:
    name = database.write(add_operation)
    database.write(lambda transaction: operations.request_cancel(transaction, name))
    with running(database, until_told):
        assert ended(database, name).error == {
            "code": 1,
            "message": "the operation was cancelled",
        }


# Other servers


def test_stopping_server_gives_its_operations_to_whoever_claims_first(database: Database) -> None:
    name = database.write(add_operation)
    with running(database, until_told):
        wait_until(lambda: read_operation(database, name).state is State.RUNNING)

    taken = database.write(lambda transaction: claimed(transaction, OTHER_OWNER))
    assert (taken.name, taken.fence) == (name, 3)  # giving up and taking draw one each


def test_operation_that_was_claimed_as_the_server_stopped_is_given_up_too(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = database.write(add_operation)
    monkeypatch.setattr(Run, "pace", lambda _: time.sleep(0.3))  # between claim and start

    def job(run: Run) -> bool:
        time.sleep(0.3)
        return until_told(run)

    with running(database, job):
        wait_until(lambda: read_operation(database, name).state is State.RUNNING)

    assert database.write(lambda transaction: claimed(transaction, OTHER_OWNER)).name == name


def test_operation_claimed_by_another_server_is_left_to_it(database: Database) -> None:
    name = database.write(add_operation)
    gave_up = threading.Event()

    def job(run: Run) -> bool:
        try:
            return until_told(run)
        finally:
            gave_up.set()

    def take(transaction: Connection) -> None:
        transaction.execute(update(schema.operations).values(lease_until=0))
        claimed(transaction, OTHER_OWNER)

    with running(database, job):
        wait_until(lambda: read_operation(database, name).state is State.RUNNING)
        database.write(take)
        assert gave_up.wait(10)

    left = read_operation(database, name)
    assert (left.state, left.fence, left.error) == (State.RUNNING, 2, None)
    with database.read() as connection:
        (row,) = all_rows(connection, schema.operations)
    assert row.owner == OTHER_OWNER
    assert row.lease_until > now_microseconds()


def test_operation_of_a_dead_server_goes_on(database: Database) -> None:
    run = claimed_run(database)
    advance(run, Counters(listed=3, imported=3))
    database.write(lambda transaction: operations.void_leases(transaction, OTHER_OWNER))

    def job(run: Run) -> bool:
        advance(run, Counters(listed=1, imported=1))
        return True

    with running(database, job, owner=OTHER_OWNER):
        done = ended(database, run.operation.name)

    assert (done.counters.imported, done.next_ordinal) == (4, 4)


def test_jump_of_the_clock_does_not_have_an_operation_claimed_from_itself(
    database: Database,
) -> None:
    name = database.write(add_operation)

    def past_the_lease(transaction: Connection) -> None:
        transaction.execute(update(schema.operations).values(lease_until=0))

    with running(database, until_told):
        wait_until(lambda: read_operation(database, name).state is State.RUNNING)
        for _ in range(10):
            database.write(past_the_lease)
            time.sleep(0.02)

        assert read_operation(database, name).fence == 1


# How many at once


def test_operations_beyond_the_limit_wait_their_turn(database: Database) -> None:
    names = [database.write(add_operation) for _ in range(3)]
    go = threading.Event()
    at_work: list[OperationName] = []
    most = 0

    def job(run: Run) -> bool:
        nonlocal most
        at_work.append(run.operation.name)
        most = max(most, len(at_work))
        go.wait(10)
        at_work.remove(run.operation.name)
        return True

    with running(database, job, at_once=2):
        wait_until(lambda: len(at_work) == 2)
        assert read_operation(database, names[2]).state is State.QUEUED
        go.set()
        for name in names:
            ended(database, name)

    assert most == 2


def test_woken_runner_claims_at_once(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fileroom.operations.runner.POLL_SECONDS", 60.0)
    with running(database, succeeds) as runner:
        name = database.write(add_operation)
        runner.wake()
        ended(database, name)


def test_sleep_of_a_run_ends_with_its_cancellation(database: Database) -> None:
    run = claimed_run(database)
    database.write(lambda transaction: operations.request_cancel(transaction, run.operation.name))

    with pytest.raises(Cancelled):
        run.sleep(60)


def test_sleep_of_a_run_ends_with_its_server(database: Database) -> None:
    run = claimed_run(database)
    run.stop()
    run.sleep(60)

    assert run.stopping


def test_ended_operation_is_kept_for_its_time(database: Database) -> None:
    name = database.write(add_operation)
    with running(database, succeeds):
        ended(database, name)

    with database.read() as connection:
        (row,) = all_rows(connection, schema.operations)
    assert row.owner == OWNER
    assert row.expires_at > now_microseconds() + 29 * 24 * HOUR
