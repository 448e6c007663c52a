"""Instances become objects of a bucket: whole, as they were stored, each accounted for."""

from __future__ import annotations

import errno
import os
import time
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import delete

from fileroom.database import operations, schema
from fileroom.database.operations import Counters, Kind
from fileroom.errors import (
    Code,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    Reason,
    Unavailable,
)
from fileroom.names import DicomStoreName
from fileroom.objectstore.local import Extent, LocalBucket, LocalExtent, durability_lost
from fileroom.operations.operation import account
from fileroom.transfer.commits import ATTEMPTS_MAX
from fileroom.transfer.exporting.job import ExportJob, request_export
from fileroom.transfer.exporting.line import Export
from fileroom.transfer.importing.job import ImportJob, request_import
from fileroom.transfer.pipeline import Batch, Blame, run_pipeline
from tests.places import Lying, of_row
from tests.unit.database.rows import DATASET, STORE, all_rows
from tests.unit.transfer.site import UIDS, Site, instance, uids

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fileroom.database.engine import Connection
    from fileroom.operations.runner import Run
    from fileroom.transfer.exporting.outcomes import ExportOutcome, InstanceToExport

PREFIX = "gs://bucket/out"


def fill(site: Site, *keys: UIDS) -> None:
    """Store instances, as an import does."""
    for number, key in enumerate(keys):
        site.put(f"in/{number:04}.dcm", instance(key))
    name = request_import(site.facilities, STORE, "gs://bucket/in/**", api_version="v1")
    run = site.claim(name)
    assert ImportJob(facilities=site.facilities)(run)
    assert run.read().counters.succeeded >= len(keys)


def requested(site: Site, prefix: str = PREFIX, *paths: str) -> Run:
    """Ask for an export, of some paths or of all, and claim it."""
    if paths:
        site.put("filter.txt", "\n".join(paths).encode())
    name = request_export(
        site.facilities,
        STORE,
        prefix,
        filter_uri="gs://bucket/filter.txt" if paths else "",
        api_version="v1",
    )
    return site.claim(name)


def run_export(site: Site, run: Run) -> bool:
    return ExportJob(facilities=site.facilities)(run)


def file_of(site: Site, key: UIDS) -> Path:
    return site.bucket / "out" / key[0] / key[1] / f"{key[2]}.dcm"


def written(site: Site) -> dict[str, bytes]:
    out = site.bucket / "out"
    return {
        str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()
    }


def expected(*keys: UIDS) -> dict[str, bytes]:
    return {f"{key[0]}/{key[1]}/{key[2]}.dcm": instance(key) for key in keys}


def path_of(*key: str) -> str:
    levels = ("studies", "series", "instances")
    return "".join(f"/{level}/{uid}" for level, uid in zip(levels, key, strict=False))


def lying(site: Site, key: UIDS) -> Lying:
    with site.database.read() as connection:
        rows = all_rows(connection, schema.instances)
    return of_row(site.blobs, next(row for row in rows if row.sop_instance_uid == key[2]))


# Asking


@pytest.mark.parametrize(
    ("prefix", "mime_type", "filter_uri", "error"),
    [
        ("bucket/out", "", "", InvalidArgument),
        ("gs://unknown/out", "", "", PermissionDenied),
        (PREFIX, "image/gif", "", InvalidArgument),
        (PREFIX, "application/dicom; transfer-syntax=1.2.840.10008.1.2.2", "", InvalidArgument),
        (PREFIX, "", "gs://unknown/filter", PermissionDenied),
        ("gs://bucket/file", "", "", FailedPrecondition),
    ],
)
def test_request_that_cannot_be_done_is_refused(
    site: Site, prefix: str, mime_type: str, filter_uri: str, error: type[Exception]
) -> None:
    site.put("file", b"")

    with pytest.raises(error):
        request_export(
            site.facilities,
            STORE,
            prefix,
            mime_type=mime_type,
            filter_uri=filter_uri,
            api_version="v1",
        )
    with site.database.read() as connection:
        assert all_rows(connection, schema.operations) == []


def test_request_for_an_unknown_store_is_refused(site: Site) -> None:
    with pytest.raises(NotFound):
        request_export(
            site.facilities, DicomStoreName(DATASET, "unknown"), PREFIX, api_version="v1"
        )


def test_request_becomes_an_operation(site: Site) -> None:
    run = requested(site, PREFIX, path_of("1.2"))

    assert run.operation.kind is Kind.EXPORT
    assert run.operation.request == {
        "name": str(STORE),
        "gcsDestination": {"uriPrefix": PREFIX},
        "filterConfig": {"resourcePathsGcsUri": "gs://bucket/filter.txt"},
    }


