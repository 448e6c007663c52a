"""What is asked of the rows while they are compared with the bytes that they are about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import select

from fileroom.database.instances.owners import SERIES_COLUMNS, STUDY_COLUMNS
from fileroom.database.instances.rows import INSTANCE_COLUMNS
from fileroom.database.schema import instances, series, studies
from fileroom.database.stored import IDS_MAX

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fileroom.database.engine import Connection


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexedRow:
    """What the index says of an instance, and of which bytes."""

    place_key: str
    place_offset: int
    values: Mapping[str, object]
    """By the names of ``IndexedAttributes``. Those of the study or series are left out where
    another instance describes it: they are of that one's bytes."""


def indexed_rows(connection: Connection, instance_ids: Sequence[int]) -> dict[int, IndexedRow]:
    """Give what the index says of some instances; those that are gone are left out."""
    statement = (
        select(
            instances.c.id,
            instances.c.place_key,
            instances.c.place_offset,
            studies.c.study_instance_uid,
            series.c.series_instance_uid,
            studies.c.described_by.label("study_described_by"),
            series.c.described_by.label("series_described_by"),
            *(instances.c[name] for name in INSTANCE_COLUMNS),
            *(studies.c[name] for name in STUDY_COLUMNS),
            *(series.c[name] for name in SERIES_COLUMNS),
        )
        .join(series, series.c.id == instances.c.series_id)
        .join(studies, studies.c.id == series.c.study_id)
    )
    found: dict[int, IndexedRow] = {}
    for start in range(0, len(instance_ids), IDS_MAX):
        some = instance_ids[start : start + IDS_MAX]
        for row in connection.execute(statement.where(instances.c.id.in_(some))).mappings():
            names = ["study_instance_uid", "series_instance_uid", *INSTANCE_COLUMNS]
            if row["study_described_by"] == row["id"]:
                names += STUDY_COLUMNS
            if row["series_described_by"] == row["id"]:
                names += SERIES_COLUMNS
            found[row["id"]] = IndexedRow(
                place_key=row["place_key"],
                place_offset=row["place_offset"],
                values={name: row[name] for name in names},
            )
    return found
