"""An export writes into the bucket that an import reads from, while it reads (F37)."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

import pytest

from fileroom.archive.check import check_store
from fileroom.database import schema
from fileroom.operations.operation import account
from fileroom.transfer.exporting.job import ExportJob, request_export
from fileroom.transfer.importing.job import request_import
from fileroom.transfer.importing.line import Import
from fileroom.transfer.pipeline import Blame
from tests.databases import dialect, server, shared
from tests.unit.archive.holding import area
from tests.unit.database.rows import STORE, all_rows
from tests.unit.transfer.site import Site, instance, opened_site, uids

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fileroom.operations.runner import Run
    from tests.postgresql import PostgresqlServer

__all__ = ["dialect", "server", "shared"]

OBJECTS: Final = 12
BATCH: Final = 3


@pytest.fixture
def site(
    tmp_path: Path, shared: PostgresqlServer | None, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Site]:
    monkeypatch.setattr("fileroom.transfer.pipeline.batches.FIRST_BATCHES", (BATCH,) * OBJECTS)
    with opened_site(tmp_path / "site", shared) as opened:
        for number in range(OBJECTS):
            opened.put(f"m/{number:02}.dcm", instance(uids(number)))
        yield opened


def export(site: Site, prefix: str) -> int:
    """Export what is stored, and give of how much."""
    run = site.claim(request_export(site.facilities, STORE, prefix, api_version="v1"))
    assert ExportJob(facilities=site.facilities)(run)
    return site.end(run).read().counters.exported


def imported_meanwhile(site: Site, prefix: str) -> tuple[Run, int]:
    """Import the bucket, export after the first batch; give how much was exported by then."""
    run = site.claim(request_import(site.facilities, STORE, "gs://bucket/**", api_version="v1"))
    work = Import(site.facilities, run)
    exported = 0
    for batch in work.batches():
        work.commit(batch, work.submit(batch, Blame(), 2.0).result())
        exported = exported or export(site, prefix)
    return site.end(run), exported


def results(site: Site, run: Run) -> Counter[str]:
    """Give what became of the objects of an import, which are accounted for one by one."""
    told = account(run.read())
    lines = site.ledger(run)
    assert len({line.source for line in lines}) == len(lines) == told["listed"]
    found = Counter(str(line.result) for line in lines)
    assert found == {term: told[term] for term in found}
    return found


@pytest.mark.clause(
    "Fileroom faults",
    "an export into the bucket that an import reads (F37) ends, and so does the import: what it "
    "comes to of the export is identical, each object is accounted for, nothing is stored twice",
    holds="own rule",
)
def test_what_an_export_writes_before_a_running_import_is_identical(site: Site) -> None:
    # A directory is read when the listing comes to it, and then as a whole.
    site.put("z/0.dcm", instance(uids(OBJECTS)))
    run, exported = imported_meanwhile(site, "gs://bucket/z")

    assert exported == BATCH
    assert results(site, run) == {"imported": OBJECTS + 1, "identical": exported}
    with site.database.read() as connection:
        assert len(all_rows(connection, schema.instances)) == OBJECTS + 1
    assert list(check_store(site.database, site.facilities.blobs, area(site), deep=True)) == []


def test_what_an_export_writes_behind_a_running_import_is_not_listed(site: Site) -> None:
    run, exported = imported_meanwhile(site, "gs://bucket/a")

    assert exported == BATCH
    assert results(site, run) == {"imported": OBJECTS}


def test_an_export_over_the_very_objects_of_an_import_changes_nothing(site: Site) -> None:
    site.put("again/one.dcm", instance(uids(0)))
    first = site.claim(request_import(site.facilities, STORE, "gs://bucket/m/**", api_version="v1"))
    for batch in (work := Import(site.facilities, first)).batches():
        work.commit(batch, work.submit(batch, Blame(), 2.0).result())
    site.end(first)
    assert export(site, "gs://bucket/z") == OBJECTS

    run, exported = imported_meanwhile(site, "gs://bucket/z")

    assert exported == OBJECTS
    assert results(site, run) == {"identical": 2 * OBJECTS + 1}
