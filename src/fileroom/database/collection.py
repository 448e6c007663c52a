"""Rows that say which bytes may go: queued blobs, deleted stores, spent tombstones.

A place is used once, so one that was queued can never be referenced again (I2, I9); the check
against the instance rows only guards against a fault of ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from sqlalchemy import and_, delete, exists, func, select, update

from fileroom.database import schema
from fileroom.database.engine import now_microseconds
from fileroom.database.instances import PlaceKind, forget_damage
from fileroom.database.operations import State
from fileroom.names import InstancePath, Uid

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from sqlalchemy import ColumnElement, Row

    from fileroom.database.engine import Connection
    from fileroom.database.values.instances import InstanceRecord

DROPS_MAX: Final = 1000
ROWS_MAX: Final = 500
"""Rows deleted in one transaction, so that a store never waits long behind a purge."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drop:
    """A blob, or a part of a pack, that may go."""

    id: int
    store_id: int
    blob_prefix: str
    place: PlaceKind
    place_key: str
    offset: int
    size: int
    mark: str
    """The key beside the blobs that tells of it; empty where none does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreArea:
    """A DICOM store, living or deleted, as far as its content goes."""

    id: int
    blob_prefix: str


class KnownPlace(NamedTuple):
    """A place in a store's blobs that the database knows of; a million are made in a second."""

    kind: PlaceKind
    key: str
    offset: int
    size: int | None
    """None for what is queued to be dropped: it may be gone already."""
    sha256: bytes | None
    instance_id: int | None = None
    """Whose row names it; None of what is queued, or what only the footer of a pack tells of."""


def take_due_drops(transaction: Connection) -> list[Drop]:
    """Take drops whose time has come, those that a crash left half done before the others."""
    drops = schema.blob_drops.c
    rows = _some_drops(transaction, drops.state == "DROPPING", DROPS_MAX)
    due = and_(drops.state == "QUEUED", drops.not_before <= now_microseconds())
    rows += _some_drops(transaction, due, DROPS_MAX - len(rows))
    forget_drops(transaction, [row.id for row in rows if row.named])
    taken = [
        Drop(
            id=row.id,
            store_id=row.store_id,
            blob_prefix=row.blob_prefix,
            place=PlaceKind(row.place),
            place_key=row.place_key,
            offset=row.place_offset,
            size=row.size,
            mark=row.mark or "",
        )
        for row in rows
        if not row.named
    ]
    transaction.execute(
        update(schema.blob_drops)
        .where(drops.id.in_([drop.id for drop in taken]))
        .values(state="DROPPING")
    )
    _forget_damage(transaction, taken)
    return taken


def _forget_damage(transaction: Connection, drops: Sequence[Drop]) -> None:
    """Forget that places were damaged which go now."""
    table = schema.damaged_places.c
    going = {(drop.store_id, drop.place_key, drop.offset) for drop in drops}
    stores, keys = {one[0] for one in going}, {one[1] for one in going}
    noted = transaction.execute(
        select(table.store_id, table.place_key, table.place_offset).where(
            table.store_id.in_(stores), table.place_key.in_(keys)
        )
    )
    for store_id, key, offset in going.intersection(map(tuple, noted.all())):
        forget_damage(transaction, store_id, key, offset)


def _some_drops(
    transaction: Connection, condition: ColumnElement[bool], at_most: int
) -> list[Row[*tuple[object, ...]]]:
    """Give drops in the order of their index, so that no number of them has to be sorted."""
    drops, stores, instances = (
        schema.blob_drops.c,
        schema.dicom_stores.c,
        schema.instances.c,
    )
    named = exists().where(
        instances.store_id == drops.store_id,
        instances.sop_instance_uid == drops.sop_instance_uid,
        instances.place_key == drops.place_key,
        instances.place_offset == drops.place_offset,
    )
    statement = (
        select(
            drops.id,
            drops.store_id,
            drops.place,
            drops.place_key,
            drops.place_offset,
            drops.size,
            drops.mark,
            stores.blob_prefix,
            named.label("named"),
        )
        .join(schema.dicom_stores, stores.id == drops.store_id)
        .where(condition)
        .order_by(drops.not_before, drops.id)
        .limit(at_most)
        .with_for_update(of=schema.blob_drops, skip_locked=True)
    )
    return list(transaction.execute(statement))


def forget_drops(transaction: Connection, ids: Sequence[int]) -> None:
    """Delete drops that were carried out."""
    if ids:
        transaction.execute(delete(schema.blob_drops).where(schema.blob_drops.c.id.in_(ids)))


