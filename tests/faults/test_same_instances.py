"""Imports of the same instances at once, some with other bytes: the first one wins (F20, F21)."""

from __future__ import annotations

import hashlib
import random
from functools import partial
from typing import TYPE_CHECKING, Final

import pytest

from fileroom.archive.check import Fault, check_store
from fileroom.database.operations import State
from fileroom.operations.operation import account
from fileroom.operations.runner import Run, Runner
from fileroom.transfer.importing.job import request_import
from fileroom.transfer.jobs import jobs_of
from fileroom.transfer.pipeline import cut_batches
from tests import fault_tools as tools
from tests.databases import dialect, server, shared
from tests.faults.flows import all_operations, stored
from tests.unit.archive.holding import area
from tests.unit.database.rows import OWNER, STORE
from tests.unit.operations.running import wait_until
from tests.unit.transfer.site import Site, instance, opened_site, uids

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.postgresql import PostgresqlServer
    from tests.unit.transfer.site import UIDS

__all__ = ["dialect", "server", "shared"]

INSTANCES: Final = 60
IMPORTS: Final = 4
OTHER_SHARE: Final = 0.1


@pytest.fixture
def site(
    tmp_path: Path, shared: PostgresqlServer | None, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Site]:
    small = partial(cut_batches, objects_max=7)
    monkeypatch.setattr("fileroom.transfer.importing.line.cut_batches", small)
    with opened_site(tmp_path / "site", shared) as opened:
        yield opened


def fill(site: Site, draw: random.Random) -> dict[str, tuple[UIDS, str]]:
    """Put each instance into each directory, in another order; some have other bytes."""
    told: dict[str, tuple[UIDS, str]] = {}
    for directory in range(IMPORTS):
        for place, number in enumerate(draw.sample(range(INSTANCES), INSTANCES)):
            key = uids(number, series=1 + number % 3, study=1 + number % 2)
            other = draw.random() < OTHER_SHARE
            content = instance(key, patient_name=f"Other^{directory}" if other else "Same^Name")
            name = f"{directory}/{place:03}.dcm"
            site.put(name, content)
            told[f"gs://bucket/{name}"] = key, hashlib.sha256(content).hexdigest()
    return told


@pytest.mark.clause(
    "Fileroom faults",
    "imports of the same instances at once, a tenth of them with other bytes (F21): the first "
    "bytes that come win, and each import's ledger says of each object what became of it",
    holds="own rule",
)
def test_of_conflicting_imports_at_once_each_tells_what_became_of_its_objects(site: Site) -> None:
    told = fill(site, random.Random(tools.draw_seed()))
    for directory in range(IMPORTS):
        request_import(site.facilities, STORE, f"gs://bucket/{directory}/**", api_version="v1")
    runner = Runner(
        site.database, OWNER, jobs_of(site.facilities), logs_url=lambda _: "http://fileroom.example"
    )
    runner.start()
    try:
        wait_until(lambda: all(one.state is State.DONE for one in all_operations(site)))
    finally:
        runner.stop(drain_seconds=10)

    have = stored(site)
    assert set(have) == {key for key, _ in told.values()}
    imported: list[UIDS] = []
    for operation in all_operations(site):
        lines = site.ledger(Run(site.database, operation))
        assert len({line.source for line in lines}) == len(lines) == INSTANCES
        for line in lines:
            key, sha256 = told[line.source]
            if line.result == "imported":
                imported.append(key)
            assert (line.result == "failed") == (have[key] != sha256), line
            assert line.result in {"imported", "identical", "failed"}
        for term in ("imported", "identical", "failed"):
            count = sum(line.result == term for line in lines)
            assert account(operation).get(term, 0) == count
    assert sorted(imported) == sorted(have), "each instance is imported once"
    found = check_store(site.database, site.facilities.blobs, area(site), deep=True)
    assert {one.fault for one in found} <= {Fault.ORPHANED}
