"""Rows of studies, series and instances: one batch of records in one transaction.

The order of locks is the same everywhere: operation, store, studies by UID, series by study and
UID, instances by series and UID, blob drops. Counts and bytes live on the series only.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import TYPE_CHECKING, Final, Literal

from sqlalchemy import bindparam, insert, select, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite

from fileroom.database import schema
from fileroom.database.engine import now_microseconds
from fileroom.dicom.matching import name_key
from fileroom.errors import Code, NotFound, Reason

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sqlalchemy import Table

    from fileroom.database.engine import Connection
    from fileroom.dicom.part10 import IndexedAttributes

FramesKnown = Literal["NATIVE", "TABLE", "UNKNOWN"]

CONFLICT_MESSAGE: Final = (
    "An instance already exists in this DICOM Store with the same Study/Series/SOPInstance UID, "
    "but the DICOM files differ (checksum mismatch)."
)

_STUDY_COLUMNS: Final = (
    "patient_id",
    "patient_name",
    "patient_birth_date",
    "patient_sex",
    "study_date",
    "study_time",
    "accession_number",
    "referring_physician_name",
    "study_id",
    "study_description",
)
_SERIES_COLUMNS: Final = (
    "modality",
    "series_number",
    "series_description",
    "series_date",
    "series_time",
)
_INSTANCE_COLUMNS: Final = (
    "sop_instance_uid",
    "sop_class_uid",
    "transfer_syntax_uid",
    "instance_number",
    "specific_character_set",
    "timezone_offset_from_utc",
    "rows",
    "columns",
    "bits_allocated",
    "number_of_frames",
)


class PlaceKind(IntEnum):
    """What a place is: the column ``place``."""

    OWN_BLOB = 0
    PACK = 1
    """A part of a blob that holds many instances."""
    REFERENCE = 2
    """An object outside the archive, which nothing ever deletes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the bytes of an instance lie; nothing computes it, the row says it (I2)."""

    key: str
    size: int
    sha256: bytes | None
    kind: PlaceKind = PlaceKind.OWN_BLOB
    offset: int = 0
    version: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceRecord:
    """An instance whose bytes are durable and that is to get its rows."""

    ordinal: int
    source: str
    version: str | None
    attributes: IndexedAttributes
    place: Place
    frames_known: FramesKnown
    header: bytes | None
    """The compressed skeleton; None where it is too large to keep and is cut from the blob."""
    header_dictionary: int


class DuplicatePolicy(StrEnum):
    """What happens to an instance that is stored already with other bytes."""

    FAIL_IF_DIFFERENT = "FAIL_IF_DIFFERENT"
    KEEP_FIRST = "KEEP_FIRST"
    REPLACE = "REPLACE"


class Result(StrEnum):
    """What became of a record."""

    IMPORTED = "imported"
    IDENTICAL = "identical"
    KEPT = "kept"
    REPLACED = "replaced"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordResult:
    """What became of one record, and why."""

    record: InstanceRecord
    result: Result
    reason: Reason | None = None
    code: Code = Code.OK
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreWrite:
    """Who stores records, and by which rules."""

    store_id: int
    operation_id: int | None = None
    start_seq: int | None = None
    """Deletions after this change of the store win over the records (I12)."""
    policy: DuplicatePolicy = DuplicatePolicy.FAIL_IF_DIFFERENT
    storage_class: str = "STANDARD"
    grace_microseconds: int = 0
    """How long the bytes of a replaced instance stay."""


InstanceKey = tuple[str, str, str]
"""Study, Series and SOP Instance UID."""


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
    living: list[InstanceRecord] = []
    tombstones = _Tombstones(transaction, write, records)
    for record in records:
        if tombstones.cover(record):
            results[record.ordinal] = RecordResult(
                record=record, result=Result.KEPT, reason=Reason.DELETED_MEANWHILE
            )
        else:
            living.append(record)
    owners = _owners(transaction, write.store_id, living)
    insertable: dict[InstanceKey, InstanceRecord] = {}
    later: list[InstanceRecord] = []
    for record in sorted(living, key=lambda record: record.ordinal):
        key = record_key(record)
        if owners[key[:2]].deleting:
            results[record.ordinal] = RecordResult(
                record=record,
                result=Result.FAILED,
                reason=Reason.STUDY_DELETING,
                code=Code.ABORTED,
                message="the study is being deleted; import it again once that has ended",
            )
        elif key in insertable:
            later.append(record)
        else:
            insertable[key] = record
    inserted = _insert_instances(transaction, write, seq, owners, insertable)
    for key, record in insertable.items():
        if key in inserted:
            results[record.ordinal] = RecordResult(record=record, result=Result.IMPORTED)
        else:
            later.append(record)
    replaced_bytes = _settle_duplicates(transaction, write, seq, owners, later, results)
    _describe(transaction, owners, insertable, inserted)
    _count(transaction, seq, owners, insertable, inserted, replaced_bytes)
    _drop_unused(transaction, write.store_id, results.values())
    return [results[record.ordinal] for record in records]


def next_change_seq(transaction: Connection, store_id: int) -> int:
    """Draw the next number of the changes of a living store.

    Raises
    ------
    NotFound
        If the store was deleted.
    """
    table = schema.dicom_stores.c
    seq: int | None = transaction.execute(
        update(schema.dicom_stores)
        .where(table.id == store_id, table.deleted_at.is_(None))
        .values(change_seq=table.change_seq + 1)
        .returning(table.change_seq)
    ).scalar()
    if seq is None:
        raise NotFound("the DICOM store was deleted meanwhile")
    return seq


def current_change_seq(transaction: Connection, store_id: int) -> int:
    """Give the number of the last change of a store: the horizon of what begins here."""
    return int(
        transaction.execute(
            select(schema.dicom_stores.c.change_seq).where(schema.dicom_stores.c.id == store_id)
        ).scalar_one()
    )


def queue_drops(
    transaction: Connection,
    store_id: int,
    drops: Iterable[tuple[Place, InstanceKey]],
    *,
    not_before: int,
) -> None:
    """Queue places for collection that no row names, or will name, any more."""
    rows = [
        {
            "store_id": store_id,
            "place": place.kind,
            "place_key": place.key,
            "study_instance_uid": key[0],
            "series_instance_uid": key[1],
            "sop_instance_uid": key[2],
            "not_before": not_before,
        }
        for place, key in drops
    ]
    if rows:
        _insert_ignoring(transaction, schema.blob_drops, rows)


# ---------------------------------------------------------------------------------- steps


@dataclass(slots=True)
class _Owner:
    """The study and the series that a record goes into."""

    study_id: int
    series_id: int
    deleting: bool
    study_described: bool
    series_described: bool


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


def record_key(record: InstanceRecord) -> InstanceKey:
    """Give Study, Series and SOP Instance UID: what an instance is known by."""
    attributes = record.attributes
    return (
        attributes.study_instance_uid,
        attributes.series_instance_uid,
        attributes.sop_instance_uid,
    )


def _insert_ignoring(
    transaction: Connection, table: Table, rows: Sequence[Mapping[str, object]]
) -> None:
    dialect = postgresql if transaction.dialect.name == "postgresql" else sqlite
    transaction.execute(dialect.insert(table).on_conflict_do_nothing(), rows)


def _owners(
    transaction: Connection, store_id: int, records: Iterable[InstanceRecord]
) -> dict[tuple[str, str], _Owner]:
    """Give the study and series rows of the records, made where they are missing."""
    pairs = sorted({record_key(record)[:2] for record in records})
    if not pairs:
        return {}
    study_uids = sorted({study for study, _ in pairs})
    _insert_ignoring(
        transaction,
        schema.studies,
        [{"store_id": store_id, "study_instance_uid": uid} for uid in study_uids],
    )
    table = schema.studies.c
    studies = {
        row.study_instance_uid: row
        for row in transaction.execute(
            select(table.id, table.study_instance_uid, table.state, table.described_by)
            .where(table.store_id == store_id, table.study_instance_uid.in_(study_uids))
            .order_by(table.study_instance_uid)
            .with_for_update(read=True, key_share=True)
        )
    }
    _insert_ignoring(
        transaction,
        schema.series,
        [
            {"store_id": store_id, "study_id": studies[study].id, "series_instance_uid": uid}
            for study, uid in pairs
        ],
    )
    table = schema.series.c
    series = {
        (row.study_id, row.series_instance_uid): row
        for row in transaction.execute(
            select(
                table.id, table.study_id, table.series_instance_uid, table.state, table.described_by
            )
            .where(
                tuple_(table.study_id, table.series_instance_uid).in_(
                    [(studies[study].id, uid) for study, uid in pairs]
                )
            )
            .order_by(table.study_id, table.series_instance_uid)
            .with_for_update(read=True, key_share=True)
        )
    }
    owners = {}
    for study_uid, series_uid in pairs:
        study = studies[study_uid]
        one = series[study.id, series_uid]
        owners[study_uid, series_uid] = _Owner(
            study_id=study.id,
            series_id=one.id,
            deleting="DELETING" in {study.state, one.state},
            study_described=study.described_by is not None,
            series_described=one.described_by is not None,
        )
    return owners


def _place_values(place: Place) -> dict[str, object]:
    return {
        "place": place.kind,
        "place_key": place.key,
        "place_offset": place.offset,
        "size": place.size,
        "place_version": place.version,
        "sha256": place.sha256,
    }


def _instance_values(record: InstanceRecord) -> dict[str, object]:
    attributes = record.attributes
    values: dict[str, object] = {name: getattr(attributes, name) for name in _INSTANCE_COLUMNS}
    return values | _place_values(record.place) | {"frames_known": record.frames_known}


def _insert_instances(
    transaction: Connection,
    write: StoreWrite,
    seq: int,
    owners: Mapping[tuple[str, str], _Owner],
    records: Mapping[InstanceKey, InstanceRecord],
) -> dict[InstanceKey, int]:
    """Insert the records that are not stored yet; give the new rows' ids."""
    if not records:
        return {}
    now = now_microseconds()
    by_row = {(owners[key[:2]].series_id, key[2]): (key, record) for key, record in records.items()}
    rows = [
        {
            **_instance_values(by_row[row_key][1]),
            "store_id": write.store_id,
            "series_id": row_key[0],
            "created_seq": seq,
            "changed_seq": seq,
            "operation_id": write.operation_id,
            "stored_at": now,
            "storage_class": write.storage_class,
        }
        for row_key in sorted(by_row)
    ]
    table = schema.instances
    dialect = postgresql if transaction.dialect.name == "postgresql" else sqlite
    statement = (
        dialect.insert(table)
        .on_conflict_do_nothing()
        .returning(table.c.id, table.c.series_id, table.c.sop_instance_uid)
    )
    inserted = {
        by_row[row.series_id, row.sop_instance_uid][0]: int(row.id)
        for row in transaction.execute(statement, rows)
    }
    _insert_headers(transaction, {inserted[key]: records[key] for key in inserted})
    return inserted


