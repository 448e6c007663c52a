"""One batch of records gets its rows, in one transaction.

The order of locks is the same everywhere: operation, store, studies by UID, series by study and
UID, instances by series and UID, blob drops. Counts and bytes live on the series only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from fileroom.database import schema
from fileroom.database.engine import now_microseconds
from fileroom.database.instances.changes import next_change_seq, queue_drops
from fileroom.database.instances.duplicates import settle_duplicates
from fileroom.database.instances.owners import Owner, count_instances, describe_owners, owners_of
from fileroom.database.instances.rows import insert_instances
from fileroom.database.values.instances import (
    InstanceKey,
    InstanceRecord,
    RecordResult,
    Result,
    StoreWrite,
    record_key,
)
from fileroom.errors import Code, Reason

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from fileroom.database.engine import Connection


def store_records(
    transaction: Connection, write: StoreWrite, records: Sequence[InstanceRecord]
) -> list[RecordResult]:
    """Give each record its rows, or say why not; drop the blobs that no row names.

    Raises
    ------
    NotFound
        If the store was deleted.

    References
    ----------
    Cloud Healthcare v1 ImportDicomData: identical bytes are ignored, differing bytes fail.
    """
    seq = next_change_seq(transaction, write.store_id)
    results: dict[int, RecordResult] = {}
    living = _without_deleted(transaction, write, records, results)
    owners = owners_of(transaction, write.store_id, living)
    first, later = _first_of_each(living, owners, results)
    inserted = insert_instances(transaction, write, seq, owners, first)
    for key, record in first.items():
        if key in inserted:
            results[record.ordinal] = RecordResult(record=record, result=Result.IMPORTED)
        else:
            later.append(record)
    more_bytes = settle_duplicates(transaction, write, seq, owners, later, results)
    describe_owners(transaction, owners, first, inserted)
    count_instances(transaction, seq, owners, first, inserted, more_bytes)
    _drop_unused(transaction, write.store_id, results.values())
    return [results[record.ordinal] for record in records]


def _without_deleted(
    transaction: Connection,
    write: StoreWrite,
    records: Sequence[InstanceRecord],
    results: dict[int, RecordResult],
) -> list[InstanceRecord]:
    """Give the records that nobody deleted since the writer began."""
    tombstones = _Tombstones(transaction, write, records)
    living = []
    for record in records:
        if tombstones.cover(record):
            results[record.ordinal] = RecordResult(
                record=record, result=Result.KEPT, reason=Reason.DELETED_MEANWHILE
            )
        else:
            living.append(record)
    return living


def _first_of_each(
    records: Sequence[InstanceRecord],
    owners: Mapping[tuple[str, str], Owner],
    results: dict[int, RecordResult],
) -> tuple[dict[InstanceKey, InstanceRecord], list[InstanceRecord]]:
    """Give the first record of each instance in the order of the listing, and the others."""
    first: dict[InstanceKey, InstanceRecord] = {}
    later = []
    for record in sorted(records, key=lambda record: record.ordinal):
        key = record_key(record)
        if owners[key[:2]].deleting:
            results[record.ordinal] = RecordResult(
                record=record,
                result=Result.FAILED,
                reason=Reason.STUDY_DELETING,
                code=Code.ABORTED,
                message="the study is being deleted; import it again once that has ended",
            )
        elif key in first:
            later.append(record)
        else:
            first[key] = record
    return first, later


class _Tombstones:
    """Deletions made since the operation began, for the studies of some records."""

    def __init__(
        self, transaction: Connection, write: StoreWrite, records: Iterable[InstanceRecord]
    ) -> None:
        self._covered: set[tuple[str, str | None, str | None]] = set()
        if write.start_seq is None:
            return
        table = schema.tombstones.c
        studies = {record.attributes.study_instance_uid for record in records}
        self._covered.update(
            (row.study_instance_uid, row.series_instance_uid, row.sop_instance_uid)
            for row in transaction.execute(
                select(
                    table.study_instance_uid, table.series_instance_uid, table.sop_instance_uid
                ).where(
                    table.store_id == write.store_id,
                    table.study_instance_uid.in_(studies),
                    table.seq > write.start_seq,
                )
            )
        )

    def cover(self, record: InstanceRecord) -> bool:
        study, series, instance = record_key(record)
        return bool(self._covered) and not self._covered.isdisjoint(
            {(study, None, None), (study, series, None), (study, series, instance)}
        )


def _drop_unused(transaction: Connection, store_id: int, results: Iterable[RecordResult]) -> None:
    """Queue the places of records that got no row."""
    used = {Result.IMPORTED, Result.REPLACED}
    queue_drops(
        transaction,
        store_id,
        [
            (result.record.place, record_key(result.record))
            for result in results
            if result.result not in used
        ],
        not_before=now_microseconds(),
        had_rows=False,
    )