# Outcomes


def test_every_instance_is_written_as_it_was_stored(site: Site) -> None:
    keys = [uids(n, series=n % 3, study=n % 2) for n in range(20)]
    fill(site, *keys)
    run = requested(site)

    assert run_export(site, run)
    assert written(site) == expected(*keys)
    assert account(run.read()) == {
        "listed": 20,
        "exported": 20,
        "unchanged": 0,
        "failed": 0,
        "pending": 0,
        "notStarted": 0,
    }
    assert run.read().total == 20
    lines = site.ledger(run)
    assert [line.ordinal for line in lines] == list(range(20))
    assert {line.destination for line in lines} == {f"{PREFIX}/{name}" for name in expected(*keys)}


def test_empty_store_is_exported_at_once(site: Site) -> None:
    run = requested(site)

    assert run_export(site, run)
    assert run.read().counters == Counters()


def test_object_of_the_same_name_is_overwritten(site: Site) -> None:
    fill(site, uids(1))
    file_of(site, uids(1)).parent.mkdir(parents=True)
    file_of(site, uids(1)).write_bytes(b"older")
    run_export(site, requested(site))

    assert written(site) == expected(uids(1))


def test_what_is_stored_after_the_beginning_is_left_out(site: Site) -> None:
    fill(site, uids(1))
    run = requested(site)
    Export(site.facilities, run)  # which notes the change of the store it begins at
    fill(site, uids(1), uids(2))
    run_export(site, run)

    assert written(site) == expected(uids(1))


# Filters


@pytest.mark.parametrize(
    ("paths", "chosen"),
    [
        ([path_of(*uids(0)[:1])], [uids(0), uids(1), uids(2, series=2)]),
        ([path_of(*uids(0)[:2])], [uids(0), uids(1)]),
        ([path_of(*uids(1))], [uids(1)]),
        (
            [path_of(*uids(0)[:2]), "", path_of(*uids(0)), path_of(*uids(0)[:1])],
            [uids(0), uids(1), uids(2, series=2)],
        ),
        ([path_of("1.2.3")], []),
    ],
    ids=["study", "series", "instance", "overlapping", "unknown"],
)
def test_filter_chooses_what_its_paths_name_once(
    site: Site, paths: list[str], chosen: list[UIDS]
) -> None:
    fill(site, uids(0), uids(1), uids(2, series=2), uids(3, study=2))
    run = requested(site, PREFIX, *paths)

    assert run_export(site, run)
    assert written(site) == expected(*chosen)
    assert run.read().counters.exported == len(chosen)


def test_series_of_a_named_study_is_exported_once_beside_a_study_of_a_longer_name(
    site: Site,
) -> None:
    study = uids(0)[0]
    keys: list[UIDS] = [
        (study, f"{study}.1", f"{study}.1.1"),
        (f"{study}.3", f"{study}.3.1", f"{study}.3.1.1"),
    ]
    fill(site, *keys)
    paths = [path_of(study), path_of(f"{study}.3"), path_of(*keys[0][:2])]
    run = requested(site, PREFIX, *paths)

    assert run_export(site, run)
    assert run.read().counters == Counters(
        listed=2, exported=2, bytes=sum(map(len, expected(*keys).values()))
    )


def test_filter_may_begin_with_a_byte_order_mark(site: Site) -> None:
    fill(site, uids(1))
    run = requested(site, PREFIX, f"\ufeff{path_of(*uids(1))}")

    assert run_export(site, run)
    assert written(site) == expected(uids(1))


def test_line_of_a_filter_that_is_no_path_is_named(site: Site) -> None:
    with pytest.raises(InvalidArgument, match=r"line 3 of the filter gs://bucket/filter\.txt"):
        run_export(site, requested(site, PREFIX, path_of("1.2"), "", "/series/1.2"))


def test_filter_that_does_not_exist_is_named(site: Site) -> None:
    run = requested(site, PREFIX, path_of("1.2"))
    (site.bucket / "filter.txt").unlink()

    with pytest.raises(NotFound, match=r"the filter gs://bucket/filter\.txt does not exist"):
        run_export(site, run)


# Damage


def failures(site: Site, run: Run) -> list[tuple[str, Code, Reason]]:
    with site.database.read() as connection:
        found = operations.first_failures(connection, run.operation.id, 100)
    return [(failure.source, failure.code, failure.reason) for failure in found]


