"""Objects outside the archive beside rows that are there already."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import pytest

from fileroom.database import collection, schema
from fileroom.database.comparing import KnownPlaces, find_references
from fileroom.database.instances import (
    DuplicatePolicy,
    InstanceRecord,
    KnownBytes,
    Place,
    PlaceKind,
    Result,
    StoreWrite,
    record_key,
    store_records,
)
from tests.unit.database.rows import all_rows, record

if TYPE_CHECKING:
    from fileroom.database.engine import Connection

URI: Final = "gs://outside/a"
A, B = b"a" * 32, b"b" * 32


def reference(
    version: str = "1", sha256: bytes | None = None, *, uri: str = URI, size: int = 3
) -> InstanceRecord:
    place = Place(kind=PlaceKind.REFERENCE, key=uri, size=size, sha256=sha256, version=version)
    return replace(record(0), source=uri, version=version, place=place)


def copy(sha256: bytes, *, uri: str = "gs://b/0", size: int = 3) -> InstanceRecord:
    place = Place(key="00/copy", size=size, sha256=sha256)
    return replace(record(0), source=uri, place=place)


def stored(
    transaction: Connection,
    store_id: int,
    new: InstanceRecord,
    *known: KnownBytes,
    operation: int = 2,
    policy: DuplicatePolicy = DuplicatePolicy.FAIL_IF_DIFFERENT,
) -> Result:
    write = StoreWrite(store_id=store_id, operation_id=operation, policy=policy, known=known)
    (result,) = store_records(transaction, write, [new])
    assert (result.stored is not None) == (result.result is Result.UNDECIDED)
    return result.result


def read(old: InstanceRecord, sha256: bytes | None) -> KnownBytes:
    """Tell of a row's source."""
    return KnownBytes(place=old.place, sha256=sha256)


CASES: Final = {
    "the same version": (reference(), reference(), Result.IDENTICAL),
    "a copy of the same version": (reference(), copy(A, uri=URI), Result.IDENTICAL),
    "equal checksums": (reference("1", A), reference("7", A, uri="gs://b/b"), Result.IDENTICAL),
    "other checksums": (reference("1", A), reference("7", B, uri="gs://b/b"), Result.FAILED),
    "a copy of equal checksum": (reference("1", A), copy(A), Result.IDENTICAL),
    "a reference to what was copied": (copy(A), reference("1", A), Result.IDENTICAL),
    "another length": (reference(), copy(A, size=4), Result.FAILED),
    "a copy that was never compared": (reference(), copy(A), Result.UNDECIDED),
    "an object that was never read": (copy(A), reference(), Result.UNDECIDED),
    "two that were never read": (reference(), reference(uri="gs://b/b"), Result.UNDECIDED),
    "another version": (reference(), reference("2", size=4), Result.UNDECIDED),
    "another version, checksums known": (reference("1", A), reference("2", A), Result.UNDECIDED),
}


@pytest.mark.parametrize(("old", "new", "result"), CASES.values(), ids=CASES.keys())
def test_identity_is_told_by_what_is_known(
    transaction: Connection,
    store_id: int,
    old: InstanceRecord,
    new: InstanceRecord,
    result: Result,
) -> None:
    stored(transaction, store_id, old)
    before = all_rows(transaction, schema.instances)

    assert stored(transaction, store_id, new) is result
    assert all_rows(transaction, schema.instances) == before


LOOKED: Final = {
    "equal": (A, copy(A), Result.IDENTICAL, A),
    "other": (B, copy(A), Result.FAILED, B),
    "equal, of an object": (A, reference("7", A, uri="gs://b/b"), Result.IDENTICAL, A),
    "a version that is there still": (B, reference("2", A), Result.FAILED, B),
    "gone, and another object": (None, copy(A), Result.FAILED, None),
}


@pytest.mark.parametrize(("found", "new", "result", "kept"), LOOKED.values(), ids=LOOKED.keys())
def test_a_look_at_the_source_decides_and_is_kept(
    transaction: Connection,
    store_id: int,
    found: bytes | None,
    new: InstanceRecord,
    result: Result,
    kept: bytes | None,
) -> None:
    old = reference()
    stored(transaction, store_id, old)

    assert stored(transaction, store_id, new, read(old, found)) is result
    (row,) = all_rows(transaction, schema.instances)
    assert (row.place_key, row.place_version, row.sha256) == (URI, "1", kept)


@pytest.mark.parametrize("new", [reference("2", A, size=9), copy(A, uri=URI)], ids=["by", "copy"])
@pytest.mark.parametrize("known", [None, A], ids=["unread", "read"])
def test_what_is_lost_is_replaced_by_its_object_as_it_is_now(
    transaction: Connection, store_id: int, new: InstanceRecord, known: bytes | None
) -> None:
    old = reference("1", known)
    stored(transaction, store_id, old)
    new = replace(new, version="2")

    assert stored(transaction, store_id, new, read(old, None)) is Result.REPLACED
    (row,) = all_rows(transaction, schema.instances)
    assert (row.place_key, row.size, row.sha256) == (new.place.key, new.place.size, A)
    (series,) = all_rows(transaction, schema.series)
    assert series.bytes == new.place.size


def test_a_look_at_another_version_tells_nothing(transaction: Connection, store_id: int) -> None:
    stored(transaction, store_id, reference("2"))
    assert stored(transaction, store_id, copy(A), read(reference("1"), A)) is Result.UNDECIDED


def test_replacing_leaves_the_object_alone(transaction: Connection, store_id: int) -> None:
    stored(transaction, store_id, reference())
    new = copy(A, size=9)
    result = stored(transaction, store_id, new, operation=3, policy=DuplicatePolicy.REPLACE)
    assert result is Result.REPLACED
    drops = collection.take_due_drops(transaction)
    assert {one.place for one in drops} <= {PlaceKind.REFERENCE}


def test_references_are_listed_with_their_instances(transaction: Connection, store_id: int) -> None:
    made = reference("5", A)
    stored(transaction, store_id, made)
    stored(transaction, store_id, record(1, ("1.2", "1.2.1", "1.2.1.9")))

    with KnownPlaces(lambda: nullcontext(transaction), store_id, references=True) as places:
        ids = [place.instance_id or 0 for place in places]
    ((path, place),) = find_references(transaction, ids).values()
    study, series, instance = record_key(made)
    assert str(path) == f"studies/{study}/series/{series}/instances/{instance}"
    assert place == made.place
