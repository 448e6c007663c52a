"""What no row names is collected, in its time; nothing else ever is."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from fileroom.archive import collect
from fileroom.archive.check import queue_orphans
from fileroom.archive.collect import Collector
from fileroom.archive.layout import StoreIdentity, make_blob_bucket
from fileroom.database import collection, operations, schema, stores
from fileroom.database.engine import now_microseconds
from fileroom.database.instances import Place, PlaceKind, queue_drops, record_key
from fileroom.errors import PermissionDenied, ResourceExhausted, Unavailable
from fileroom.names import DicomStoreName
from fileroom.objectstore.local import BLOCK_BYTES, Extent, LocalBucket
from tests.places import of_place, root_of
from tests.unit.archive.holding import (
    drop,
    drops,
    places,
    rows,
    store,
    write_blobs,
    write_large,
)
from tests.unit.database.rows import (
    DATASET,
    HOUR,
    STORE,
    add_claimed,
    add_operation,
    add_tombstone,
    all_rows,
    new_store,
)
from tests.unit.operations.running import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from fileroom.database.engine import Connection
    from fileroom.database.instances import InstanceRecord
    from tests.unit.transfer.site import Site


def collector(site: Site, *, after_crash: bool = False) -> Collector:
    return Collector(
        site.database, site.facilities.blobs, interval_seconds=0.01, after_crash=after_crash
    )


def end(site: Site, operation: operations.Operation) -> None:
    site.database.write(
        lambda transaction: operations.finish_operation(
            transaction, operation, listed=0, retention_microseconds=HOUR
        )
    )


def claim(site: Site) -> operations.Operation:
    return site.database.write(lambda tx: add_claimed(tx, store_id=site.store_id))


# Drops


def test_blob_that_is_due_goes_and_its_drop_with_it(site: Site) -> None:
    records = [*write_blobs(site, 3, writer=1), write_large(site, 3, writer=1)]
    for record in records:
        drop(site, record.place)
    collector(site).collect()

    assert site.blob_files() == set()
    assert drops(site) == set()


def test_member_of_a_pack_goes_and_its_neighbours_stand(site: Site) -> None:
    records = write_blobs(site, 3, writer=1)
    lying = [of_place(site.blobs, record.place) for record in records]
    before = [each.read() for each in lying]
    drop(site, records[1].place)
    collector(site).collect()

    assert [each.read() for each in lying] == [before[0], bytes(len(before[1])), before[2]]
    assert site.standing() == places([records[0], records[2]])
    for record in (records[0], records[2]):
        drop(site, record.place)
    collector(site).collect()
    assert site.blob_files() == set()


def test_space_of_a_member_that_went_is_free_again(site: Site) -> None:
    records = write_blobs(site, 2, writer=1)
    pack = site.blobs / records[0].place.key
    before = pack.stat().st_blocks
    drop(site, records[0].place)
    collector(site).collect()

    freed = (before - pack.stat().st_blocks) * 512
    if not freed:
        pytest.skip("this file system cannot give back a part of a file")
    assert freed >= records[0].place.size // BLOCK_BYTES * BLOCK_BYTES


def test_rows_of_a_pack_that_was_stored_twice_keep_their_bytes(site: Site) -> None:
    """A fault of ours must not cost an instance: the rows are asked before anything goes."""
    records = write_blobs(site, 3, writer=1)
    for _ in range(2):
        store(site, records, writer=1)
    collector(site).collect()

    assert site.standing() == places(records)
    assert drops(site) == set()


@pytest.mark.parametrize(
    "error", [Unavailable("Input/output error"), ResourceExhausted("no space")], ids=type
)
def test_pack_that_cannot_be_erased_keeps_nothing_else_waiting(
    site: Site, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    packs = [write_blobs(site, 2, writer=1, first=2 * number) for number in range(3)]
    stuck = packs[1][0].place.key
    erase = LocalBucket.erase_extents

    def erase_or_fail(bucket: LocalBucket, key: str, extents: Iterable[Extent]) -> None:
        if key == stuck:
            raise error
        erase(bucket, key, extents)

    monkeypatch.setattr(LocalBucket, "erase_extents", erase_or_fail)
    for pack in packs:
        drop(site, pack[0].place)
    collector(site).collect()

    assert drops(site) == places(packs[1][:1])
    assert site.standing() == places([packs[0][1], *packs[1], packs[2][1]])


def test_pack_whose_footer_is_damaged_is_erased_and_its_drop_forgotten(site: Site) -> None:
    (record,) = write_blobs(site, 1, writer=1)
    pack = site.blobs / record.place.key
    os.truncate(pack, pack.stat().st_size - 1)
    drop(site, record.place)
    collecting = collector(site)
    collecting.collect()

    assert not pack.exists() or not of_place(site.blobs, record.place).read().strip(b"\0")
    collecting.collect()
    assert drops(site) == set()


def test_blob_stays_for_its_grace(site: Site) -> None:
    (record,) = write_blobs(site, 1, writer=1)
    drop(site, record.place, not_before=now_microseconds() + HOUR)
    collector(site).collect()

    assert site.standing() == drops(site) == places([record])


def test_replaced_bytes_go_and_those_of_the_row_stay(site: Site) -> None:
    store(site, write_blobs(site, 2, writer=1), writer=1)
    new = write_blobs(site, 2, writer=2, content="new")
    store(site, new, writer=2)
    collector(site).collect()

    assert site.standing() == places(new)
    assert {(row.place_key, row.place_offset) for row in rows(site)} == site.standing()


def test_blob_that_a_row_names_is_never_deleted(site: Site) -> None:
    records = write_blobs(site, 2, writer=1)
    store(site, records, writer=1)
    drops_of_living = [(record.place, record_key(record)) for record in records]
    site.database.write(lambda tx: queue_drops(tx, site.store_id, drops_of_living, not_before=0))
    collector(site).collect()

    assert site.standing() == places(records)
    assert drops(site) == set()


def test_object_outside_the_archive_is_never_deleted(site: Site) -> None:
    site.put("a.dcm", b"the user's own")
    drop(site, Place(key="gs://bucket/a.dcm", size=1, sha256=None, kind=PlaceKind.REFERENCE))
    collector(site).collect()

    assert (site.bucket / "a.dcm").exists()
    assert drops(site) == set()


def test_drop_of_a_blob_that_is_gone_already_is_done(site: Site) -> None:
    (record,) = write_blobs(site, 1, writer=1)
    drop(site, record.place)
    (site.blobs / record.place.key).unlink()
    collector(site).collect()

    assert drops(site) == set()


def test_drop_that_a_crash_cut_off_is_done_again(site: Site) -> None:
    records = [*write_blobs(site, 3, writer=1), write_large(site, 3, writer=1)]
    for record in records:
        drop(site, record.place)
    site.database.write(collection.take_due_drops)
    of_place(site.blobs, records[0].place).lose()
    (site.blobs / records[3].place.key).unlink()
    collector(site).collect()

    assert site.blob_files() == set()
    assert drops(site) == set()


def test_drops_stay_while_the_volume_is_gone(site: Site) -> None:
    (record,) = write_blobs(site, 1, writer=1)
    drop(site, record.place)
    elsewhere = site.blobs.with_name("elsewhere")
    site.blobs.rename(elsewhere)
    with pytest.raises(Unavailable):
        collector(site).collect()
    elsewhere.rename(site.blobs)

    assert drops(site) == places([record])
    collector(site).collect()
    assert site.blob_files() == set()


# Deleted stores


def test_deleted_store_goes_with_all_it_held(site: Site) -> None:
    store(site, write_blobs(site, 5, writer=1), writer=1)
    site.database.write(lambda transaction: stores.delete_dicom_store(transaction, STORE))
    collector(site).collect()

    assert not site.blobs.exists()
    assert rows(site) == []
    with site.database.read() as connection:
        assert all_rows(connection, schema.dicom_stores) == []


def test_deleted_store_stays_while_an_operation_runs_on_it(site: Site) -> None:
    store(site, write_blobs(site, 5, writer=1), writer=1)
    operation = claim(site)
    site.database.write(lambda transaction: stores.delete_dicom_store(transaction, STORE))
    collector(site).collect()
    assert len(rows(site)) == 5
    end(site, operation)
    collector(site).collect()

    assert rows(site) == []


def test_store_that_cannot_be_purged_keeps_nothing_else_waiting(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(_: LocalBucket, prefix: str) -> None:
        raise PermissionDenied(f"the account of the server may not access {prefix}")

    name = DicomStoreName(DATASET, "other")
    other = site.database.write(lambda transaction: new_store(transaction, name))
    with site.database.read() as connection:
        blob_prefix = stores.get_dicom_store(connection, name).blob_prefix
    make_blob_bucket(site.facilities.blobs, blob_prefix, StoreIdentity())
    site.database.write(lambda transaction: add_tombstone(transaction, other, "1.2"))
    site.database.write(lambda transaction: stores.delete_dicom_store(transaction, STORE))
    with monkeypatch.context() as patch:
        patch.setattr(LocalBucket, "delete_prefix", denied)
        collector(site).collect()

    with site.database.read() as connection:
        assert all_rows(connection, schema.tombstones) == []
    assert site.blobs.is_dir()
    collector(site).collect()
    assert not site.blobs.exists()


def test_purge_that_a_crash_cut_off_is_finished(site: Site) -> None:
    store(site, write_blobs(site, 5, writer=1), writer=1)
    deleted = site.database.write(lambda tx: stores.delete_dicom_store(tx, STORE))
    gone = collection.StoreArea(id=deleted.id, blob_prefix=deleted.blob_prefix)
    site.database.write(lambda transaction: collection.purge_rows(transaction, gone))
    collector(site).collect()

    assert not site.blobs.exists()
    with site.database.read() as connection:
        assert all_rows(connection, schema.dicom_stores) == []


def test_a_store_whose_blobs_lie_elsewhere_is_not_forgotten(site: Site) -> None:
    store(site, write_blobs(site, 5, writer=1), writer=1)
    site.database.write(lambda transaction: stores.delete_dicom_store(transaction, STORE))
    elsewhere = site.blobs.with_name("elsewhere")
    site.blobs.rename(elsewhere)
    collector(site).collect()
    site.blobs.mkdir()
    collector(site).collect()
    site.blobs.rmdir()
    elsewhere.rename(site.blobs)
    collector(site).collect()

    assert not site.blobs.exists()
    with site.database.read() as connection:
        assert all_rows(connection, schema.dicom_stores) == []


# Orphans


def test_after_a_crash_blobs_without_a_row_go(site: Site) -> None:
    ended = claim(site)
    end(site, ended)
    kept = write_blobs(site, 2, writer=ended.id)
    store(site, kept, writer=ended.id)
    write_blobs(site, 1, writer=ended.id, content="uncommitted")
    sweeping = collector(site, after_crash=True)
    sweeping.collect()
    sweeping.collect()

    assert site.standing() == places(kept)
    assert drops(site) == set()


def test_blobs_of_an_operation_that_goes_on_are_no_orphans(site: Site) -> None:
    running = claim(site)
    records = write_blobs(site, 2, writer=running.id)
    sweeping = collector(site, after_crash=True)
    sweeping.collect()
    sweeping.collect()
    assert site.standing() == places(records)
    end(site, running)
    sweeping.collect()
    sweeping.collect()

    assert site.blob_files() == set()


def test_without_suspicion_nothing_is_compared(site: Site) -> None:
    ended = claim(site)
    end(site, ended)
    records = write_blobs(site, 1, writer=ended.id)
    sweeping = collector(site)
    sweeping.collect()
    sweeping.collect()
    assert site.standing() == places(records)
    sweeping.suspect(site.store_id, ended.id)
    sweeping.collect()
    sweeping.collect()

    assert site.blob_files() == set()


def test_who_is_suspected_during_a_scan_is_looked_for_after_it(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = claim(site)
    end(site, ended)
    sweeping = collector(site)
    scan = queue_orphans
    late: list[InstanceRecord] = []

    def suspecting(*arguments: Any) -> int:
        orphans = scan(*arguments)
        if not late:
            late.extend(write_blobs(site, 1, writer=ended.id))
            sweeping.suspect(site.store_id, ended.id)
            sweeping.suspect_request(site.store_id)
        return orphans

    monkeypatch.setattr(collect, "queue_orphans", suspecting)
    sweeping.suspect(site.store_id, ended.id)
    sweeping.collect()
    assert late
    assert not sweeping.is_settled()
    sweeping.collect()
    sweeping.collect()

    assert sweeping.is_settled()
    assert site.blob_files() == set()


def test_a_death_that_is_told_during_a_scan_is_not_forgotten(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = claim(site)
    end(site, ended)
    sweeping = collector(site)
    scans = []

    def telling(*_: Any) -> int:
        scans.append(1)
        if len(scans) == 1:
            sweeping.suspect_all()
            raise Unavailable("the blobs do not answer", "blobs")
        return 0

    monkeypatch.setattr(collect, "queue_orphans", telling)
    sweeping.suspect_all()
    with pytest.raises(Unavailable):
        sweeping.collect()
    assert not sweeping.is_settled()
    sweeping.collect()
    assert sweeping.is_settled()
    assert len(scans) == 2


def test_suspected_store_that_was_deleted_is_no_error(site: Site) -> None:
    ended = claim(site)
    end(site, ended)
    sweeping = collector(site)
    sweeping.suspect(site.store_id, ended.id)
    site.database.write(lambda transaction: stores.delete_dicom_store(transaction, STORE))
    sweeping.collect()

    assert not site.blobs.exists()


def old_file(path: Path) -> Path:
    path.write_bytes(b"half a blob")
    hours_ago = time.time() - 2 * 3600
    os.utime(path, (hours_ago, hours_ago))
    return path


def test_temporary_files_of_lost_workers_go_once_they_rest(site: Site) -> None:
    lost = old_file(site.blobs / "tmp" / ".fileroom-lost-1")
    living = site.blobs / "tmp" / ".fileroom-living-1"
    living.write_bytes(b"half a blob")
    collector(site).collect()

    assert not lost.exists()
    assert living.exists()


# Facts that are spent


def test_spent_tombstones_and_expired_operations_are_forgotten(site: Site) -> None:
    def fill(transaction: Connection) -> None:
        add_tombstone(transaction, site.store_id, "1.2")
        for _ in range(20):
            add_operation(transaction)
        transaction.execute(
            schema.operations.update().values(state="DONE", expires_at=now_microseconds() - 1)
        )

    site.database.write(fill)
    collector(site).collect()

    with site.database.read() as connection:
        assert all_rows(connection, schema.tombstones) == []
        assert all_rows(connection, schema.operations) == []


# The thread


def test_collector_collects_by_itself_until_it_is_stopped(site: Site) -> None:
    (record,) = write_blobs(site, 1, writer=1)
    drop(site, record.place)
    collecting = collector(site)
    collecting.start()
    wait_until(lambda: drops(site) == set())
    collecting.stop()
    drop(site, replace(record.place, key="00/later"))
    time.sleep(0.05)

    assert drops(site) == {("00/later", record.place.offset)}


def test_collector_outlives_a_fault_of_the_environment(site: Site) -> None:
    (record,) = write_blobs(site, 1, writer=1)
    drop(site, record.place)
    elsewhere = site.blobs.with_name("elsewhere")
    site.blobs.rename(elsewhere)
    collecting = collector(site)
    collecting.start()
    time.sleep(0.05)
    elsewhere.rename(site.blobs)
    wait_until(lambda: drops(site) == set())
    collecting.stop()

    assert site.blob_files() == set()


def test_collector_outlives_a_fault_of_its_own(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    (record,) = write_blobs(site, 1, writer=1)
    drop(site, record.place)
    with monkeypatch.context() as patch:
        patch.setattr(collection, "take_due_drops", lambda _: 1 / 0)
        collecting = collector(site)
        collecting.start()
        time.sleep(0.05)
    wait_until(lambda: drops(site) == set())
    collecting.stop()


def test_end_of_the_server_does_not_wait_for_a_long_slice(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fileroom.archive.collect.STOP_SECONDS", 0.05)
    begun, go = threading.Event(), threading.Event()

    def long(_: Connection) -> list[object]:
        begun.set()
        go.wait(10)
        return []

    monkeypatch.setattr(collection, "living_stores", long)
    collecting = collector(site)
    collecting.start()
    begun.wait(10)
    began = time.monotonic()
    collecting.stop()
    go.set()

    assert time.monotonic() - began < 5


def test_store_made_later_under_the_same_name_is_left_alone(site: Site) -> None:
    store(site, write_blobs(site, 1, writer=1), writer=1)
    site.database.write(lambda transaction: stores.delete_dicom_store(transaction, STORE))
    again = site.database.write(lambda transaction: new_store(transaction, STORE))
    other = site.database.write(
        lambda transaction: new_store(transaction, DicomStoreName(DATASET, "other"))
    )
    for store_id in (again, other):
        with site.database.read() as connection:
            living = {area.id: area for area in collection.living_stores(connection)}
        (root_of(site.facilities.blobs) / living[store_id].blob_prefix / "tmp").mkdir(parents=True)
    collector(site).collect()

    with site.database.read() as connection:
        assert {row.id for row in all_rows(connection, schema.dicom_stores)} == {again, other}
    assert not site.blobs.exists()
