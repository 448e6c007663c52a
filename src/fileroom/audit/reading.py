"""Lines read, beside a server that writes more of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fileroom.audit.chain import find_line, segments_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fileroom.audit.entries import JsonObject


def whole_lines(path: Path) -> Iterator[bytes]:
    """Give the lines of a segment without their ends; one that has none yet is left out."""
    with path.open("rb") as file:
        for line in file:
            if line.endswith(b"\n"):
                yield line[:-1]


def entries_of(directory: Path) -> Iterator[JsonObject]:
    """Give what the lines tell, oldest first."""
    for segment in segments_of(directory):
        for line in whole_lines(segment.path):
            found = find_line(line)
            if found is not None:
                yield found[0]
