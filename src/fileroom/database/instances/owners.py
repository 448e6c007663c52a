"""The study and series rows that records go into: made, described, counted."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sqlalchemy import update

from fileroom.database import schema
from fileroom.database.many_rows import (
    find_held,
    insert_missing_rows,
    update_rows,
)
from fileroom.database.values.instances import (
    InstanceKey,
    InstanceRecord,
    record_key,
)
from fileroom.dicom.conditions import name_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from fileroom.database.engine import Connection
    from fileroom.dicom.part10 import IndexedAttributes


STUDY_COLUMNS: Final = (
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
SERIES_COLUMNS: Final = (
    "modality",
    "series_number",
    "series_description",
    "series_date",
    "series_time",
)


@dataclass(slots=True)
class Owner:
    """The study and the series that a record goes into."""

    study_id: int
    series_id: int
    deleting: bool
    study_described: bool
    series_described: bool


def owners_of(
    transaction: Connection, store_id: int, records: Iterable[InstanceRecord]
) -> dict[tuple[str, str], Owner]:
    """Give the study and series rows of the records, made where they are missing."""
    pairs = sorted({record_key(record)[:2] for record in records})
    if not pairs:
        return {}
    # Nobody else makes any in the store, whose row is held to draw the number of a change.
    study_keys = [
        {"store_id": store_id, "study_instance_uid": uid}
        for uid in sorted({study for study, _ in pairs})
    ]
    insert_missing_rows(transaction, schema.studies, study_keys, key=tuple(study_keys[0]))
    columns = ("id", "study_instance_uid", "state", "described_by")
    studies = {
        row.study_instance_uid: row
        for row in find_held(transaction, schema.studies, columns, study_keys)
    }
    keys = [{"study_id": studies[study].id, "series_instance_uid": uid} for study, uid in pairs]
    insert_missing_rows(
        transaction,
        schema.series,
        [{"store_id": store_id, **key} for key in keys],
        key=tuple(keys[0]),
    )
    columns_of_series = ("id", "study_id", "series_instance_uid", "state", "described_by")
    series = {
        (row.study_id, row.series_instance_uid): row
        for row in find_held(transaction, schema.series, columns_of_series, keys)
    }
    owners = {}
    for study_uid, series_uid in pairs:
        study = studies[study_uid]
        one = series[study.id, series_uid]
        owners[study_uid, series_uid] = Owner(
            study_id=study.id,
            series_id=one.id,
            deleting="DELETING" in {study.state, one.state},
            study_described=study.described_by is not None,
            series_described=one.described_by is not None,
        )
    return owners


def described_values(attributes: IndexedAttributes, columns: Iterable[str]) -> dict[str, object]:
    """Give columns of a study or series, names beside the keys they are searched by."""
    values: dict[str, object] = {name: getattr(attributes, name) for name in columns}
    for name in ("patient_name", "referring_physician_name"):
        if name in values:
            text = values[name]
            values[f"{name}_key"] = name_key(text) if isinstance(text, str) else None
    return values


def describe_owners(
    transaction: Connection,
    owners: Mapping[tuple[str, str], Owner],
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
        (schema.studies, STUDY_COLUMNS, studies),
        (schema.series, SERIES_COLUMNS, series),
    ):
        rows = [
            {"id": row_id, "described_by": instance_id, **described_values(attributes, columns)}
            for row_id, (instance_id, attributes) in sorted(found.items())
        ]
        update_rows(transaction, table, rows)


def describe_again(
    transaction: Connection, owner: Owner, instance_id: int, attributes: IndexedAttributes
) -> None:
    """Give study and series the attributes of an instance that was replaced, if it is theirs."""
    for table, row_id, columns in (
        (schema.studies, owner.study_id, STUDY_COLUMNS),
        (schema.series, owner.series_id, SERIES_COLUMNS),
    ):
        transaction.execute(
            update(table)
            .where(table.c.id == row_id, table.c.described_by == instance_id)
            .values(**described_values(attributes, columns))
        )


def count_instances(
    transaction: Connection,
    seq: int,
    owners: Mapping[tuple[str, str], Owner],
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
        {
            "id": series_id,
            "instance_count": counts[series_id],
            "bytes": sizes[series_id],
            "changed_seq": seq,
        }
        for series_id in sorted({*counts, *replaced_bytes})
    ]
    update_rows(transaction, schema.series, rows, added=frozenset({"instance_count", "bytes"}))
