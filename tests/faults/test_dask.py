"""A Dask cluster of which anything is killed while an import runs: the account stays exact."""

from __future__ import annotations

import random
import signal
from typing import TYPE_CHECKING

import pytest

from tests import fault_tools as tools
from tests.dask_cluster import dask_cluster
from tests.fault_tools import BUCKET, Disk

if TYPE_CHECKING:
    from pathlib import Path

    from tests.dask_cluster import DaskCluster


def kill(cluster: DaskCluster, what: str) -> None:
    """Kill some of a cluster without a word, and start as much again."""
    if what == "scheduler":
        cluster.kill_scheduler()
    for worker in list(cluster.workers)[: 1 if what == "one worker" else None]:
        cluster.kill_worker(worker)
    if what == "scheduler":
        cluster.start_scheduler()
    while len(cluster.workers) < 2:
        cluster.start_worker()


@pytest.mark.parametrize("what", ["one worker", "all workers", "scheduler"])
@pytest.mark.clause(
    "Fileroom faults",
    "an import whose Dask worker, whole cluster or Dask scheduler is killed again and again ends "
    "by itself: counters exact, every instance equal to its source, no blob left that no row names",
    holds="own rule",
)
def test_anything_of_a_cluster_may_be_killed(tmp_path: Path, what: str) -> None:
    sources = tools.make_sources(1500, random.Random(tools.draw_seed()))
    tools.add_slow(sources, 6)
    data = tmp_path / "data"
    sources.write(data / "buckets" / BUCKET)
    disk = Disk(data)
    with dask_cluster(tmp_path / "dask") as cluster:
        environment = {"FILEROOM_EXECUTOR": cluster.executor}
        with tools.served(data, environment=environment) as (_, client):
            store = tools.make_store(client, "s")
            started = client.import_(store, f"gs://{BUCKET}/**")
            tools.wait_begun(disk, started.name)
            for _ in range(2):
                assert not client.get_operation(started.name).done
                before = disk.standing(started.name).next_ordinal
                kill(cluster, what)
                tools.wait_until(
                    lambda before=before: (  # type: ignore[misc]
                        disk.standing(started.name).next_ordinal > before
                    ),
                    "it does not go on",
                )
            operation = client.wait(started.name, poll_seconds=0.1)
            tools.check_imported(disk, client, store, operation, sources)
    with tools.served(data):
        tools.check_collected(disk)


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.clause(
    "Fileroom faults",
    "what a Dask worker that stood still past its time makes when it goes on changes nothing",
    holds="own rule",
)
def test_a_worker_that_wakes_up_changes_nothing(tmp_path: Path) -> None:
    sources = tools.make_sources(1500, random.Random(tools.draw_seed()))
    tools.add_slow(sources, 6)
    data = tmp_path / "data"
    sources.write(data / "buckets" / BUCKET)
    disk = Disk(data)
    with dask_cluster(tmp_path / "dask") as cluster:
        environment = {"FILEROOM_EXECUTOR": cluster.executor}
        with tools.served(data, environment=environment) as (_, client):
            store = tools.make_store(client, "s")
            started = client.import_(store, f"gs://{BUCKET}/**")
            tools.wait_begun(disk, started.name)
            halted = cluster.workers[0]
            halted.send_signal(signal.SIGSTOP)
            operation = client.wait(started.name, poll_seconds=0.1)
            tools.check_imported(disk, client, store, operation, sources)
            halted.send_signal(signal.SIGCONT)
            again = client.import_(tools.make_store(client, "t"), f"gs://{BUCKET}/**")
            client.wait(again.name, poll_seconds=0.1)
            assert client.get_operation(started.name).account == operation.account
    with tools.served(data):
        tools.check_collected(disk)