def test_other_bytes_fail_and_are_never_exported(site: Site) -> None:
    fill(site, uids(1), uids(2))
    lying(site, uids(1)).write(b"other bytes")
    run = requested(site)

    assert run_export(site, run)
    assert written(site) == expected(uids(2))
    path = path_of(*uids(1)).removeprefix("/")
    assert failures(site, run) == [(path, Code.DATA_LOSS, Reason.DATA_LOSS)]


def test_bytes_that_are_cut_off_fail_and_are_never_exported(site: Site) -> None:
    fill(site, uids(1), uids(2))
    last = lying(site, uids(2))
    os.truncate(last.file, last.offset + last.size - 1)
    run = requested(site)

    assert run_export(site, run)
    assert written(site) == expected(uids(1))
    path = path_of(*uids(2)).removeprefix("/")
    assert failures(site, run) == [(path, Code.DATA_LOSS, Reason.DATA_LOSS)]


def test_flipped_bit_fails_and_is_never_exported(site: Site) -> None:
    fill(site, uids(1))
    lying(site, uids(1)).flip_last()
    run = requested(site)

    assert run_export(site, run)
    assert written(site) == {}
    assert run.read().counters == Counters(listed=1, failed=1)


def test_missing_blob_is_looked_up_again_and_then_fails(site: Site) -> None:
    fill(site, uids(1), uids(2))
    lying(site, uids(1)).lose()
    run = requested(site)

    assert run_export(site, run)
    assert written(site) == expected(uids(2))
    assert [reason for *_, reason in failures(site, run)] == [Reason.DATA_LOSS]
    assert [line.result for line in site.ledger(run) if line.ordinal == 0] == [
        "deferred",
        "failed",
    ]


@pytest.mark.parametrize("large", [False, True])
def test_blob_that_the_disk_does_not_give_fails_alone_after_some_attempts(
    site: Site, monkeypatch: pytest.MonkeyPatch, *, large: bool
) -> None:
    fill(site, uids(1), uids(2))
    lost = lying(site, uids(1))
    open_extent = LocalBucket.open_extent
    reads = 0

    def open_or_fail(bucket: LocalBucket, key: str, extent: Extent) -> LocalExtent:
        nonlocal reads
        if (key, extent.offset) == (str(lost.file.relative_to(site.blobs)), lost.offset):
            reads += 1
            raise Unavailable("cannot access the object (Input/output error)")
        return open_extent(bucket, key, extent)

    monkeypatch.setattr(LocalBucket, "open_extent", open_or_fail)
    monkeypatch.setattr("fileroom.transfer.commits.RETRY_SECONDS", 0.0)
    monkeypatch.setattr(
        "fileroom.transfer.exporting.worker.BATCH_BYTES_MAX", 1 if large else 1 << 20
    )
    run = requested(site)

    assert run_export(site, run)
    assert written(site) == expected(uids(2))
    assert failures(site, run) == [
        (path_of(*uids(1)).removeprefix("/"), Code.DATA_LOSS, Reason.DATA_LOSS)
    ]
    assert reads == 1 + ATTEMPTS_MAX