def put_off_drops(transaction: Connection, ids: Sequence[int], *, seconds: float) -> None:
    """Queue drops again that could not be carried out."""
    if ids:
        transaction.execute(
            update(schema.blob_drops)
            .where(schema.blob_drops.c.id.in_(ids))
            .values(state="QUEUED", not_before=now_microseconds() + int(seconds * 1_000_000))
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """What is queued to be dropped, or cannot be yet."""

    places: int
    bytes: int
    first_due: int | None
    """In microseconds since 1970; None where nothing waits."""


def waiting_drops(connection: Connection) -> Waiting:
    """Give what is queued; an object outside the archive is nothing to drop."""
    drops = schema.blob_drops.c
    row = connection.execute(
        select(
            func.count(), func.coalesce(func.sum(drops.size), 0), func.min(drops.not_before)
        ).where(drops.place != PlaceKind.REFERENCE)
    ).one()
    return Waiting(places=row[0], bytes=int(row[1]), first_due=row[2])


def deleted_stores(connection: Connection) -> list[StoreArea]:
    """Give deleted stores on which no operation runs any more."""
    stores, operations = schema.dicom_stores.c, schema.operations.c
    rows = connection.execute(
        select(stores.id, stores.blob_prefix)
        .where(
            stores.deleted_at.is_not(None),
            ~exists().where(operations.store_id == stores.id, operations.state != State.DONE),
        )
        .order_by(stores.id)
        .limit(ROWS_MAX)
    )
    return [StoreArea(id=row.id, blob_prefix=row.blob_prefix) for row in rows]


def count_deleted_stores(connection: Connection) -> int:
    """Give how many deleted stores are still there."""
    stores = schema.dicom_stores
    counted = select(func.count()).select_from(stores).where(stores.c.deleted_at.is_not(None))
    return connection.execute(counted).scalar_one()


def purge_rows(transaction: Connection, store: StoreArea) -> bool:
    """Delete some rows of a deleted store; tell whether any were left to delete."""
    for table, key in (
        (schema.instances, schema.instances.c.id),
        (schema.series, schema.series.c.id),
        (schema.studies, schema.studies.c.id),
        (schema.blob_drops, schema.blob_drops.c.id),
        (schema.tombstones, schema.tombstones.c.id),
        (schema.outbox, schema.outbox.c.id),
    ):
        some = select(key).where(table.c.store_id == store.id).limit(ROWS_MAX)
        if transaction.execute(delete(table).where(key.in_(some))).rowcount:
            return True
    return False


def forget_store(transaction: Connection, store: StoreArea) -> None:
    """Delete the row of a store whose content is gone."""
    for table in (schema.indexed_attributes, schema.damaged_places):
        transaction.execute(delete(table).where(table.c.store_id == store.id))
    transaction.execute(
        delete(schema.dicom_stores).where(
            schema.dicom_stores.c.id == store.id, schema.dicom_stores.c.deleted_at.is_not(None)
        )
    )


def forget_spent_tombstones(transaction: Connection) -> None:
    """Delete tombstones of stores in which no unfinished operation could heed them."""
    operations = schema.operations.c
    spent = (
        select(schema.tombstones.c.id)
        .where(
            ~exists().where(
                operations.store_id == schema.tombstones.c.store_id,
                operations.state != State.DONE,
            )
        )
        .limit(ROWS_MAX)
    )
    transaction.execute(delete(schema.tombstones).where(schema.tombstones.c.id.in_(spent)))


def living_stores(connection: Connection) -> list[StoreArea]:
    """Give the stores that are not deleted."""
    stores = schema.dicom_stores.c
    rows = connection.execute(
        select(stores.id, stores.blob_prefix).where(stores.deleted_at.is_(None)).order_by(stores.id)
    )
    return [StoreArea(id=row.id, blob_prefix=row.blob_prefix) for row in rows]


def unfinished_writers(connection: Connection, store_id: int) -> frozenset[int]:
    """Give the operations of a store that may still write blobs or commit them."""
    table = schema.operations.c
    return frozenset(
        connection.execute(
            select(table.id).where(table.store_id == store_id, table.state != State.DONE)
        ).scalars()
    )


def newest_writer(connection: Connection) -> int:
    """Give the highest number an operation bears."""
    return connection.execute(select(func.max(schema.operations.c.id))).scalar() or 0


def find_instance(connection: Connection, instance_id: int) -> InstancePath | None:
    """Give the UIDs of an instance; None if it is not there any more."""
    instances, series, studies = schema.instances.c, schema.series.c, schema.studies.c
    statement = (
        select(studies.study_instance_uid, series.series_instance_uid, instances.sop_instance_uid)
        .join(schema.series, series.id == instances.series_id)
        .join(schema.studies, studies.id == series.study_id)
        .where(instances.id == instance_id)
    )
    row = connection.execute(statement).one_or_none()
    return None if row is None else InstancePath(*map(Uid, row))


def named_blobs(
    connection: Connection, store_id: int, records: Collection[InstanceRecord]
) -> set[str]:
    """Give the blobs of some records that the records' own instances name now."""
    blobs = {record.place.key for record in records}
    instances = schema.instances.c
    rows = connection.execute(
        select(instances.place_key).where(
            instances.store_id == store_id,
            instances.sop_instance_uid.in_(
                [record.attributes.sop_instance_uid for record in records]
            ),
        )
    )
    return blobs & {row.place_key for row in rows}


def still_named(
    connection: Connection, store_id: int, keys: Collection[str]
) -> set[tuple[str, int]]:
    """Give the places in some blobs that a row names now, each with its key and offset."""
    instances = schema.instances.c
    rows = connection.execute(
        select(instances.place_key, instances.place_offset).where(
            instances.store_id == store_id, instances.place_key.in_(keys)
        )
    )
    return {(row.place_key, row.place_offset) for row in rows}


def change_numbers(connection: Connection) -> dict[StoreArea, int]:
    """Give the number of the last change of each store that is not deleted."""
    stores = schema.dicom_stores.c
    rows = connection.execute(
        select(stores.id, stores.blob_prefix, stores.change_seq).where(stores.deleted_at.is_(None))
    )
    return {StoreArea(id=row.id, blob_prefix=row.blob_prefix): row.change_seq for row in rows}
