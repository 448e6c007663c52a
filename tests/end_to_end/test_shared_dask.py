"""Two servers on one PostgreSQL and one Dask cluster, of which anything is killed at work."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, Final

import pytest

from tests.dask_cluster import dask_cluster
from tests.databases import server
from tests.end_to_end.test_shared_database import DATASET, STORE, Cluster, path, slice_of
from tests.fault_tools import draw_seed, wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from fileroom.client import Client, Operation
    from tests.dask_cluster import DaskCluster
    from tests.postgresql import PostgresqlServer
    from tests.server import RunningServer

__all__ = ["server"]

COUNT: Final = 800
SECOND: Final = f"{DATASET}/dicomStores/second"
ENDED_SECONDS: Final = 90
"""A lease of 30 s, pauses of some seconds, and more on a busy machine."""


@pytest.fixture
def shared(server: PostgresqlServer, tmp_path: Path) -> Cluster:
    (tmp_path / "bucket" / "in").mkdir(parents=True)
    cluster = Cluster(database=server.new_database(template=False), directory=tmp_path)
    for number in range(1, COUNT + 1):
        target = tmp_path / "bucket" / "in" / f"{number:05}.dcm"
        target.write_bytes(slice_of(number, 100))
    return cluster


def kill_some(dask: DaskCluster, draw: random.Random) -> None:
    """Kill one or both workers, or the scheduler with them, and start as much again."""
    what = draw.choice(("one", "both", "scheduler"))
    print(f"killed: {what}")
    if what == "scheduler":
        dask.kill_scheduler()
    for worker in draw.sample(dask.workers, 1 if what == "one" else 2):
        dask.kill_worker(worker)
    if what == "scheduler":
        dask.start_scheduler()
    while len(dask.workers) < 2:
        dask.start_worker()


def ended(client: Client, started: Operation) -> Operation:
    """Wait for the end of an operation; its account adds up at every moment."""
    deadline = time.monotonic() + ENDED_SECONDS
    while True:
        operation = client.get_operation(started.name)
        account = dict(operation.account)
        assert sum(account.values()) == 2 * account["listed"], account
        if operation.done:
            return operation
        assert time.monotonic() < deadline, operation.body
        time.sleep(0.1)


def begun(client: Client, started: Operation) -> None:
    """Wait until some of an operation is committed."""
    wait_until(lambda: client.get_operation(started.name).account["listed"] > 0, "it has begun")


def owner_of(servers: list[RunningServer]) -> int:
    """Give which server claimed the first operation."""
    wait_until(lambda: any(_claimed(one) for one in servers), "a server claims it")
    return next(number for number, one in enumerate(servers) if _claimed(one))


def _claimed(one: RunningServer) -> bool:
    return "operation claimed" in one.log.read_text(errors="replace")


def check_exported(cluster: Cluster, prefix: str) -> None:
    """Below a prefix lies each slice, and nothing else, not even what a killed worker had begun."""
    found = {
        file.read_bytes()
        for file in (cluster.directory / "bucket" / prefix).rglob("*")
        if file.is_file()
    }
    assert found == {slice_of(number, 100) for number in range(1, COUNT + 1)}


def work(one: Client, other: Client, dask: DaskCluster, draw: random.Random, name: str) -> None:
    """Export what was imported, and cancel an import, while things are killed."""
    exported = one.export(STORE, f"gs://here/{name}")
    begun(other, exported)
    kill_some(dask, draw)
    account = ended(other, exported).account
    assert account["exported"] == account["listed"] == COUNT
    second = other.import_(SECOND, "gs://here/in/**")
    time.sleep(draw.random())
    kill_some(dask, draw)
    one.cancel_operation(second.name)
    ended(one, second)


@pytest.mark.timeout(300)
@pytest.mark.clause(
    "Fileroom faults",
    "two servers on one PostgreSQL and two Dask workers, of which any is killed while an import, "
    "an export and a cancellation run, end each operation with an exact account",
    holds="own rule",
)
def test_any_of_them_is_killed_at_work(shared: Cluster, tmp_path: Path) -> None:
    draw = random.Random(draw_seed())
    with dask_cluster(tmp_path / "dask") as dask:
        environment = {"FILEROOM_EXECUTOR": dask.executor}
        with shared.serving(**environment) as first, shared.serving(**environment) as second:
            both = [first, second]
            client = first[1]
            client.wait(client.create_dataset(DATASET), poll_seconds=0.05)
            client.create_dicom_store(STORE)
            client.create_dicom_store(SECOND)
            started = client.import_(STORE, "gs://here/in/**")
            lost = owner_of([first[0], second[0]])
            begun(both[1 - lost][1], started)
            both[lost][0].kill()
            left = both[1 - lost][1]
            kill_some(dask, draw)
            account = ended(left, started).account
            assert account["imported"] == account["listed"] == COUNT
            with shared.serving(**environment) as third:
                work(third[1], left, dask, draw, "out")
            assert left.retrieve_instance(STORE, path(COUNT)) == slice_of(COUNT, 100)
    check_exported(shared, "out")


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_they_are_killed_again_and_again(shared: Cluster, tmp_path: Path) -> None:
    draw = random.Random(draw_seed())
    with dask_cluster(tmp_path / "dask") as dask:
        environment = {"FILEROOM_EXECUTOR": dask.executor}
        with shared.serving(**environment) as first, shared.serving(**environment) as second:
            one, other = first[1], second[1]
            one.wait(one.create_dataset(DATASET), poll_seconds=0.05)
            one.create_dicom_store(STORE)
            one.create_dicom_store(SECOND)
            assert ended(one, one.import_(STORE, "gs://here/in/**")).error is None
            for number in range(15):
                work(one, other, dask, draw, f"out-{number}")
                check_exported(shared, f"out-{number}")
