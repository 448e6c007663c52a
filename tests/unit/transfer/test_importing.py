"""Objects of a bucket become instances, and each is accounted for."""

from __future__ import annotations

import errno
import hashlib
import os
import threading
from typing import TYPE_CHECKING

import pytest

from fileroom.archive.ingest import Writer
from fileroom.archive.layout import writer_of
from fileroom.database import operations, schema, stores
from fileroom.database.operations import Counters, Kind, State
from fileroom.errors import (
    Aborted,
    Cancelled,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    Reason,
    ResourceExhausted,
    Unavailable,
)
from fileroom.names import DicomStoreName
from fileroom.objectstore.blobs.local import LocalBlobs
from fileroom.objectstore.buckets import BucketSettings
from fileroom.objectstore.contract import ObjectEntry
from fileroom.objectstore.local import LocalBucket, LocalObject, durability_lost
from fileroom.operations.operation import account
from fileroom.transfer.importing.job import ImportJob, request_import
from fileroom.transfer.importing.line import Import
from fileroom.transfer.importing.reading import ListedObject
from fileroom.transfer.importing.tasks import ImportTask
from fileroom.transfer.importing.worker import import_batch
from fileroom.transfer.ledger import count_lines
from fileroom.transfer.options import ImportOptions, Mode
from fileroom.transfer.pipeline import LARGE_BYTES, Batch, Blame, run_pipeline
from tests.places import of_row
from tests.unit.archive.holding import places
from tests.unit.database.rows import DATASET, STORE, add_tombstone, all_rows
from tests.unit.transfer.site import Site, instance, uids

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from concurrent.futures import Future

    from sqlalchemy import Row

    from fileroom.database.engine import Connection
    from fileroom.operations.runner import Run
    from fileroom.transfer.facilities import Facilities
    from fileroom.transfer.importing.tasks import ImportOutcome


def requested(site: Site, uri: str = "gs://bucket/**", mode: Mode = "") -> Run:
    """Ask for an import and claim it."""
    return site.claim(
        request_import(
            site.facilities, STORE, uri, options=ImportOptions(mode=mode), api_version="v1"
        )
    )


def run_import(site: Site, run: Run) -> bool:
    return ImportJob(facilities=site.facilities)(run)


def instances(site: Site) -> Sequence[Row[*tuple[object, ...]]]:
    with site.database.read() as connection:
        return all_rows(connection, schema.instances)


def named(site: Site) -> set[tuple[str, int]]:
    return {(row.place_key, row.place_offset) for row in instances(site)}


def queued(site: Site) -> set[tuple[str, int]]:
    with site.database.read() as connection:
        rows = all_rows(connection, schema.blob_drops)
    return {(row.place_key, row.place_offset) for row in rows}


def failures(site: Site, run: Run) -> list[tuple[str, Reason]]:
    with site.database.read() as connection:
        found = operations.first_failures(connection, run.operation.id, 1000)
    return [(failure.source, failure.reason) for failure in found]


# Asking


def test_request_becomes_an_operation(site: Site) -> None:
    name = request_import(site.facilities, STORE, "gs://bucket/x/*.dcm", api_version="v1beta1")

    with site.database.read() as connection:
        made = operations.get_operation(connection, name)
    assert (made.kind, made.state, made.api_version) == (Kind.IMPORT, State.QUEUED, "v1beta1")
    assert made.request == {"name": str(STORE), "gcsSource": {"uri": "gs://bucket/x/*.dcm"}}
    assert (made.store_id, made.dicom_store_name) == (site.store_id, STORE)


@pytest.mark.parametrize(
    ("name", "uri", "error"),
    [
        (STORE, "bucket/x", InvalidArgument),
        (STORE, "gs://unknown/x", PermissionDenied),
        (DicomStoreName(DATASET, "unknown"), "gs://bucket/x", NotFound),
    ],
)
def test_request_that_cannot_be_done_is_refused(
    site: Site, name: DicomStoreName, uri: str, error: type[Exception]
) -> None:
    with pytest.raises(error):
        request_import(site.facilities, name, uri, api_version="v1")
    with site.database.read() as connection:
        assert all_rows(connection, schema.operations) == []


