"""Studies and series are deleted, and storage classes set, slice by slice and to the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fileroom.archive.collect import Collector
from fileroom.database import operations, schema, stores
from fileroom.database.instances import deleting
from fileroom.database.operations import Kind, State
from fileroom.errors import Cancelled, InvalidArgument, NotFound, PermissionDenied
from fileroom.names import DatasetName, DicomStoreName, InstancePath, Uid
from fileroom.operations.operation import account, ended_well
from fileroom.operations.runner import Runner
from fileroom.transfer.changing.deletion import DeleteJob, request_delete
from fileroom.transfer.changing.storage_class import StorageClassJob, request_storage_class
from fileroom.transfer.exporting.job import ExportJob, request_export
from fileroom.transfer.importing.job import ImportJob, request_import
from tests.places import root_of
from tests.unit.database.rows import DATASET, OWNER, STORE, all_rows
from tests.unit.operations.running import wait_until
from tests.unit.transfer.site import UIDS, Site, instance, uids

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Row, Table

    from fileroom.operations.runner import Run

STUDY = uids(0)[:1]
OTHER = uids(0, study=2)[:1]


def path(*prefix: str) -> InstancePath:
    return InstancePath(*map(Uid, prefix))


def put(site: Site, *keys: UIDS, directory: str = "in") -> None:
    for number, key in enumerate(keys):
        site.put(f"{directory}/{number:04}.dcm", instance(key))


def import_run(site: Site, directory: str = "in", *, storage_class: str = "") -> Run:
    uri = f"gs://bucket/{directory}/**"
    name = request_import(
        site.facilities, STORE, uri, storage_class=storage_class, api_version="v1"
    )
    return site.claim(name)


def fill(site: Site, *keys: UIDS, storage_class: str = "") -> None:
    """Store instances, as an import does."""
    put(site, *keys)
    run = import_run(site, storage_class=storage_class)
    assert ImportJob(facilities=site.facilities)(run)
    end(site, run)


def end(site: Site, run: Run) -> None:
    site.database.write(
        lambda tx: operations.finish_operation(
            tx, run.operation, listed=0, response={}, retention_microseconds=1 << 40
        )
    )


def deletion(site: Site, *prefix: str) -> Run:
    name = request_delete(site.facilities, STORE, path(*prefix), api_version="v1")
    return site.claim(name)


def delete(site: Site, run: Run) -> bool:
    return DeleteJob(facilities=site.facilities)(run)


def rows(site: Site, table: Table) -> Sequence[Row[*tuple[object, ...]]]:
    with site.database.read() as connection:
        return all_rows(connection, table)


def instances_of(site: Site) -> list[str]:
    return sorted(row.sop_instance_uid for row in rows(site, schema.instances))


@pytest.fixture
def slices_of_two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deleting, "SLICE_MAX", 2)


# Deletion


@pytest.mark.usefixtures("slices_of_two")
def test_study_is_deleted_in_slices_and_another_one_stays(site: Site) -> None:
    ours = [uids(n, series=series) for n in range(3) for series in (1, 2)]
    fill(site, *ours, uids(9, study=2))
    run = deletion(site, *STUDY)

    assert delete(site, run)

    assert [row.study_instance_uid for row in rows(site, schema.studies)] == list(OTHER)
    assert instances_of(site) == [uids(9, study=2)[2]]
    assert len(rows(site, schema.headers)) == 1
    progress = run.read()
    assert progress.kind is Kind.DELETE_STUDY
    assert (progress.counters.deleted, progress.counters.succeeded, progress.total) == (6, 6, 6)
    assert progress.counters.bytes == sum(len(instance(key)) for key in ours)
    assert ended_well(progress) == {"@type": "type.googleapis.com/google.protobuf.Empty"}


def test_series_is_deleted_and_the_study_is_described_by_what_stays(site: Site) -> None:
    site.put("in/1.dcm", instance(uids(1), patient_id="FIRST"))
    site.put("in/2.dcm", instance(uids(2, series=2), patient_id="SECOND"))
    assert ImportJob(facilities=site.facilities)(import_run(site))
    run = deletion(site, *uids(1)[:2])

    (study,) = rows(site, schema.studies)
    (first, second) = rows(site, schema.instances)
    assert (study.described_by, study.patient_id) == (second.id, "SECOND")
    assert delete(site, run)
    assert [row.id for row in rows(site, schema.instances)] == [second.id]
    assert first.id not in {row.described_by for row in rows(site, schema.series)}
    assert run.read().kind is Kind.DELETE_SERIES


def test_last_series_takes_its_study_with_it(site: Site) -> None:
    fill(site, uids(1))
    assert delete(site, deletion(site, *uids(1)[:2]))

    assert not any(rows(site, table) for table in (schema.instances, schema.series, schema.studies))


@pytest.mark.usefixtures("slices_of_two")
def test_account_of_a_deletion_sums_up_at_every_slice(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(site, *map(uids, range(5)))
    run = deletion(site, *STUDY)
    seen = []
    check = type(run).check

    def look(run: Run) -> None:
        told = account(run.read())
        assert told["deleted"] + told["pending"] + told["notStarted"] == told["listed"]
        seen.append(told["deleted"])
        check(run)

    monkeypatch.setattr(type(run), "check", look)
    assert delete(site, run)

    assert seen[:4] == [0, 2, 4, 5]


@pytest.mark.usefixtures("slices_of_two")
def test_deletion_that_was_stopped_goes_on_with_what_is_left(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(site, *map(uids, range(5)))
    run = deletion(site, *STUDY)
    check = type(run).check
    monkeypatch.setattr(type(run), "check", lambda run: (check(run), run.stop()))
    assert not delete(site, run)
    monkeypatch.undo()
    assert run.read().counters.deleted == 2

    again = site.claim(run.operation.name)
    monkeypatch.setattr(deleting, "SLICE_MAX", 2)
    assert delete(site, again)
    assert again.read().counters.deleted == 5
    assert delete(site, site.claim(run.operation.name))
    assert again.read().counters.deleted == 5


def test_study_stored_anew_is_safe_from_a_deletion_that_has_ended(site: Site) -> None:
    fill(site, uids(1))
    run = deletion(site, *STUDY)
    assert delete(site, run)
    fill(site, uids(1))
    assert delete(site, site.claim(run.operation.name))

    assert instances_of(site) == [uids(1)[2]]


def test_two_deletions_of_one_study_both_end_and_count_each_instance_once(site: Site) -> None:
    fill(site, uids(1), uids(2))
    names = [
        request_delete(site.facilities, STORE, path(*STUDY), api_version="v1") for _ in range(2)
    ]
    runs = [site.claim(name) for name in names]
    assert all(delete(site, run) for run in runs)

    assert sum(run.read().counters.deleted for run in runs) == 2


def test_series_deleted_beside_its_study_ends_too(site: Site) -> None:
    fill(site, uids(1), uids(2, series=2))
    of_series = deletion(site, *uids(1)[:2])
    of_study = deletion(site, *STUDY)
    assert delete(site, of_study)
    assert delete(site, of_series)

    assert rows(site, schema.studies) == []


def test_what_does_not_exist_cannot_be_deleted(site: Site) -> None:
    fill(site, uids(1))
    for prefix in (OTHER, uids(1, series=2)[:2]):
        with pytest.raises(NotFound):
            deletion(site, *prefix)
    absent = DicomStoreName(DatasetName(DATASET.parent, "absent"), "s")
    with pytest.raises(PermissionDenied):
        request_delete(site.facilities, absent, path(*STUDY), api_version="v1")


@pytest.mark.clause(
    "Fileroom operations",
    "a deletion goes on when it is cancelled: what it hid is not shown again half deleted",
    holds="chosen",
)
@pytest.mark.parametrize("claimed_before", [False, True])
def test_cancelled_deletion_goes_on(site: Site, claimed_before: bool) -> None:
    fill(site, uids(1))
    name = request_delete(site.facilities, STORE, path(*STUDY), api_version="v1")
    if claimed_before:
        site.claim(name)
    site.database.write(lambda tx: operations.request_cancel(tx, name))
    run = site.claim(name)

    assert delete(site, run)
    progress = run.read()
    assert progress.cancel_requested
    assert progress.counters.deleted == 1


def test_store_deleted_meanwhile_ends_a_deletion_and_is_purged(site: Site) -> None:
    fill(site, uids(1))
    run = deletion(site, *STUDY)
    site.database.write(lambda tx: stores.delete_dicom_store(tx, STORE))
    with pytest.raises(NotFound):
        delete(site, run)
    end(site, run)
    blobs = site.facilities.blobs
    Collector(site.database, blobs, interval_seconds=60, after_crash=False).collect()

    assert not any(rows(site, table) for table in (schema.instances, schema.dicom_stores))
    assert list(root_of(blobs).iterdir()) == []


# Deletion beside imports and exports


@pytest.mark.clause("Fileroom invariants", "what was deleted stays deleted (I12)", holds="own rule")
def test_import_under_way_brings_nothing_of_a_deleted_study_back(site: Site) -> None:
    fill(site, uids(1))
    put(site, uids(1), uids(2), uids(3, study=2), directory="more")
    importing = import_run(site, "more")
    site.database.write(
        lambda tx: operations.begin_operation(
            tx, importing.operation, start_seq=_seq(site), total=None
        )
    )
    assert delete(site, deletion(site, *STUDY))

    assert ImportJob(facilities=site.facilities)(importing)
    assert instances_of(site) == [uids(3, study=2)[2]]
    assert (importing.read().counters.kept, importing.read().counters.imported) == (2, 1)


def test_import_into_a_study_that_is_being_deleted_is_refused(site: Site) -> None:
    fill(site, uids(1))
    deleting_it = deletion(site, *STUDY)
    put(site, uids(2), uids(3, series=2), directory="more")
    importing = import_run(site, "more")
    assert ImportJob(facilities=site.facilities)(importing)

    assert importing.read().counters.failed == 2
    assert {line.reason for line in site.ledger(importing)} == {"STUDY_DELETING"}
    assert delete(site, deleting_it)
    assert rows(site, schema.series) == []


def test_export_leaves_out_what_is_deleted_before_it_comes_to_it(site: Site) -> None:
    fill(site, uids(1), uids(2, study=2))
    run = site.claim(request_export(site.facilities, STORE, "gs://bucket/out", api_version="v1"))
    deletion(site, *STUDY)
    assert ExportJob(facilities=site.facilities)(run)

    assert run.read().counters.exported == 1
    assert [path.name for path in (site.bucket / "out").rglob("*.dcm")] == [
        f"{uids(2, study=2)[2]}.dcm"
    ]


def _seq(site: Site) -> int:
    with site.database.read() as connection:
        return int(all_rows(connection, schema.dicom_stores)[0].change_seq)


# Storage classes


def classes(site: Site) -> dict[str, str]:
    return {row.sop_instance_uid: row.storage_class for row in rows(site, schema.instances)}


def reclassing(
    site: Site,
    storage_class: str = "ARCHIVE",
    *,
    path: InstancePath | None = None,
    filter_uri: str = "",
) -> Run:
    name = request_storage_class(
        site.facilities,
        STORE,
        storage_class,
        api_version="v1",
        permission="healthcare.dicomStores.update",
        path=path,
        filter_uri=filter_uri,
    )
    return site.claim(name)


def set_class(site: Site, run: Run) -> bool:
    return StorageClassJob(facilities=site.facilities)(run)


KEYS = [uids(1), uids(2), uids(3, series=2), uids(4, study=2)]


@pytest.mark.parametrize(
    ("levels", "changed"), [(0, {0, 1, 2, 3}), (1, {0, 1, 2}), (2, {0, 1}), (3, {0})]
)
def test_storage_class_is_set_for_all_below_a_path(
    site: Site, levels: int, changed: set[int]
) -> None:
    fill(site, *KEYS)
    run = reclassing(site, path=path(*KEYS[0][:levels]) if levels else None)
    assert set_class(site, run)

    assert classes(site) == {
        key[2]: "ARCHIVE" if number in changed else "STANDARD" for number, key in enumerate(KEYS)
    }
    progress = run.read()
    assert (progress.counters.updated, progress.total) == (len(changed), len(changed))
    assert str(ended_well(progress)["@type"]).endswith("dicom.SetBlobStorageSettingsResponse")


def test_storage_class_is_set_for_what_a_filter_names(site: Site) -> None:
    fill(site, *KEYS)
    site.put("filter.txt", f"/studies/{KEYS[3][0]}\r\n/{path(*KEYS[2])}\r\n".encode())
    assert set_class(site, reclassing(site, filter_uri="gs://bucket/filter.txt"))

    assert {uid for uid, name in classes(site).items() if name == "ARCHIVE"} == {
        KEYS[2][2],
        KEYS[3][2],
    }


def test_instance_of_that_class_counts_as_unchanged_and_keeps_its_time(site: Site) -> None:
    fill(site, uids(1), storage_class="NEARLINE")
    (before,) = rows(site, schema.instances)
    run = reclassing(site, "NEARLINE")
    assert set_class(site, run)

    (after,) = rows(site, schema.instances)
    assert before.storage_class_updated_at is after.storage_class_updated_at is None
    assert (run.read().counters.unchanged, run.read().counters.updated) == (1, 0)


def test_import_keeps_the_storage_class_that_was_asked_for(site: Site) -> None:
    fill(site, uids(1), storage_class="COLDLINE")

    assert set(classes(site).values()) == {"COLDLINE"}


def test_cancelled_change_of_class_leaves_off(site: Site) -> None:
    fill(site, uids(1))
    run = reclassing(site)
    site.database.write(lambda tx: operations.request_cancel(tx, run.operation.name))
    with pytest.raises(Cancelled):
        set_class(site, run)

    assert set(classes(site).values()) == {"STANDARD"}


def test_change_of_class_goes_on_after_its_cursor(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fileroom.transfer.changing.storage_class.SLICE_MAX", 1)
    fill(site, *KEYS)
    run = reclassing(site)
    check = type(run).check
    with monkeypatch.context() as patched:
        patched.setattr(type(run), "check", lambda run: (check(run), run.stop()))
        assert not set_class(site, run)
    assert run.read().counters.updated == 1
    again = site.claim(run.operation.name)
    assert set_class(site, again)

    assert (again.read().counters.updated, again.read().counters.unchanged) == (4, 0)


def test_storage_class_of_nothing_is_not_found(site: Site) -> None:
    fill(site, uids(1))
    for prefix in (OTHER, uids(1, series=2)[:2], uids(2)):
        with pytest.raises(NotFound):
            reclassing(site, path=path(*prefix))
    with pytest.raises(InvalidArgument):
        reclassing(site, filter_uri="gs://bucket/*")
    with pytest.raises(NotFound):
        set_class(site, reclassing(site, filter_uri="gs://bucket/none.txt"))


# The runner


def test_deletion_cancelled_while_it_waits_is_run_to_its_end(site: Site) -> None:
    fill(site, uids(1))
    name = request_delete(site.facilities, STORE, path(*STUDY), api_version="v1")
    site.database.write(lambda tx: operations.request_cancel(tx, name))
    job = DeleteJob(facilities=site.facilities)
    runner = Runner(site.database, OWNER, {Kind.DELETE_STUDY: job}, logs_url=str)

    def done() -> bool:
        with site.database.read() as connection:
            return operations.get_operation(connection, name).state is State.DONE

    runner.start()
    try:
        wait_until(done)
    finally:
        runner.stop(5)
    with site.database.read() as connection:
        operation = operations.get_operation(connection, name)
    assert operation.error is None
    assert operation.counters.deleted == 1
    assert rows(site, schema.studies) == []
