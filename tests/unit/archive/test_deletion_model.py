"""Any history of imports, deletions and collections leaves rows and blobs that agree.

Real blobs, real rows; the model is a dictionary. Imports write first and commit later, so that a
deletion comes between the two.
"""

from __future__ import annotations

import hashlib
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from fileroom.archive import deletion
from fileroom.archive.collect import Collector
from fileroom.archive.ingest import Content, Writer, store_contents
from fileroom.archive.retrieve import StoreContent
from fileroom.database import schema
from fileroom.database.instances import (
    DuplicatePolicy,
    InstanceKey,
    InstanceRecord,
    Result,
    StoreWrite,
    current_change_seq,
    deleting,
    record_key,
    store_records,
)
from fileroom.database.stored import find_stored_instance
from fileroom.errors import NotFound
from fileroom.names import InstancePath, Uid
from tests.places import of_row
from tests.unit.archive.holding import places
from tests.unit.database.rows import add_claimed, all_rows
from tests.unit.transfer.site import instance, opened_site

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sqlalchemy import Row, Table

KEYS: list[InstanceKey] = [
    (f"1.{study}", f"1.{study}.{series}", f"1.{study}.{series}.{number}")
    for study in range(2)
    for series in range(2)
    for number in range(2)
]
PATIENTS = {
    hashlib.sha256(instance(key, patient_id=patient)).digest(): patient
    for key in KEYS
    for patient in "abc"
}
"""Whose name stands in the file of a checksum."""
Prefix = tuple[str, ...]
OPERATIONS = 2
keys = st.sampled_from(KEYS)
patients = st.sampled_from(["a", "b", "c"])
_directories = count()


@dataclass(slots=True)
class Pending:
    """What an import has written and not committed."""

    operation: int
    policy: DuplicatePolicy
    records: list[InstanceRecord]


@dataclass(slots=True)
class Model:
    """What a store holds, in the plainest words."""

    rows: dict[InstanceKey, tuple[bytes, int]] = field(default_factory=dict)
    """SHA-256 of each instance, and the operation that stored it."""
    series: set[Prefix] = field(default_factory=set)
    doomed: set[Prefix] = field(default_factory=set)
    """Studies and series that are being deleted."""
    deletions: list[Prefix] = field(default_factory=list)

    def is_doomed(self, key: Prefix) -> bool:
        return key[:1] in self.doomed or key[:2] in self.doomed

    def exists(self, prefix: Prefix) -> bool:
        return any(one[: len(prefix)] == prefix for one in {*self.series, *self.doomed})

    def store(self, record: InstanceRecord, pending: Pending, began: int) -> Result:
        key, sha256 = record_key(record), record.place.sha256
        assert sha256 is not None
        if any(key[: len(gone)] == gone for gone in self.deletions[began:]):
            return Result.KEPT
        if self.is_doomed(key):
            self.series.add(key[:2])
            return Result.FAILED
        if key not in self.rows:
            result = Result.IMPORTED
        elif self.rows[key][0] == sha256:
            return Result.IDENTICAL
        elif pending.policy is DuplicatePolicy.FAIL_IF_DIFFERENT:
            return Result.FAILED
        elif pending.policy is DuplicatePolicy.KEEP_FIRST or self.rows[key][1] == pending.operation:
            return Result.KEPT
        else:
            result = Result.REPLACED
        self.rows[key] = (sha256, pending.operation)
        self.series.add(key[:2])
        return result

    def delete_rows(self, prefix: Prefix) -> None:
        for key in [key for key in self.rows if key[: len(prefix)] == prefix]:
            del self.rows[key]


