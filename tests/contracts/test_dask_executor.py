from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from distributed import Client, Security
from distributed.client import FutureCancelledError

from fileroom.errors import InvalidArgument, Reason, Unavailable
from fileroom.transfer.executors import TlsFiles, WorkerLimits, WorkerLost
from fileroom.transfer.executors import cluster as cluster_module
from fileroom.transfer.executors.cluster import DaskExecutor
from tests.contracts import tasks
from tests.contracts.executor import ExecutorContract
from tests.dask_cluster import DaskCluster, dask_cluster
from tests.fault_tools import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_TASKS = [tasks.__name__]


@pytest.fixture(scope="module")
def shared_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaskCluster]:
    with dask_cluster(tmp_path_factory.mktemp("dask")) as cluster:
        yield cluster


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[DaskCluster]:
    with dask_cluster(tmp_path / "dask") as cluster:
        yield cluster


def with_workers(executor: DaskExecutor, count: int = 2) -> DaskExecutor:
    wait_until(lambda: executor.workers == count, f"{count} workers are there")
    return executor


class TestDaskExecutor(ExecutorContract):
    cluster: DaskCluster

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def _cluster(cls, shared_cluster: DaskCluster) -> None:
        cls.cluster = shared_cluster

    @classmethod
    def new_executor(cls) -> DaskExecutor:
        return with_workers(DaskExecutor(cls.cluster.address, name="test"))


def test_limits_hold_and_name_the_object_and_the_dask_worker_survives(
    shared_cluster: DaskCluster,
) -> None:
    limits = WorkerLimits(wall_seconds=1, cpu_seconds=20, memory_bytes=256 << 20)
    with DaskExecutor(
        shared_cluster.address, name="test", limits=limits, preload=_TASKS
    ) as executor:
        good = executor.submit(tasks.work_long, 4, 0.3)
        with pytest.raises(WorkerLost, match="over 1 s at object 7") as hung:
            executor.submit(tasks.hang_at, 7).result(20)
        assert (hung.value.reason, hung.value.item) == (Reason.TIME_LIMIT, 7)
        with pytest.raises(WorkerLost, match="over 256 MB of memory for object 5") as ate:
            executor.submit(tasks.take_memory, 5, 1 << 30).result(20)
        assert (ate.value.reason, ate.value.item) == (Reason.MEMORY_LIMIT, 5)
        assert good.result(20) == "done"
    assert all(worker.is_running() for worker in shared_cluster.workers)


def test_modules_are_imported_ahead_and_others_are_not(shared_cluster: DaskCluster) -> None:
    with DaskExecutor(shared_cluster.address, name="test", preload=["fractions"]) as executor:
        assert executor.submit(tasks.loaded, "fractions").result(20)
        for module in ("distributed", "sqlalchemy", "pydicom"):
            assert not executor.submit(tasks.loaded, module).result(20)


def test_dask_writes_nothing_of_a_task_into_its_log(shared_cluster: DaskCluster) -> None:
    with (
        DaskExecutor(shared_cluster.address, name="test") as executor,
        pytest.raises(InvalidArgument, match="Sample"),
    ):
        executor.submit(tasks.refuse, "Sample^Sam").result(20)
    assert "Sample^Sam" not in shared_cluster.log()


@pytest.mark.clause(
    "Fileroom faults",
    "a Dask worker that is killed fails no object: what it was at is given to another",
    holds="own rule",
)
def test_a_killed_worker_is_nobodys_fault(cluster: DaskCluster) -> None:
    with DaskExecutor(cluster.address, name="test") as executor:
        with_workers(executor)
        futures = [executor.submit(tasks.sleep, 3) for _ in range(2)]
        wait_until(lambda: all(future.running() for future in futures), "both are at work")
        time.sleep(1)
        hosted = [child for one in cluster.workers for child in one.children()]
        cluster.kill_worker(cluster.workers[0])
        ends = [future.exception(20) for future in futures]
        (lost,) = [end for end in ends if end is not None]
        assert isinstance(lost, WorkerLost)
        assert lost.item is None
        assert sum(child.is_running() for child in hosted) <= 1
        assert executor.workers == 1
        cluster.start_worker()
        with_workers(executor)
        pids = {executor.submit(tasks.sleep, 0.5) for _ in range(2)}
        assert len({future.result(20) for future in pids}) == 2