def _insert_headers(transaction: Connection, records: Mapping[int, InstanceRecord]) -> None:
    rows = [
        {"instance_id": instance_id, "dict": record.header_dictionary, "z": record.header}
        for instance_id, record in sorted(records.items())
        if record.header is not None
    ]
    if rows:
        transaction.execute(insert(schema.headers), rows)


def _settle_duplicates(
    transaction: Connection,
    write: StoreWrite,
    seq: int,
    owners: Mapping[tuple[str, str], _Owner],
    records: Sequence[InstanceRecord],
    results: dict[int, RecordResult],
) -> dict[int, int]:
    """Decide on records whose key has a row; give the change of bytes of each series."""
    changed_bytes: dict[int, int] = defaultdict(int)
    if not records:
        return changed_bytes
    table = schema.instances.c
    row_keys = sorted({(owners[record_key(r)[:2]].series_id, record_key(r)[2]) for r in records})
    rows = {
        (row.series_id, row.sop_instance_uid): row
        for row in transaction.execute(
            select(
                table.id,
                table.series_id,
                table.sop_instance_uid,
                table.operation_id,
                table.place,
                table.place_key,
                table.place_offset,
                table.size,
                table.sha256,
            )
            .where(tuple_(table.series_id, table.sop_instance_uid).in_(row_keys))
            .with_for_update()
        )
    }
    for record in sorted(records, key=lambda record: record.ordinal):
        key = record_key(record)
        row = rows[owners[key[:2]].series_id, key[2]]
        if row.sha256 is not None and row.sha256 == record.place.sha256:
            result = RecordResult(record=record, result=Result.IDENTICAL)
        elif write.policy is DuplicatePolicy.KEEP_FIRST or (
            # What this very operation wrote stays: the first of two in one listing wins.
            write.policy is DuplicatePolicy.REPLACE and row.operation_id == write.operation_id
        ):
            result = RecordResult(record=record, result=Result.KEPT)
        elif write.policy is DuplicatePolicy.REPLACE:
            _replace(transaction, write, seq, row.id, record)
            old = Place(
                key=row.place_key, size=row.size, sha256=row.sha256, kind=PlaceKind(row.place)
            )
            queue_drops(
                transaction,
                write.store_id,
                [(old, key)],
                not_before=now_microseconds() + write.grace_microseconds,
            )
            changed_bytes[row.series_id] += record.place.size - row.size
            result = RecordResult(record=record, result=Result.REPLACED)
        else:
            result = RecordResult(
                record=record,
                result=Result.FAILED,
                reason=Reason.DUPLICATE_DIFFERENT,
                code=Code.ALREADY_EXISTS,
                message=CONFLICT_MESSAGE,
            )
        results[record.ordinal] = result
    return changed_bytes


