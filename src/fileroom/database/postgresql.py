"""PostgreSQL: several servers read and write at the same time.

Each change is a transaction of its own. What changes a DICOM store holds the store's row until it
commits (``next_change_seq``), so the numbers of its changes become visible in their order, and a
horizon that was read once holds (H6 of the core). A transaction that another one stood in the way
of is run again: changes are made of values alone.
"""

from __future__ import annotations

import logging
import random
import time
from typing import TYPE_CHECKING, Final, TypeVar

from sqlalchemy import create_engine, event, make_url
from sqlalchemy.exc import (
    ArgumentError,
    DBAPIError,
    InterfaceError,
    OperationalError,
    PendingRollbackError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from fileroom.crashpoints import crashpoint
from fileroom.database.engine import STATEMENT_SECONDS, busy, snapshot, too_slow
from fileroom.database.migrations import upgrade
from fileroom.errors import (
    Aborted,
    FileroomError,
    Internal,
    InvalidArgument,
    ResourceExhausted,
    Unavailable,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    import psycopg
    from sqlalchemy import Connection, Engine
    from sqlalchemy.pool import ConnectionPoolEntry

    from fileroom.database.engine import Lane

logger = logging.getLogger(__name__)

T = TypeVar("T")

READERS_MAX: Final = 32
WRITERS_MAX: Final = 16
"""Connections of one server; it waits for one rather than have the database refuse it."""
TRANSACTION_SECONDS: Final = 20
"""How long a server at a halt, or behind a network that is gone, keeps others from the rows that
its transaction holds: less than a lease. The time between two statements does not tell: the driver
sends many at a time, and in their midst the database waits as for one."""
_TELLS_TRANSACTIONS: Final = 170_000
"""The version of PostgreSQL that bounds them."""
CONNECT_SECONDS: Final = 10
ATTEMPTS_MAX: Final = 20
LONGEST_WAIT_SECONDS: Final = 0.5
_SERIALIZATION_FAILURE: Final = "40001"
_DEADLOCK: Final = "40P01"
_UNIQUE_VIOLATION: Final = "23505"
_CAME_SECOND: Final = {_SERIALIZATION_FAILURE, _DEADLOCK, _UNIQUE_VIOLATION}
"""Another transaction came first; the next attempt sees what it did."""
_FULL: Final = "53100"
_OUT_OF_MEMORY: Final = "53200"
_CANCELLED: Final = "57014"
_TOOK_LONG: Final = "25P04"


def open_engine(
    address: str, *, writable: bool, transaction_seconds: int = TRANSACTION_SECONDS
) -> Engine:
    """Give an engine on the database at an address, as in ``postgresql://host/name``.

    A transaction that takes longer than ``transaction_seconds`` is ended, where that is not 0.

    Raises
    ------
    InvalidArgument
        If it is no address.
    """
    try:
        url = make_url(address).set(drivername="postgresql+psycopg")
    except ArgumentError as error:
        raise InvalidArgument(
            "database is no address such as postgresql://host/fileroom", "database"
        ) from error
    most = WRITERS_MAX if writable else READERS_MAX
    engine = create_engine(
        url,
        pool_size=most // 4,
        max_overflow=most - most // 4,
        pool_pre_ping=True,
        pool_use_lifo=True,
        hide_parameters=True,  # values of attributes stay out of messages and logs
        connect_args={
            "connect_timeout": CONNECT_SECONDS,
            "application_name": "fileroom",
            "options": f"-c statement_timeout={STATEMENT_SECONDS}s -c timezone=UTC",
        },
    )

    @event.listens_for(engine, "connect")
    def configure(connection: psycopg.Connection[object], _entry: ConnectionPoolEntry) -> None:
        from psycopg import IsolationLevel

        if writable and connection.info.server_version >= _TELLS_TRANSACTIONS:
            # A reader holds no rows, and may look at much between two of its statements.
            connection.execute(f"SET transaction_timeout = '{transaction_seconds}s'")
            connection.commit()
        connection.isolation_level = (
            IsolationLevel.READ_COMMITTED if writable else IsolationLevel.REPEATABLE_READ
        )
        connection.read_only = not writable

    return engine


def translated(error: DBAPIError) -> FileroomError:
    """Give the error of ours that a driver's error means."""
    state = _state_of(error)
    if state == _FULL:
        return ResourceExhausted(
            "the database cannot grow: no space left on its disk; free some", "NO_SPACE"
        )
    if state == _OUT_OF_MEMORY:
        return Unavailable("the database has no memory left for a statement", "DATABASE")
    if state in _CAME_SECOND:
        return Aborted("other changes came first again and again; repeat the request", "DATABASE")
    if state == _CANCELLED:
        return too_slow()
    if state == _TOOK_LONG or isinstance(error, OperationalError | InterfaceError):
        # Where it is, and who we are there, is nothing for clients.
        logger.warning("the database did not answer", extra={"cause": _told(error)})
        return Unavailable("the database did not answer; the server's log says more", "DATABASE")
    return Internal(f"the database refused a statement: {type(error.orig).__name__}")


def _told(error: DBAPIError) -> str:
    return " ".join(str(error.orig).split())


def _state_of(error: DBAPIError) -> str | None:
    state: str | None = getattr(error.orig, "sqlstate", None)
    return state


class PostgresqlDatabase:
    """A database that other servers may use at the same time."""

    def __init__(self, address: str, *, transaction_seconds: int = TRANSACTION_SECONDS) -> None:
        self._readers = open_engine(address, writable=False)
        self._writers = open_engine(address, writable=True, transaction_seconds=transaction_seconds)
        self._is_closed = False
        for engine in (self._readers, self._writers):
            event.listen(engine, "checkin", self._given_back)

    @property
    def is_shared(self) -> bool:
        """Whether other servers may write it: always."""
        return True

    def read(self) -> AbstractContextManager[Connection]:
        """Give a connection that sees one snapshot; see ``Database.read``."""
        return snapshot(self._readers, translated)

    def write(self, change: Callable[[Connection], T], *, lane: Lane = "small") -> T:
        """Run ``change`` in a transaction of its own; see ``Database.write``."""
        del lane  # a short change waits for no other but of the same store
        attempt = 0
        while True:
            attempt += 1
            try:
                with self._writers.connect() as connection, connection.begin():
                    result = change(connection)
                    crashpoint("transaction.written")
                crashpoint("transaction.committed")
                return result
            except DBAPIError as error:
                if _state_of(error) not in _CAME_SECOND or attempt == ATTEMPTS_MAX:
                    raise translated(error) from error
            except PendingRollbackError as error:
                raise Unavailable("the database ended the transaction", "DATABASE") from error
            except PoolTimeoutError as error:
                raise busy() from error
            bound = min(LONGEST_WAIT_SECONDS, 0.005 * 2**attempt)
            time.sleep(random.uniform(0.0, bound))  # noqa: S311 - spreads attempts, hides nothing

    def close(self) -> None:
        """Close all connections that nobody uses any more."""
        self._is_closed = True
        self._readers.dispose()
        self._writers.dispose()

    def _given_back(
        self, connection: psycopg.Connection[object] | None, _entry: ConnectionPoolEntry
    ) -> None:
        """Close a connection that somebody still used when the others were closed."""
        if self._is_closed and connection is not None:
            connection.close()


def open_postgresql(address: str) -> PostgresqlDatabase:
    """Open the database at an address, its tables made or brought up to date if need be.

    Raises
    ------
    FailedPrecondition
        If a newer Fileroom wrote it.
    InvalidArgument
        If it is no address.
    Unavailable
        If it does not answer.
    """
    engine = open_engine(address, writable=True, transaction_seconds=0)
    try:
        upgrade(engine)
    except OperationalError as error:  # told to who starts a server
        raise Unavailable(f"the database did not answer: {_told(error)}", "DATABASE") from error
    except DBAPIError as error:
        raise translated(error) from error
    finally:
        engine.dispose()
    return PostgresqlDatabase(address)
