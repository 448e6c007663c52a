"""The database as all others see it: read from it, write to it, whichever of the two it is.

SQLite is a file of one server; PostgreSQL is shared by any number of them.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
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

__all__ = ["Connection", "Database", "Lane", "now_microseconds", "open_database"]

Lane = Literal["small", "batch"]
"""What a change is: of one request, which others wait for, or of a batch of an operation."""
POSTGRESQL: Final = "postgresql://"
"""What the address of a shared database begins with."""
T = TypeVar("T")


def now_microseconds() -> int:
    """Give the time as microseconds since 1970 in UTC."""
    return time.time_ns() // 1000


class Database(Protocol):
    """One open database."""

    @property
    def is_shared(self) -> bool:
        """Whether other servers may read and write it at the same time."""

    def read(self) -> AbstractContextManager[Connection]:
        """Give a connection that sees one snapshot; for short reads."""

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

    def close(self) -> None:
        """Finish the changes that wait, and close."""


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
        try:
            from fileroom.database.postgresql import open_postgresql
        except ImportError as error:
            raise FailedPrecondition(
                "PostgreSQL needs a driver: pip install 'fileroom[postgres]'", "database"
            ) from error
        return open_postgresql(place)
    from fileroom.database.sqlite import open_sqlite

    return open_sqlite(place)