def _replace(
    transaction: Connection, write: StoreWrite, seq: int, instance_id: int, record: InstanceRecord
) -> None:
    """Give a row new bytes in place: its id and ``created_seq`` stay, ``changed_seq`` moves."""
    values = _instance_values(record)
    del values["sop_instance_uid"]
    transaction.execute(
        update(schema.instances)
        .where(schema.instances.c.id == instance_id)
        .values(
            **values,
            changed_seq=seq,
            operation_id=write.operation_id,
            stored_at=now_microseconds(),
        )
    )
    for table in (schema.headers, schema.frame_tables):
        transaction.execute(table.delete().where(table.c.instance_id == instance_id))
    _insert_headers(transaction, {instance_id: record})
    attributes = record.attributes
    for owner, columns in ((schema.studies, _STUDY_COLUMNS), (schema.series, _SERIES_COLUMNS)):
        transaction.execute(
            update(owner)
            .where(owner.c.described_by == instance_id)
            .values(**_described(attributes, columns))
        )


def _described(attributes: IndexedAttributes, columns: Iterable[str]) -> dict[str, object]:
    values: dict[str, object] = {name: getattr(attributes, name) for name in columns}
    for name in ("patient_name", "referring_physician_name"):
        if name in values:
            text = values[name]
            values[f"{name}_key"] = name_key(text) if isinstance(text, str) else None
    return values