@pytest.mark.clause(
    "Fileroom faults",
    "while the Dask scheduler is gone there is no answer but UNAVAILABLE; once it is back, with "
    "its workers, work goes on by itself",
    holds="own rule",
)
def test_the_scheduler_may_go_and_come_back(cluster: DaskCluster) -> None:
    with DaskExecutor(cluster.address, name="test") as executor:
        with_workers(executor)
        at_work = executor.submit(tasks.sleep, 30)
        wait_until(at_work.running, "it is at work")
        cluster.kill_scheduler()
        with pytest.raises(Unavailable, match="scheduler") as gone:
            at_work.result(20)
        assert not isinstance(gone.value, WorkerLost)
        with pytest.raises(Unavailable, match=re.escape(cluster.address)):
            executor.submit(tasks.double, 1).result(20)
        assert executor.workers == 0
        cluster.start_scheduler()
        for worker in list(cluster.workers):
            cluster.kill_worker(worker)
        cluster.start_worker()
        with_workers(executor, 1)
        assert executor.submit(tasks.double, 2).result(20) == 4


@pytest.mark.clause(
    "Fileroom faults",
    "a Dask worker that stands still past its time is given up; what it answers once it goes on "
    "counts for nothing, and it gets tasks again",
    holds="own rule",
)
def test_a_worker_that_stands_still_is_given_up(cluster: DaskCluster) -> None:
    with DaskExecutor(cluster.address, name="test", silent_seconds=2) as executor:
        with_workers(executor)
        futures = [executor.submit(tasks.sleep, 1.5) for _ in range(2)]
        wait_until(lambda: all(future.running() for future in futures), "both are at work")
        halted = cluster.workers[0]
        halted.send_signal(signal.SIGSTOP)
        ends = [future.exception(20) for future in futures]
        (lost,) = [end for end in ends if end is not None]
        assert isinstance(lost, WorkerLost)
        assert lost.item is None
        assert "nothing was heard" in lost.message
        assert executor.submit(tasks.double, 2).result(20) == 4
        halted.send_signal(signal.SIGCONT)
        with_workers(executor)
        assert [future.exception(0) for future in futures] == ends
        assert [executor.submit(tasks.double, n).result(20) for n in range(20)][-1] == 38


def test_without_any_worker_tasks_wait_a_while_and_then_say_so(tmp_path: Path) -> None:
    with (
        dask_cluster(tmp_path / "dask", workers=0) as cluster,
        DaskExecutor(cluster.address, name="test", patience_seconds=4) as executor,
    ):
        with pytest.raises(Unavailable, match="has no worker"):
            executor.submit(tasks.double, 1).result(20)
        later = executor.submit(tasks.double, 1)
        cluster.start_worker()
        with_workers(executor, 1)
        assert executor.submit(tasks.double, 2).result(20) == 4
        assert later.done()


def test_a_worker_of_another_version_gets_no_task_and_is_named(tmp_path: Path) -> None:
    found_first = tmp_path / "fileroom-9.9.9.dist-info"
    found_first.mkdir()
    (found_first / "METADATA").write_text("Metadata-Version: 2.1\nName: fileroom\nVersion: 9.9.9\n")
    with (
        dask_cluster(tmp_path / "dask", environment={"PYTHONPATH": str(tmp_path)}) as cluster,
        DaskExecutor(cluster.address, name="test", patience_seconds=4) as executor,
        pytest.raises(Unavailable, match=r"runs Fileroom 9\.9\.9, this server 0\.1\.0"),
    ):
        executor.submit(tasks.double, 1).result(20)


