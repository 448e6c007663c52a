"""What the tests of running operations share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fileroom.operations import runner
from tests.databases import dialect, opened_database, server, shared

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fileroom.database.engine import Database
    from tests.postgresql import PostgresqlServer

__all__ = ["dialect", "server", "shared"]


@pytest.fixture
def database(shared: PostgresqlServer | None, tmp_path: Path) -> Iterator[Database]:
    with opened_database(tmp_path, shared) as database:
        yield database


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a runner wait for less than a second."""
    for name in ("HEARTBEAT_SECONDS", "POLL_SECONDS", "BACKOFF_SECONDS_MAX"):
        monkeypatch.setattr(runner, name, 0.05)