def _describe(
    transaction: Connection,
    owners: Mapping[tuple[str, str], _Owner],
    records: Mapping[InstanceKey, InstanceRecord],
    inserted: Mapping[InstanceKey, int],
) -> None:
    """Give new studies and series the attributes of their instance of the lowest id."""
    studies: dict[int, tuple[int, IndexedAttributes]] = {}
    series: dict[int, tuple[int, IndexedAttributes]] = {}
    for key, instance_id in sorted(inserted.items(), key=lambda item: item[1]):
        owner = owners[key[:2]]
        described = (instance_id, records[key].attributes)
        if not owner.study_described:
            studies.setdefault(owner.study_id, described)
        if not owner.series_described:
            series.setdefault(owner.series_id, described)
    for table, columns, found in (
        (schema.studies, _STUDY_COLUMNS, studies),
        (schema.series, _SERIES_COLUMNS, series),
    ):
        if not found:
            continue
        rows = [
            {"row_id": row_id, "described_by": instance_id, **_described(attributes, columns)}
            for row_id, (instance_id, attributes) in sorted(found.items())
        ]
        transaction.execute(
            update(table)
            .where(table.c.id == bindparam("row_id"))
            .values({name: bindparam(name) for name in rows[0] if name != "row_id"}),
            rows,
        )


def _count(
    transaction: Connection,
    seq: int,
    owners: Mapping[tuple[str, str], _Owner],
    records: Mapping[InstanceKey, InstanceRecord],
    inserted: Mapping[InstanceKey, int],
    replaced_bytes: Mapping[int, int],
) -> None:
    """Add what was stored to the counts of its series, one update for each."""
    counts: dict[int, int] = defaultdict(int)
    sizes: dict[int, int] = defaultdict(int, replaced_bytes)
    for key in inserted:
        series_id = owners[key[:2]].series_id
        counts[series_id] += 1
        sizes[series_id] += records[key].place.size
    rows = [
        {"row_id": series_id, "more": counts[series_id], "more_bytes": sizes[series_id]}
        for series_id in sorted({*counts, *replaced_bytes})
    ]
    if rows:
        table = schema.series.c
        transaction.execute(
            update(schema.series)
            .where(table.id == bindparam("row_id"))
            .values(
                instance_count=table.instance_count + bindparam("more"),
                bytes=table.bytes + bindparam("more_bytes"),
                changed_seq=seq,
            ),
            rows,
        )


def _drop_unused(transaction: Connection, store_id: int, results: Iterable[RecordResult]) -> None:
    """Queue the blobs of records that got no row."""
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
    )
