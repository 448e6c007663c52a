"""Empty databases of either kind, made quickly: the tables of each were made once for the run."""

from __future__ import annotations

from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final, Literal

import pytest

from fileroom.database.postgresql import PostgresqlDatabase
from fileroom.database.sqlite import SqliteDatabase, open_sqlite
from tests.postgresql import PostgresqlServer, running_postgresql

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fileroom.database.engine import Database

Dialect = Literal["sqlite", "postgresql"]
DIALECTS: Final[tuple[Dialect, ...]] = ("sqlite", "postgresql")


@pytest.fixture(scope="session")
def server() -> Iterator[PostgresqlServer]:
    """One PostgreSQL server for all tests of a process."""
    with running_postgresql() as started:
        yield started


@pytest.fixture(scope="session", params=DIALECTS)
def dialect(request: pytest.FixtureRequest) -> Dialect:
    """Have each test run on either kind of database."""
    found: Dialect = request.param
    return found


@pytest.fixture(scope="session")
def shared(dialect: Dialect, request: pytest.FixtureRequest) -> PostgresqlServer | None:
    """The server of the database that this test runs on; None for a file."""
    if dialect == "sqlite":
        return None
    started: PostgresqlServer = request.getfixturevalue("server")
    return started


@lru_cache(maxsize=1)
def _empty_file() -> bytes:
    with TemporaryDirectory() as directory:
        path = Path(directory) / "fileroom.db"
        open_sqlite(path).close()
        return path.read_bytes()


def new_database(directory: Path, server: PostgresqlServer | None = None) -> Path | str:
    """Make a database without content: a file, or one of a server; give its place."""
    if server is not None:
        return server.new_database()
    path = directory / "fileroom.db"
    path.write_bytes(_empty_file())
    return path


@contextmanager
def opened_database(directory: Path, server: PostgresqlServer | None = None) -> Iterator[Database]:
    """Give a database without content."""
    with opened_at(new_database(directory, server)) as database:
        yield database


@contextmanager
def opened_at(place: Path | str) -> Iterator[Database]:
    """Open the database at a place."""
    database: Database = (
        PostgresqlDatabase(place) if isinstance(place, str) else SqliteDatabase(place)
    )
    try:
        yield database
    finally:
        database.close()