def test_one_sop_instance_uid_in_two_studies_is_two_instances(site: Site) -> None:
    one, other = uids(1), (uids(2, study=2)[0], uids(2, study=2)[1], uids(1)[2])
    site.put("a.dcm", instance(one))
    site.put("b.dcm", instance(other))
    run = requested(site)

    assert run_import(site, run)
    assert failures(site, run) == []
    assert [row.sop_instance_uid for row in instances(site)] == [one[2]] * 2


# Outcomes


def test_every_object_is_accounted_for(site: Site) -> None:
    for number in range(20):
        site.put(f"a/{number:02}.dcm", instance(uids(number)))
    site.put("b/differs.dcm", instance(uids(3), patient_id="other"))
    site.put("b/empty.dcm", b"")
    site.put("b/same.dcm", instance(uids(4)))
    site.put("b/text.txt", b"no DICOM file")
    run = requested(site)

    assert run_import(site, run)

    progress = run.read()
    assert account(progress) == {
        "listed": 24,
        "imported": 20,
        "identical": 1,
        "kept": 0,
        "replaced": 0,
        "failed": 3,
        "pending": 0,
        "notStarted": 0,
    }
    assert progress.total == 24
    assert failures(site, run) == [
        ("gs://bucket/b/differs.dcm", Reason.DUPLICATE_DIFFERENT),
        ("gs://bucket/b/empty.dcm", Reason.EMPTY),
        ("gs://bucket/b/text.txt", Reason.NOT_DICOM),
    ]
    lines = site.ledger(run)
    assert [line.ordinal for line in lines] == list(range(24))
    counted = count_lines(lines)
    assert (counted.succeeded, counted.failed) == (21, 3)
    assert counted.bytes == progress.counters.bytes


def test_each_row_names_a_blob_that_holds_the_object(site: Site) -> None:
    content = {uids(number)[2]: instance(uids(number)) for number in range(3)}
    for number, data in enumerate(content.values()):
        site.put(f"{number}.dcm", data)
    run_import(site, requested(site))

    rows = instances(site)
    assert len(rows) == 3
    for row in rows:
        data = of_row(site.blobs, row).read()
        assert data == content[row.sop_instance_uid]
        assert (row.size, row.sha256) == (len(data), hashlib.sha256(data).digest())
    assert site.standing() == named(site)


def test_blob_without_a_row_is_queued_to_be_dropped(site: Site) -> None:
    site.put("a.dcm", instance(uids(1)))
    site.put("b.dcm", instance(uids(1)))
    run_import(site, requested(site))

    assert len(instances(site)) == len(queued(site)) == 1
    assert site.standing() == named(site) | queued(site)


def test_same_import_again_changes_nothing(site: Site) -> None:
    for number in range(10):
        site.put(f"{number}.dcm", instance(uids(number)))
    run_import(site, requested(site))
    before = instances(site)
    again = requested(site)
    run_import(site, again)

    assert again.read().counters.identical == 10
    assert instances(site) == before


def test_single_object_is_imported_by_its_name(site: Site) -> None:
    site.put("x/a.dcm", instance(uids(1)))
    site.put("x/b.dcm", instance(uids(2)))
    run = requested(site, "gs://bucket/x/a.dcm")

    assert run_import(site, run)
    assert run.read().counters == Counters(listed=1, imported=1, bytes=len(instance(uids(1))))


def test_uri_that_matches_nothing_says_so(site: Site) -> None:
    site.put("x/a.dcm", instance(uids(1)))

    with pytest.raises(NotFound, match=r"no object matches gs://bucket/y/\*\*"):
        run_import(site, requested(site, "gs://bucket/y/**"))


