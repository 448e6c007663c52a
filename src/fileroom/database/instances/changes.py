"""The numbers of a store's changes, and the places that its changes leave behind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select, update

from fileroom.database import schema
from fileroom.database.dialects import insert_if_new
from fileroom.database.engine import now_microseconds
from fileroom.database.values.instances import PlaceKind
from fileroom.errors import NotFound

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fileroom.database.engine import Connection
    from fileroom.database.values.instances import (
        InstanceKey,
        Place,
    )


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
            select(schema.dicom_stores.c.change_seq)
            .where(schema.dicom_stores.c.id == store_id)
            .with_for_update(read=True)  # a change that is under way is no later one
        ).scalar_one()
    )


def queue_drops(
    transaction: Connection,
    store_id: int,
    drops: Iterable[tuple[Place, InstanceKey]],
    *,
    not_before: int,
    had_rows: bool = True,
    replaced_by: int | None = None,
) -> None:
    """Queue places for collection that no row names, or will name, any more.

    Those that ``had_rows`` until this change are to be marked beside the blobs as well. Which
    operation replaced them is kept for the case that it is undone.
    """
    rows = [
        {
            "store_id": store_id,
            "place": place.kind,
            "place_key": place.key,
            "place_offset": place.offset,
            "size": place.size,
            "study_instance_uid": key[0],
            "series_instance_uid": key[1],
            "sop_instance_uid": key[2],
            "not_before": not_before,
            "mark": None if had_rows and place.kind is not PlaceKind.REFERENCE else "",
            "replaced_by": replaced_by,
            "sha256": place.sha256,
        }
        for place, key in drops
    ]
    if rows:
        transaction.execute(insert_if_new(transaction, schema.blob_drops), rows)


def queue_blob_drops(transaction: Connection, store_id: int, keys: Iterable[str]) -> None:
    """Queue whole blobs for collection in which no row names, or will name, a place."""
    now = now_microseconds()
    rows = [
        {
            "store_id": store_id,
            "place": PlaceKind.OWN_BLOB,
            "place_key": key,
            "study_instance_uid": "",
            "series_instance_uid": "",
            "sop_instance_uid": "",
            "not_before": now,
            "mark": "",
        }
        for key in sorted(keys)
    ]
    if rows:
        transaction.execute(insert_if_new(transaction, schema.blob_drops), rows)
