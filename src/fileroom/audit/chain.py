"""How lines are bound together, and in which files they are.

A line is one JSON object. Its ``chain`` says which chain it is of, which number it has in it, and
the SHA-256 of the line before, without the end of line. A file, called a segment, bears the number
of its first line; the chain goes on from one to the next.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from pathlib import Path

    from fileroom.audit.entries import JsonObject

BEGINNING: Final = "0" * 64
"""What stands for the hash of the line before the first."""
_SEGMENT: Final = re.compile(r"([0-9]{15})\.jsonl")


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """How far a chain goes."""

    chain: str
    sequence: int = 0
    digest: str = BEGINNING

    def next_line(self, told: JsonObject, at: str) -> tuple[Head, bytes]:
        """Give the line that comes next, and the head that it makes."""
        sequence = self.sequence + 1
        bound = {
            **told,
            "timestamp": at,
            "insertId": f"{self.chain[:8]}-{sequence}",
            "chain": {"id": self.chain, "sequence": sequence, "previous": self.digest},
        }
        line = msgspec.json.encode(bound)  # 1 µs, where json takes 8
        return Head(chain=self.chain, sequence=sequence, digest=digest_of(line)), line + b"\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """What a line says of its place."""

    chain: str
    sequence: int
    previous: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """One file of lines."""

    path: Path
    first: int
    """The number of its first line."""


def digest_of(line: bytes) -> str:
    """Give the hash of a line, which comes without its end."""
    return hashlib.sha256(line).hexdigest()


def find_line(line: bytes) -> tuple[JsonObject, Link] | None:
    """Give what a line tells, and its place; None where it is none of ours."""
    try:
        told = json.loads(line)
        chain = told["chain"]
        link = Link(
            chain=str(chain["id"]), sequence=int(chain["sequence"]), previous=chain["previous"]
        )
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None
    return told, link


def segment_path(directory: Path, first: int) -> Path:
    """Give the name of the segment that begins with a line."""
    return directory / f"{first:015d}.jsonl"


def segments_of(directory: Path) -> list[Segment]:
    """Give the segments of a directory in the order of their lines; none where there is none."""
    try:
        names = sorted(each.name for each in directory.iterdir())
    except FileNotFoundError:
        return []
    return [
        Segment(path=directory / name, first=int(match[1]))
        for name in names
        if (match := _SEGMENT.fullmatch(name))
    ]
