"""The database as all others see it: read from it, write to it, whichever of the two it is.

SQLite is a file of one server; PostgreSQL is shared by any number of them.
"""

from __future__ import annotations

import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Final, Literal, Protocol, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from fileroom.errors import FailedPrecondition, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from sqlalchemy import Engine

    from fileroom.errors import FileroomError

__all__ = [
    "Connection",
    "Database",
    "Lane",
    "Readers",
    "now_microseconds",
    "open_database",
    "open_readers",
]

Lane = Literal["small", "batch"]
"""What a change is: of one request, which others wait for, or of a batch of an operation."""
STATEMENT_SECONDS: Final = 60
"""PostgreSQL ends a statement that takes longer; SQLite one that is ``bounded``."""
POSTGRESQL: Final = "postgresql://"
"""What the address of a shared database begins with."""
T = TypeVar("T")


def now_microseconds() -> int:
    """Give the time as microseconds since 1970 in UTC."""
    return time.time_ns() // 1000


class Readers(Protocol):
    """A database that is open for reading."""

    @property
    def is_shared(self) -> bool:
        """Whether other servers may read and write it at the same time."""

    def read(self) -> AbstractContextManager[Connection]:
        """Give a connection that sees one snapshot; for short reads."""

    def close(self) -> None:
        """Finish what waits, and close."""


class Database(Readers, Protocol):
    """One open database."""

    def write(self, change: Callable[[Connection], T], *, lane: Lane = "small") -> T:
        """Run ``change`` in a transaction of its own, and give its result once it is durable.

        It may be run again where another change came first, so all that it does is in the
        transaction and its result.

        Raises
        ------
        ResourceExhausted
            If the disk is full; nothing was written.
        Unavailable
            If the database did not answer; what was asked for may be done or not.
        """


@contextmanager
def snapshot(
    engine: Engine, translated: Callable[[DBAPIError], FileroomError]
) -> Iterator[Connection]:
    """Give a connection of an engine's readers, whose errors are told by ``translated``."""
    try:
        with engine.connect() as connection, connection.begin():
            yield connection
    except DBAPIError as error:
        raise translated(error) from error
    except PoolTimeoutError as error:
        raise busy() from error


def too_slow() -> Unavailable:
    """Give what is told to whose statement took longer than one may."""
    return Unavailable(
        f"the database took more than {STATEMENT_SECONDS} s for a statement; ask for less at once",
        "DATABASE",
    )


def busy() -> Unavailable:
    """Give what is told to who finds no connection free."""
    return Unavailable("the database serves as many requests as it can; try again", "DATABASE")


def open_database(place: Path | str) -> Database:
    """Open a SQLite file or the PostgreSQL at an address, made or brought up to date if need be.

    Raises
    ------
    FailedPrecondition
        If a newer Fileroom wrote it.
    Unavailable
        If it does not answer.
    """
    # Each is loaded where it is used: a driver takes a tenth of a server's start.
    if isinstance(place, str):
        with _driver_needed():
            from fileroom.database.postgresql import open_postgresql
        return open_postgresql(place)
    from fileroom.database.sqlite import open_sqlite

    return open_sqlite(place)


def open_readers(place: Path | str) -> Readers | None:
    """Open a database for reading alone, whoever writes it meanwhile.

    None where it is empty, or not of the revision that this code works with.

    Raises
    ------
    Unavailable
        If it does not answer.
    """
    from fileroom.database.migrations import current_revision
    from fileroom.database.schema import REVISION

    readers: Readers
    if isinstance(place, str):
        with _driver_needed():
            from fileroom.database.postgresql import PostgresqlDatabase
        readers = PostgresqlDatabase(place)
    else:
        from fileroom.database.sqlite import SqliteReaders

        readers = SqliteReaders(place)
    with ExitStack() as closing:
        closing.callback(readers.close)
        with readers.read() as connection:
            if current_revision(connection) != REVISION:
                return None
        closing.pop_all()
    return readers


@contextmanager
def _driver_needed() -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise FailedPrecondition(
            "PostgreSQL needs a driver: pip install 'fileroom[postgres]'", "database"
        ) from error
