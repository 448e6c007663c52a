"""A deflated data set as a source that is read forward, within bounds.

References
----------
PS3.5 A.5
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from fileroom.dicom.refusal import Refused
from fileroom.dicom.window import UNKNOWN_SIZE
from fileroom.errors import Reason

if TYPE_CHECKING:
    from fileroom.dicom.header import ByteSource

_PIECE_BYTES = 1 << 20


class Inflated:
    """Reads forward only; holds at most one piece of the input and one of the output."""

    def __init__(self, source: ByteSource, offset: int, inflated_bytes_max: int) -> None:
        self._source = source
        self._offset = offset
        self._bytes_max = inflated_bytes_max
        self._inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        self._pending = b""
        self._piece = b""
        self._piece_at = 0
        self.size = UNKNOWN_SIZE

    def read_at(self, offset: int, length: int) -> bytes:
        """Read from ``offset``, which is not before the last one; short at the end."""
        out = bytearray()
        while len(out) < length:
            start = offset + len(out) - self._piece_at
            assert start >= 0, "a deflated data set is read forward only"
            if start < len(self._piece):
                out += self._piece[start : start + length - len(out)]
            elif not self._next_piece():
                break
        return bytes(out)

    def _next_piece(self) -> bool:
        self._piece_at += len(self._piece)
        self._piece = b""
        if self._piece_at >= self._bytes_max:
            raise Refused(
                f"the deflated data set is larger than {self._bytes_max} bytes inflated",
                Reason.HEADER_LIMIT,
                None,
                self._offset,
            )
        while not self._piece and not self._inflater.eof:
            if not self._pending:
                self._pending = self._source.read_at(self._offset, _PIECE_BYTES)
                self._offset += len(self._pending)
            ended = not self._pending
            try:
                # Also without more input: some output may still wait inside.
                self._piece = self._inflater.decompress(self._pending, _PIECE_BYTES)
            except zlib.error as error:
                raise Refused(
                    "the deflated data set cannot be inflated",
                    Reason.MALFORMED,
                    None,
                    self._offset - len(self._pending),
                ) from error
            self._pending = self._inflater.unconsumed_tail
            if ended and not self._piece and not self._inflater.eof:
                raise Refused(
                    "the object ends inside the deflated data set",
                    Reason.TRUNCATED,
                    None,
                    self._offset,
                )
        if not self._piece:
            self.size = self._piece_at
        return bool(self._piece)