def test_answers_that_come_slowly_are_waited_for(
    shared_cluster: DaskCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    truly = Client._gather_remote

    async def slowly(client: Client, *arguments: Any) -> Any:
        await asyncio.sleep(1.5 * cluster_module.LOOK_SECONDS)
        return await truly(client, *arguments)

    executor = with_workers(DaskExecutor(shared_cluster.address, name="test"))
    try:
        with monkeypatch.context() as patch:
            patch.setattr(Client, "_gather_remote", slowly)
            slow = [executor.submit(pow, 2, number) for number in range(8)]
            assert [future.result(60) for future in slow] == [1, 2, 4, 8, 16, 32, 64, 128]
        assert executor.submit(pow, 2, 10).result(30) == 1024
    finally:
        executor.kill_workers()


def test_a_client_that_lost_an_answer_is_given_up_for_another(
    shared_cluster: DaskCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    truly = Client._gather_remote

    async def never(client: Client, *arguments: Any) -> Any:
        await asyncio.sleep(60)
        return await truly(client, *arguments)

    executor = with_workers(DaskExecutor(shared_cluster.address, name="test"))
    monkeypatch.setattr(cluster_module, "FETCH_SECONDS", 0.2)
    try:
        with monkeypatch.context() as patch:
            patch.setattr(Client, "_gather_remote", never)
            lost = [executor.submit(pow, 2, number) for number in range(4)]
            for future in lost:
                with pytest.raises(Unavailable):
                    future.result(60)
        monkeypatch.setattr(cluster_module, "FETCH_SECONDS", 30.0)
        with_workers(executor)
        again = [executor.submit(pow, 2, number) for number in range(8)]
        assert [future.result(60) for future in again] == [1, 2, 4, 8, 16, 32, 64, 128]
    finally:
        executor.kill_workers()


def test_a_worker_whose_greeting_got_lost_is_greeted_again(
    shared_cluster: DaskCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    truly = cluster_module._answer
    lost: list[str] = []

    def answer(worker: Any, function: Any, *arguments: Any) -> Any:
        """Lose the first answer of each worker, as a connection does that breaks."""
        if worker.address not in lost:
            lost.append(worker.address)
            raise FutureCancelledError("greeting", "scheduler-connection-lost")
        return truly(worker, function, *arguments)

    monkeypatch.setattr(cluster_module, "_answer", answer)
    executor = with_workers(DaskExecutor(shared_cluster.address, name="test"))
    try:
        assert len(lost) == 2
        assert executor.submit(pow, 2, 10).result(30) == 1024
    finally:
        executor.kill_workers()


def test_what_is_with_workers_can_be_given_up(shared_cluster: DaskCluster) -> None:
    executor = with_workers(DaskExecutor(shared_cluster.address, name="test"))
    futures = [executor.submit(tasks.sleep, 5) for _ in range(5)]
    wait_until(futures[1].running, "two are at work")
    began = time.monotonic()
    executor.kill_workers()
    assert time.monotonic() - began < 5
    for future in futures[:2]:
        with pytest.raises(WorkerLost):
            future.result(0)
    assert all(future.cancelled() for future in futures[2:])
    executor.kill_workers()


def test_no_process_of_ours_outlives_its_dask_worker(cluster: DaskCluster) -> None:
    with DaskExecutor(cluster.address, name="test") as executor:
        with_workers(executor)
        hosted = executor.submit(tasks.process_id).result(20)
        assert hosted != os.getpid()
        for worker in list(cluster.workers):
            cluster.kill_worker(worker)
        wait_until(lambda: not psutil.pid_exists(hosted), "the hosted process ends too")


@pytest.fixture
def tls(tmp_path: Path) -> TlsFiles:
    made = Security.temporary()
    texts = (made.tls_ca_file, made.tls_client_cert, made.tls_client_key)
    paths = [tmp_path / name for name in ("ca.pem", "cert.pem", "key.pem")]
    for path, text in zip(paths, texts, strict=True):
        path.write_text(text)
    return TlsFiles(ca=paths[0], cert=paths[1], key=paths[2])


def test_a_cluster_with_tls_takes_none_who_comes_without(tls: TlsFiles, tmp_path: Path) -> None:
    flags = (f"--tls-ca-file={tls.ca}", f"--tls-cert={tls.cert}", f"--tls-key={tls.key}")
    with dask_cluster(tmp_path / "dask", workers=1, tls=flags) as cluster:
        with DaskExecutor(cluster.address, name="test", tls=tls) as executor:
            assert executor.submit(tasks.double, 2).result(20) == 4
        clear = cluster.address.replace("tls://", "tcp://")
        with (
            DaskExecutor(clear, name="test") as executor,
            pytest.raises(Unavailable, match="does not answer"),
        ):
            executor.submit(tasks.double, 2).result(30)


_WITHOUT_THE_LIBRARY = """
import sys
from contextlib import ExitStack
sys.modules["distributed"] = None
from fileroom.transfer.executors import open_executor
open_executor(ExitStack(), "dask://127.0.0.1:1", 1, name="test", preload=())
"""


def test_where_the_library_is_absent_it_is_said_what_to_install() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", _WITHOUT_THE_LIBRARY], capture_output=True, text=True, check=False
    )
    assert "FailedPrecondition" in ended.stderr
    assert "pip install 'fileroom[dask]'" in ended.stderr
