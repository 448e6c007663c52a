"""Batches are worked on side by side and committed in order; what would hold them up goes aside."""

from __future__ import annotations

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from fileroom.database import operations
from fileroom.errors import Cancelled, NotFound, Reason, ResourceExhausted, Unavailable
from fileroom.transfer.executors import WorkerLost
from fileroom.transfer.pipeline import run_pipeline
from fileroom.transfer.pipeline.coordinator import LOSSES_MAX, WINDOW_PER_WORKER
from fileroom.transfer.pipeline.lister import LISTED_BATCHES_MAX
from tests.unit.operations.running import wait_until
from tests.unit.transfer.numbers import NumberWork
from tests.unit.transfer.site import WORKERS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fileroom.database.engine import Database
    from fileroom.operations.runner import Run
    from fileroom.transfer.pipeline import Turns


@pytest.fixture
def thread() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as thread:
        yield thread


class Gate:
    """Holds up some numbers until it is opened."""

    def __init__(self, *numbers: int) -> None:
        self._numbers = set(numbers)
        self._open = threading.Event()
        self.moved: list[int] = []

    def __call__(self, number: int) -> None:
        if number in self._numbers:
            assert self._open.wait(20)
        self.moved.append(number)

    def open(self) -> None:
        self._open.set()


class Loses:
    """Ends the worker of some numbers, as often as is said."""

    def __init__(self, times: dict[int, int], item: int | None = None) -> None:
        self._times = times
        self._item = item

    def __call__(self, number: int) -> None:
        if self._times.get(number, 0) > 0:
            self._times[number] -= 1
            raise WorkerLost("the worker died", Reason.WORKER_CRASHED, self._item)


@pytest.mark.parametrize("seed", range(3))
def test_batches_are_committed_in_order_whatever_order_they_end_in(
    run: Run, turns: Turns, seed: int
) -> None:
    draw = random.Random(seed)
    pauses = [draw.random() * 0.004 for _ in range(300)]
    work = NumberWork(turns, 300, lambda number: time.sleep(pauses[number]))

    assert run_pipeline(run, work)
    assert work.committed == list(range(300))


def test_empty_listing_is_done_at_once(run: Run, turns: Turns) -> None:
    work = NumberWork(turns, 0)

    assert run_pipeline(run, work)
    assert work.committed == []


def test_slow_batch_holds_back_commits_and_a_bounded_number_of_batches(
    run: Run, turns: Turns, thread: ThreadPoolExecutor
) -> None:
    gate = Gate(0)
    work = NumberWork(turns, 1000, gate, batch=1)
    window = WINDOW_PER_WORKER * WORKERS
    done = thread.submit(run_pipeline, run, work)
    wait_until(lambda: len(gate.moved) == window - 1)
    time.sleep(0.1)

    assert len(gate.moved) == window - 1
    assert work.committed == []
    assert work.listed <= window + LISTED_BATCHES_MAX + 1
    gate.open()
    assert done.result()
    assert work.committed == list(range(1000))


def test_object_that_ends_its_worker_leaves_the_batch_and_is_finished_alone(
    run: Run, turns: Turns
) -> None:
    work = NumberWork(turns, 20, Loses({6: 1}, item=2))

    assert run_pipeline(run, work)
    assert work.committed == list(range(20))
    assert work.finished == [6]


def test_several_objects_that_end_their_worker_leave_one_by_one(run: Run, turns: Turns) -> None:
    class LosesAll:
        def __call__(self, number: int) -> None:
            raise WorkerLost("the worker died", Reason.TIME_LIMIT, number % 4)

    work = NumberWork(turns, 8, LosesAll())

    assert run_pipeline(run, work)
    assert work.committed == list(range(8))
    assert sorted(work.finished) == list(range(8))


def test_object_that_ends_its_worker_alone_too_is_told_of(run: Run, turns: Turns) -> None:
    work = NumberWork(turns, 8, Loses({1: 1}, item=1), alone=Loses({1: 1}, item=0))

    assert run_pipeline(run, work)
    assert work.committed == list(range(8))
    assert work.lost[1].reason is Reason.WORKER_CRASHED
    assert work.finished == []


def test_batch_whose_worker_died_over_no_object_is_tried_again(run: Run, turns: Turns) -> None:
    work = NumberWork(turns, 8, Loses({0: LOSSES_MAX}))

    assert run_pipeline(run, work)
    assert work.committed == list(range(8))


def test_workers_that_never_live_are_a_fault_of_the_environment(run: Run, turns: Turns) -> None:
    work = NumberWork(turns, 8, Loses({0: LOSSES_MAX + 1}))

    with pytest.raises(Unavailable, match="lost again and again"):
        run_pipeline(run, work)
    assert work.committed == []


def test_deferred_object_is_not_blamed_for_a_worker_that_died_over_none(
    run: Run, turns: Turns
) -> None:
    work = NumberWork(turns, 8, Loses({1: 1}, item=1), alone=Loses({1: LOSSES_MAX}))

    assert run_pipeline(run, work)
    assert work.finished == [1]
    assert work.lost == {}


