"""What the tests of the rows share: one transaction on a real file, rolled back in the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fileroom.database.engine import open_engine
from tests.unit.database.rows import empty_file, new_store, opened_database

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fileroom.database.engine import Connection, Database


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with opened_database(tmp_path) as database:
        yield database


@pytest.fixture(scope="session")
def connection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connection]:
    """One for all tests: it keeps its compiled statements."""
    engine = open_engine(empty_file(tmp_path_factory.mktemp("rows")), writable=True)
    with engine.connect() as connection:
        yield connection
    engine.dispose()


@pytest.fixture
def transaction(connection: Connection) -> Iterator[Connection]:
    """A writing connection, as a change in the writer thread would see it."""
    transaction = connection.begin()
    try:
        yield connection
    finally:
        transaction.rollback()


@pytest.fixture
def store_id(transaction: Connection) -> int:
    return new_store(transaction)
