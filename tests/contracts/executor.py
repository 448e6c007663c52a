"""What every executor must do; subclassed for each."""

from __future__ import annotations

import os
from concurrent.futures import Executor, Future, wait
from typing import TYPE_CHECKING

import pytest

from fileroom.errors import Internal, InvalidArgument, Reason
from fileroom.transfer.executors import WorkerLost
from tests.contracts import tasks

if TYPE_CHECKING:
    from collections.abc import Iterator


class ExecutorContract:
    """Promises of an executor, whatever runs the tasks."""

    @classmethod
    def new_executor(cls) -> Executor:
        """Give an executor with two workers."""
        raise NotImplementedError

    @pytest.fixture(scope="class")
    @classmethod
    def executor(cls) -> Iterator[Executor]:
        with cls.new_executor() as executor:
            yield executor

    def test_results_come_back_whatever_their_size(self, executor: Executor) -> None:
        sizes = [0, 1, 1000, 100_000, 5_000_000]
        futures = [executor.submit(tasks.size_of, bytes(size)) for size in sizes]
        assert [len(future.result(20)) for future in futures] == [2 * size for size in sizes]
        numbers = [executor.submit(tasks.double, number) for number in range(200)]
        assert [future.result(20) for future in numbers] == [2 * n for n in range(200)]

    def test_the_same_task_runs_as_often_as_it_is_submitted(self, executor: Executor) -> None:
        executor.submit(tasks.process_id).result(20)
        futures = [executor.submit(tasks.sleep, 0.3) for _ in range(2)]
        pids = {future.result(20) for future in futures}
        assert len(pids) == 2
        assert os.getpid() not in pids

    def test_errors_come_back_as_they_were_raised(self, executor: Executor) -> None:
        with pytest.raises(InvalidArgument, match="what, which, why") as caught:
            executor.submit(tasks.refuse, "what, which, why").result(20)
        assert caught.value.detail == "field"
        with pytest.raises(ZeroDivisionError) as divided:
            executor.submit(tasks.divide).result(20)
        assert "return 1 / 0" in "".join(divided.value.__notes__)

    def test_what_cannot_be_pickled_is_an_internal_error(self, executor: Executor) -> None:
        with pytest.raises(Internal, match="OddError, which cannot be pickled"):
            executor.submit(tasks.raise_odd).result(20)
        with pytest.raises(TypeError, match="cannot pickle"):
            executor.submit(tasks.answer_with_a_lock).result(20)
        assert executor.submit(tasks.double, 2).result(20) == 4

    @pytest.mark.parametrize("how", ["killed", "segmentation fault", "exit"])
    def test_a_lost_worker_breaks_its_own_task_and_names_the_object(
        self, executor: Executor, how: str
    ) -> None:
        before = [executor.submit(tasks.sleep, 0.2) for _ in range(2)]
        bad = executor.submit(tasks.end_at, 3, how)
        after = [executor.submit(tasks.double, number) for number in range(20)]
        with pytest.raises(WorkerLost) as caught:
            bad.result(20)
        assert (caught.value.reason, caught.value.item) == (Reason.WORKER_CRASHED, 3)
        assert all(future.result(20) for future in before)
        assert [future.result(20) for future in after] == [2 * n for n in range(20)]

    def test_shutdown_waits_for_what_is_queued(self) -> None:
        executor = self.new_executor()
        futures: list[Future[int]] = [executor.submit(tasks.sleep, 0.05) for _ in range(6)]
        executor.shutdown()
        assert all(future.done() for future in futures)
        with pytest.raises(RuntimeError):
            executor.submit(tasks.double, 1)
        executor.shutdown()

    def test_shutdown_can_cancel_what_has_not_begun(self) -> None:
        executor = self.new_executor()
        futures = [executor.submit(tasks.sleep, 0.2) for _ in range(10)]
        wait(futures[:1], 20)
        executor.shutdown(cancel_futures=True)
        assert wait(futures, 5).not_done == set()
        assert futures[0].result() > 0
        assert futures[-1].cancelled()
