"""One object of a cloud comes byte by byte for ever: the import goes on and ends (F10)."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import pytest

from fileroom.objectstore.buckets import Buckets
from fileroom.operations.runner import Run
from fileroom.transfer.importing.job import request_import
from tests.faults.flows import all_operations, check_at_the_end, collect, work_off
from tests.hostile_storage import HostileStorage, Rule, dripping
from tests.unit.database.rows import STORE
from tests.unit.transfer.site import Site, instance, opened_site, uids

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.hostile_storage import HostileBucket

OBJECTS: Final = 6
PATIENCE_SECONDS: Final = 0.5
FOR_EVER_SECONDS: Final = 0.05
"""Between two bytes: the whole object would take half a minute each time."""


@pytest.fixture
def hostile() -> Iterator[HostileBucket]:
    with HostileStorage("gs") as storage:
        yield storage.bucket()


@pytest.fixture
def site(tmp_path: Path, hostile: HostileBucket, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """Give a site with a bucket in a cloud, for whose objects it waits a moment only."""
    worker = "fileroom.transfer.importing.worker"
    monkeypatch.setattr(f"{worker}.PATIENCE_SECONDS", PATIENCE_SECONDS)
    monkeypatch.setattr(f"{worker}.BYTES_A_SECOND_MIN", 1 << 20)
    monkeypatch.setattr("fileroom.transfer.pipeline.coordinator.SLOW_SECONDS_MIN", 0.2)
    monkeypatch.setattr("fileroom.transfer.commits.RETRY_SECONDS", 0.001)
    with opened_site(tmp_path / "site") as opened:
        buckets = Buckets([hostile.settings()], None)
        yield replace(opened, facilities=replace(opened.facilities, buckets=buckets))


def test_an_object_that_comes_byte_by_byte_fails_alone(site: Site, hostile: HostileBucket) -> None:
    for number in range(OBJECTS):
        hostile.put(f"{number}.dcm", instance(uids(number)))
    hostile.obey(Rule(fault=dripping(FOR_EVER_SECONDS), operation="get", key="2.dcm"))
    request_import(site.facilities, STORE, f"gs://{hostile.name}/**", api_version="v1")
    began = time.monotonic()
    work_off(None, site)

    [operation] = all_operations(site)
    counters = operation.counters
    assert (counters.imported, counters.failed) == (OBJECTS - 1, 1)
    [failed] = [
        line for line in site.ledger(Run(site.database, operation)) if line.result == "failed"
    ]
    assert failed.source.endswith("/2.dcm")
    assert time.monotonic() - began < 20
    collect(None, site)
    check_at_the_end(site)