def test_disk_of_the_destination_that_fails_is_a_fault_of_the_environment(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(site, uids(1))
    run = requested(site)

    def fails(_file: int, _bytes: bytes) -> int:
        raise OSError(errno.EIO, "input/output error")

    monkeypatch.setattr("os.write", fails)
    with pytest.raises(Unavailable):
        run_export(site, run)
    assert run.read().counters == Counters()


@pytest.mark.usefixtures("right_to_write")
def test_disk_that_keeps_nothing_is_not_trusted_by_the_server_either(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(site, uids(1))
    run = requested(site)

    def fails(_: int) -> None:
        raise OSError(errno.EIO, "input/output error")

    monkeypatch.setattr("os.fdatasync", fails)
    with pytest.raises(Unavailable, match="restart the server"):
        run_export(site, run)
    assert durability_lost() is not None


def test_instance_deleted_while_it_is_exported_is_told_of(site: Site) -> None:
    fill(site, uids(1))
    run = requested(site)
    work = Export(site.facilities, run)
    (batch,) = work.batches()
    lying(site, uids(1)).lose()

    def delete_row(transaction: Connection) -> None:
        transaction.execute(delete(schema.instances))

    site.database.write(delete_row)
    work.commit(batch, work.submit(batch, Blame(), 2.0).result())
    (deferred,) = work.due_deferred(9, ())
    work.commit_deferred(deferred, work.submit_deferred(deferred).result())

    assert [reason for *_, reason in failures(site, run)] == [Reason.SOURCE_NOT_FOUND]
    assert run.read().counters == Counters(listed=1, failed=1)


def test_name_that_cannot_be_written_fails_alone(site: Site) -> None:
    fill(site, uids(1), uids(2, study=2))
    (site.bucket / "out").mkdir()
    (site.bucket / "out" / uids(1)[0]).write_bytes(b"a file where a directory is needed")
    run = requested(site)

    assert run_export(site, run)
    assert file_of(site, uids(2, study=2)).read_bytes() == instance(uids(2, study=2))
    assert [reason for *_, reason in failures(site, run)] == [Reason.DESTINATION_DENIED]
    assert run.read().counters.exported == 1


# Interrupted


class StoppedExport(Export):
    """An export whose server stops after the first commit, before which nothing else is listed."""

    def batches(self) -> Iterator[Batch[InstanceToExport]]:
        for batch in super().batches():
            yield batch
            while not self._run.stopping:
                time.sleep(0.005)

    def commit(self, batch: Batch[InstanceToExport], outcome: ExportOutcome) -> None:
        super().commit(batch, outcome)
        self._run.stop()


@pytest.mark.parametrize("filtered", [False, True])
def test_export_goes_on_after_a_stop_where_it_left_off(site: Site, filtered: bool) -> None:
    keys = [uids(n, study=n % 2) for n in range(60)]
    fill(site, *keys)
    paths = [path_of(uids(0, study=study)[0]) for study in range(2)] if filtered else []
    first = requested(site, PREFIX, *paths)
    ended = run_pipeline(first, StoppedExport(site.facilities, first))
    reached = first.read().next_ordinal
    second = site.claim(first.operation.name)

    assert not ended
    assert reached > 0
    assert run_export(site, second)
    assert second.read().counters.exported == len(keys)
    assert [line.ordinal for line in site.ledger(second)] == list(range(len(keys)))
    assert written(site) == expected(*keys)


def interrupted(site: Site, *paths: str) -> Run:
    """Give an export that goes on after a first commit, claimed anew."""
    first = requested(site, PREFIX, *paths)
    assert not run_pipeline(first, StoppedExport(site.facilities, first))
    return site.claim(first.operation.name)


def test_filter_changed_since_the_first_commit_ends_the_export_rather_than_skip(
    site: Site,
) -> None:
    fill(site, *(uids(n, study=study) for n in range(20) for study in range(2)))
    paths = [path_of(uids(0, study=study)[0]) for study in range(2)]
    run = interrupted(site, *paths)
    site.put("filter.txt", paths[1].encode())

    with pytest.raises(FailedPrecondition, match=r"filter gs://bucket/filter\.txt was changed"):
        run_export(site, run)


def test_filter_written_again_with_the_same_bytes_is_the_same_filter(site: Site) -> None:
    fill(site, *(uids(n) for n in range(40)))
    run = interrupted(site, path_of(uids(0)[0]))
    site.put("filter.txt", path_of(uids(0)[0]).encode())

    assert run_export(site, run)
    assert run.read().counters.exported == 40


def test_filter_whose_volume_is_gone_is_waited_for(site: Site) -> None:
    fill(site, *(uids(n) for n in range(40)))
    filters = site.bucket.parent / "filters"
    filters.mkdir()
    (filters / "paths.txt").write_text(path_of(uids(0)[0]))
    name = request_export(
        site.facilities, STORE, PREFIX, filter_uri="gs://filters/paths.txt", api_version="v1"
    )
    first = site.claim(name)
    run_pipeline(first, StoppedExport(site.facilities, first))
    filters.rename(site.bucket.parent.parent / "unmounted")

    with pytest.raises(Unavailable, match="is its volume mounted"):
        run_export(site, site.claim(name))


def test_instances_are_counted_though_the_server_died_before_it_noted_how_many(
    site: Site,
) -> None:
    fill(site, uids(1), uids(2))
    run = requested(site)
    site.database.write(
        lambda transaction: operations.begin_operation(
            transaction, run.operation, start_seq=10, total=None
        )
    )

    assert run_export(site, run)
    assert run.read().total == 2


def test_cancelled_export_leaves_whole_objects(site: Site) -> None:
    fill(site, uids(1))
    run = requested(site)
    work = Export(site.facilities, run)
    (batch,) = work.batches()
    outcome = work.submit(batch, Blame(), 2.0).result()
    work.discard(outcome)

    assert written(site) == expected(uids(1))
    assert run.read().counters == Counters()
