"""Operations that build on an earlier one: a retry, an undoing, an export of what changed since."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import update

from fileroom.archive.retrieve import find_instance, open_as_stored
from fileroom.database import operations, schema, stores
from fileroom.errors import (
    DataLoss,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PermissionDenied,
)
from fileroom.names import InstancePath, Uid
from fileroom.objectstore.local import LocalBucket
from fileroom.operations.operation import account
from fileroom.transfer.changing.undoing import UndoJob, request_undo
from fileroom.transfer.exporting.job import ExportJob, request_export
from fileroom.transfer.importing import listing
from fileroom.transfer.importing.job import ImportJob, request_import
from fileroom.transfer.importing.line import Import
from fileroom.transfer.options import ExportOptions, ImportOptions
from tests.unit.database.rows import STORE
from tests.unit.transfer.site import Site, instance, uids

if TYPE_CHECKING:
    from fileroom.database.engine import Connection
    from fileroom.objectstore.contract import ObjectEntry
    from fileroom.operations.runner import Run
    from tests.unit.transfer.site import UIDS

COUNT = 30


def run_import(site: Site, uri: str = "gs://bucket/in/**", **options: Any) -> Run:
    name = request_import(
        site.facilities, STORE, uri, options=ImportOptions(**options), api_version="v1"
    )
    run = site.claim(name)
    assert ImportJob(facilities=site.facilities)(run)
    return site.end(run)


def begun_undo(site: Site, run: Run) -> Run:
    name = request_undo(
        site.facilities,
        run.operation.name,
        api_version="v1",
        permission="healthcare.dicomStores.dicomWebDelete",
    )
    return site.claim(name)


def read(site: Site, key: UIDS) -> bytes:
    stored = find_instance(site.content, InstancePath(*map(Uid, key)))
    return b"".join(open_as_stored(site.content, stored).pieces)


def run_export(site: Site, **options: Any) -> Run:
    name = request_export(
        site.facilities,
        STORE,
        "gs://bucket/out",
        filter_uri="gs://bucket/filter.txt",
        options=ExportOptions(**options),
        api_version="v1",
    )
    run = site.claim(name)
    assert ExportJob(facilities=site.facilities)(run)
    return site.end(run)


def put_failing(site: Site) -> Run:
    """Import objects that all fail, and put good ones in their place."""
    for number in range(COUNT):
        site.put(f"in/{number:02}.dcm", b"broken")
    earlier = run_import(site)
    for number in range(COUNT):
        site.put(f"in/{number:02}.dcm", instance(uids(number + 1)))
    return earlier


def expire(site: Site, run: Run, *, slices: int = 10**9) -> None:
    """Let the time of keeping be over, and delete so many slices of ten rows."""

    def end_time(transaction: Connection) -> None:
        of_run = schema.operations.c.id == run.operation.id
        still_kept = schema.operations.c.expires_at > 0
        transaction.execute(
            update(schema.operations).where(of_run, still_kept).values(expires_at=1)
        )

    site.database.write(end_time)
    delete_expired(site, slices=slices)


def delete_expired(site: Site, *, slices: int = 10**9) -> None:
    delete = partial(operations.delete_expired_operations, rows_max=10)
    while slices and site.database.write(delete):
        slices -= 1


def test_what_is_being_deleted_is_built_on_by_nothing(site: Site) -> None:
    earlier = put_failing(site)
    expire(site, earlier, slices=1)

    with pytest.raises(NotFound, match="no longer kept"):
        run_import(site, "", retry_of=str(earlier.operation.name))
    with pytest.raises(NotFound, match="no longer kept"):
        begun_undo(site, earlier)


def test_what_is_built_on_is_kept(site: Site) -> None:
    earlier = put_failing(site)
    site.database.write(
        lambda tx: tx.execute(update(schema.operations).values(expires_at=1)) and None
    )
    name = request_import(
        site.facilities,
        STORE,
        "",
        options=ImportOptions(retry_of=str(earlier.operation.name)),
        api_version="v1",
    )
    delete_expired(site)

    run = site.claim(name)
    assert ImportJob(facilities=site.facilities)(run)
    assert account(run.read())["imported"] == COUNT


def test_a_retry_that_lost_failures_on_the_way_says_so(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    earlier = put_failing(site)
    monkeypatch.setattr(listing, "FOUND_AT_A_TIME", 10)
    truly = listing.Failed._after

    def after(failed: listing.Failed, seen: int | None) -> Any:
        found = truly(failed, seen)
        if seen is None:
            expire(site, earlier)
        return found

    monkeypatch.setattr(listing.Failed, "_after", after)
    name = request_import(
        site.facilities,
        STORE,
        "",
        options=ImportOptions(retry_of=str(earlier.operation.name)),
        api_version="v1",
    )
    run = site.claim(name)
    with pytest.raises(DataLoss, match="only 10 are still kept"):
        ImportJob(facilities=site.facilities)(run)


def test_an_undoing_whose_ledger_is_not_whole_says_so(site: Site) -> None:
    put_failing(site)
    earlier = run_import(site)
    run = begun_undo(site, earlier)
    ledger = schema.operation_ledger
    site.database.write(
        lambda tx: (
            tx.execute(ledger.delete().where(ledger.c.operation_id == earlier.operation.id))
            and None
        )
    )

    with pytest.raises(DataLoss, match="not whole any more"):
        UndoJob(facilities=site.facilities)(run)


def test_an_object_that_is_denied_fails_its_retry_alone(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    earlier = put_failing(site)
    find, read = LocalBucket.find, LocalBucket.open

    def refuse(key: str) -> None:
        if key == "in/02.dcm":
            raise PermissionDenied(f"the bucket does not give {key}")

    def found(bucket: LocalBucket, key: str) -> ObjectEntry | None:
        refuse(key)
        return find(bucket, key)

    def opened(bucket: LocalBucket, key: str, *args: Any, **options: Any) -> Any:
        refuse(key)
        return read(bucket, key, *args, **options)

    monkeypatch.setattr(LocalBucket, "find", found)
    monkeypatch.setattr(LocalBucket, "open", opened)

    run = run_import(site, "", retry_of=str(earlier.operation.name))

    terms = account(run.read())
    assert (terms["listed"], terms["imported"], terms["failed"]) == (COUNT, COUNT - 1, 1)
    (failed,) = [line for line in site.ledger(run) if line.result == "failed"]
    assert (failed.source, failed.reason) == ("gs://bucket/in/02.dcm", "SOURCE_DENIED")


def test_a_retry_of_a_validation_only_validates(site: Site) -> None:
    site.put("in/a.dcm", b"broken")
    earlier = run_import(site, validate_only=True)
    site.put("in/a.dcm", instance(uids(1)))

    run = run_import(site, "", retry_of=str(earlier.operation.name))

    assert account(run.read())["imported"] == 1
    assert not site.blob_files()


def test_a_store_made_anew_has_nothing_to_build_on(site: Site) -> None:
    earlier = put_failing(site)

    def make_anew(transaction: Connection) -> None:
        stores.delete_dicom_store(transaction, STORE)
        stores.insert_dicom_store(transaction, STORE, {}, blob_prefix="f" * 32)

    site.database.write(make_anew)

    with pytest.raises(InvalidArgument, match="is no import into"):
        run_import(site, "", retry_of=str(earlier.operation.name))
    with pytest.raises(FailedPrecondition, match="was deleted since"):
        begun_undo(site, earlier)


def filter_of(*numbers: int) -> bytes:
    lines = ("studies/{}/series/{}/instances/{}\n".format(*uids(number)) for number in numbers)
    return "".join(lines).encode()


def test_a_filter_that_was_changed_is_no_ground_to_go_on_from(site: Site) -> None:
    for number in (1, 2):
        site.put(f"in/{number}.dcm", instance(uids(number)))
    run_import(site)
    site.put("filter.txt", filter_of(1))
    earlier = run_export(site)
    assert account(run_export(site, since=str(earlier.operation.name)).read())["listed"] == 0

    site.put("filter.txt", filter_of(1, 2))
    with pytest.raises(FailedPrecondition, match="is not what it was"):
        run_export(site, since=str(earlier.operation.name))

    site.put("filter.txt", filter_of(9))
    nothing = run_export(site)
    with pytest.raises(FailedPrecondition, match="exported nothing"):
        run_export(site, since=str(nothing.operation.name))


def test_what_was_deleted_before_it_could_be_brought_back_counts_as_unchanged(site: Site) -> None:
    for number in (1, 2):
        site.put(f"in/{number}.dcm", instance(uids(number)))
    run_import(site)
    for number in (1, 2):
        site.put(f"in/{number}.dcm", instance(uids(number), patient_id="P9"))
    replacing = run_import(site, duplicate_policy="REPLACE")
    run = begun_undo(site, replacing)
    site.database.write(
        lambda tx: (
            tx.execute(
                schema.instances.delete().where(schema.instances.c.sop_instance_uid == uids(1)[2])
            )
            and None
        )
    )

    assert UndoJob(facilities=site.facilities)(run)

    terms = account(run.read())
    assert (terms["listed"], terms["updated"], terms["unchanged"]) == (2, 1, 1)


def test_of_two_replaced_by_one_import_the_first_comes_back(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.put("in/0.dcm", instance(uids(1)))
    run_import(site)
    for number in range(COUNT):  # more than the first batch holds
        site.put(f"in/{number}.dcm", instance(uids(number + 1), patient_id="B"))
    site.put("in/last.dcm", instance(uids(1), patient_id="C"))
    commit = Import.commit

    def committed(work: Import, batch: Any, outcome: Any) -> None:
        """Have a client store the instance between two batches: it is not the import's any more."""
        commit(work, batch, outcome)
        site.database.write(
            lambda tx: tx.execute(update(schema.instances).values(operation_id=None)) and None
        )

    with monkeypatch.context() as patch:
        patch.setattr(Import, "commit", committed)
        replacing = run_import(site, duplicate_policy="REPLACE")
    assert account(replacing.read())["replaced"] == 2
    assert read(site, uids(1)) == instance(uids(1), patient_id="C")
    site.database.write(
        lambda tx: (
            tx.execute(update(schema.instances).values(operation_id=replacing.operation.id))
            and None
        )
    )

    run = begun_undo(site, replacing)
    assert UndoJob(facilities=site.facilities)(run)

    assert account(run.read())["failed"] == 0
    assert read(site, uids(1)) == instance(uids(1))
