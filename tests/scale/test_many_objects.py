"""A server with as many objects as one has patience for: the account, the ledger, the memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from benchmarks.many_objects import DASK, PROCESSES, SMALL, measure, opened_place

if TYPE_CHECKING:
    from pathlib import Path

SERVER_MB_MAX = {PROCESSES: 300.0, DASK: 400.0}
"""Of the server alone, whatever it does, however many objects it does it with: Dask takes 60."""


@pytest.mark.parametrize(
    ("database", "executor", "objects"),
    [
        ("sqlite", PROCESSES, 2_000),
        *(
            pytest.param(
                *(database, executor, objects),
                marks=[pytest.mark.long, pytest.mark.timeout(3600)],
            )
            for objects in (10_000, 1_000_000)
            for database in ("sqlite", "postgresql")
            for executor in (PROCESSES, DASK)
        ),
    ],
)
def test_many_objects_are_imported_exported_deleted_once_each(
    database: str, executor: str, objects: int, tmp_path: Path
) -> None:
    with (
        opened_place(database, objects, tmp_path / "many", executor) as place,
        opened_place(database, min(SMALL, objects), tmp_path / "few", executor) as small,
    ):
        told = dict(measure(place, objects, small))
    assert set(told) == {"import", "database", "ledger", "pages", "in turn", "export", "delete"}
    for work in ("import", "ledger", "export", "delete"):
        assert 0 < told[work]["server_mb"] < SERVER_MB_MAX[executor], work
    assert 0 < told["database"]["bytes_an_instance"] < 2_000
