"""A database that is made anew from blobs: what it must be before, and what is noted meanwhile.

Until the last blob was looked at, blobs without rows are no orphans, so no server may start; a line
in ``meta`` says so, from the first row on to the transaction that ends it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import delete, exists, func, literal, select, text, union

from fileroom.database import schema
from fileroom.database.instances import Place, queue_drops
from fileroom.database.meta import find_meta, insert_meta
from fileroom.errors import FailedPrecondition

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fileroom.database.engine import Connection, Readers

_META_KEY: Final = "rebuilding"
_NEVER: Final = 253_402_300_799_000_000
"""The end of the year 9999: when a drop is due that is never to be carried out."""
_CONTENT: Final = (schema.datasets, schema.dicom_stores, schema.operations, schema.instances)


def begin_rebuild(transaction: Connection) -> bool:
    """Note that rows are being made from blobs; tell whether an earlier attempt is taken up.

    Raises
    ------
    FailedPrecondition
        If the database holds anything else.
    """
    if find_meta(transaction, _META_KEY) is not None:
        return True
    for table in _CONTENT:
        if transaction.execute(select(exists(select(literal(1)).select_from(table)))).scalar():
            raise FailedPrecondition(
                f"the database has {table.name} already: only one that is empty can be made anew"
                " from blobs; move the old one away, or name another",
                "database",
            )
    insert_meta(transaction, _META_KEY, "1")
    return False


def end_rebuild(transaction: Connection, newest_writer: int) -> None:
    """Note that every blob was looked at; no operation ever bears a number of an earlier one."""
    name = schema.operations.name
    if transaction.dialect.name == "sqlite":
        sequence = text("UPDATE sqlite_sequence SET seq = max(seq, :newest) WHERE name = :name")
        known = text("SELECT 1 FROM sqlite_sequence WHERE name = :name")
        if transaction.execute(known, {"name": name}).scalar() is None:
            sequence = text("INSERT INTO sqlite_sequence (name, seq) VALUES (:name, :newest)")
        transaction.execute(sequence, {"name": name, "newest": newest_writer})
    elif newest_writer:
        sequence_of = func.pg_get_serial_sequence(name, "id")
        transaction.execute(select(func.setval(sequence_of, newest_writer)))
    transaction.execute(delete(schema.meta).where(schema.meta.c.key == _META_KEY))


def check_rebuilt(database: Readers) -> None:
    """Refuse a database whose rows were not all made yet.

    Raises
    ------
    FailedPrecondition
        If a rebuild of it has not come to its end.
    """
    with database.read() as connection:
        if find_meta(connection, _META_KEY) is not None:
            raise FailedPrecondition(
                "the rows of this database are being made from blobs, or were until that was"
                " interrupted: run 'fileroom rebuild-index' again, which goes on where it was",
                "database",
            )


def find_store_of(connection: Connection, blob_prefix: str) -> int | None:
    """Give the store, living or deleted, whose blobs lie below a prefix."""
    stores = schema.dicom_stores.c
    found: int | None = connection.execute(
        select(stores.id).where(stores.blob_prefix == blob_prefix)
    ).scalar()
    return found


def known_offsets(connection: Connection, store_id: int, key: str) -> set[int]:
    """Give where in a blob a place begins that a row names, or that is queued to be dropped."""
    instances, drops = schema.instances.c, schema.blob_drops.c
    statement = union(
        select(instances.place_offset).where(
            instances.store_id == store_id, instances.place_key == key
        ),
        select(drops.place_offset).where(drops.store_id == store_id, drops.place_key == key),
    )
    return set(connection.execute(statement).scalars())


def hold_places(transaction: Connection, store_id: int, places: Iterable[Place]) -> None:
    """Have nobody take what cannot be read for an orphan: it stays until the store is deleted."""
    nobody = ("", "", "")
    queue_drops(
        transaction,
        store_id,
        [(place, nobody) for place in places],
        not_before=_NEVER,
        had_rows=False,
    )
