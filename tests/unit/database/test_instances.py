"""What becomes of a record, by what the store holds and which rules the writer goes by."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import insert, select, update

from fileroom.database import schema
from fileroom.database.engine import now_microseconds
from fileroom.database.instances import (
    DuplicatePolicy,
    Result,
    StoreWrite,
    current_change_seq,
    store_records,
)
from fileroom.errors import Code, NotFound, Reason
from fileroom.names import DicomStoreName
from tests.unit.database.rows import DATASET, HOUR, add_tombstone, all_rows, new_store, record

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Row

    from fileroom.database.engine import Connection
    from fileroom.database.instances import InstanceKey, InstanceRecord

pytestmark = pytest.mark.usefixtures("copied")
KEY = ("1.2", "1.2.1", "1.2.1.1")
NEIGHBOUR = ("1.2", "1.2.1", "1.2.1.2")
FAIL, KEEP, REPLACE = DuplicatePolicy


def stored(
    transaction: Connection,
    store_id: int,
    *records: InstanceRecord,
    operation: int = 1,
    policy: DuplicatePolicy = FAIL,
    start_seq: int | None = None,
    grace: int = 0,
) -> list[Result]:
    write = StoreWrite(
        store_id=store_id,
        operation_id=operation,
        policy=policy,
        start_seq=start_seq,
        grace_microseconds=grace,
    )
    return [result.result for result in store_records(transaction, write, records)]


def only_instance(transaction: Connection) -> Row[*tuple[object, ...]]:
    (row,) = all_rows(transaction, schema.instances)
    return row


def dropped(transaction: Connection) -> dict[str, InstanceKey]:
    return {
        row.place_key: (row.study_instance_uid, row.series_instance_uid, row.sop_instance_uid)
        for row in all_rows(transaction, schema.blob_drops)
    }


def series_sums(transaction: Connection) -> list[tuple[str, int, int]]:
    table = schema.series.c
    rows = transaction.execute(
        select(table.series_instance_uid, table.instance_count, table.bytes).order_by(table.id)
    )
    return [(row.series_instance_uid, row.instance_count, row.bytes) for row in rows]


def test_new_instance_gets_its_rows(transaction: Connection, store_id: int) -> None:
    made = record(0, KEY, "abc", patient_id="P1", patient_name="Sample^Sam", modality="CT")

    assert stored(transaction, store_id, made, operation=7) == [Result.IMPORTED]

    row = only_instance(transaction)
    (study,) = all_rows(transaction, schema.studies)
    (series,) = all_rows(transaction, schema.series)
    (header,) = all_rows(transaction, schema.headers)
    seq = current_change_seq(transaction, store_id)
    assert (row.sop_instance_uid, row.series_id, row.store_id) == (KEY[2], series.id, store_id)
    assert (row.place, row.place_key, row.place_offset) == (0, made.place.key, 0)
    assert (row.size, row.sha256) == (3, made.place.sha256)
    assert (row.created_seq, row.changed_seq, row.operation_id) == (seq, seq, 7)
    assert (header.instance_id, header.z) == (row.id, b"header")
    assert (study.study_instance_uid, study.patient_id, study.described_by) == (
        KEY[0],
        "P1",
        row.id,
    )
    assert (study.patient_name, study.patient_name_key) == ("Sample^Sam", " sample sam")
    assert (series.modality, series.described_by, series.changed_seq) == ("CT", row.id, seq)
    assert series_sums(transaction) == [(KEY[1], 1, 3)]
    assert dropped(transaction) == {}


def test_header_too_large_to_keep_gets_no_row(transaction: Connection, store_id: int) -> None:
    stored(transaction, store_id, record(0, header=None))

    assert all_rows(transaction, schema.headers) == []


def test_identical_instance_is_stored_once(transaction: Connection, store_id: int) -> None:
    first, again = record(0, KEY, "a"), record(0, KEY, "a", operation=2)
    stored(transaction, store_id, first)
    before = only_instance(transaction)

    assert stored(transaction, store_id, again, operation=2) == [Result.IDENTICAL]

    assert only_instance(transaction) == before
    assert dropped(transaction) == {again.place.key: KEY}
    assert series_sums(transaction) == [(KEY[1], 1, 1)]


def test_identical_instance_does_not_change_its_series(
    transaction: Connection, store_id: int
) -> None:
    stored(transaction, store_id, record(0))
    before = all_rows(transaction, schema.series)
    stored(transaction, store_id, record(0, operation=2), operation=2)

    assert all_rows(transaction, schema.series) == before


def test_differing_instance_fails_as_google_says(transaction: Connection, store_id: int) -> None:
    first, other = record(0, KEY, "a"), record(0, KEY, "bb", operation=2)
    stored(transaction, store_id, first)
    write = StoreWrite(store_id=store_id, operation_id=2)

    (result,) = store_records(transaction, write, [other])

    assert result.result is Result.FAILED
    assert (result.reason, result.code) == (Reason.DUPLICATE_DIFFERENT, Code.ALREADY_EXISTS)
    assert result.message == (
        "An instance already exists in this DICOM Store with the same Study/Series/SOPInstance "
        "UID, but the DICOM files differ (checksum mismatch)."
    )
    assert only_instance(transaction).place_key == first.place.key
    assert dropped(transaction) == {other.place.key: KEY}


def test_reference_without_checksum_is_never_taken_for_identical(
    transaction: Connection, store_id: int
) -> None:
    stored(transaction, store_id, record(0))
    transaction.execute(update(schema.instances).values(sha256=None))

    assert stored(transaction, store_id, record(1, operation=2)) == [Result.FAILED]


def test_keep_first_keeps_the_first(transaction: Connection, store_id: int) -> None:
    first, other = record(0, KEY, "a"), record(0, KEY, "bb", operation=2)
    stored(transaction, store_id, first)

    assert stored(transaction, store_id, other, operation=2, policy=KEEP) == [Result.KEPT]
    assert only_instance(transaction).place_key == first.place.key
    assert dropped(transaction) == {other.place.key: KEY}


def test_replace_gives_the_row_new_bytes_in_place(transaction: Connection, store_id: int) -> None:
    old = record(0, KEY, "a", patient_id="P1", series_description="old")
    new = record(0, KEY, "bbb", operation=2, header=b"other", patient_id="P2")
    stored(transaction, store_id, old, record(1, NEIGHBOUR))
    before = all_rows(transaction, schema.instances)[0]
    transaction.execute(
        insert(schema.frame_tables).values(instance_id=before.id, chunk=0, z=b"old")
    )

    results = stored(transaction, store_id, new, operation=2, policy=REPLACE, grace=HOUR)

    assert results == [Result.REPLACED]
    after = all_rows(transaction, schema.instances)[0]
    assert (after.id, after.created_seq) == (before.id, before.created_seq)
    assert after.changed_seq == current_change_seq(transaction, store_id) > before.changed_seq
    assert (after.place_key, after.size, after.sha256) == (
        new.place.key,
        3,
        new.place.sha256,
    )
    assert after.operation_id == 2
    assert [row.z for row in all_rows(transaction, schema.headers)] == [b"other", b"header"]
    assert all_rows(transaction, schema.frame_tables) == []
    assert series_sums(transaction) == [(KEY[1], 2, 4)]
    assert all_rows(transaction, schema.series)[0].changed_seq == after.changed_seq
    (study,) = all_rows(transaction, schema.studies)
    assert (study.patient_id, study.described_by) == ("P2", before.id)
    assert all_rows(transaction, schema.series)[0].series_description is None


def test_replaced_bytes_stay_for_their_grace(transaction: Connection, store_id: int) -> None:
    old, new = record(0, KEY, "a"), record(0, KEY, "b", operation=2)
    stored(transaction, store_id, old)
    began = now_microseconds()
    stored(transaction, store_id, new, operation=2, policy=REPLACE, grace=HOUR)

    (drop,) = all_rows(transaction, schema.blob_drops)
    assert (drop.place_key, drop.state) == (old.place.key, "QUEUED")
    assert began + HOUR <= drop.not_before <= now_microseconds() + HOUR


def test_replacing_another_instance_leaves_what_describes_the_study(
    transaction: Connection, store_id: int
) -> None:
    stored(transaction, store_id, record(0, KEY, patient_id="P1"), record(1, NEIGHBOUR))
    before = all_rows(transaction, schema.studies)
    other = record(0, NEIGHBOUR, "b", operation=2, patient_id="P2")

    assert stored(transaction, store_id, other, operation=2, policy=REPLACE) == [Result.REPLACED]
    assert all_rows(transaction, schema.studies) == before


def test_replace_with_the_same_bytes_changes_nothing(
    transaction: Connection, store_id: int
) -> None:
    stored(transaction, store_id, record(0, KEY, "a"))
    again = record(0, KEY, "a", operation=2)

    assert stored(transaction, store_id, again, operation=2, policy=REPLACE) == [Result.IDENTICAL]
    assert dropped(transaction) == {again.place.key: KEY}


def test_replace_never_replaces_what_the_same_operation_wrote(
    transaction: Connection, store_id: int
) -> None:
    first, second = record(0, KEY, "a"), record(1, KEY, "b")
    assert stored(transaction, store_id, first, policy=REPLACE) == [Result.IMPORTED]

    assert stored(transaction, store_id, second, policy=REPLACE) == [Result.KEPT]
    assert only_instance(transaction).place_key == first.place.key
    assert dropped(transaction) == {second.place.key: KEY}


def test_replace_without_an_operation_replaces_what_was_stored_without_one(
    transaction: Connection, store_id: int
) -> None:
    write = StoreWrite(store_id=store_id, policy=REPLACE)
    store_records(transaction, write, [record(0, KEY, "a")])

    first, second = store_records(transaction, write, [record(1, KEY, "b"), record(2, KEY, "c")])

    assert (first.result, second.result) == (Result.REPLACED, Result.KEPT)


@pytest.mark.parametrize("content", ["a", "c"])
def test_replace_by_two_of_one_batch_takes_the_first_only(
    transaction: Connection, store_id: int, content: str
) -> None:
    """Also where the second is what the first replaced."""
    old = record(0, KEY, "a")
    stored(transaction, store_id, old)
    first = record(0, KEY, "bb", operation=2)
    second = record(1, KEY, content, operation=2)

    results = stored(transaction, store_id, second, first, operation=2, policy=REPLACE)

    assert results == [Result.KEPT, Result.REPLACED]
    assert only_instance(transaction).place_key == first.place.key
    assert dropped(transaction) == {old.place.key: KEY, second.place.key: KEY}
    assert series_sums(transaction) == [(KEY[1], 1, 2)]


@pytest.mark.parametrize(
    ("policy", "content", "expected"),
    [
        (FAIL, "a", Result.IDENTICAL),
        (FAIL, "b", Result.FAILED),
        (KEEP, "b", Result.KEPT),
        (REPLACE, "b", Result.KEPT),
    ],
)
def test_first_listed_of_two_in_one_batch_wins(
    transaction: Connection,
    store_id: int,
    policy: DuplicatePolicy,
    content: str,
    expected: Result,
) -> None:
    first, second = record(3, KEY, "a"), record(4, KEY, content)

    assert stored(transaction, store_id, second, first, policy=policy) == [
        expected,
        Result.IMPORTED,
    ]
    assert only_instance(transaction).place_key == first.place.key
    assert dropped(transaction) == {second.place.key: KEY}


@pytest.mark.parametrize(
    ("level", "kept"),
    [
        (KEY[:1], {KEY, NEIGHBOUR, ("1.2", "1.2.9", "1.2.9.1")}),
        (KEY[:2], {KEY, NEIGHBOUR}),
        (KEY, {KEY}),
    ],
    ids=["study", "series", "instance"],
)
def test_what_was_deleted_meanwhile_is_not_brought_back(
    transaction: Connection, store_id: int, level: Sequence[str], kept: set[InstanceKey]
) -> None:
    keys: list[InstanceKey] = [
        KEY,
        NEIGHBOUR,
        ("1.2", "1.2.9", "1.2.9.1"),
        ("1.3", "1.2.1", "1.2.1.1"),
    ]
    start_seq = current_change_seq(transaction, store_id)
    add_tombstone(transaction, store_id, *level)
    write = StoreWrite(store_id=store_id, operation_id=1, start_seq=start_seq)
    records = [record(ordinal, key) for ordinal, key in enumerate(keys)]

    results = store_records(transaction, write, records)

    by_key = dict(zip(keys, results, strict=True))
    assert {key for key in keys if by_key[key].result is Result.KEPT} == kept
    assert {by_key[key].reason for key in kept} == {Reason.DELETED_MEANWHILE}
    assert all(by_key[key].result is Result.IMPORTED for key in set(keys) - kept)
    assert set(dropped(transaction).values()) == kept


def test_deletion_before_the_operation_began_is_no_matter(
    transaction: Connection, store_id: int
) -> None:
    add_tombstone(transaction, store_id, KEY[0])
    start_seq = current_change_seq(transaction, store_id)

    assert stored(transaction, store_id, record(0), start_seq=start_seq) == [Result.IMPORTED]


def test_deletion_in_another_store_is_no_matter(transaction: Connection, store_id: int) -> None:
    other = new_store(transaction, DicomStoreName(DATASET, "other"))
    add_tombstone(transaction, other, KEY[0])

    assert stored(transaction, store_id, record(0), start_seq=0) == [Result.IMPORTED]


@pytest.mark.parametrize("table", [schema.studies, schema.series], ids=["study", "series"])
def test_instance_of_a_study_under_deletion_fails_alone(
    transaction: Connection, store_id: int, table: type[object]
) -> None:
    stored(transaction, store_id, record(0, KEY))
    transaction.execute(update(table).values(state="DELETING"))
    elsewhere = ("1.3", "1.3.1", "1.3.1.1")
    write = StoreWrite(store_id=store_id, operation_id=2)
    records = [record(0, NEIGHBOUR, operation=2), record(1, elsewhere, operation=2)]

    refused, other = store_records(transaction, write, records)

    assert (refused.result, refused.reason, refused.code) == (
        Result.FAILED,
        Reason.STUDY_DELETING,
        Code.ABORTED,
    )
    assert other.result is Result.IMPORTED
    assert dropped(transaction) == {records[0].place.key: NEIGHBOUR}


def test_deleted_store_takes_nothing(transaction: Connection, store_id: int) -> None:
    transaction.execute(update(schema.dicom_stores).values(deleted_at=1))

    with pytest.raises(NotFound, match="deleted meanwhile"):
        stored(transaction, store_id, record(0))
    assert all_rows(transaction, schema.instances) == []


def test_instance_is_known_by_all_three_uids(transaction: Connection, store_id: int) -> None:
    keys: list[InstanceKey] = [
        ("1.2", "1.2.1", "9"),
        ("1.2", "1.2.2", "9"),
        ("1.3", "1.2.1", "9"),
    ]
    records = [record(ordinal, key, str(ordinal)) for ordinal, key in enumerate(keys)]

    assert stored(transaction, store_id, *records) == [Result.IMPORTED] * 3
    assert series_sums(transaction) == [("1.2.1", 1, 1), ("1.2.2", 1, 1), ("1.2.1", 1, 1)]


def test_stores_know_nothing_of_each_other(transaction: Connection, store_id: int) -> None:
    other = new_store(transaction, DicomStoreName(DATASET, "other"))
    stored(transaction, store_id, record(0, KEY, "a"))

    assert stored(transaction, other, record(0, KEY, "b")) == [Result.IMPORTED]
    assert current_change_seq(transaction, other) == 1


def test_study_is_described_by_its_instance_of_the_lowest_id(
    transaction: Connection, store_id: int
) -> None:
    first = record(0, ("1.2", "1.2.1", "5"), patient_id="first")
    stored(transaction, store_id, first)
    lower = record(1, ("1.2", "1.2.0", "1"), patient_id="lower key, higher id")
    stored(transaction, store_id, lower)

    instances = all_rows(transaction, schema.instances)
    (study,) = all_rows(transaction, schema.studies)
    assert (study.patient_id, study.described_by) == ("first", instances[0].id)
    by_series = {row.series_instance_uid: row for row in all_rows(transaction, schema.series)}
    assert by_series["1.2.0"].described_by == instances[1].id


def test_batch_of_the_largest_size_is_counted_exactly(
    transaction: Connection, store_id: int
) -> None:
    keys = [(f"1.{n % 3}", f"1.{n % 3}.{n % 7}", f"2.{n}") for n in range(250)]
    records = [record(n, key, "x" * (n % 5 + 1)) for n, key in enumerate(keys)]

    assert stored(transaction, store_id, *records) == [Result.IMPORTED] * 250

    sums = series_sums(transaction)
    assert (len(sums), sum(count for _, count, _ in sums)) == (21, 250)
    assert sum(size for *_, size in sums) == sum(each.place.size for each in records)


def test_empty_batch_is_no_error(transaction: Connection, store_id: int) -> None:
    assert stored(transaction, store_id) == []
