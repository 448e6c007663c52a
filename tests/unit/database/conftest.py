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


@pytest.fixture
def transaction(tmp_path: Path) -> Iterator[Connection]:
    """A writing connection, as a change in the writer thread would see it."""
    engine = open_engine(empty_file(tmp_path), writable=True)
    with engine.connect() as connection:
        transaction = connection.begin()
        yield connection
        transaction.rollback()
    engine.dispose()


@pytest.fixture
def store_id(transaction: Connection) -> int:
    return new_store(transaction)
