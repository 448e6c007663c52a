from __future__ import annotations

import os
import subprocess
import sys
import threading
import time

import psutil
import pytest

from fileroom.errors import Reason
from fileroom.transfer.executors import WorkerLimits, WorkerLost, WorkerPool, begin_item
from tests.contracts import tasks
from tests.contracts.executor import ExecutorContract

_TASKS = [tasks.__name__]


class TestWorkerPool(ExecutorContract):
    @classmethod
    def new_executor(cls) -> WorkerPool:
        return WorkerPool(2, name="test")


class TestLazyWorkerPool(ExecutorContract):
    @classmethod
    def new_executor(cls) -> WorkerPool:
        return WorkerPool(2, name="test", lazy=True)


def test_a_lazy_pool_starts_a_worker_with_its_first_task() -> None:
    def children() -> set[int]:
        """Return them by number alone: the order in which they are listed is nobody's promise."""
        return {child.pid for child in psutil.Process().children()}

    before = children()
    with WorkerPool(2, name="test", lazy=True) as pool:
        assert children() - before == set()
        pid = pool.submit(tasks.process_id).result(10)
        assert children() - before == {pid}
    assert not psutil.pid_exists(pid)


def test_a_hang_is_ended_at_the_wall_limit_and_names_the_object() -> None:
    with WorkerPool(2, name="test", limits=WorkerLimits(wall_seconds=1), preload=_TASKS) as pool:
        hung = pool.submit(tasks.hang_at, 7)
        good = pool.submit(tasks.work_long, 4, 0.3)
        with pytest.raises(WorkerLost, match="over 1 s at object 7") as caught:
            hung.result(10)
        assert (caught.value.reason, caught.value.item) == (Reason.TIME_LIMIT, 7)
        assert good.result(10) == "done"
        assert pool.submit(tasks.double, 2).result(10) == 4


def test_a_hang_before_the_first_object_blames_none() -> None:
    with WorkerPool(1, name="test", limits=WorkerLimits(wall_seconds=0.3)) as pool:
        with pytest.raises(WorkerLost) as caught:
            pool.submit(tasks.sleep, 10).result(10)
        assert (caught.value.reason, caught.value.item) == (Reason.TIME_LIMIT, None)


def test_processor_time_is_limited_for_each_object_and_not_for_the_worker() -> None:
    with WorkerPool(1, name="test", limits=WorkerLimits(cpu_seconds=1), preload=_TASKS) as pool:
        assert pool.submit(tasks.burn_processor, 1.0).result(20) >= 3
        with pytest.raises(WorkerLost, match="over 1 s of processor time for object 0") as caught:
            pool.submit(tasks.burn_processor, 10).result(20)
        assert (caught.value.reason, caught.value.item) == (Reason.TIME_LIMIT, 0)


def test_memory_is_limited_and_only_its_task_fails() -> None:
    with WorkerPool(1, name="test", limits=WorkerLimits(memory_bytes=256 << 20)) as pool:
        pid = pool.submit(tasks.process_id).result(10)
        with pytest.raises(WorkerLost, match="over 256 MB of memory for object 5") as caught:
            pool.submit(tasks.take_memory, 5, 1 << 30).result(20)
        assert (caught.value.reason, caught.value.item) == (Reason.MEMORY_LIMIT, 5)
        with pytest.raises(WorkerLost):
            pool.submit(tasks.take_memory_at_once, 4 << 30).result(20)
        assert pool.submit(tasks.take_memory, 0, 200 << 20).result(20) == 200
        assert pool.submit(tasks.process_id).result(10) == pid


def test_a_worker_lost_while_idle_is_replaced_unnoticed() -> None:
    with WorkerPool(1, name="test") as pool:
        pid = pool.submit(tasks.process_id).result(10)
        psutil.Process(pid).kill()
        while _runs(psutil.Process(pid)):
            time.sleep(0.01)
        assert pool.submit(tasks.process_id).result(10) != pid


def test_workers_can_be_ended_whatever_they_are_at() -> None:
    pool = WorkerPool(2, name="test")
    pids = [pool.submit(tasks.sleep, 0.1).result(10) for _ in range(2)]
    futures = [pool.submit(tasks.sleep, 600) for _ in range(4)]
    while not futures[1].running():
        time.sleep(0.01)
    began = time.monotonic()
    pool.kill_workers()

    assert time.monotonic() - began < 5
    assert not any(psutil.pid_exists(pid) for pid in pids)
    for future in futures[:2]:
        with pytest.raises(WorkerLost):
            future.result(0)
    assert all(future.cancelled() for future in futures[2:])
    pool.kill_workers()


def test_modules_are_imported_ahead_and_others_are_not() -> None:
    with WorkerPool(1, name="test", preload=["fractions"]) as pool:
        assert pool.submit(tasks.loaded, "fractions").result(10)
        for module in ("fileroom.cli", "sqlalchemy", "pydicom", "pytest_timeout"):
            assert not pool.submit(tasks.loaded, module).result(10)


def test_a_worker_that_cannot_start_fails_its_tasks_and_stops_nothing() -> None:
    with WorkerPool(1, name="test", preload=["fileroom.no_such_module"]) as pool:
        for _ in range(2):
            with pytest.raises(WorkerLost, match="could be started") as caught:
                pool.submit(tasks.double, 1).result(10)
            assert caught.value.item is None


def test_a_pool_leaves_no_process_thread_or_file_behind() -> None:
    before = len(os.listdir("/proc/self/fd")), threading.active_count()
    with WorkerPool(2, name="test") as pool:
        pids = [pool.submit(tasks.sleep, 0.1) for _ in range(4)]
        with pytest.raises(WorkerLost):
            pool.submit(tasks.end_at, 0, "exit").result(10)
    assert not any(psutil.pid_exists(pid.result()) for pid in pids)
    del pool
    assert (len(os.listdir("/proc/self/fd")), threading.active_count()) == before


_SERVER = """
import os, time
from fileroom.transfer.executors import WorkerPool
pool = WorkerPool(1, name="test")
print(pool.submit(os.getpid).result(), flush=True)
if {busy}:
    pool.submit(time.sleep, 60)
time.sleep(60)
"""


@pytest.mark.parametrize("busy", [True, False])
def test_no_worker_outlives_a_killed_server(busy: bool) -> None:
    server = subprocess.Popen(
        [sys.executable, "-c", _SERVER.format(busy=busy)], stdout=subprocess.PIPE, text=True
    )
    with server:
        assert server.stdout is not None
        worker = psutil.Process(int(server.stdout.readline()))
        assert _runs(worker)
        server.kill()
    deadline = time.monotonic() + 5
    while _runs(worker) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not _runs(worker)


def _runs(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_begin_item_does_nothing_outside_a_worker() -> None:
    begin_item(3)
    begin_item(None)
