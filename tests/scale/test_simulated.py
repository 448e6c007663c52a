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

GROWTH_MB_MAX = 24.0
"""Less than what a hundred bytes of each object would add."""


def look(seen: Seen, count: int) -> None:
    told = check(seen, count)
    assert told["memory_most_mb"] - told["memory_after_a_fifth_mb"] < GROWTH_MB_MAX


def test_an_import_of_many_objects_is_chunks_and_a_cursor(
    shared: PostgresqlServer | None, tmp_path: Path
) -> None:
    simulate(tmp_path / "site", 300_000, partial(look, count=300_000), shared=shared)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_an_import_of_ten_million_objects_is_no_more(tmp_path: Path) -> None:
    simulate(tmp_path / "site", 10_000_000, partial(look, count=10_000_000), objects_max=1000)
