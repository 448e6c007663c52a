"""Any history of batches, policies and deletions leaves what a dictionary would hold."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from sqlalchemy import Row, select

from fileroom.database import schema
from fileroom.database.instances import (
    DuplicatePolicy,
    InstanceKey,
    InstanceRecord,
    Result,
    StoreWrite,
    current_change_seq,
    record_key,
    store_records,
)
from fileroom.names import DicomStoreName
from tests.unit.database.rows import DATASET, add_tombstone, new_store, record

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

    from sqlalchemy import Table

    from fileroom.database.engine import Connection

KEYS: list[InstanceKey] = [
    (f"1.{study}", f"1.{study}.{series}", f"1.{study}.{series}.{instance}")
    for study in range(2)
    for series in range(2)
    for instance in range(2)
]
OPERATIONS = range(3)
_store_numbers = count()

keys = st.sampled_from(KEYS)
contents = st.sampled_from(["a", "bb", "ccc"])
operations = st.sampled_from(OPERATIONS)


@dataclass(slots=True)
class Model:
    """What a store holds, in the plainest words."""

    rows: dict[InstanceKey, tuple[InstanceRecord, int]]
    """The record that is stored, and the operation that stored it."""
    dropped: set[str]
    deletions: list[Sequence[str]]

    def store(
        self, record: InstanceRecord, operation: int, began: int, policy: DuplicatePolicy
    ) -> Result:
        key = record_key(record)
        if any(key[: len(deleted)] == tuple(deleted) for deleted in self.deletions[began:]):
            result = Result.KEPT
        elif key not in self.rows:
            result = Result.IMPORTED
        elif self.rows[key][0].place.sha256 == record.place.sha256:
            result = Result.IDENTICAL
        elif policy is DuplicatePolicy.FAIL_IF_DIFFERENT:
            result = Result.FAILED
        elif policy is DuplicatePolicy.KEEP_FIRST or self.rows[key][1] == operation:
            result = Result.KEPT
        else:
            result = Result.REPLACED
        if result is Result.REPLACED:
            self.dropped.add(self.rows[key][0].place.key)
        if result in {Result.IMPORTED, Result.REPLACED}:
            self.rows[key] = (record, operation)
        else:
            self.dropped.add(record.place.key)
        return result


class Machine(RuleBasedStateMachine):
    """A store of its own for each history, in one transaction for all."""

    def __init__(self, transaction: Connection) -> None:
        super().__init__()
        self.transaction = transaction
        self.store_id = new_store(transaction, DicomStoreName(DATASET, f"s{next(_store_numbers)}"))
        self.model = Model({}, set(), [])
        self.start_seq = dict.fromkeys(OPERATIONS, 0)
        self.began = dict.fromkeys(OPERATIONS, 0)
        self.ordinals = dict.fromkeys(OPERATIONS, 0)

    @rule(operation=operations)
    def begin_again(self, operation: int) -> None:
        self.start_seq[operation] = current_change_seq(self.transaction, self.store_id)
        self.began[operation] = len(self.model.deletions)

    @rule(
        operation=operations,
        policy=st.sampled_from(DuplicatePolicy),
        objects=st.lists(st.tuples(keys, contents), min_size=1, max_size=8),
        shuffled=st.randoms(use_true_random=False),
    )
    def commit_batch(
        self,
        operation: int,
        policy: DuplicatePolicy,
        objects: list[tuple[InstanceKey, str]],
        shuffled: random.Random,
    ) -> None:
        first = self.ordinals[operation]
        self.ordinals[operation] += len(objects)
        records = [
            record(ordinal, key, content, operation=operation, patient_id=f"{operation}-{ordinal}")
            for ordinal, (key, content) in enumerate(objects, first)
        ]
        began = self.began[operation]
        expected = {
            each.ordinal: self.model.store(each, operation, began, policy) for each in records
        }
        write = StoreWrite(
            store_id=self.store_id,
            operation_id=operation,
            start_seq=self.start_seq[operation],
            policy=policy,
        )
        shuffled.shuffle(records)

        results = store_records(self.transaction, write, records)

        assert [each.record for each in results] == records
        assert {each.record.ordinal: each.result for each in results} == expected

    @rule(key=keys, level=st.integers(1, 3))
    def delete_meanwhile(self, key: InstanceKey, level: int) -> None:
        add_tombstone(self.transaction, self.store_id, *key[:level])
        self.model.deletions.append(key[:level])

    def rows(self, table: Table) -> Sequence[Row[*tuple[object, ...]]]:
        return self.transaction.execute(
            select(table).where(table.c.store_id == self.store_id).order_by(table.c.id)
        ).all()

    @invariant()
    def rows_are_those_of_the_model(self) -> None:
        studies = {row.id: row for row in self.rows(schema.studies)}
        series = {row.id: row for row in self.rows(schema.series)}
        found = {}
        for row in self.rows(schema.instances):
            owner = series[row.series_id]
            study = studies[owner.study_id].study_instance_uid
            key = (study, owner.series_instance_uid, row.sop_instance_uid)
            assert key not in found
            found[key] = (row.place_key, row.size, row.sha256, row.operation_id)
        assert found == {
            key: (one.place.key, one.place.size, one.place.sha256, operation)
            for key, (one, operation) in self.model.rows.items()
        }

    @invariant()
    def blobs_without_a_row_are_queued_once(self) -> None:
        queued = [row.place_key for row in self.rows(schema.blob_drops)]

        assert sorted(queued) == sorted(self.model.dropped)

    @invariant()
    def counts_are_exact(self) -> None:
        found = {
            row.series_instance_uid: (row.instance_count, row.bytes)
            for row in self.rows(schema.series)
        }
        sums = dict.fromkeys(found, (0, 0))
        for (_, series, _), (one, _) in self.model.rows.items():
            number, size = sums[series]
            sums[series] = (number + 1, size + one.place.size)
        assert found == sums
        assert all(number for number, _ in sums.values())

    @invariant()
    def lowest_instance_describes_its_study_and_series(self) -> None:
        instances = self.rows(schema.instances)
        series = {row.id: row for row in self.rows(schema.series)}
        places = {one.place.key: one for one, _ in self.model.rows.values()}
        for study in self.rows(schema.studies):
            first = next(row for row in instances if series[row.series_id].study_id == study.id)
            assert study.described_by == first.id
            assert study.patient_id == places[first.place_key].attributes.patient_id
        for one in series.values():
            first = next(row for row in instances if row.series_id == one.id)
            assert one.described_by == first.id


@pytest.mark.usefixtures("copied")
def test_any_history_of_batches_leaves_what_the_model_holds(transaction: Connection) -> None:
    class OneMachine(Machine):
        def __init__(self) -> None:
            super().__init__(transaction)

    run_state_machine_as_test(
        OneMachine,
        settings=settings(max_examples=25, stateful_step_count=10, deadline=None),
    )
