"""Durable export of unchanged instances into a local bucket, beside ``cp -r && sync``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.files import make_ct
from benchmarks.measure import Goal, Result, Side, Work, measure
from benchmarks.sides import copy, running_fileroom

if TYPE_CHECKING:
    from pathlib import Path

COPY = "cp -r && sync"


def export_ct(directory: Path, instances: int, rounds: int) -> Result:
    """Export CT slices of 529 KB."""
    source = directory / "source"
    work = Work(
        title="durable export of CT, unchanged",
        instances=instances,
        size_bytes=make_ct(source, instances),
        goals={COPY: Goal(at_least=0.9, aim=1.3)},
    )
    with running_fileroom(directory, source) as fileroom:
        fileroom.import_("store", instances)
        sides = [
            Side(name="Fileroom", run=lambda _: fileroom.export("store", instances)),
            Side(name=COPY, run=lambda _: copy(source, directory / "copy")),
        ]
        return measure(work, sides, rounds=rounds, absent={}, directory=directory)
