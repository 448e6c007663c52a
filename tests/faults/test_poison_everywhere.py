"""Files over which a worker dies fail alone, wherever the workers are (I11)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import pytest

from fileroom.database import operations
from fileroom.errors import Reason
from fileroom.operations.operation import account
from fileroom.transfer.executors import WorkerLimits, WorkerPool
from fileroom.transfer.executors.cluster import DaskExecutor
from fileroom.transfer.importing.job import ImportJob, request_import
from fileroom.transfer.pipeline import Turns
from tests.dask_cluster import dask_cluster
from tests.unit.database.rows import STORE
from tests.unit.transfer.site import instance, opened_site, uids

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

GOOD: Final = 1000
POISON: Final = {
    "00100-kills.dcm": ("KILLS", Reason.WORKER_CRASHED),
    "00500-hangs.dcm": ("HANGS", Reason.TIME_LIMIT),
    "00501-eats.dcm": ("EATS", Reason.MEMORY_LIMIT),
}
LIMITS: Final = WorkerLimits(wall_seconds=2, memory_bytes=384 << 20)
PRELOAD: Final = ("fileroom.transfer.importing.worker", "tests.faults.dying_scanner")


@pytest.fixture(params=["worker processes", "Dask"])
def executor(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[WorkerPool | DaskExecutor]:
    if request.param != "Dask":
        with WorkerPool(2, name="test", limits=LIMITS, preload=PRELOAD) as pool:
            yield pool
        return
    with (
        dask_cluster(tmp_path / "dask") as cluster,
        DaskExecutor(cluster.address, name="test", limits=LIMITS, preload=PRELOAD) as dask,
    ):
        yield dask
        assert all(worker.poll() is None for worker in cluster.workers)


@pytest.mark.clause(
    "Fileroom faults",
    "of 1,000 good files and three over which a worker dies, hangs or runs out of memory, exactly "
    "the three fail, each with its reason, on worker processes and on Dask alike",
    holds="own rule",
)
def test_exactly_the_poison_fails(executor: WorkerPool | DaskExecutor, tmp_path: Path) -> None:
    with opened_site(tmp_path / "site") as site:
        for number in range(GOOD):
            site.put(f"{number:05}.dcm", instance(uids(number + 1)))
        for number, (key, (name, _)) in enumerate(POISON.items()):
            site.put(key, instance(uids(GOOD + 1 + number), patient_name=name))
        turns = Turns(executor, lambda: executor.workers)
        facilities = replace(site.facilities, turns=turns)
        run = site.claim(request_import(facilities, STORE, "gs://bucket/**", api_version="v1"))
        assert ImportJob(facilities=facilities)(run)
        told = account(run.read())
        with site.database.read() as connection:
            failures = operations.first_failures(connection, run.operation.id, 1000)
        assert {one.source: one.reason for one in failures} == {
            f"gs://bucket/{key}": reason for key, (_, reason) in POISON.items()
        }
        assert (told["listed"], told["imported"], told["failed"]) == (GOOD + 3, GOOD, 3)
