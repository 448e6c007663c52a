"""Two or more ways to do one piece of work, timed in turn, and the comparison of their medians."""

from __future__ import annotations

import os
import platform
import sqlite3
import statistics
import subprocess
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One way to do the work."""

    name: str
    run: Callable[[int], float]
    """Does the work once, for the round of this number, and gives the seconds it took; what it
    makes ready before and clears away after is not counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """How many times as fast as a peer Fileroom shall be."""

    at_least: float
    aim: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """A piece of work: so many instances of so many bytes moved."""

    title: str
    instances: int
    size_bytes: int
    goals: Mapping[str, Goal]
    """By the name of the peer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What was measured; the first side is Fileroom."""

    work: Work
    seconds: Mapping[str, Sequence[float]]
    """Of each side, round by round."""
    absent: Mapping[str, str]
    """Peers that could not take part, each with the reason."""
    machine: Mapping[str, str] = field(default_factory=dict)

    def per_second(self, side: str) -> float:
        """Instances a second, by the median of the rounds."""
        return self.work.instances / statistics.median(self.seconds[side])

    def ratio(self, peer: str) -> float:
        """How many times as fast as the peer Fileroom is."""
        return self.per_second(next(iter(self.seconds))) / self.per_second(peer)

    def to_json(self) -> dict[str, object]:
        """Give all of it as JSON values."""
        return {
            "title": self.work.title,
            "instances": self.work.instances,
            "bytes": self.work.size_bytes,
            "sides": {
                side: {
                    "seconds": [round(value, 4) for value in seconds],
                    "instancesPerSecond": round(self.per_second(side), 1),
                    "fileroomTimesAsFast": round(self.ratio(side), 3),
                }
                for side, seconds in self.seconds.items()
            },
            "atLeast": {peer: goal.at_least for peer, goal in self.work.goals.items()},
            "aim": {peer: goal.aim for peer, goal in self.work.goals.items()},
            "absent": dict(self.absent),
            "machine": dict(self.machine),
        }

    def to_table(self) -> str:
        """Give it as a table in Markdown."""
        megabytes = self.work.size_bytes / 1e6
        lines = [
            f"**{self.work.title}** ({self.work.instances:,} instances, {megabytes:,.0f} MB)",
            "",
            "| | instances/s, median | MB/s | rounds | Fileroom is | at least | aim |",
            "|---|---|---|---|---|---|---|",
        ]
        for side, seconds in self.seconds.items():
            rate = self.per_second(side)
            rounds = " ".join(f"{self.work.instances / value:,.0f}" for value in seconds)
            goal = self.work.goals.get(side)
            compared = (
                f"{self.ratio(side):.2f}x | {goal.at_least:g}x | {goal.aim:g}x" if goal else " | | "
            )
            speed = rate * megabytes / self.work.instances
            lines.append(f"| {side} | {rate:,.0f} | {speed:,.0f} | {rounds} | {compared} |")
        lines += [f"| {peer} | absent: {why} | | | | | |" for peer, why in self.absent.items()]
        return "\n".join(lines)


def measure(
    work: Work, sides: Sequence[Side], *, rounds: int, absent: Mapping[str, str], directory: Path
) -> Result:
    """Run the sides in turn, A B A B, each time with nothing left for the disk to write."""
    seconds: dict[str, list[float]] = {side.name: [] for side in sides}
    for number in range(rounds):
        for side in sides:
            os.sync()
            seconds[side.name].append(side.run(number))
    return Result(work=work, seconds=seconds, absent=absent, machine=describe_machine(directory))


def describe_machine(directory: Path) -> dict[str, str]:
    """Give what the figures were measured on, and with which versions."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "memory": f"{memory / 2**30:.0f} GiB",
        "fileSystem": _file_system(directory),
        "kernel": platform.release(),
        "system": _system(),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "fileroom": version("fileroom"),
        "cp": _first_line(["cp", "--version"]),
    }


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            names = (line.partition(":")[2].strip() for line in lines if "model name" in line)
            return next(names, platform.machine())
    except OSError:
        return platform.processor() or platform.machine()


def _file_system(directory: Path) -> str:
    """Give the type of the mount that holds a directory; ``stat`` cannot tell ext4 from ext2."""
    place = directory.resolve()
    try:
        mounts = Path("/proc/mounts").read_text(encoding="utf-8").splitlines()
    except OSError:
        return "unknown"
    holding = {
        point: kind for _, point, kind, *_ in map(str.split, mounts) if place.is_relative_to(point)
    }
    return holding[max(holding, key=len)] if holding else "unknown"


def _system() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except OSError:
        return platform.system()


def _first_line(command: list[str]) -> str:
    output = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    return output.partition("\n")[0].strip()
