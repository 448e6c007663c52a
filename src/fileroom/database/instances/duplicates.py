"""Records whose instance is stored already: identical, kept, replaced, failed or undecided.

Bytes that are kept by reference were never read, so no checksum of them may be known (H8 of the
core). Then the same version of the same object is identical, another length is different, and else
the record is undecided until somebody has read both, which is not for the writer's transaction.
So is another version of the object that a row names: where the former one is gone, the bytes of the
row are lost, and to import the object again puts the new ones in their place.

Identical bytes heal an instance whose own are known to be damaged: they take their place.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Literal

from sqlalchemy import select, update

from fileroom.database import schema
from fileroom.database.engine import now_microseconds
from fileroom.database.instances.changes import queue_drops
from fileroom.database.instances.damage import heal_instance, is_damaged
from fileroom.database.instances.owners import Owner, describe_again
from fileroom.database.instances.rows import replace_instance
from fileroom.database.many_rows import is_among
from fileroom.database.values.instances import (
    DuplicatePolicy,
    InstanceKey,
    InstanceRecord,
    Place,
    PlaceKind,
    RecordResult,
    Result,
    StoreWrite,
    record_key,
)
from fileroom.errors import Code, Reason

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from fileroom.database.engine import Connection
    from fileroom.database.values.instances import KnownBytes


CONFLICT_MESSAGE: Final = (
    "An instance already exists in this DICOM Store with the same Study/Series/SOPInstance UID, "
    "but the DICOM files differ (checksum mismatch)."
)


LOST_MESSAGE: Final = (
    "An instance with the same UIDs is kept by reference in an object that is gone or changed, so"
    " that nobody can compare their bytes. Bring that object back; or import the instance again"
    " from the same URI, which replaces it; or delete the instance and import this object then."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stored:
    """The row that an instance has already."""

    id: int
    is_own: bool
    """Whether the very operation that meets it wrote it."""
    place: Place
    known: KnownBytes | None = None
    """What a look at its bytes told."""
    is_damaged: bool = False
    """Whether somebody has met its bytes, and they were not those that were stored."""

    @property
    def is_lost(self) -> bool:
        """Whether a look found that its bytes are there no more."""
        return self.known is not None and self.known.sha256 is None


def settle_duplicates(
    transaction: Connection,
    write: StoreWrite,
    seq: int,
    owners: Mapping[tuple[str, str], Owner],
    records: Sequence[InstanceRecord],
    results: dict[int, RecordResult],
) -> dict[int, int]:
    """Decide on records whose key has a row; give the change of bytes of each series."""
    changed_bytes: dict[int, int] = defaultdict(int)
    if not records:
        return changed_bytes
    stored = _stored_rows(transaction, write, seq, owners, records)
    for key, row in stored.items():
        stored[key] = _with_known(transaction, write, row)
    for record in sorted(records, key=lambda record: record.ordinal):
        key = record_key(record)
        owner, row = owners[key[:2]], stored[key]
        result = _judge(write, row, record)
        if result.reason is Reason.HEALED:
            heal_instance(transaction, write, row.id, row.place, record)
            stored[key] = replace(row, place=record.place, is_damaged=False)
        elif result.result is Result.REPLACED:
            replace_instance(transaction, row.id, record, _replaced_values(write, seq))
            describe_again(transaction, owner, row.id, record.attributes)
            not_before = now_microseconds() + write.grace_microseconds
            queue_drops(
                transaction,
                write.store_id,
                [(row.place, key)],
                not_before=not_before,
                replaced_by=write.operation_id,
            )
            changed_bytes[owner.series_id] += record.place.size - row.place.size
            # The next of this key in the batch meets what this one has written.
            stored[key] = _Stored(id=row.id, is_own=True, place=record.place)
        results[record.ordinal] = result
    return changed_bytes


def _stored_rows(
    transaction: Connection,
    write: StoreWrite,
    seq: int,
    owners: Mapping[tuple[str, str], Owner],
    records: Iterable[InstanceRecord],
) -> dict[InstanceKey, _Stored]:
    """Give the rows of records, one series at a time: SQLite finds pairs by no index."""
    keys: dict[int, dict[str, InstanceKey]] = defaultdict(dict)
    for key in map(record_key, records):
        keys[owners[key[:2]].series_id][key[2]] = key
    table = schema.instances.c
    found = {}
    for series_id, of_series in sorted(keys.items()):
        rows = transaction.execute(
            select(
                table.id,
                table.sop_instance_uid,
                table.changed_seq,
                table.operation_id,
                table.place,
                table.place_key,
                table.place_offset,
                table.place_version,
                table.size,
                table.sha256,
                is_damaged().label("is_damaged"),
            )
            .where(
                table.series_id == series_id,
                is_among(transaction, table.sop_instance_uid, sorted(of_series)),
            )
            .order_by(table.sop_instance_uid)
            .with_for_update()
        )
        for row in rows:
            is_own = row.changed_seq == seq or (
                write.operation_id is not None and row.operation_id == write.operation_id
            )
            place = Place(
                key=row.place_key,
                size=row.size,
                sha256=row.sha256,
                kind=PlaceKind(row.place),
                offset=row.place_offset,
                version=row.place_version,
            )
            found[of_series[row.sop_instance_uid]] = _Stored(
                id=row.id, is_own=is_own, place=place, is_damaged=row.is_damaged
            )
    return found


def _with_known(transaction: Connection, write: StoreWrite, row: _Stored) -> _Stored:
    """Give a row with what is known of its bytes, and note their checksum in it."""
    known = next((one for one in write.known if one.place.is_at(row.place)), None)
    if known is None:
        return row
    if known.sha256 is None or row.place.sha256 is not None:
        return replace(row, known=known)
    transaction.execute(
        update(schema.instances).where(schema.instances.c.id == row.id).values(sha256=known.sha256)
    )
    return replace(row, place=replace(row.place, sha256=known.sha256), known=known)


def _judge(write: StoreWrite, row: _Stored, record: InstanceRecord) -> RecordResult:
    """Tell what becomes of a record whose instance has a row."""
    match _compare(row, record):
        case "LOST":
            return RecordResult(record=record, result=Result.REPLACED)
        case "UNKNOWN":
            return RecordResult(record=record, result=Result.UNDECIDED, stored=row.place)
        case "IDENTICAL" if row.is_damaged:
            return RecordResult(record=record, result=Result.REPLACED, reason=Reason.HEALED)
        case "IDENTICAL":
            return RecordResult(record=record, result=Result.IDENTICAL)
    match write.policy:
        case DuplicatePolicy.KEEP_FIRST:
            return RecordResult(record=record, result=Result.KEPT)
        case DuplicatePolicy.REPLACE:
            # What this very operation wrote stays: the first of two in one listing wins.
            return RecordResult(
                record=record, result=Result.KEPT if row.is_own else Result.REPLACED
            )
        case DuplicatePolicy.FAIL_IF_DIFFERENT:
            return RecordResult(
                record=record,
                result=Result.FAILED,
                reason=Reason.DUPLICATE_DIFFERENT,
                code=Code.ALREADY_EXISTS,
                message=LOST_MESSAGE if row.is_lost else CONFLICT_MESSAGE,
            )


def _compare(
    row: _Stored, record: InstanceRecord
) -> Literal["IDENTICAL", "DIFFERENT", "UNKNOWN", "LOST"]:
    """Compare the bytes of a record with those that its instance has."""
    stored, new = row.place, record.place
    if stored.kind is PlaceKind.REFERENCE and stored.key == record.source:
        if stored.version == record.version:
            return "IDENTICAL"
        if row.known is None:
            return "UNKNOWN"
        if row.is_lost:
            return "LOST"
    elif row.is_lost:
        return "DIFFERENT"
    if PlaceKind.REFERENCE in {stored.kind, new.kind}:
        if stored.size != new.size:
            return "DIFFERENT"
        if None in {stored.sha256, new.sha256}:
            return "UNKNOWN"
    known = stored.sha256 is not None and stored.sha256 == new.sha256
    return "IDENTICAL" if known else "DIFFERENT"


def _replaced_values(write: StoreWrite, seq: int) -> dict[str, object]:
    return {
        "changed_seq": seq,
        "operation_id": write.operation_id,
        "stored_at": now_microseconds(),
        "storage_class": write.storage_class,
        "storage_class_updated_at": None,
    }
