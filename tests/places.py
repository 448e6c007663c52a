"""Where the bytes of stored instances lie on disk: read, damaged and counted by the tests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from fileroom.archive.layout import MARKS
from fileroom.archive.packs import members
from fileroom.objectstore.blobs.local import LocalBlobs
from fileroom.objectstore.local import LocalBucket, is_head

if TYPE_CHECKING:
    from pathlib import Path

    from fileroom.database.instances import Place
    from fileroom.objectstore.blobs.contract import Blobs


def root_of(blobs: Blobs) -> Path:
    """Give the directory of blobs that are kept in one."""
    assert isinstance(blobs, LocalBlobs)
    return blobs.root


PLACES = frozenset[tuple[str, int]]
"""Keys of blobs, and offsets in them."""


class _Row(Protocol):
    @property
    def place_key(self) -> str: ...
    @property
    def place_offset(self) -> int: ...
    @property
    def size(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Lying:
    """The bytes of one instance in a file."""

    file: Path
    offset: int
    size: int

    def read(self) -> bytes:
        """Give the bytes."""
        with self.file.open("rb") as file:
            file.seek(self.offset)
            return file.read(self.size)

    def write(self, content: bytes, at: int = 0) -> None:
        """Put other bytes in the place of some."""
        with self.file.open("r+b") as file:
            file.seek(self.offset + at)
            file.write(content)

    def flip_last(self) -> None:
        """Flip a bit of the last byte."""
        self.write(bytes([self.read()[-1] ^ 1]), self.size - 1)

    def lose(self) -> None:
        """Make all bytes zero, as those of an instance are that was dropped."""
        self.write(bytes(self.size))


def of_row(area: Path, row: _Row) -> Lying:
    """Give where the instance of a row lies."""
    return Lying(area / row.place_key, row.place_offset, row.size)


def of_place(area: Path, place: Place) -> Lying:
    """Give where the instance of a place lies."""
    return Lying(area / place.key, place.offset, place.size)


def standing(area: Path) -> PLACES:
    """Give every place in a store's blobs whose bytes are there."""
    bucket = LocalBucket(area)
    places: set[tuple[str, int]] = set()
    for path in area.rglob("*"):
        if not path.is_file() or path.name.startswith(".") or path.parent.name == MARKS:
            continue
        key = str(path.relative_to(area))
        if not path.name.startswith("pack-"):
            places.add((key, 0))
            continue
        with bucket.open(key) as pack:
            places |= {
                (key, member.extent.offset)
                for member in members(pack)
                if is_head(pack.read_at(member.extent.offset, member.extent.size))
            }
    return frozenset(places)
