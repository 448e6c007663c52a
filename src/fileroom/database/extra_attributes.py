"""Which attributes a store's settings index beside the columns, and how far each is filled.

An index begins at the store's oldest change and follows its changes from there (``changed_seq``),
so that it meets what is stored and replaced while it is filled. Deletion takes the keys of an
instance with it. Every write is a slice, since other writes wait meanwhile.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from sqlalchemy import and_, delete, func, insert, or_, select, tuple_, update

from fileroom.database.collection import StoreArea
from fileroom.database.many_rows import insert_rows
from fileroom.database.schema import (
    dicom_stores,
    extra_attributes,
    indexed_attributes,
    instances,
    series,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from fileroom.database.engine import Connection

KEYS_AT_A_TIME: Final = 500
"""Keys deleted in one transaction."""
BEHIND_MAX: Final = 5_000
"""Instances that an index may lack and still answer: it meets them within seconds."""


class IndexState(StrEnum):
    """Where an index is between being asked for and being gone."""

    FILLING = "FILLING"
    READY = "READY"
    """Every instance was met once; what is stored later is met within seconds."""
    LEAVING = "LEAVING"
    """No longer asked for: its keys are being deleted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttributeIndex:
    """The index of one attribute of one store."""

    path: str
    """The tag: eight upper-case hexadecimal digits."""
    is_filled: bool
    """Every instance was met, but for the few that were stored in the last seconds."""
    filled_percent: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """The next instances that some indexes of a store are to meet."""

    store: StoreArea
    paths: tuple[str, ...]
    begin: tuple[int, int]
    end: tuple[int, int]
    """Change and id of the last instance before it, and of its own last."""
    instance_ids: tuple[int, ...]
    is_last: bool


Keys = dict[int, dict[str, tuple[str, ...]]]
"""By instance, then by path."""


def set_indexed_attributes(transaction: Connection, store_id: int, paths: Collection[str]) -> None:
    """Have exactly these attributes indexed: what is new is filled, what is old is taken away."""
    rows = indexed_attributes.c
    of_store = rows.store_id == store_id
    kept = set(
        transaction.execute(
            select(rows.path).where(of_store, rows.state != IndexState.LEAVING)
        ).scalars()
    )
    leaving = sorted(kept - set(paths))
    if leaving:
        transaction.execute(
            update(indexed_attributes)
            .where(of_store, rows.path.in_(leaving))
            .values(state=IndexState.LEAVING)
        )
    new = sorted(set(paths) - kept)
    if new:
        # One that was leaving begins again: nothing told it of the changes meanwhile.
        transaction.execute(delete(indexed_attributes).where(of_store, rows.path.in_(new)))
        transaction.execute(
            insert(indexed_attributes), [{"store_id": store_id, "path": path} for path in new]
        )


