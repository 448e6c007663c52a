"""An operation of any number of objects: exact, and no larger in memory than a small one (F41)."""

from __future__ import annotations

import itertools
import os
from functools import partial
from multiprocessing import get_context
from typing import TYPE_CHECKING

import pytest

from tests.databases import dialect, server, shared
from tests.postgresql import PostgresqlServer
from tests.simulation import Seen, check, simulate

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["dialect", "server", "shared"]


def look(seen: Seen, count: int, growth_mb_max: float) -> None:
    told = check(seen, count)
    assert told["memory_most_mb"] - told["memory_after_a_fifth_mb"] < growth_mb_max


def test_an_import_of_many_objects_is_chunks_and_a_cursor(
    shared: PostgresqlServer | None, tmp_path: Path
) -> None:
    # Of a process that runs other tests too, nobody could tell whose the memory is.
    place = None if shared is None else shared.directory
    alone = get_context("spawn").Process(target=measured, args=(tmp_path / "site", place))
    alone.start()
    alone.join()
    assert alone.exitcode == 0


def measured(directory: Path, place: Path | None) -> None:
    """Import in this process; ``place`` is the directory of a PostgreSQL server that runs."""
    count = 300_000
    # Less than a hundred bytes of each object would add.
    seen = partial(look, count=count, growth_mb_max=24.0)
    shared = None
    if place is not None:
        shared = PostgresqlServer(place, durable=False, _numbers=itertools.count(os.getpid()))
    simulate(directory, count, seen, shared=shared)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_an_import_of_ten_million_objects_is_no_more(tmp_path: Path) -> None:
    count = 10_000_000
    # What SQLite's cache may still take, and less than ten bytes of each object would add.
    seen = partial(look, count=count, growth_mb_max=72.0)
    simulate(tmp_path / "site", count, seen, objects_max=1000)
