"""An operation of any number of objects: exact, and no larger in memory than a small one (F41)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.databases import dialect, server, shared
from tests.simulation import Seen, check, simulate

if TYPE_CHECKING:
    from pathlib import Path

    from tests.postgresql import PostgresqlServer

__all__ = ["dialect", "server", "shared"]


def look(seen: Seen, count: int, growth_mb_max: float) -> None:
    told = check(seen, count)
    assert told["memory_most_mb"] - told["memory_after_a_fifth_mb"] < growth_mb_max


def test_an_import_of_many_objects_is_chunks_and_a_cursor(
    shared: PostgresqlServer | None, tmp_path: Path
) -> None:
    count = 300_000
    # In a process that runs other tests too: 240 bytes of each object would add as much.
    seen = partial(look, count=count, growth_mb_max=72.0)
    simulate(tmp_path / "site", count, seen, shared=shared)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_an_import_of_ten_million_objects_is_no_more(tmp_path: Path) -> None:
    count = 10_000_000
    # What SQLite's cache may still take, and less than ten bytes of each object would add.
    seen = partial(look, count=count, growth_mb_max=72.0)
    simulate(tmp_path / "site", count, seen, objects_max=1000)
