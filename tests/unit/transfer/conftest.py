"""What the tests of transfers share: a database, and threads in the place of workers."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from fileroom.objectstore.local import durable
from fileroom.transfer.pipeline import Turns
from tests.databases import dialect, opened_database, server, shared
from tests.unit.operations.running import claimed_run
from tests.unit.transfer.site import WORKERS, opened_site

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fileroom.database.engine import Database
    from fileroom.operations.runner import Run
    from tests.postgresql import PostgresqlServer
    from tests.unit.transfer.site import Site

__all__ = ["dialect", "server", "shared"]


@pytest.fixture
def database(shared: PostgresqlServer | None, tmp_path: Path) -> Iterator[Database]:
    with opened_database(tmp_path, shared) as database:
        yield database


@pytest.fixture
def run(database: Database) -> Run:
    return claimed_run(database)


@pytest.fixture
def turns() -> Iterator[Turns]:
    with ThreadPoolExecutor(WORKERS) as executor:
        yield Turns(executor, lambda: WORKERS)


@pytest.fixture
def right_to_write() -> Iterator[None]:
    """Give the right to write back after a test that ends it."""
    yield
    durable._right_to_write.lost = None


@pytest.fixture
def site(shared: PostgresqlServer | None, tmp_path: Path) -> Iterator[Site]:
    with opened_site(tmp_path / "site", shared) as site:
        yield site
