"""The few facts about the installation itself, by key."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import insert, select, update

from fileroom.database.dialects import lock
from fileroom.database.schema import meta

if TYPE_CHECKING:
    from fileroom.database.engine import Connection


def find_meta(connection: Connection, key: str) -> str | None:
    """Give the value of a key."""
    value: str | None = connection.execute(
        select(meta.c.value).where(meta.c.key == key)
    ).scalar_one_or_none()
    return value


def insert_meta(transaction: Connection, key: str, value: str) -> None:
    """Add a key that is not there yet."""
    transaction.execute(insert(meta).values(key=key, value=value))


def keep_meta(transaction: Connection, key: str, value: str) -> str:
    """Give the value of a key, which is set to this one if it is not there yet."""
    lock(transaction)
    held = find_meta(transaction, key)
    if held is None:
        insert_meta(transaction, key, value)
    return value if held is None else held


def put_meta(transaction: Connection, key: str, value: str) -> None:
    """Set a key, there or not, to a value."""
    if keep_meta(transaction, key, value) != value:
        transaction.execute(update(meta).where(meta.c.key == key).values(value=value))


def meta_below(connection: Connection, prefix: str) -> dict[str, str]:
    """Give the keys that begin with a prefix, and their values."""
    found = meta.c.key.startswith(prefix, autoescape=True)
    rows = connection.execute(select(meta.c.key, meta.c.value).where(found))
    return {row.key: row.value for row in rows}
