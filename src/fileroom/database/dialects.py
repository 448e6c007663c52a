"""What the two dialects say differently."""

from __future__ import annotations

import sqlite3
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from sqlalchemy import BigInteger, cast, func, select

from fileroom.database.engine import STATEMENT_SECONDS, now_microseconds

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection, Table
    from sqlalchemy.dialects import postgresql, sqlite

STEPS: Final = 100_000
"""Of SQLite's machine from one look at the clock to the next: some milliseconds."""
LOCK: Final = 0x46494C45524F4F4D
"""The number by which servers know the lock; it spells FILEROOM."""


def insert_if_new(connection: Connection, table: Table) -> sqlite.Insert | postgresql.Insert:
    """Give an INSERT that passes over rows whose keys are there already."""
    # Each is loaded where it is used: PostgreSQL's takes a tenth of a server's start.
    if connection.dialect.name == "postgresql":
        from sqlalchemy.dialects.postgresql import insert as insert_postgresql

        return insert_postgresql(table).on_conflict_do_nothing()
    from sqlalchemy.dialects.sqlite import insert as insert_sqlite

    return insert_sqlite(table).on_conflict_do_nothing()


def lock(transaction: Connection) -> None:
    """Wait until no other server changes what there is one of, until the transaction ends."""
    if transaction.dialect.name == "postgresql":
        transaction.execute(select(func.pg_advisory_xact_lock(LOCK)))


@contextmanager
def bounded(connection: Connection) -> Iterator[None]:
    """Have SQLite give up what a caller chose to ask for, as PostgreSQL does by itself.

    Raises
    ------
    DBAPIError
        If it takes longer; ``Database.read`` tells it as Unavailable.
    """
    raw = connection.connection.driver_connection
    if not isinstance(raw, sqlite3.Connection):
        yield
        return
    deadline = time.monotonic() + STATEMENT_SECONDS
    raw.set_progress_handler(lambda: time.monotonic() > deadline, STEPS)
    try:
        yield
    finally:
        raw.set_progress_handler(None, 0)


def clock_microseconds(connection: Connection) -> int:
    """Give the time that all servers of a database agree on: its own, not that of a transaction."""
    if connection.dialect.name == "postgresql":
        seconds = func.extract("epoch", func.clock_timestamp())
        return int(connection.execute(select(cast(seconds * 1_000_000, BigInteger))).scalar_one())
    return now_microseconds()
