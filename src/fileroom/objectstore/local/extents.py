"""Extents of a file that are erased one by one, while others of them are read.

An extent is erased from its head on: first its first bytes become zero, then all of them, and on
most file systems their blocks are given back. A reader looks at the head after each piece it has
read: while that is as it was, nothing behind it had begun to go. So no reader needs a lock, and
none ever takes zeros for bytes. The head of what is kept as an extent is never all zeros.
"""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from fileroom.closing import Closing
from fileroom.crashpoints import crashpoint
from fileroom.errors import Aborted, DataLoss, NotFound
from fileroom.objectstore.local.durable import sync_unnamed, translating

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

HEAD_BYTES: Final = 132
"""How much of its beginning tells whether an extent stands."""
BLOCK_BYTES: Final = 4096
"""Extents begin at multiples of this and so share no block: all of theirs can be freed."""
_PUNCH_HOLE_KEEP_SIZE: Final = 3
_NO_HOLES: Final = {errno.EOPNOTSUPP, errno.ENOSYS}
_ZEROS: Final = bytes(1 << 20)


@dataclass(frozen=True, slots=True, order=True)
class Extent:
    """A run of bytes of a file that is kept, read and erased as one."""

    offset: int
    size: int

    def __post_init__(self) -> None:
        if self.offset < 0 or self.offset % BLOCK_BYTES or self.size < 1:
            raise ValueError(f"{self.size} bytes at {self.offset} are no extent")

    @property
    def end(self) -> int:
        """Where it ends."""
        return self.offset + self.size

    @property
    def head_bytes(self) -> int:
        """Length of its head."""
        return min(HEAD_BYTES, self.size)


class LocalExtent(Closing):
    """One extent of a file, open for reading at any offset within it."""

    def __init__(self, file: int, key: str, extent: Extent) -> None:
        """Take over an open file.

        Raises
        ------
        NotFound
            If the extent was erased.
        DataLoss
            If the file ends before the extent does.
        """
        self._file = file
        self._key = key
        self._extent = extent
        self.size = extent.size
        with ExitStack() as stack:
            stack.callback(self.close)
            with translating(key):
                file_bytes = os.fstat(file).st_size
            if file_bytes < extent.end:
                raise DataLoss(
                    f"blob {key} has {file_bytes} bytes, not the {extent.end} up to the end of"
                    " what was stored there; restore it from a backup"
                )
            self._head = self._read_head()
            if not is_head(self._head):
                raise NotFound(f"what was at byte {extent.offset} of {key!r} was erased")
            stack.pop_all()

    def read_at(self, offset: int, length: int) -> bytes:
        """Give ``length`` bytes from ``offset`` of the extent on, fewer only at its end.

        Raises
        ------
        Aborted
            If the extent is erased meanwhile, or the file ends before it does.
        """
        wanted = max(0, min(length, self.size - offset))
        with translating(self._key):
            piece = _read(self._file, self._extent.offset + offset, wanted)
        if len(piece) != wanted or self._read_head() != self._head:
            raise Aborted(
                f"what was at byte {self._extent.offset} of {self._key!r} went while it was read"
            )
        return piece

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _read_head(self) -> bytes:
        with translating(self._key):
            return os.pread(self._file, self._extent.head_bytes, self._extent.offset)


def is_head(content: bytes) -> bool:
    """Whether something may be kept as an extent that begins with these bytes."""
    return bool(content[:HEAD_BYTES].strip(b"\0"))


def erase_extents(file: int, extents: Iterable[Extent], key: str) -> None:
    """Erase extents of a file that is open for reading and writing; durable on return.

    May be repeated: what could not be made durable is written anew then.
    """
    with translating(key):
        for extent in extents:
            # On a full file system of copies on write even zeros need space: none twice.
            if is_head(os.pread(file, extent.head_bytes, extent.offset)):
                _write_zeros(file, extent.offset, extent.head_bytes)
                crashpoint("extent.beheaded")
            length = -(-extent.size // BLOCK_BYTES) * BLOCK_BYTES
            if not _punch_hole(file, extent.offset, length):
                rest = extent.offset + extent.head_bytes
                _write_zeros(file, rest, extent.end - rest)
            crashpoint("extent.erased")
    sync_unnamed(file, f"object {key!r}")


def is_blank(file: int, extents: Iterable[Extent], key: str) -> bool:
    """Whether nothing but zeros is in some extents of a file, holes passed over unread."""
    with translating(key):
        return all(_is_blank(file, extent.offset, extent.end) for extent in extents)


def _is_blank(file: int, at: int, end: int) -> bool:
    while (at := _next_data(file, at)) < end:
        piece = os.pread(file, min(len(_ZEROS), end - at), at)
        if piece.strip(b"\0"):
            return False
        if not piece:
            return True
        at += len(piece)
    return True


def _next_data(file: int, at: int) -> int:
    """Give where the next bytes are that are no hole; ``at`` where the file system cannot tell."""
    try:
        return os.lseek(file, at, os.SEEK_DATA)
    except OSError as error:
        return sys.maxsize if error.errno == errno.ENXIO else at
    except AttributeError:
        return at


def _read(file: int, offset: int, length: int) -> bytes:
    pieces: list[bytes] = []
    while length and (piece := os.pread(file, length, offset)):
        pieces.append(piece)
        offset += len(piece)
        length -= len(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _write_zeros(file: int, offset: int, length: int) -> None:
    while length > 0:
        written = os.pwrite(file, _ZEROS[:length], offset)
        offset += written
        length -= written


def _punch_hole(file: int, offset: int, length: int) -> bool:
    """Give blocks back to the file system; False where it cannot do that."""
    if _fallocate is None:
        return False
    while _fallocate(file, _PUNCH_HOLE_KEEP_SIZE, offset, length) != 0:
        error = ctypes.get_errno()
        if error in _NO_HOLES:
            return False
        if error != errno.EINTR:
            raise OSError(error, os.strerror(error))
    return True


def _find_fallocate() -> Callable[[int, int, int, int], int] | None:
    if sys.platform != "linux":
        return None
    library = ctypes.CDLL(None, use_errno=True)
    # musl has one name only, and 64 bits in it.
    function = getattr(library, "fallocate64", None) or getattr(library, "fallocate", None)
    if function is None:
        return None
    function.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
    function.restype = ctypes.c_int
    call: Callable[[int, int, int, int], int] = function
    return call


_fallocate: Final = _find_fallocate()
