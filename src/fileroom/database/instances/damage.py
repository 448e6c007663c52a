"""Places whose bytes are missing or are not those that were stored.

They are noted by whoever meets them: who reads a file, exports it or checks all. The same file that
is stored again then takes the place of the damaged one; without a note it would be thrown away as
identical, since nobody reads what is stored for that. A note is of a place, which is used once, so
that it never comes to be of other bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import delete, exists, update

from fileroom.database import schema
from fileroom.database.dialects import insert_if_new
from fileroom.database.engine import now_microseconds
from fileroom.database.instances.changes import queue_drops
from fileroom.database.instances.rows import place_values
from fileroom.database.values.instances import PlaceKind, record_key

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import ColumnElement

    from fileroom.database.engine import Connection
    from fileroom.database.values.instances import InstanceRecord, Place, StoreWrite


def note_damage(transaction: Connection, store_id: int, places: Iterable[Place]) -> None:
    """Note places of a store; what lies in buckets of others is compared with them each time."""
    now = now_microseconds()
    rows = [
        {
            "store_id": store_id,
            "place_key": place.key,
            "place_offset": place.offset,
            "found_at": now,
        }
        for place in places
        if place.kind is not PlaceKind.REFERENCE
    ]
    if rows:
        transaction.execute(insert_if_new(transaction, schema.damaged_places), rows)


def is_damaged() -> ColumnElement[bool]:
    """Give the condition that an instance's place is noted."""
    instances, damaged = schema.instances.c, schema.damaged_places.c
    return exists().where(
        damaged.store_id == instances.store_id,
        damaged.place_key == instances.place_key,
        damaged.place_offset == instances.place_offset,
    )


def heal_instance(
    transaction: Connection,
    write: StoreWrite,
    instance_id: int,
    damaged: Place,
    good: InstanceRecord,
) -> None:
    """Have an instance name the place of the very bytes that were lost at another.

    Nothing else of it changes: for its clients it is what it was.
    """
    transaction.execute(
        update(schema.instances)
        .where(schema.instances.c.id == instance_id)
        .values(place_values(good.place))
    )
    forget_damage(transaction, write.store_id, damaged.key, damaged.offset)
    not_before = now_microseconds() + write.grace_microseconds
    drop = damaged, record_key(good)
    queue_drops(transaction, write.store_id, [drop], not_before=not_before)


def forget_damage(transaction: Connection, store_id: int, key: str, offset: int) -> None:
    """Forget a place that no row names any more."""
    table = schema.damaged_places.c
    transaction.execute(
        delete(schema.damaged_places).where(
            table.store_id == store_id,
            table.place_key == key,
            table.place_offset == offset,
        )
    )
