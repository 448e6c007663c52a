"""Which instances an export gives, in which order, up to which moment."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, update

from fileroom.database import exports, schema
from fileroom.database.instances import (
    DuplicatePolicy,
    InstanceKey,
    StoreWrite,
    current_change_seq,
    store_records,
)
from fileroom.names import DicomStoreName, InstancePath, Uid
from tests.unit.database.rows import DATASET, new_store, record

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fileroom.database.engine import Connection
    from fileroom.database.exports import StoredInstance
    from fileroom.database.instances import InstanceRecord

KEYS: list[InstanceKey] = [
    ("1.2", "1.2.2", "9.1"),
    ("1.2", "1.2.2", "10.1"),
    ("1.2", "1.2.1", "9.1"),
    ("1.3", "1.3.1", "9.1"),
    ("1.2.3", "1.2.1", "9.1"),
]


def path(*uids: str) -> InstancePath:
    return InstancePath(*map(Uid, uids))


def store(
    transaction: Connection, store_id: int, *records: InstanceRecord, operation: int = 1
) -> None:
    write = StoreWrite(store_id=store_id, operation_id=operation, policy=DuplicatePolicy.REPLACE)
    store_records(transaction, write, records)


@pytest.fixture
def horizon(transaction: Connection, store_id: int) -> int:
    """Store the instances, one batch each, and give the change of the last one."""
    for ordinal, key in enumerate(KEYS):
        store(transaction, store_id, record(ordinal, key, key[1]))
    return current_change_seq(transaction, store_id)


def uids(found: Sequence[StoredInstance]) -> list[InstanceKey]:
    return [
        (each.study_instance_uid, each.series_instance_uid, each.sop_instance_uid) for each in found
    ]


def listed(
    transaction: Connection, store_id: int, horizon: int, path: InstancePath | None = None
) -> list[InstanceKey]:
    found = exports.list_instances(
        transaction, store_id, horizon=horizon, path=path, after=(0, ""), at_most=100
    )
    count = exports.count_instances(transaction, store_id, horizon=horizon, path=path)
    assert count == len(found)
    return uids(found)


def test_instances_come_by_series_and_then_by_uid(
    transaction: Connection, store_id: int, horizon: int
) -> None:
    expected = [KEYS[1], KEYS[0], *KEYS[2:]]

    assert listed(transaction, store_id, horizon) == expected


def test_instance_comes_with_its_place(transaction: Connection, store_id: int) -> None:
    stored = record(0, KEYS[0], "abc")
    store(transaction, store_id, stored)

    (found,) = exports.list_instances(
        transaction, store_id, horizon=1, path=None, after=(0, ""), at_most=1
    )

    assert found.place == stored.place
    assert exports.find_instance(transaction, store_id, path(*KEYS[0])) == found


def test_what_was_stored_after_the_horizon_is_left_out(
    transaction: Connection, store_id: int, horizon: int
) -> None:
    store(transaction, store_id, record(9, ("1.2", "1.2.1", "9.2")))

    assert len(listed(transaction, store_id, horizon)) == len(KEYS)
    assert listed(transaction, store_id, horizon - 1) == [KEYS[1], KEYS[0], *KEYS[2:4]]
    assert len(listed(transaction, store_id, horizon + 1)) == len(KEYS) + 1


def test_replaced_instance_stays_in_the_export_with_its_new_bytes(
    transaction: Connection, store_id: int, horizon: int
) -> None:
    new = record(0, KEYS[0], "replaced", operation=2)
    store(transaction, store_id, new, operation=2)

    assert len(listed(transaction, store_id, horizon)) == len(KEYS)
    found = exports.find_instance(transaction, store_id, path(*KEYS[0]))
    assert found is not None
    assert found.place == new.place


@pytest.mark.parametrize("table", [schema.studies, schema.series], ids=["study", "series"])
def test_what_is_under_deletion_is_left_out(
    transaction: Connection, store_id: int, horizon: int, table: type[object]
) -> None:
    transaction.execute(update(table).values(state="DELETING"))

    assert listed(transaction, store_id, horizon) == []


@pytest.mark.parametrize(
    ("only", "expected"),
    [
        (("1.2",), [KEYS[1], KEYS[0], KEYS[2]]),
        (("1.2", "1.2.1"), [KEYS[2]]),
        (("1.2", "1.2.2", "9.1"), [KEYS[0]]),
        (("1.2", "1.2.2", "9"), []),
        (("1.9",), []),
    ],
)
def test_path_selects_a_study_a_series_or_an_instance(
    transaction: Connection,
    store_id: int,
    horizon: int,
    only: tuple[str, ...],
    expected: list[InstanceKey],
) -> None:
    assert listed(transaction, store_id, horizon, path(*only)) == expected


def test_other_stores_are_left_out(transaction: Connection, store_id: int, horizon: int) -> None:
    other = new_store(transaction, DicomStoreName(DATASET, "other"))

    assert listed(transaction, other, horizon) == []
    assert exports.find_instance(transaction, other, path(*KEYS[0])) is None


def test_deleted_instance_is_not_found(
    transaction: Connection, store_id: int, horizon: int
) -> None:
    transaction.execute(delete(schema.instances))

    assert exports.find_instance(transaction, store_id, path(*KEYS[0])) is None
    assert listed(transaction, store_id, horizon) == []


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=9),
    only=st.sampled_from([None, path("1.0"), path("1.1", "1.1.0")]),
)
def test_pages_of_any_size_give_what_one_query_gives(
    transaction: Connection, store_id: int, sizes: list[int], only: InstancePath | None
) -> None:
    if current_change_seq(transaction, store_id) == 0:
        keys = [(f"1.{n % 2}", f"1.{n % 2}.{n % 3}", f"9.{n}") for n in range(30)]
        store(transaction, store_id, *(record(n, key) for n, key in enumerate(keys)))
    whole = listed(transaction, store_id, 1, only)
    paged: list[InstanceKey] = []
    after: exports.Key = (0, "")
    turn = 0
    while page := exports.list_instances(
        transaction,
        store_id,
        horizon=1,
        path=only,
        after=after,
        at_most=sizes[turn % len(sizes)],
    ):
        paged += uids(page)
        after = page[-1].key
        turn += 1

    assert paged == whole
