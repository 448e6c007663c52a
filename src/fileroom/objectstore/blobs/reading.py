"""Blobs of a cloud, open for reading while their neighbours may be erased."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from fileroom.closing import Closing
from fileroom.errors import Aborted, DataLoss, NotFound
from fileroom.objectstore.local import HEAD_BYTES, is_head

if TYPE_CHECKING:
    from fileroom.objectstore.blobs.windows import Windows
    from fileroom.objectstore.contract import StoredObject
    from fileroom.objectstore.local import Extent

FIRST_BYTES: Final = 1 << 20
"""How much of an extent is asked for as it is opened, which tells too whether it stands."""
_ATTEMPTS_MAX: Final = 10


class Packs(Protocol):
    """Where packs are opened."""

    windows: Windows

    def open_version(self, key: str, *, known: bool) -> StoredObject:
        """Open a pack at the version that was ``known`` last, or else at the one that it has."""


class HeldObject(Closing):
    """A small object whose bytes were read as it was opened."""

    def __init__(self, opened: StoredObject, data: bytes) -> None:
        self.key = opened.key
        self.size = opened.size
        self.version = opened.version
        self._data = data

    def read_at(self, offset: int, length: int) -> bytes:
        """Give bytes of the object, fewer only at its end."""
        return self._data[offset : offset + length]

    def close(self) -> None:
        """Forget the bytes."""
        self._data = b""


class CloudExtent(Closing):
    """One extent of a pack, open for reading at any offset within it."""

    def __init__(self, packs: Packs, key: str, extent: Extent) -> None:
        """Read its first bytes.

        Raises
        ------
        NotFound
            If there is no such pack, or the extent was erased.
        DataLoss
            If the pack ends before the extent does.
        """
        self._packs = packs
        self._key = key
        self._extent = extent
        self._first = b""
        self._pack = packs.open_version(key, known=True)
        self.size = extent.size
        first = self._read(0, min(FIRST_BYTES, extent.size))
        if self._pack.size < extent.end:
            raise DataLoss(
                f"blob {key} has {self._pack.size} bytes, not the {extent.end} up to the end of"
                " what was stored there; restore it from a backup"
            )
        if not is_head(first):
            raise NotFound(f"what was at byte {extent.offset} of {key!r} was erased")
        self._first = first

    def read_at(self, offset: int, length: int) -> bytes:
        """Give bytes of the extent; see ``BlobExtent.read_at``."""
        wanted = max(0, min(length, self.size - offset))
        known = self._first[offset : offset + wanted]
        if len(known) == wanted:
            return known
        return known + self._read(offset + len(known), wanted - len(known))

    def close(self) -> None:
        """Hold nothing: each read is a request of its own."""

    def _read(self, offset: int, length: int) -> bytes:
        for _ in range(_ATTEMPTS_MAX):
            try:
                return self._packs.windows.read(self._pack, self._extent.offset + offset, length)
            except (Aborted, NotFound):  # others were erased from it, perhaps
                self._pack = self._packs.open_version(self._key, known=False)
                if not self._stands():
                    break
        raise Aborted(
            f"what was at byte {self._extent.offset} of {self._key!r} went while it was read"
        )

    def _stands(self) -> bool:
        """Whether the pack as it is now holds what was read of it before, if anything was."""
        head = self._first[:HEAD_BYTES]
        return not head or self._pack.read_at(self._extent.offset, len(head)) == head
