"""Parts of a file that are erased one by one, while others of them are read.

A part is erased from its head on: first its first bytes become zero, then all of them, and on most
file systems their blocks are given back. A reader looks at the head after each piece it has read:
while that stands, nothing behind it had begun to go. So no reader needs a lock, and none ever takes
zeros for bytes. The head of what is kept as a part is never all zeros.
"""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final, Self

from fileroom.errors import Aborted, DataLoss, NotFound
from fileroom.objectstore.local.durable import sync_unnamed, translating

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType

HEAD_BYTES: Final = 132
"""How much of its beginning tells whether a part stands."""
BLOCK_BYTES: Final = 4096
"""Parts that begin at multiples of this share no block, so that all of theirs can be freed."""
_PUNCH_HOLE_KEEP_SIZE: Final = 3
_NO_HOLES: Final = {errno.EOPNOTSUPP, errno.ENOSYS}
_ZEROS: Final = bytes(1 << 20)


class LocalPart:
    """One part of a file, open for reading at any offset within it."""

    def __init__(self, file: int, key: str, offset: int, size: int) -> None:
        """Take over an open file.

        Raises
        ------
        NotFound
            If the part was erased.
        DataLoss
            If the file ends before the part does.
        """
        self._file = file
        self._key = key
        self._offset = offset
        self.size = size
        with ExitStack() as stack:
            stack.callback(self.close)
            with translating(key):
                file_bytes = os.fstat(file).st_size
            if file_bytes < offset + size:
                raise DataLoss(
                    f"blob {key} has {file_bytes} bytes, not the {offset + size} up to the end of"
                    " a part that was stored; restore it from a backup"
                )
            if not self._stands():
                raise NotFound(f"the part of {key!r} at {offset} was erased")
            stack.pop_all()

    def read_at(self, offset: int, length: int) -> bytes:
        """Give ``length`` bytes from ``offset`` of the part on, fewer only at its end.

        Raises
        ------
        Aborted
            If the part is erased meanwhile, or the file ends before it does.
        """
        wanted = max(0, min(length, self.size - offset))
        with translating(self._key):
            piece = _read(self._file, self._offset + offset, wanted)
        if len(piece) != wanted or not self._stands():
            raise Aborted(f"the part of {self._key!r} at {self._offset} went while it was read")
        return piece

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _stands(self) -> bool:
        with translating(self._key):
            head = os.pread(self._file, min(HEAD_BYTES, self.size), self._offset)
        return is_head(head)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def is_head(content: bytes) -> bool:
    """Whether something may be kept as a part that begins with these bytes."""
    return bool(content[:HEAD_BYTES].strip(b"\0"))


def erase_parts(file: int, parts: Iterable[tuple[int, int]], what: str) -> None:
    """Erase parts, each an offset and a length, of a file open for writing; durable on return."""
    with translating(what):
        for offset, length in parts:
            head = min(HEAD_BYTES, length)
            _write_zeros(file, offset, head)
            if not _punch_hole(file, offset, -(-length // BLOCK_BYTES) * BLOCK_BYTES):
                _write_zeros(file, offset + head, length - head)
    sync_unnamed(file, what)


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
    if _fallocate(file, _PUNCH_HOLE_KEEP_SIZE, offset, length) == 0:
        return True
    error = ctypes.get_errno()
    if error in _NO_HOLES:
        return False
    raise OSError(error, os.strerror(error))


def _find_fallocate() -> Callable[[int, int, int, int], int] | None:
    if sys.platform != "linux":
        return None
    function = getattr(ctypes.CDLL(None, use_errno=True), "fallocate64", None)
    if function is None:
        return None
    function.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
    function.restype = ctypes.c_int
    call: Callable[[int, int, int, int], int] = function
    return call


_fallocate: Final = _find_fallocate()
