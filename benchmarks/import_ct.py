"""Durable import from a local bucket, beside ``cp -r && sync`` and Orthanc fed over HTTP.

Not like for like, to be said beside every figure: the import reads a directory while Orthanc
receives HTTP; ``cp`` is one process and checks nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.files import make_ct, make_small
from benchmarks.measure import Goal, Result, Side, Work, measure
from benchmarks.sides import copy, find_orthanc, running_fileroom

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

COPY = "cp -r && sync"
ORTHANC = "Orthanc"
_ORTHANC_SAMPLE = 200


def import_ct(directory: Path, instances: int, rounds: int) -> Result:
    """Import CT slices of 529 KB."""
    goals = {COPY: Goal(at_least=1.0, aim=1.3), ORTHANC: Goal(at_least=3, aim=4)}
    return _import("durable import of CT", make_ct, goals, directory, instances, rounds)


def import_small(directory: Path, instances: int, rounds: int) -> Result:
    """Import MR slices of 24 KB."""
    goals = {ORTHANC: Goal(at_least=4, aim=15)}
    return _import("durable import of small", make_small, goals, directory, instances, rounds)


def _import(
    title: str,
    make: Callable[[Path, int], int],
    goals: dict[str, Goal],
    directory: Path,
    instances: int,
    rounds: int,
) -> Result:
    source = directory / "source"
    size = make(source, instances)
    orthanc = find_orthanc(directory)
    absent = {} if orthanc else {ORTHANC: "not installed (apt-get install orthanc)"}
    with running_fileroom(directory, source) as fileroom:
        sides = [
            Side(
                name="Fileroom",
                run=lambda number: fileroom.import_(f"store-{number}", instances),
            ),
            Side(name=COPY, run=lambda _: copy(source, directory / "copy")),
        ]
        if orthanc is not None:
            clients = orthanc.best_client_count(source, min(instances, _ORTHANC_SAMPLE))
            title += f"; Orthanc {orthanc.version}, {clients} clients"
            sides.append(Side(name=ORTHANC, run=lambda _: orthanc.store(source, clients)))
        work = Work(title=title, instances=instances, size_bytes=size, goals=goals)
        return measure(work, sides, rounds=rounds, absent=absent, directory=directory)