def test_counting_stops_also_among_objects_that_do_not_match(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = requested(site, "gs://bucket/*.dcm")
    work = Import(site.facilities, run)
    begun = threading.Event()

    def list_for_ever(*_: object, **__: object) -> Iterator[ObjectEntry]:
        while True:
            begun.set()
            yield ObjectEntry(key="a.txt", size=1, version="1")

    monkeypatch.setattr(LocalBucket, "list", list_for_ever)
    counting = threading.Thread(target=work.count)
    counting.start()
    begun.wait(10)
    work.stop_counting()
    counting.join(10)

    assert not counting.is_alive()


def test_uri_of_a_directory_says_how_to_import_it(site: Site) -> None:
    site.put("x/a.dcm", instance(uids(1)))

    with pytest.raises(NotFound, match=r"is a directory: use gs://bucket/x/\*\* for all in it"):
        run_import(site, requested(site, "gs://bucket/x"))


def test_instance_deleted_meanwhile_stays_deleted(site: Site) -> None:
    site.put("a.dcm", instance(uids(1)))
    site.put("b.dcm", instance(uids(2)))
    run = requested(site)
    Import(site.facilities, run)  # which notes the change of the store it begins at
    site.database.write(lambda transaction: add_tombstone(transaction, site.store_id, *uids(1)))
    run_import(site, run)

    assert (run.read().counters.kept, run.read().counters.imported) == (1, 1)
    assert [line.reason for line in site.ledger(run)] == ["DELETED_MEANWHILE", None]


# The environment


def test_import_into_a_store_deleted_meanwhile_ends(site: Site) -> None:
    site.put("a.dcm", instance(uids(1)))
    run = requested(site)
    work = Import(site.facilities, run)
    site.database.write(lambda transaction: stores.delete_dicom_store(transaction, STORE))
    (batch,) = work.batches()
    outcome = work.submit(batch, Blame(), 2.0).result()

    with pytest.raises(NotFound, match="deleted meanwhile"):
        work.commit(batch, outcome)
    with pytest.raises(NotFound):
        run_import(site, run)
    assert run.read().counters == Counters()


def test_import_into_another_store_of_the_same_name_ends(site: Site) -> None:
    run = requested(site)

    def make_again(transaction: Connection) -> None:
        stores.delete_dicom_store(transaction, STORE)
        stores.insert_dicom_store(transaction, STORE, {})

    site.database.write(make_again)

    with pytest.raises(NotFound, match="was deleted while the operation waited"):
        run_import(site, run)


def test_missing_volume_of_blobs_is_a_fault_of_the_environment(site: Site) -> None:
    site.put("a.dcm", instance(uids(1)))
    run = requested(site)
    site.blobs.rename(site.blobs.with_name("elsewhere"))

    with pytest.raises(Unavailable, match="mount the right one"):
        run_import(site, run)
    assert run.read().counters == Counters()


# Interrupted


class StoppedImport(Import):
    """An import whose server stops after the first commit."""

    def __init__(self, facilities: Facilities, run: Run) -> None:
        super().__init__(facilities, run)
        self._stop = run.stop

    def commit(self, batch: Batch[ListedObject], outcome: ImportOutcome) -> None:
        super().commit(batch, outcome)
        self._stop()


def test_import_goes_on_after_a_stop_where_it_left_off(site: Site) -> None:
    count = 60
    for number in range(count):
        site.put(f"{number:04}.dcm", instance(uids(number)))
    first = requested(site)
    ended = run_pipeline(first, StoppedImport(site.facilities, first))
    reached = first.read().next_ordinal
    second = site.claim(first.operation.name)

    assert not ended
    assert reached > 0
    assert run_import(site, second)
    assert second.read().counters.imported == count
    lines = site.ledger(second)
    assert [line.ordinal for line in lines] == list(range(count))
    assert len(instances(site)) == count
    # What the stop met half way is looked for once the operation has ended.
    assert named(site) <= site.standing()
    assert site.suspects.noted == [(site.store_id, second.operation.id)]


def test_blobs_of_an_import_that_did_not_run_straight_through_are_suspected(site: Site) -> None:
    site.put("a.dcm", instance(uids(1)))
    straight = requested(site)
    run_import(site, straight)
    assert site.suspects.noted == []
    interrupted = requested(site)
    again = site.claim(interrupted.operation.name)
    run_import(site, again)

    assert site.suspects.noted == [(site.store_id, again.operation.id)]


def begun(site: Site) -> tuple[Run, Import, Batch[ListedObject], ImportOutcome]:
    """Begin an import whose only batch is stored and not committed."""
    site.put("a.dcm", instance(uids(1)))
    run = requested(site)
    work = Import(site.facilities, run)
    (batch,) = work.batches()
    future: Future[ImportOutcome] = work.submit(batch, Blame(), 2.0)
    return run, work, batch, future.result()


def test_blobs_of_a_cancelled_import_are_queued_to_be_dropped(site: Site) -> None:
    *_, outcome = begun_parts = begun(site)
    begun_parts[1].discard(outcome)

    assert {key for key, _ in queued(site)} == site.blob_files()
    assert site.standing() == places(outcome.records)


def test_packs_that_are_made_again_do_not_pile_up(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a full disk, where each attempt must leave the space to the next."""
    for number in range(60):
        site.put(f"{number:04}.dcm", instance(uids(number)))
    run = requested(site)

    def fail(*_: object) -> None:
        raise ResourceExhausted("no space for the database")

    for _ in range(3):
        with monkeypatch.context() as patch:
            patch.setattr("fileroom.transfer.commits.commit_batch", fail)
            with pytest.raises(ResourceExhausted):
                run_import(site, run)
        assert site.blob_files() == set()
    assert run_import(site, run)
    assert site.standing() == named(site)
    assert len(named(site)) == 60


def test_packs_of_a_commit_whose_end_was_not_heard_of_stay(site: Site) -> None:
    _, work, batch, outcome = begun(site)
    work.commit(batch, outcome)
    work.release(outcome)

    assert site.standing() == named(site) == places(outcome.records)


def test_pack_goes_when_its_headers_cannot_be_spooled(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fileroom.transfer.importing.worker.MESSAGE_BYTES_MAX", 0)
    site.put("a.dcm", instance(uids(1)))

    def fail(*_: object) -> None:
        raise ResourceExhausted("no space for headers")

    monkeypatch.setattr("fileroom.transfer.importing.worker.spool_headers", fail)
    with pytest.raises(ResourceExhausted):
        run_import(site, requested(site))

    assert site.blob_files() == set()


def test_coordinator_that_was_replaced_discards_nothing(site: Site) -> None:
    """The one that took over may be about to commit the same blobs."""
    run, work, batch, outcome = begun(site)
    second = site.claim(run.operation.name)

    with pytest.raises(Aborted):
        work.discard(outcome)
    assert queued(site) == set()
    Import(site.facilities, second).commit(batch, outcome)
    assert len(instances(site)) == 1


def test_cancelled_import_ends_with_what_it_committed(site: Site) -> None:
    for number in range(300):
        site.put(f"{number:04}.dcm", instance(uids(number)))
    run = requested(site)
    site.database.write(
        lambda transaction: operations.request_cancel(transaction, run.operation.name)
    )

    with pytest.raises(Cancelled):
        run_import(site, run)
    assert site.blob_files() == {key for key, _ in named(site) | queued(site)}


# A worker's batch


@pytest.fixture
def task(site: Site) -> ImportTask:
    return ImportTask(
        source=BucketSettings(name="gs://bucket", path=site.bucket),
        writer=Writer(bucket=site.facilities.blobs.bucket(site.blob_prefix), number=9),
        objects=(),
        slow_seconds=60.0,
    )


def work_on(
    task: ImportTask,
    *listed: ListedObject,
    blame: Blame = Blame(),  # noqa: B008 - frozen
    alone: bool = False,
) -> ImportOutcome:
    return import_batch(
        ImportTask(
            source=task.source,
            writer=task.writer,
            objects=listed,
            slow_seconds=task.slow_seconds,
            blame=blame,
            alone=alone,
        )
    )


def listed(site: Site, key: str, ordinal: int = 0) -> ListedObject:
    version = None
    size = 0
    if (site.bucket / key).exists():
        entry = LocalBlobs(site.bucket.parent).bucket("bucket").find(key)
        assert entry is not None
        version, size = entry.version, entry.size
    return ListedObject(ordinal=ordinal, key=key, size=size, version=version)


def test_object_that_is_gone_fails_alone(site: Site, task: ImportTask) -> None:
    site.put("a.dcm", instance(uids(1)))
    outcome = work_on(task, listed(site, "gone.dcm"), listed(site, "a.dcm", 1))

    assert [record.ordinal for record in outcome.records] == [1]
    ((ordinal, failure),) = outcome.failures
    assert (ordinal, failure.reason) == (0, Reason.SOURCE_NOT_FOUND)


def test_object_that_changed_since_it_was_listed_is_read_again_later(
    site: Site, task: ImportTask
) -> None:
    site.put("a.dcm", instance(uids(1)))
    stale = listed(site, "a.dcm")
    site.put("a.dcm", instance(uids(1), patient_id="other"))

    outcome = work_on(task, stale)
    alone = work_on(task, stale, alone=True)

    for each in (outcome, alone):
        assert (each.records, each.failures) == ((), ())
        assert [deferred.why for deferred in each.deferred] == [Reason.SOURCE_CHANGED]


def test_object_that_changes_whenever_it_is_read_fails(
    site: Site, task: ImportTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.put("a.dcm", instance(uids(1)))

    def changes(source: LocalObject, _offset: int, _length: int) -> bytes:
        raise Aborted(f"object {source.key!r} was changed while it was read")

    monkeypatch.setattr(LocalObject, "read_at", changes)
    as_it_stands = ListedObject(ordinal=0, key="a.dcm", size=1, version=None)

    outcome = work_on(task, as_it_stands, alone=True)

    assert [failure.reason for _, failure in outcome.failures] == [Reason.SOURCE_CHANGED]


def test_large_object_that_changed_before_its_turn_is_imported_as_it_stands(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fileroom.transfer.importing.worker.LARGE_BYTES", 1)
    monkeypatch.setattr("fileroom.transfer.commits.RETRY_SECONDS", 0.0)
    site.put("a.dcm", instance(uids(1)))
    run = requested(site)
    work = Import(site.facilities, run)
    (batch,) = work.batches()
    work.commit(batch, work.submit(batch, Blame(), 2.0).result())
    site.put("a.dcm", instance(uids(1), patient_id="other"))
    while due := work.due_deferred(9, ()):
        for deferred in due:
            work.commit_deferred(deferred, work.submit_deferred(deferred).result())

    counters = run.read().counters
    assert (counters.imported, counters.deferred, counters.failed) == (1, 0, 0)


def test_no_space_for_the_headers_of_a_batch_is_a_fault_of_the_environment(
    site: Site, task: ImportTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fileroom.transfer.importing.worker.MESSAGE_BYTES_MAX", 0)

    rename = os.rename

    def full(temporary: str, name: str, **directories: int) -> None:
        if name.startswith("outcome-"):
            raise OSError(errno.ENOSPC, f"no space for {name}")
        rename(temporary, name, **directories)

    site.put("a.dcm", instance(uids(1)))
    monkeypatch.setattr("os.rename", full)

    with pytest.raises(ResourceExhausted):
        work_on(task, listed(site, "a.dcm"))
    assert site.blob_files() == set()


@pytest.mark.usefixtures("right_to_write")
def test_disk_that_failed_a_worker_is_not_trusted_by_the_server_either(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_: int) -> None:
        raise OSError(errno.EIO, "input/output error")

    site.put("a.dcm", instance(uids(1)))
    run = requested(site)
    monkeypatch.setattr("os.fdatasync", fails)

    with pytest.raises(Unavailable, match="restart the server"):
        run_import(site, run)
    assert durability_lost() is not None
    assert run.read().counters == Counters()


def test_object_that_is_deferred_because_it_changed_is_imported_as_it_stands(
    site: Site,
) -> None:
    site.put("a.dcm", instance(uids(1)))
    run = requested(site)
    work = Import(site.facilities, run)
    (batch,) = work.batches()
    site.put("a.dcm", instance(uids(1), patient_id="other"))
    outcome = work.submit(batch, Blame(), 2.0).result()
    work.commit(batch, outcome)
    assert run.read().counters == Counters(listed=1, deferred=1)
    (deferred,) = work.due_deferred(9, ())
    work.commit_deferred(deferred, work.submit_deferred(deferred).result())

    counters = run.read().counters
    assert (counters.imported, counters.deferred) == (1, 0)
    assert [line.result for line in site.ledger(run)] == ["deferred", "imported"]


def test_blamed_object_is_put_aside_untouched(site: Site, task: ImportTask) -> None:
    site.put("a.dcm", instance(uids(1)))
    site.put("b.dcm", instance(uids(2)))
    outcome = work_on(
        task,
        listed(site, "a.dcm"),
        listed(site, "b.dcm", 1),
        blame=Blame(((0, Reason.WORKER_CRASHED),)),
    )

    assert [each.why for each in outcome.deferred] == ["WORKER_CRASHED"]
    assert [record.ordinal for record in outcome.records] == [1]


def test_very_large_object_is_put_aside_unread(site: Site, task: ImportTask) -> None:
    large = ListedObject(ordinal=0, key="large.dcm", size=LARGE_BYTES + 1, version=None)

    outcome = work_on(task, large)

    assert [each.why for each in outcome.deferred] == ["LARGE"]
    assert outcome.failures == ()


def test_fault_of_an_object_says_where_it_lies_and_no_value(site: Site, task: ImportTask) -> None:
    site.put("a.dcm", instance(uids(1), patient_name="Secret^Name")[:-5])

    ((_, failure),) = work_on(task, listed(site, "a.dcm")).failures

    assert failure.source == "gs://bucket/a.dcm"
    assert failure.reason in {Reason.TRUNCATED, Reason.MALFORMED}
    assert failure.byte_offset is not None
    assert "Secret" not in repr(failure)


def test_bucket_that_is_gone_is_no_objects_fault(site: Site, task: ImportTask) -> None:
    site.put("a.dcm", instance(uids(1)))
    one = listed(site, "a.dcm")
    site.bucket.rename(site.bucket.with_name("elsewhere"))

    with pytest.raises(Unavailable):
        work_on(task, one)


def test_headers_too_heavy_for_a_message_come_beside_the_blobs(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fileroom.transfer.importing.worker.MESSAGE_BYTES_MAX", 10)
    for number in range(5):
        site.put(f"{number}.dcm", instance(uids(number)))
    run_import(site, requested(site))

    with site.database.read() as connection:
        headers = all_rows(connection, schema.headers)
    assert len(headers) == 5
    assert len({row.z for row in headers}) == 5
    assert not [*(site.blobs / "tmp").iterdir()]


def test_workers_that_do_the_same_objects_leave_their_headers_apart(
    site: Site, task: ImportTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that was given up may go on beside the one whose outcome is committed."""
    monkeypatch.setattr("fileroom.transfer.importing.worker.MESSAGE_BYTES_MAX", 0)
    site.put("a.dcm", instance(uids(1)))
    outcomes = [work_on(task, listed(site, "a.dcm")) for _ in range(2)]
    spooled = [outcome.spooled for outcome in outcomes]
    assert spooled[0] is not None
    assert spooled[1] is not None
    assert spooled[0].key != spooled[1].key
    assert {writer_of(one.key) for one in spooled if one} == {task.writer.number}


def test_an_archive_that_is_imported_as_an_instance_says_how_it_is_opened(site: Site) -> None:
    site.put("study.zip", b"PK" * 500)
    run = requested(site, "gs://bucket/study.zip")
    run_import(site, run)
    with site.database.read() as connection:
        (failure,) = operations.first_failures(connection, run.operation.id, 9)
    assert failure.reason is Reason.NOT_DICOM
    assert failure.message.endswith("import gs://bucket/study.zip!/**")