def find_attribute_indexes(connection: Connection, store_id: int) -> dict[str, AttributeIndex]:
    """Give the indexes of a store by path, those that are leaving left out."""
    rows = connection.execute(
        select(indexed_attributes).where(
            indexed_attributes.c.store_id == store_id,
            indexed_attributes.c.state != IndexState.LEAVING,
        )
    ).all()
    if not rows:
        return {}
    is_behind = {seq: _is_behind(connection, store_id, seq) for seq in {row.seq for row in rows}}
    instance_count = connection.execute(
        select(func.coalesce(func.sum(series.c.instance_count), 0)).where(
            series.c.store_id == store_id
        )
    ).scalar_one()
    return {
        row.path: AttributeIndex(
            path=row.path,
            is_filled=row.state == IndexState.READY and not is_behind[row.seq],
            # What was replaced is met twice: never say 100 before it is true.
            filled_percent=min(99, row.filled * 100 // max(1, int(instance_count))),
        )
        for row in rows
    }


def stores_with_indexes(connection: Connection) -> list[StoreArea]:
    """Give the living stores that have indexes, those that are leaving included."""
    some = select(indexed_attributes.c.store_id)
    rows = connection.execute(
        select(dicom_stores.c.id, dicom_stores.c.blob_prefix)
        .where(dicom_stores.c.id.in_(some), dicom_stores.c.deleted_at.is_(None))
        .order_by(dicom_stores.c.id)
    )
    return [StoreArea(id=row.id, blob_prefix=row.blob_prefix) for row in rows]


def next_slice(connection: Connection, store: StoreArea, *, keys_at_a_time: int) -> Slice | None:
    """Give what the indexes that are furthest behind are to meet next; ``None`` if all met all."""
    rows = connection.execute(
        select(indexed_attributes).where(
            indexed_attributes.c.store_id == store.id,
            indexed_attributes.c.state != IndexState.LEAVING,
        )
    ).all()
    if not rows:
        return None
    begin = min((row.seq, row.instance_id) for row in rows)
    behind = [row for row in rows if (row.seq, row.instance_id) == begin]
    at_most = max(1, keys_at_a_time // len(behind))
    seq, instance_id = begin
    found = connection.execute(
        select(instances.c.changed_seq, instances.c.id)
        .where(
            instances.c.store_id == store.id,
            instances.c.changed_seq >= seq,
            or_(instances.c.changed_seq > seq, instances.c.id > instance_id),
        )
        .order_by(instances.c.changed_seq, instances.c.id)
        .limit(at_most)
    ).all()
    if not found and all(row.state == IndexState.READY for row in behind):
        return None
    return Slice(
        store=store,
        paths=tuple(sorted(row.path for row in behind)),
        begin=begin,
        end=(found[-1].changed_seq, found[-1].id) if found else begin,
        instance_ids=tuple(row.id for row in found),
        is_last=len(found) < at_most,
    )


def write_slice(transaction: Connection, done: Slice, keys: Keys) -> None:
    """Replace the keys of a slice's instances and move its indexes on, both or neither."""
    extra, rows = extra_attributes.c, indexed_attributes.c
    unchanged = and_(
        rows.store_id == done.store.id,
        rows.path.in_(done.paths),
        rows.state != IndexState.LEAVING,
        rows.seq == done.begin[0],
        rows.instance_id == done.begin[1],
    )
    paths = set(transaction.execute(select(rows.path).where(unchanged)).scalars())
    # What was deleted since it was read has no row that its keys could belong to.
    living = set(
        transaction.execute(
            select(instances.c.id).where(instances.c.id.in_(done.instance_ids))
        ).scalars()
    )
    transaction.execute(
        delete(extra_attributes).where(
            extra.instance_id.in_(done.instance_ids), extra.path.in_(paths)
        )
    )
    new = _rows(done.store.id, {each: keys[each] for each in keys if each in living}, paths)
    insert_rows(transaction, extra_attributes, new)
    values: dict[str, object] = {
        "seq": done.end[0],
        "instance_id": done.end[1],
        "filled": rows.filled + len(done.instance_ids),
    }
    if done.is_last:
        values["state"] = IndexState.READY
    transaction.execute(update(indexed_attributes).where(unchanged).values(values))


def delete_leaving(transaction: Connection, store: StoreArea) -> bool:
    """Delete some keys of what is no longer indexed; tell whether there may be more."""
    rows, extra = indexed_attributes.c, extra_attributes.c
    leaving = and_(rows.store_id == store.id, rows.state == IndexState.LEAVING)
    path = transaction.execute(
        select(rows.path).where(leaving).order_by(rows.path).limit(1)
    ).scalar_one_or_none()
    if path is None:
        return False
    some = (
        select(extra.value_key, extra.instance_id)
        .where(extra.store_id == store.id, extra.path == path)
        .limit(KEYS_AT_A_TIME)
    )
    deleted = transaction.execute(
        delete(extra_attributes).where(
            extra.store_id == store.id,
            extra.path == path,
            tuple_(extra.value_key, extra.instance_id).in_(some),
        )
    ).rowcount
    if deleted == 0:
        transaction.execute(delete(indexed_attributes).where(leaving, rows.path == path))
    return True


def _is_behind(connection: Connection, store_id: int, seq: int) -> bool:
    """Tell whether an import has run away from an index."""
    later = (
        select(instances.c.id)
        .where(instances.c.store_id == store_id, instances.c.changed_seq > seq)
        .limit(BEHIND_MAX + 1)
    )
    count = connection.execute(select(func.count()).select_from(later.subquery())).scalar_one()
    return int(count) > BEHIND_MAX


def _rows(
    store_id: int, keys: Mapping[int, Mapping[str, Sequence[str]]], paths: Collection[str]
) -> list[dict[str, object]]:
    return [
        {"store_id": store_id, "path": path, "value_key": key, "instance_id": instance_id}
        for instance_id, by_path in sorted(keys.items())
        for path, found in sorted(by_path.items())
        if path in paths
        for key in dict.fromkeys(found)
    ]
