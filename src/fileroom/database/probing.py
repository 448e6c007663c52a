"""What a database says of itself, without a change to it."""

from __future__ import annotations

import sqlite3
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from fileroom.database import schema
from fileroom.database.dialects import clock_microseconds
from fileroom.database.migrations import current_revision
from fileroom.errors import FailedPrecondition, Unavailable

if TYPE_CHECKING:
    from pathlib import Path

KNOWN_REVISION = schema.REVISION


@dataclass(frozen=True, slots=True, kw_only=True)
class Probed:
    """What was found."""

    version: str
    revision: str | None
    """None where there are no tables yet."""
    durable: bool
    """Whether it says that what it committed survives a power cut."""
    how: str
    """The settings that say so."""
    clock_ahead_seconds: float
    """How far its clock is ahead of this machine's."""


def sqlite_version() -> str:
    """Give the version of the library."""
    return sqlite3.sqlite_version


def probe_database(place: Path | str) -> Probed:
    """Ask a database about itself.

    Raises
    ------
    Unavailable
        If it does not answer.
    FailedPrecondition
        If its driver is not installed.
    """
    if isinstance(place, str):
        try:
            from fileroom.database.postgresql import open_engine as open_postgresql
        except ImportError as error:
            raise FailedPrecondition(
                "PostgreSQL needs a driver: pip install 'fileroom[postgres]'", "database"
            ) from error
        engine = open_postgresql(place, writable=False)
        asked = {name: f"SHOW {name}" for name in ("fsync", "synchronous_commit")}
        lax, version = {"off"}, "SHOW server_version"
    else:
        from fileroom.database.sqlite import open_engine as open_sqlite

        engine = open_sqlite(place, writable=False)
        asked = {name: f"PRAGMA {name}" for name in ("journal_mode", "synchronous")}
        lax, version = {"off", "memory", "0", "1"}, "SELECT sqlite_version()"
    try:
        with engine.connect() as connection:
            said = {name: str(connection.execute(text(it)).scalar()) for name, it in asked.items()}
            here = time.time()
            return Probed(
                version=str(connection.execute(text(version)).scalar()),
                revision=current_revision(connection),
                durable=lax.isdisjoint(said.values()),
                how=", ".join(f"{name} {value}" for name, value in said.items()),
                clock_ahead_seconds=clock_microseconds(connection) / 1e6 - here,
            )
    except DBAPIError as error:
        raise Unavailable(f"the database did not answer: {error.orig}", "DATABASE") from error
    finally:
        engine.dispose()
