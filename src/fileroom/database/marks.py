"""Which queued drops the marks beside the blobs tell of.

A place that a row named until it was deleted or replaced is told of in a mark, a file beside the
blobs, until its bytes are gone. ``blob_drops.mark`` is null until then, the key of the mark once it
is written, and empty where no row ever named the place.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sqlalchemy import select, update

from fileroom.database import schema
from fileroom.database.dialects import insert_if_new
from fileroom.database.instances import PlaceKind
from fileroom.database.values.instances import InstanceKey  # noqa: TC001

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from fileroom.database.engine import Connection

MARKED_MAX: Final = 1000
"""Drops that one mark tells of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkedDrop:
    """A place whose row is gone, as a mark tells of it."""

    place: PlaceKind
    place_key: str
    place_offset: int
    size: int
    instance: InstanceKey
    not_before: int


@dataclass(frozen=True, slots=True, kw_only=True)
class UnmarkedDrops:
    """Drops of one store that no mark tells of yet."""

    blob_prefix: str
    ids: Sequence[int]
    drops: Sequence[MarkedDrop]


def unmarked_drops(connection: Connection, store_id: int | None = None) -> UnmarkedDrops | None:
    """Give some drops of a store, or of any, that no mark tells of yet; None if there are none."""
    drops, stores = schema.blob_drops.c, schema.dicom_stores.c
    statement = (
        select(schema.blob_drops, stores.blob_prefix)
        .join(schema.dicom_stores, stores.id == drops.store_id)
        .where(drops.mark.is_(None))
        .limit(MARKED_MAX)
    )
    if store_id is not None:
        statement = statement.where(drops.store_id == store_id)
    rows = connection.execute(statement).all()
    if not rows:
        return None
    of_store = [row for row in rows if row.store_id == rows[0].store_id]
    return UnmarkedDrops(
        blob_prefix=rows[0].blob_prefix,
        ids=[row.id for row in of_store],
        drops=[
            MarkedDrop(
                place=PlaceKind(row.place),
                place_key=row.place_key,
                place_offset=row.place_offset,
                size=row.size,
                instance=(row.study_instance_uid, row.series_instance_uid, row.sop_instance_uid),
                not_before=row.not_before,
            )
            for row in of_store
        ],
    )


def note_mark(transaction: Connection, ids: Iterable[int], mark: str) -> None:
    """Note that a mark tells of drops."""
    drops = schema.blob_drops.c
    transaction.execute(update(schema.blob_drops).where(drops.id.in_(list(ids))).values(mark=mark))


def needed_marks(connection: Connection, marks: Collection[str]) -> set[str]:
    """Give those of some marks that tell of a drop which is not carried out yet."""
    table = schema.blob_drops.c
    needed = select(table.mark).where(table.mark.in_(marks)).distinct()
    return {str(mark) for mark in connection.execute(needed).scalars()}


def insert_marked_drops(
    transaction: Connection, store_id: int, drops: Iterable[MarkedDrop], mark: str
) -> None:
    """Queue again what a mark tells of, in a database that is made anew."""
    rows = [
        {
            "store_id": store_id,
            "place": drop.place,
            "place_key": drop.place_key,
            "place_offset": drop.place_offset,
            "size": drop.size,
            "study_instance_uid": drop.instance[0],
            "series_instance_uid": drop.instance[1],
            "sop_instance_uid": drop.instance[2],
            "not_before": drop.not_before,
            "mark": mark,
        }
        for drop in drops
    ]
    if rows:
        transaction.execute(insert_if_new(transaction, schema.blob_drops), rows)