class Machine(RuleBasedStateMachine):
    """A store of its own for each history."""

    def __init__(self, directory: Path) -> None:
        super().__init__()
        self.stack = ExitStack()
        self.site = self.stack.enter_context(opened_site(directory / str(next(_directories))))
        self.content = StoreContent(
            database=self.site.database,
            blobs=self.site.facilities.blobs,
            buckets=self.site.facilities.buckets,
            store_id=self.site.store_id,
            blob_prefix=self.site.blob_prefix,
        )
        self.operations = [
            self.site.database.write(lambda tx: add_claimed(tx, store_id=self.site.store_id)).id
            for _ in range(OPERATIONS)
        ]
        self.model = Model()
        self.pending: list[Pending] = []
        self.start_seq = [0] * OPERATIONS
        self.began = [0] * OPERATIONS
        self.ordinals = count()
        self.collector = Collector(
            self.site.database, self.content.blobs, interval_seconds=60, after_crash=False
        )

    def teardown(self) -> None:
        self.stack.close()

    @rule(operation=st.integers(0, OPERATIONS - 1))
    def begin_again(self, operation: int) -> None:
        with self.site.database.read() as connection:
            self.start_seq[operation] = current_change_seq(connection, self.site.store_id)
        self.began[operation] = len(self.model.deletions)

    @initialize(patient=patients)
    def fill(self, patient: str) -> None:
        self.write(0, DuplicatePolicy.FAIL_IF_DIFFERENT, [(key, patient) for key in KEYS])
        self.commit()

    @rule(
        operation=st.integers(0, OPERATIONS - 1),
        policy=st.sampled_from(DuplicatePolicy),
        objects=st.lists(st.tuples(keys, patients), min_size=3, max_size=8),
    )
    def write(
        self, operation: int, policy: DuplicatePolicy, objects: list[tuple[InstanceKey, str]]
    ) -> None:
        bucket = self.content.blobs.bucket(self.content.blob_prefix)
        contents = [
            Content(
                ordinal=next(self.ordinals),
                source="gs://b/o",
                version=None,
                data=instance(key, patient_id=patient),
            )
            for key, patient in objects
        ]
        writer = Writer(bucket=bucket, number=self.operations[operation])
        records = store_contents(writer, iter(contents), _refuse)
        self.pending.append(Pending(operation, policy, records))

    @rule()
    def commit(self) -> None:
        if not self.pending:
            return
        pending = self.pending.pop(0)
        operation, began = pending.operation, self.began[pending.operation]
        expected = [self.model.store(each, pending, began) for each in pending.records]
        write = StoreWrite(
            store_id=self.site.store_id,
            operation_id=self.operations[operation],
            start_seq=self.start_seq[operation],
            policy=pending.policy,
        )
        results = self.site.database.write(lambda tx: store_records(tx, write, pending.records))
        assert [each.result for each in results] == expected

    @rule(key=keys)
    def delete_instance(self, key: InstanceKey) -> None:
        if key not in self.model.rows or self.model.is_doomed(key):
            with pytest.raises(NotFound):
                deletion.delete_instance(self.content, path_of(key), grace_seconds=0)
            return
        deletion.delete_instance(self.content, path_of(key), grace_seconds=0)
        self.model.delete_rows(key)
        self.model.deletions.append(key)
        if not any(other[:2] == key[:2] for other in self.model.rows):
            self.model.series.discard(key[:2])

    @rule(key=keys, level=st.integers(1, 2))
    def begin_deletion(self, key: InstanceKey, level: int) -> None:
        prefix = key[:level]
        begin = partial(deleting.begin_deletion, store_id=self.site.store_id, path=path_of(prefix))
        change = lambda tx, known: begin(tx, known=known)  # noqa: E731 - one line says it
        if not self.model.exists(prefix):
            with pytest.raises(NotFound):
                deletion.with_descriptions(self.content, change)
            return
        deletion.with_descriptions(self.content, change)
        self.model.doomed.add(prefix)
        self.model.deletions.append(prefix)

    @rule(data=st.data())
    def delete_slice(self, data: st.DataObject) -> None:
        if not self.model.doomed:
            return
        prefix = data.draw(st.sampled_from(sorted(self.model.doomed)))
        done = self.site.database.write(
            lambda tx: deleting.delete_slice(
                tx, self.site.store_id, path_of(prefix), grace_microseconds=0
            )
        )
        below = sorted(key for key in self.model.rows if key[: len(prefix)] == prefix)
        assert (done.deleted == 0) == (not below)
        left = {key for key, *_ in self.found()}
        assert left <= set(self.model.rows)
        assert {key for key in self.model.rows if key not in left} <= set(below)
        for key in set(self.model.rows) - left:
            del self.model.rows[key]
        self.model.series = {
            (study.study_instance_uid, one.series_instance_uid)
            for one in self.rows(schema.series)
            for study in self.rows(schema.studies)
            if study.id == one.study_id
        }
        # A series that was to be deleted may go with its study.
        self.model.doomed = {
            one for one in self.model.doomed if len(one) == 1 or one in self.model.series
        }
        if done.is_last:
            assert not self.model.exists(prefix) or prefix in self.model.doomed
            assert not any(one[: len(prefix)] == prefix for one in self.model.series)
            self.model.doomed = {one for one in self.model.doomed if one[: len(prefix)] != prefix}

    @rule()
    def collect(self) -> None:
        self.collector.collect()

        uncommitted = [each for pending in self.pending for each in pending.records]
        named = {(row.place_key, row.place_offset) for row in self.rows(schema.instances)}
        assert self.site.standing() == named | places(uncommitted)
        assert self.rows(schema.blob_drops) == []

    def rows(self, table: Table) -> Sequence[Row[*tuple[object, ...]]]:
        with self.site.database.read() as connection:
            return all_rows(connection, table)

    def found(self) -> list[tuple[InstanceKey, Row[*tuple[object, ...]]]]:
        studies = {row.id: row for row in self.rows(schema.studies)}
        series = {row.id: row for row in self.rows(schema.series)}
        found = []
        for row in self.rows(schema.instances):
            owner = series[row.series_id]
            study = studies[owner.study_id].study_instance_uid
            found.append(((study, owner.series_instance_uid, row.sop_instance_uid), row))
        return found

    @invariant()
    def rows_and_bytes_are_those_of_the_model(self) -> None:
        found = self.found()
        assert {key: row.sha256 for key, row in found} == {
            key: sha256 for key, (sha256, _) in self.model.rows.items()
        }
        for _, row in found:
            lying = of_row(self.site.blobs, row)
            assert hashlib.sha256(lying.read()).digest() == row.sha256

    @invariant()
    def what_is_being_deleted_is_not_seen(self) -> None:
        with self.site.database.read() as connection:
            for key in self.model.rows:
                stored = find_stored_instance(connection, self.site.store_id, path_of(key))
                assert (stored is None) == self.model.is_doomed(key)

    @invariant()
    def headers_and_counts_follow_the_instances(self) -> None:
        found = self.rows(schema.instances)
        assert {row.instance_id for row in self.rows(schema.headers)} == {row.id for row in found}
        for one in self.rows(schema.series):
            sizes = [row.size for row in found if row.series_id == one.id]
            assert (one.instance_count, one.bytes) == (len(sizes), sum(sizes))

    @invariant()
    def nothing_stays_empty(self) -> None:
        with_instances = {row.series_id for row in self.rows(schema.instances)}
        series = self.rows(schema.series)
        for study in self.rows(schema.studies):
            of_study = [one for one in series if one.study_id == study.id]
            if study.state == "LIVING":
                assert of_study
                assert all(one.id in with_instances for one in of_study if one.state == "LIVING")

    @invariant()
    def lowest_visible_instance_describes_its_study_and_series(self) -> None:
        found = self.rows(schema.instances)
        series = {row.id: row for row in self.rows(schema.series)}
        living = [study for study in self.rows(schema.studies) if study.state == "LIVING"]
        for study in living:
            visible = [
                row
                for row in found
                if series[row.series_id].study_id == study.id
                and series[row.series_id].state == "LIVING"
            ]
            first = visible[0] if visible else None
            assert study.described_by == (None if first is None else first.id)
            if first is not None:
                assert study.patient_id == PATIENTS[first.sha256]
        for one in series.values():
            if one.state == "LIVING" and one.study_id in {study.id for study in living}:
                first = next(row for row in found if row.series_id == one.id)
                assert one.described_by == first.id


def path_of(prefix: Prefix) -> InstancePath:
    return InstancePath(*map(Uid, prefix))


def _refuse(_: Content, error: Exception) -> None:
    raise error


@pytest.mark.clause(
    "Fileroom invariants",
    "in any history of imports, replacements, deletions and collections every row has its bytes, "
    "and every byte a row, a queued drop or a writer that is not done (I9, I12, I14)",
    holds="own rule",
)
def test_any_history_of_deletions_leaves_rows_and_blobs_that_agree(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deleting, "SLICE_MAX", 2)

    class OneMachine(Machine):
        def __init__(self) -> None:
            super().__init__(tmp_path)

    run_state_machine_as_test(
        OneMachine, settings=settings(max_examples=12, stateful_step_count=20, deadline=None)
    )
