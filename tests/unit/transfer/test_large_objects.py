"""Of a large object only the header is read before it is known to be wanted (H28 of the core)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fileroom.errors import Reason
from fileroom.objectstore.local import LocalObject
from fileroom.transfer.importing.job import forget_import
from fileroom.transfer.importing.line import Import
from fileroom.transfer.pipeline import Blame
from tests.corpus import mr_instance
from tests.unit.database.rows import add_tombstone
from tests.unit.transfer.site import Site, uids
from tests.unit.transfer.test_importing import failures, instances, named, requested, run_import

if TYPE_CHECKING:
    from fileroom.operations.runner import Run

HEADER_BYTES = 200_000
"""More than a header takes, and far less than the file."""


def file_of(rows: int = 1000, number: int = 1) -> bytes:
    """Make a file of 2 MB, or with one row more another one of the same instance."""
    study, series, instance = uids(number)
    return mr_instance(
        rows=rows,
        study_instance_uid=study,
        series_instance_uid=series,
        sop_instance_uid=instance,
    )


@pytest.fixture(autouse=True)
def bytes_read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Have all objects count as large, and hear how much of them is read."""
    for module in ("worker", "line"):
        monkeypatch.setattr(f"fileroom.transfer.importing.{module}.LARGE_BYTES", 1)
    read: list[int] = []
    plainly = LocalObject.read_at

    def hear(source: LocalObject, offset: int, length: int) -> bytes:
        piece = plainly(source, offset, length)
        if source.key.endswith(".dcm"):
            read.append(len(piece))
        return piece

    monkeypatch.setattr(LocalObject, "read_at", hear)
    return read


def imported(site: Site) -> Run:
    run = requested(site)
    assert run_import(site, run)
    return run


def test_what_is_wanted_is_looked_at_and_stored(site: Site) -> None:
    site.put("a.dcm", file_of())
    run = imported(site)
    counters = run.read().counters
    assert (counters.listed, counters.imported, counters.deferred) == (1, 1, 0)
    assert [line.result for line in site.ledger(run)] == ["deferred", "imported"]
    assert len(instances(site)) == 1
    assert site.standing() == named(site)


def test_what_differs_from_the_stored_instance_is_not_copied(
    site: Site, bytes_read: list[int]
) -> None:
    site.put("a.dcm", file_of())
    imported(site)
    before = site.blob_files()
    site.put("a.dcm", file_of(rows=1001))
    bytes_read.clear()
    run = imported(site)
    assert [reason for _, reason in failures(site, run)] == [Reason.DUPLICATE_DIFFERENT]
    assert sum(bytes_read) < HEADER_BYTES
    assert site.blob_files() == before


def test_what_may_be_identical_is_told_by_its_bytes(site: Site) -> None:
    site.put("a.dcm", file_of())
    imported(site)
    run = imported(site)
    counters = run.read().counters
    assert (counters.identical, counters.failed, counters.deferred) == (1, 0, 0)


def test_what_was_deleted_meanwhile_is_not_copied(site: Site, bytes_read: list[int]) -> None:
    site.put("a.dcm", file_of())
    run = requested(site)
    work = Import(site.facilities, run)
    (batch,) = work.batches()
    work.commit(batch, work.submit(batch, Blame(), 2.0).result())
    site.database.write(lambda tx: add_tombstone(tx, site.store_id, uids(1)[0]))
    (deferred,) = work.due_deferred(9, ())
    work.commit_deferred(deferred, work.submit_deferred(deferred).result())

    counters = run.read().counters
    assert (counters.kept, counters.imported, counters.deferred) == (1, 0, 0)
    assert sum(bytes_read) < HEADER_BYTES
    assert site.blob_files() == set()


def test_what_is_no_dicom_fails_by_its_header(site: Site, bytes_read: list[int]) -> None:
    site.put("a.dcm", b"text" * 500_000)
    run = imported(site)
    assert [reason for _, reason in failures(site, run)] == [Reason.NOT_DICOM]
    assert sum(bytes_read) < HEADER_BYTES


def test_what_may_be_identical_to_a_reference_is_compared_and_copied_once(
    site: Site, bytes_read: list[int]
) -> None:
    file = file_of()
    site.put("referred.dcm", file)
    assert run_import(site, requested(site, "gs://bucket/referred.dcm", mode="REFERENCE"))
    site.put("copied.dcm", file)
    bytes_read.clear()
    run = requested(site, "gs://bucket/copied.dcm")
    assert run_import(site, run)
    counters = run.read().counters
    assert (counters.identical, counters.failed, counters.deferred) == (1, 0, 0)
    assert sum(bytes_read) < 2 * len(file) + 3 * HEADER_BYTES


def test_an_ended_import_leaves_no_part_behind(site: Site) -> None:
    part = site.blobs / "tmp" / ".fileroom-part-1-0"
    part.write_bytes(b"x")
    other = part.with_name(".fileroom-part-11-0")
    other.write_bytes(b"x")
    site.put("a.dcm", file_of())
    run = requested(site)
    assert run.operation.id == 1
    forget_import(site.facilities, run.operation)
    assert not part.exists()
    assert other.exists()