def test_deferred_object_stays_where_workers_never_live(run: Run, turns: Turns) -> None:
    work = NumberWork(turns, 8, Loses({1: 1}, item=1), alone=Loses({1: LOSSES_MAX + 1}))

    with pytest.raises(Unavailable, match="lost again and again"):
        run_pipeline(run, work)
    assert (work.lost, work.finished) == ({}, [])
    assert set(work.waiting) == {1}


def test_fault_of_the_environment_keeps_what_comes_before_it(run: Run, turns: Turns) -> None:
    def move(number: int) -> None:
        if number == 10:
            raise ResourceExhausted("no space")

    work = NumberWork(turns, 40, move)

    with pytest.raises(ResourceExhausted):
        run_pipeline(run, work)
    assert work.committed == list(range(8))
    assert work.discarded == []


def test_error_of_the_listing_is_raised_once_all_listed_before_it_is_committed(
    run: Run, turns: Turns
) -> None:
    work = NumberWork(
        turns, 40, lambda _: time.sleep(0.001), listing_error=NotFound("the bucket is gone")
    )

    with pytest.raises(NotFound, match="bucket is gone"):
        run_pipeline(run, work)
    assert work.committed == list(range(40))


def test_error_of_a_commit_ends_the_run(run: Run, turns: Turns) -> None:
    class Refusing(NumberWork):
        def commit(self, batch: object, outcome: object) -> None:
            raise NotFound("the store was deleted")

    with pytest.raises(NotFound, match="store was deleted"):
        run_pipeline(run, Refusing(turns, 8))


def test_deferred_object_is_finished_when_its_time_comes(run: Run, turns: Turns) -> None:
    work = NumberWork(turns, 8, Loses({1: 1}, item=1))
    work.delay_seconds = 0.3
    began = time.monotonic()

    assert run_pipeline(run, work)
    assert work.finished == [1]
    assert time.monotonic() - began >= 0.3


def test_deferred_objects_take_half_of_the_workers_while_the_line_moves(
    run: Run, turns: Turns, thread: ThreadPoolExecutor
) -> None:
    gate = Gate(900)
    work = NumberWork(turns, 1000, gate, batch=1, alone=lambda _: time.sleep(0.01))
    for number in range(5000, 5020):
        work.defer(number)
    done = thread.submit(run_pipeline, run, work)
    wait_until(lambda: len(work.finished) >= 10)
    while_listing = work.alone_most
    gate.open()

    assert done.result()
    assert while_listing == WORKERS // 2
    assert sorted(work.finished) == list(range(5000, 5020))


def test_cancellation_discards_what_is_finished_and_not_committed(
    run: Run, turns: Turns, thread: ThreadPoolExecutor, database: Database
) -> None:
    gate = Gate(4)
    work = NumberWork(turns, 1000, gate)
    done = thread.submit(run_pipeline, run, work)
    wait_until(lambda: len(gate.moved) >= 40)
    name = run.operation.name
    database.write(lambda transaction: operations.request_cancel(transaction, name))
    time.sleep(0.4)  # past the check, while one batch is still at work
    gate.open()

    with pytest.raises(Cancelled):
        done.result()
    assert work.committed == [0, 1, 2, 3]
    moved = sorted(set(gate.moved) - set(work.committed))
    assert sorted(work.discarded) == moved


def test_what_ends_long_after_a_cancellation_is_told_of(
    run: Run, turns: Turns, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fileroom.transfer.pipeline.coordinator.SETTLE_SECONDS", 0.05)
    gate = Gate(0)
    work = NumberWork(turns, 4, gate)
    outcomes: Iterator[Exception | None] = iter([None, Cancelled("the operation was cancelled")])

    def check(_: Run) -> None:
        error = next(outcomes)
        if error is not None:
            raise error

    monkeypatch.setattr(type(run), "check", check)
    with pytest.raises(Cancelled):
        run_pipeline(run, work)
    assert (work.late, work.discarded) == (0, [])
    gate.open()

    wait_until(lambda: work.late == 1)


def test_stopping_server_leaves_off_after_a_commit_and_discards_nothing(
    run: Run, turns: Turns, thread: ThreadPoolExecutor
) -> None:
    gate = Gate(40)
    work = NumberWork(turns, 1000, gate)
    done = thread.submit(run_pipeline, run, work)
    wait_until(lambda: len(work.committed) == 40)
    run.stop()
    gate.open()

    assert done.result() is False
    assert work.committed == list(range(len(work.committed)))
    assert work.discarded == []


def test_listing_that_is_ahead_ends_with_the_run(run: Run, turns: Turns) -> None:
    work = NumberWork(turns, 10**6)
    run.stop()

    assert run_pipeline(run, work) is False
    assert work.listed <= LISTED_BATCHES_MAX + 1
    assert not [each for each in threading.enumerate() if each.name == "lister"]
