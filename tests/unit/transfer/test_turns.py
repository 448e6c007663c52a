"""One executor is shared among operations, a batch of each in turn."""

from __future__ import annotations

import threading
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING

import pytest

from fileroom.errors import Unavailable
from fileroom.transfer.pipeline import Turns
from tests.unit.operations.running import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

WORKERS = 2


@pytest.fixture
def executor() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(WORKERS) as executor:
        yield executor


class Tasks:
    """Tasks that note the order in which they begin, and can be held up."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.go = threading.Event()

    def run(self, name: str) -> str:
        self.begun.append(name)
        self.go.wait(10)
        return name


def test_task_gives_its_result(executor: ThreadPoolExecutor) -> None:
    assert Turns(executor, lambda: WORKERS).submit(1, len, "four").result() == 4


def test_error_of_a_task_is_its_own(executor: ThreadPoolExecutor) -> None:
    turns = Turns(executor, lambda: WORKERS)
    failing, good = turns.submit(1, int, "x"), turns.submit(1, int, "1")

    with pytest.raises(ValueError, match="invalid literal"):
        failing.result()
    assert good.result() == 1


def test_operations_take_turns(executor: ThreadPoolExecutor) -> None:
    tasks = Tasks()
    turns = Turns(executor, lambda: WORKERS)
    futures = [turns.submit(1, tasks.run, f"first {n}") for n in range(12)]
    futures += [turns.submit(2, tasks.run, f"second {n}") for n in range(4)]
    tasks.go.set()
    wait(futures)

    # What the executor held already when the second one came goes first.
    turn_by_turn = tasks.begun[2 * WORKERS :]
    owners = [name.split()[0] for name in turn_by_turn[:8]]
    assert owners.count("first") == owners.count("second") == 4
    for owner in ("first", "second"):
        own = [name for name in turn_by_turn if name.startswith(owner)]
        assert own == sorted(own, key=lambda name: int(name.split()[1]))


def test_executor_holds_two_tasks_a_worker_at_most() -> None:
    class Counting(ThreadPoolExecutor):
        held = most = 0

        def submit(self, *args: object, **kwargs: object) -> Future[object]:  # type: ignore[override]
            self.held += 1
            self.most = max(self.most, self.held)
            future: Future[object] = super().submit(*args, **kwargs)  # type: ignore[arg-type]
            future.add_done_callback(self.gone)
            return future

        def gone(self, _: Future[object]) -> None:
            self.held -= 1

    with Counting(1) as executor:
        turns = Turns(executor, lambda: 1)
        wait([turns.submit(n % 3, str, n) for n in range(50)])

    assert executor.most == 2


def test_cancelled_task_never_begins_and_takes_no_room(executor: ThreadPoolExecutor) -> None:
    """Neither where it waits for its turn, nor where the executor has it and no worker yet."""
    tasks = Tasks()
    turns = Turns(executor, lambda: WORKERS)
    futures = [turns.submit(1, tasks.run, str(n)) for n in range(8)]
    wait_until(lambda: len(tasks.begun) == WORKERS)
    cancelled = [future.cancel() for future in futures]
    tasks.go.set()
    last = turns.submit(1, tasks.run, "last")

    assert last.result() == "last"
    assert cancelled == [False] * WORKERS + [True] * (8 - WORKERS)
    assert sorted(tasks.begun) == ["0", "1", "last"]
    with pytest.raises(Unavailable, match="cancelled"):
        futures[2].result()


def test_number_of_workers_may_change() -> None:
    executor = Holding()
    workers = 0
    turns = Turns(executor, lambda: workers)
    for number in range(20):
        turns.submit(1, str, number)
    assert (turns.workers, len(executor.futures)) == (1, 2)
    workers = 4
    executor.futures[0].set_result("")
    assert (turns.workers, len(executor.futures)) == (4, 9)
    workers = 1
    for future in executor.futures[1:8]:
        future.set_result("")
    assert len(executor.futures) == 10


def test_executor_that_cannot_be_reached_says_why() -> None:
    class Unreachable(Executor):
        def submit(self, *_: object, **__: object) -> Future[object]:  # type: ignore[override]
            raise Unavailable("the scheduler does not answer")

    turns = Turns(Unreachable(), lambda: 1)
    for future in [turns.submit(1, str, n) for n in range(5)]:
        with pytest.raises(Unavailable, match=r"^the scheduler does not answer"):
            future.result(0)


def test_executor_that_is_gone_is_a_fault_of_the_environment() -> None:
    executor = ThreadPoolExecutor(1)
    executor.shutdown()
    turns = Turns(executor, lambda: 1)

    for future in [turns.submit(1, str, n) for n in range(5)]:
        with pytest.raises(Unavailable, match="workers are gone"):
            future.result()


class Holding(Executor):
    """An executor that holds its tasks until it is shut down."""

    def __init__(self) -> None:
        self.futures: list[Future[object]] = []
        self._closed = False

    def submit(self, *_: object, **__: object) -> Future[object]:  # type: ignore[override]
        if self._closed:
            raise RuntimeError("it is shut down")
        self.futures.append(Future())
        return self.futures[-1]

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self._closed = True
        for future in self.futures:
            future.cancel()


def test_task_that_the_executor_gave_up_is_a_fault_of_the_environment() -> None:
    executor = Holding()
    turns = Turns(executor, lambda: 1)
    futures = [turns.submit(1, str, n) for n in range(5)]
    executor.shutdown(cancel_futures=True)

    assert len(executor.futures) == 2
    for future in futures:
        with pytest.raises(Unavailable):
            future.result(timeout=5)


def test_many_threads_may_submit_at_once(executor: ThreadPoolExecutor) -> None:
    turns = Turns(executor, lambda: WORKERS)

    def submit(owner: int) -> list[int]:
        futures = [turns.submit(owner, abs, -n) for n in range(100)]
        return [future.result() for future in futures]

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(submit, range(8))) == [list(range(100))] * 8


def test_a_heavier_operation_has_more_of_a_turn(executor: ThreadPoolExecutor) -> None:
    tasks = Tasks()
    turns = Turns(executor, lambda: WORKERS)
    futures = [turns.submit(0, tasks.run, "held") for _ in range(2 * WORKERS)]
    futures += [turns.submit(1, tasks.run, "light", weight=1) for _ in range(4)]
    futures += [turns.submit(2, tasks.run, "heavy", weight=3) for _ in range(6)]
    tasks.go.set()
    wait(futures)

    order = tasks.begun[2 * WORKERS :]
    assert sorted(order[:8]) == ["heavy"] * 6 + ["light"] * 2
