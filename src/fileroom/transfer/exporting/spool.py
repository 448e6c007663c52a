"""Bytes that are made and wait to be written."""

from __future__ import annotations

import tempfile
from typing import TYPE_CHECKING, Final

from fileroom.closing import Closing
from fileroom.objectstore.local.beneath import TEMPORARY_PREFIX
from fileroom.objectstore.local.durable import translating

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MEMORY_BYTES: Final = 32 << 20
"""What a spool holds in memory; all of it is on disk once it holds more."""
_PIECE_BYTES: Final = 8 << 20


class Spool(Closing):
    """Bytes in memory, or in a file that has no name and ends with the process.

    Raises ``ResourceExhausted`` or ``Unavailable``, as every write to that disk does.
    """

    def __init__(self, directory: Path) -> None:
        self.size = 0
        self._file = tempfile.SpooledTemporaryFile(  # noqa: SIM115 - closed by ``close``
            MEMORY_BYTES, "w+b", prefix=TEMPORARY_PREFIX, dir=str(directory)
        )

    def append(self, piece: bytes) -> None:
        """Add bytes at the end."""
        with translating("what waits to be exported"):
            self._file.write(piece)
        self.size += len(piece)

    def truncate(self, size: int) -> None:
        """Take back what was appended last."""
        with translating("what waits to be exported"):
            self._file.seek(size)
            self._file.truncate(size)
        self.size = size

    def pieces(self, offset: int, length: int) -> Iterator[bytes]:
        """Give bytes in pieces of at most 8 MB; nothing is appended after."""
        for start in range(offset, offset + length, _PIECE_BYTES):
            with translating("what waits to be exported"):
                self._file.seek(start)
                yield self._file.read(min(_PIECE_BYTES, offset + length - start))

    def close(self) -> None:
        """Throw all of it away."""
        self._file.close()
