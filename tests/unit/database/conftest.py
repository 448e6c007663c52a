"""What the tests of the rows share: one transaction in a real database, rolled back in the end.

All of them run on SQLite and on PostgreSQL.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fileroom.database import many_rows, postgresql, sqlite
from tests.databases import dialect, new_database, opened_database, server, shared
from tests.unit.database.rows import new_store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fileroom.database.engine import Connection, Database
    from tests.postgresql import PostgresqlServer

__all__ = ["dialect", "server", "shared"]


@pytest.fixture
def database(shared: PostgresqlServer | None, tmp_path: Path) -> Iterator[Database]:
    with opened_database(tmp_path, shared) as database:
        yield database


@pytest.fixture(scope="session")
def connection(
    shared: PostgresqlServer | None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Connection]:
    """One for all tests: it keeps its compiled statements."""
    place = new_database(tmp_path_factory.mktemp("rows"), shared)
    if isinstance(place, str):
        engine = postgresql.open_engine(place, writable=True)
    else:
        engine = sqlite.open_engine(place, writable=True)
    with engine.connect() as connection:
        yield connection
    engine.dispose()


@pytest.fixture
def transaction(connection: Connection) -> Iterator[Connection]:
    """A writing connection, as a change would see it."""
    transaction = connection.begin()
    try:
        yield connection
    finally:
        transaction.rollback()


@pytest.fixture
def store_id(transaction: Connection) -> int:
    return new_store(transaction)


@pytest.fixture
def copied(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have PostgreSQL take even one row by ``COPY``, as it takes those of a whole batch."""
    monkeypatch.setattr(many_rows, "COPY_ROWS_MIN", 1)
