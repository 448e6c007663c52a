"""Which blobs, rows and tombstones may go, and when."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

from sqlalchemy import delete, select, update

from fileroom.database import collection, operations, schema, stores
from fileroom.database.collection import KnownPlace, StoreArea
from fileroom.database.comparing import KnownPlaces
from fileroom.database.engine import now_microseconds
from fileroom.database.instances import (
    Place,
    PlaceKind,
    StoreWrite,
    queue_blob_drops,
    queue_drops,
    store_records,
)
from fileroom.names import DicomStoreName
from tests.unit.database.rows import (
    DATASET,
    HOUR,
    STORE,
    add_claimed,
    add_tombstone,
    all_rows,
    new_store,
    record,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pytest
    from sqlalchemy import Table

    from fileroom.database.engine import Connection
    from fileroom.database.instances import InstanceRecord

KEY = ("1.2", "1.2.1", "1.2.1.1")


def drop(
    transaction: Connection, store_id: int, key: str, *, in_future: int = 0, kind: int = 0
) -> None:
    place = Place(key=key, size=1, sha256=None, kind=PlaceKind(kind))
    queue_drops(transaction, store_id, [(place, KEY)], not_before=now_microseconds() + in_future)


def taken(transaction: Connection) -> list[str]:
    return [each.place_key for each in collection.take_due_drops(transaction)]


def store(transaction: Connection, store_id: int, *records: InstanceRecord) -> None:
    store_records(transaction, StoreWrite(store_id=store_id, operation_id=1), records)


def delete_store(transaction: Connection, name: DicomStoreName = STORE) -> StoreArea:
    deleted = stores.delete_dicom_store(transaction, name)
    return StoreArea(id=deleted.id, blob_prefix=deleted.blob_prefix)


def finish(transaction: Connection, operation: operations.Operation) -> None:
    operations.finish_operation(transaction, operation, listed=0, retention_microseconds=HOUR)


def counts(transaction: Connection, tables: Sequence[Table], store_id: int) -> dict[str, int]:
    return {
        table.name: sum(row.store_id == store_id for row in all_rows(transaction, table))
        for table in tables
    }


# Drops


def test_drop_waits_for_its_time(transaction: Connection, store_id: int) -> None:
    drop(transaction, store_id, "due")
    drop(transaction, store_id, "later", in_future=HOUR)

    assert taken(transaction) == ["due"]


def test_drop_says_where_the_blob_lies(transaction: Connection, store_id: int) -> None:
    drop(transaction, store_id, "a", kind=PlaceKind.REFERENCE)

    (one,) = collection.take_due_drops(transaction)

    assert one.blob_prefix == stores.get_dicom_store(transaction, STORE).blob_prefix
    assert one.place is PlaceKind.REFERENCE


def test_drop_that_a_crash_left_half_done_is_taken_again(
    transaction: Connection, store_id: int
) -> None:
    drop(transaction, store_id, "a")
    first = collection.take_due_drops(transaction)

    again = collection.take_due_drops(transaction)

    assert again == first
    collection.forget_drops(transaction, [one.id for one in again])
    assert collection.take_due_drops(transaction) == []
    assert all_rows(transaction, schema.blob_drops) == []


def test_drop_that_cannot_be_carried_out_waits_behind_the_others(
    transaction: Connection, store_id: int
) -> None:
    drop(transaction, store_id, "stuck")
    (stuck,) = collection.take_due_drops(transaction)

    collection.put_off_drops(transaction, [stuck.id], seconds=60)

    assert taken(transaction) == []
    assert [row.place_key for row in all_rows(transaction, schema.blob_drops)] == ["stuck"]
    collection.put_off_drops(transaction, [stuck.id], seconds=-1)
    assert taken(transaction) == ["stuck"]


def test_name_that_is_in_a_row_is_never_dropped(transaction: Connection, store_id: int) -> None:
    stored = record(0, KEY)
    store(transaction, store_id, stored)
    drop(transaction, store_id, stored.place.key)
    drop(transaction, store_id, "other")

    assert taken(transaction) == ["other"]
    assert [row.place_key for row in all_rows(transaction, schema.blob_drops)] == ["other"]


def test_name_in_a_row_of_another_store_is_another_name(
    transaction: Connection, store_id: int
) -> None:
    other = new_store(transaction, DicomStoreName(DATASET, "other"))
    stored = record(0, KEY)
    store(transaction, other, stored)
    drop(transaction, store_id, stored.place.key)

    assert taken(transaction) == [stored.place.key]


def test_name_is_queued_once(transaction: Connection, store_id: int) -> None:
    drop(transaction, store_id, "a")
    drop(transaction, store_id, "a", in_future=HOUR)

    assert taken(transaction) == ["a"]
    assert len(all_rows(transaction, schema.blob_drops)) == 1


def test_drops_are_taken_some_at_a_time(
    transaction: Connection, store_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collection, "DROPS_MAX", 2)
    for key in "abc":
        drop(transaction, store_id, key)
    first = collection.take_due_drops(transaction)
    collection.forget_drops(transaction, [one.id for one in first])

    assert len(first) == 2
    assert len(taken(transaction)) == 1


# Deleted stores


def test_deleted_store_is_purged_once_no_operation_runs_on_it(
    transaction: Connection, store_id: int
) -> None:
    operation = add_claimed(transaction, store_id=store_id)
    area = delete_store(transaction)
    assert collection.deleted_stores(transaction) == []
    finish(transaction, operation)

    assert collection.deleted_stores(transaction) == [area]


def test_living_store_is_not_purged(transaction: Connection, store_id: int) -> None:
    assert collection.deleted_stores(transaction) == []
    assert [area.id for area in collection.living_stores(transaction)] == [store_id]


def test_purge_deletes_all_of_a_store_in_slices_and_nothing_else(
    transaction: Connection, store_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collection, "ROWS_MAX", 3)
    other = new_store(transaction, DicomStoreName(DATASET, "other"))
    keys = [(f"1.{n % 3}", f"1.{n % 3}.{n % 2}", f"2.{n}") for n in range(10)]
    for each in (store_id, other):
        store(transaction, each, *(record(n, key) for n, key in enumerate(keys)))
        drop(transaction, each, "a")
        add_tombstone(transaction, each, "1.2")
    tables = [
        schema.instances,
        schema.series,
        schema.studies,
        schema.blob_drops,
        schema.tombstones,
    ]
    kept = counts(transaction, tables, other)
    area = delete_store(transaction)
    slices = 0
    while True:
        before = sum(counts(transaction, tables, store_id).values())
        if not collection.purge_rows(transaction, area):
            break
        slices += 1
        assert 0 < before - sum(counts(transaction, tables, store_id).values()) <= 3
    collection.forget_store(transaction, area)

    assert slices >= 4 + 2 + 1 + 1 + 1
    assert counts(transaction, tables, store_id) == dict.fromkeys(kept, 0)
    assert counts(transaction, tables, other) == kept
    assert len(all_rows(transaction, schema.headers)) == len(keys)
    assert [row.id for row in all_rows(transaction, schema.dicom_stores)] == [other]


def test_living_store_is_not_forgotten(transaction: Connection, store_id: int) -> None:
    collection.forget_store(transaction, StoreArea(id=store_id, blob_prefix=""))

    assert [row.id for row in all_rows(transaction, schema.dicom_stores)] == [store_id]


def test_store_of_the_same_name_never_gets_the_number_of_one_that_is_gone(
    transaction: Connection, store_id: int
) -> None:
    collection.forget_store(transaction, delete_store(transaction))

    assert new_store(transaction) > store_id


# Tombstones


def test_tombstones_stay_while_any_operation_could_heed_them(
    transaction: Connection, store_id: int
) -> None:
    running = [add_claimed(transaction, store_id=store_id) for _ in range(2)]
    add_tombstone(transaction, store_id, "1.2")
    for operation in running:
        collection.forget_spent_tombstones(transaction)
        assert len(all_rows(transaction, schema.tombstones)) == 1
        finish(transaction, operation)
    collection.forget_spent_tombstones(transaction)

    assert all_rows(transaction, schema.tombstones) == []


def test_operation_on_another_store_holds_no_tombstone(
    transaction: Connection, store_id: int
) -> None:
    other = new_store(transaction, DicomStoreName(DATASET, "other"))
    add_claimed(transaction, store_id=other)
    add_tombstone(transaction, store_id, "1.2")
    collection.forget_spent_tombstones(transaction)

    assert all_rows(transaction, schema.tombstones) == []


# Comparing rows with blobs


def test_known_places_come_in_the_order_of_their_keys(
    transaction: Connection, store_id: int
) -> None:
    records = [record(n, ("1.2", "1.2.1", f"2.{n}"), str(n)) for n in range(4)]
    store(transaction, store_id, *records)
    drop(transaction, store_id, "00/queued")
    transaction.execute(
        update(schema.instances)
        .where(schema.instances.c.place_key == records[3].place.key)
        .values(place=PlaceKind.REFERENCE)
    )
    new_store(transaction, DicomStoreName(DATASET, "other"))

    table = schema.instances.c
    ids = transaction.execute(select(table.sop_instance_uid, table.id))
    row_ids = {row.sop_instance_uid: row.id for row in ids}
    with KnownPlaces(lambda: nullcontext(transaction), store_id, references=False) as places:
        found = list(places)

    expected = [
        *(
            KnownPlace(
                kind=one.place.kind,
                key=one.place.key,
                offset=one.place.offset,
                size=one.place.size,
                sha256=one.place.sha256,
                instance_id=row_ids[one.attributes.sop_instance_uid],
            )
            for one in records[:3]
        ),
        KnownPlace(kind=PlaceKind.OWN_BLOB, key="00/queued", offset=0, size=None, sha256=None),
    ]
    assert found == sorted(expected, key=lambda place: (place.key, place.offset))


def test_writers_are_unfinished_until_their_operation_ended(
    transaction: Connection, store_id: int
) -> None:
    ended, running = (add_claimed(transaction, store_id=store_id) for _ in range(2))
    finish(transaction, ended)

    assert collection.unfinished_writers(transaction, store_id) == {running.id}
    assert collection.newest_writer(transaction) == running.id


def test_whole_blobs_are_queued_to_be_dropped_at_once(
    transaction: Connection, store_id: int
) -> None:
    queue_blob_drops(transaction, store_id, ["a", "b"])
    queue_blob_drops(transaction, store_id, ["b"])

    assert taken(transaction) == ["a", "b"]


def test_place_is_still_named_as_long_as_its_row_is_there(
    transaction: Connection, store_id: int
) -> None:
    stored = record(0, KEY)
    store(transaction, store_id, stored)
    keys = [stored.place.key, "gone"]

    named = collection.still_named(transaction, store_id, keys)

    assert named == {(stored.place.key, stored.place.offset)}
    transaction.execute(delete(schema.instances))
    assert collection.still_named(transaction, store_id, keys) == set()
