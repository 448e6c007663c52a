"""Imports by reference, and promotions, as their coordinators and workers see them."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING

import pytest

from fileroom.archive.rewriting import RewrittenFiles
from fileroom.database import operations, schema
from fileroom.database.instances import PlaceKind
from fileroom.database.operations import Counters
from fileroom.errors import Cancelled, Code, NotFound, Reason, Unavailable
from fileroom.objectstore.local import LocalBucket, LocalObject
from fileroom.transfer.changing import rewriting
from fileroom.transfer.changing.promoting import PromoteJob, request_promotion
from fileroom.transfer.importing.job import ImportJob, request_import
from fileroom.transfer.importing.line import Import
from fileroom.transfer.options import ImportOptions, Mode
from fileroom.transfer.pipeline import NO_BLAME
from tests.unit.database.rows import STORE
from tests.unit.transfer.site import Site, instance, uids
from tests.unit.transfer.test_changing import path, rows
from tests.unit.transfer.test_patching import check, failures, stored

if TYPE_CHECKING:
    from fileroom.operations.runner import Run


def requested(site: Site, uri: str = "gs://bucket/**", mode: Mode = "REFERENCE") -> Run:
    return site.claim(
        request_import(
            site.facilities, STORE, uri, options=ImportOptions(mode=mode), api_version="v1"
        )
    )


def refer(site: Site, uri: str = "gs://bucket/**", mode: Mode = "REFERENCE") -> Counters:
    run = requested(site, uri, mode)
    assert ImportJob(facilities=site.facilities)(run)
    return run.read().counters


def promotion(site: Site, *below: str) -> Run:
    name = request_promotion(
        site.facilities,
        STORE,
        path(*below) if below else None,
        api_version="v1",
        permission="healthcare.dicomStores.import",
    )
    return site.claim(name)


def promote(site: Site, run: Run) -> bool:
    return PromoteJob(facilities=site.facilities)(run)


def places(site: Site) -> dict[str, int]:
    return {row.sop_instance_uid: row.place for row in rows(site, schema.instances)}


@pytest.fixture
def three(site: Site) -> Site:
    """Give a site with three instances kept by reference."""
    for number in (1, 2, 3):
        site.put(f"{number}.dcm", instance(uids(number)))
    assert refer(site) == Counters(listed=3, imported=3, bytes=3 * len(instance(uids(1))))
    return site


def test_nothing_is_written_for_a_reference(three: Site) -> None:
    assert three.blob_files() == set()
    (row, *_) = rows(three, schema.instances)
    entry = LocalBucket(three.bucket).find("1.dcm")
    assert entry is not None
    assert (row.place, row.place_key, row.place_offset) == (2, "gs://bucket/1.dcm", 0)
    assert (row.place_version, row.size, row.sha256) == (entry.version, entry.size, None)
    assert stored(three, uids(2)) == instance(uids(2))


def test_size_puts_no_reference_off(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fileroom.transfer.importing.worker.LARGE_BYTES", 1)
    monkeypatch.setattr("fileroom.transfer.importing.line.BATCH_BYTES_MAX", 1)
    for number in (1, 2, 3):
        site.put(f"{number}.dcm", instance(uids(number)))
    run = requested(site)
    (batch,) = Import(site.facilities, run).batches()
    assert len(batch.items) == 3
    assert ImportJob(facilities=site.facilities)(run)
    assert {line.result for line in site.ledger(run)} == {"imported"}


def test_a_member_of_an_archive_is_not_kept_by_reference(site: Site) -> None:
    with zipfile.ZipFile(site.bucket / "a.zip", "w") as archive:
        archive.writestr("1.dcm", instance(uids(1)))
    run = requested(site, "gs://bucket/a.zip!/**")
    assert ImportJob(facilities=site.facilities)(run)
    (failure,) = failures(site, run)
    assert (failure.reason, failure.code) == (Reason.UNSUPPORTED_REFERENCE, Code.INVALID_ARGUMENT)


def test_what_is_not_dicom_or_is_gone_fails_alone(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.put("a.dcm", instance(uids(1)))
    site.put("b.dcm", b"no DICOM")
    site.put("c.dcm", instance(uids(2)))
    site.put("d.dcm", instance(uids(3)))
    run = requested(site)
    work = Import(site.facilities, run)
    (batch,) = work.batches()
    (site.bucket / "c.dcm").unlink()
    site.put("d.dcm", instance(uids(3), patient_id="other"))
    monkeypatch.setattr("fileroom.transfer.commits.RETRY_SECONDS", 0.0)
    work.commit(batch, work.submit(batch, NO_BLAME, 2.0).result())
    (deferred,) = work.due_deferred(9, ())
    assert deferred.why == Reason.SOURCE_CHANGED
    work.commit_deferred(deferred, work.submit_deferred(deferred).result())

    reasons = [failure.reason for failure in failures(site, run)]
    assert reasons == [Reason.NOT_DICOM, Reason.SOURCE_NOT_FOUND]
    assert run.read().counters.imported == 2
    assert stored(site, uids(3)) == instance(uids(3), patient_id="other")


def test_only_what_is_imported_twice_is_read_whole(
    three: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    three.put("again/1.dcm", instance(uids(1)))
    three.put("other/2.dcm", instance(uids(2), patient_id="PX"))
    run = requested(three, "gs://bucket/again/**")
    assert ImportJob(facilities=three.facilities)(run)
    assert [line.result for line in three.ledger(run)] == ["deferred", "identical"]
    run = requested(three, "gs://bucket/other/**")
    assert ImportJob(facilities=three.facilities)(run)
    assert [failure.reason for failure in failures(three, run)] == [Reason.DUPLICATE_DIFFERENT]

    known = {row.sop_instance_uid: row.sha256 is None for row in rows(three, schema.instances)}
    assert known == {uids(1)[2]: False, uids(2)[2]: False, uids(3)[2]: True}
    # From here on nothing needs to be read to tell a copy of them.
    assert refer(three, "gs://bucket/again/**", mode="COPY").identical == 1
    assert refer(three, "gs://bucket/3.dcm", mode="COPY").identical == 1
    monkeypatch.undo()
    check(three)


def test_what_cannot_be_compared_now_is_tried_again(
    three: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    three.put("again/1.dcm", instance(uids(1)))
    run = requested(three, "gs://bucket/again/**")
    work = Import(three.facilities, run)
    (batch,) = work.batches()
    work.commit(batch, work.submit(batch, NO_BLAME, 2.0).result())
    monkeypatch.setattr("fileroom.transfer.commits.RETRY_SECONDS", 0.0)

    def unreadable(*_: object) -> None:
        raise Unavailable("the disk is busy")

    with monkeypatch.context() as patch:
        patch.setattr("fileroom.transfer.importing.worker.look_at", unreadable)
        (deferred,) = work.due_deferred(9, ())
        work.commit_deferred(deferred, work.submit_deferred(deferred).result())
    (deferred,) = work.due_deferred(9, ())
    assert (deferred.why, deferred.attempts) == ("UNREADABLE", 1)
    work.commit_deferred(deferred, work.submit_deferred(deferred).result())
    assert run.read().counters == Counters(listed=1, identical=1, bytes=len(instance(uids(1))))


def test_what_others_change_each_time_fails(three: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    three.put("again/1.dcm", instance(uids(1)))
    monkeypatch.setattr("fileroom.transfer.commits.RETRY_SECONDS", 0.0)
    monkeypatch.setattr("fileroom.transfer.importing.worker.look_at", lambda *_: None)
    monkeypatch.setattr("fileroom.transfer.importing.worker._Worker._compared", lambda _: iter(()))
    run = requested(three, "gs://bucket/again/**")
    assert ImportJob(facilities=three.facilities)(run)
    (failure,) = failures(three, run)
    assert (failure.code, failure.reason) == (Code.ABORTED, Reason.SOURCE_CHANGED)
    assert run.read().counters.failed == 1


def test_a_cancelled_import_leaves_sources_and_blobs_alone(three: Site) -> None:
    three.put("4.dcm", instance(uids(4)))
    run = requested(three)
    work = Import(three.facilities, run)
    (batch,) = work.batches()
    outcome = work.submit(batch, NO_BLAME, 2.0).result()
    work.discard(outcome)
    work.release(outcome)
    assert (three.bucket / "4.dcm").read_bytes() == instance(uids(4))
    assert three.blob_files() == set()


# Promotion


def test_promotion_copies_what_is_below_a_path(three: Site) -> None:
    run = promotion(three, *uids(2))
    assert promote(three, run)
    assert run.read().counters == Counters(listed=1, updated=1, bytes=len(instance(uids(2))))
    assert places(three) == {uids(1)[2]: 2, uids(2)[2]: 0, uids(3)[2]: 2}
    assert stored(three, uids(2)) == instance(uids(2))
    check(three)


def test_promotion_of_what_is_not_there_is_refused(three: Site) -> None:
    with pytest.raises(NotFound):
        promotion(three, "9.9")


def test_promotion_goes_on_after_its_cursor(three: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rewriting, "SLICE_PARTS", 2)
    run = promotion(three)
    add = RewrittenFiles.add

    def add_then_stop(files: RewrittenFiles, found: object) -> bool:
        run.stop()
        return add(files, found)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(RewrittenFiles, "add", add_then_stop)
        assert not promote(three, run)
    assert run.read().counters.updated == 2
    again = three.claim(run.operation.name)
    assert promote(three, again)
    assert again.read().counters.updated == again.read().counters.listed == 3
    assert set(places(three).values()) == {PlaceKind.OWN_BLOB}
    check(three)


def test_cancelled_promotion_keeps_what_is_done(
    three: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rewriting, "SLICE_PARTS", 1)
    run = promotion(three)
    name, read_at = run.operation.name, LocalObject.read_at

    def read_then_cancel(source: LocalObject, offset: int, length: int) -> bytes:
        if source.key == "2.dcm":
            three.database.write(lambda tx: operations.request_cancel(tx, name))
        return read_at(source, offset, length)

    monkeypatch.setattr(LocalObject, "read_at", read_then_cancel)
    with pytest.raises(Cancelled):
        promote(three, run)
    assert run.read().counters.updated == 2
    assert sorted(places(three).values()) == [0, 0, 2]
    check(three)


def test_what_is_replaced_meanwhile_stays_as_it_is_then(
    three: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    add = RewrittenFiles.add
    done: list[bool] = []

    def add_after_another(files: RewrittenFiles, found: object) -> bool:
        added = add(files, found)  # type: ignore[arg-type]
        if not done:
            done.append(True)
            assert promote(three, promotion(three))
        return added

    run = promotion(three, *uids(1))
    monkeypatch.setattr(RewrittenFiles, "add", add_after_another)
    assert promote(three, run)
    counters = run.read().counters
    assert (counters.listed, counters.unchanged, counters.updated) == (1, 1, 0)
    check(three)


def test_a_source_that_is_gone_fails_alone(three: Site) -> None:
    (three.bucket / "2.dcm").unlink()
    run = promotion(three)
    assert promote(three, run)
    (failure,) = failures(three, run)
    assert failure.reason is Reason.DATA_LOSS
    assert failure.message.startswith("gs://bucket/2.dcm, which holds ")
    assert run.read().counters.updated == 2
    assert not [key for key in three.blob_files() if "unnamed" in key]
