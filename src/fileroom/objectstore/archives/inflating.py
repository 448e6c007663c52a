"""The bytes of a tar read once, from its start to its end, inflated where they are gzip's."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Final, Protocol

from fileroom.errors import Reason
from fileroom.objectstore.archives.member import RATIO_FREE_BYTES, RATIO_MAX, BadArchive
from fileroom.objectstore.archives.ranges import PIECE_BYTES, ReadAhead

if TYPE_CHECKING:
    from fileroom.objectstore.contract import StoredObject

GZIP_BYTES_MAX: Final = 16 << 30
"""Reading one again after a fault starts from its beginning."""
INFLATED_BYTES_MAX: Final = 1 << 40
GZIP_PARTS_MAX: Final = 1 << 20
"""gzip streams one behind the other in one object, as parallel compressors write them."""
_INPUT_BYTES: Final = 64 << 10
_GZIP: Final = 16 + zlib.MAX_WBITS


class Stream(Protocol):
    """Bytes that are read forward."""

    position: int

    def read(self, length: int) -> bytes:
        """Give the next bytes, fewer only at the end."""

    def skip(self, length: int) -> None:
        """Pass over bytes; beyond the end, nothing is left to read."""


class PlainStream:
    """An object's bytes as they are."""

    def __init__(self, source: StoredObject) -> None:
        self._source = source
        self.position = 0

    def read(self, length: int) -> bytes:
        """Give the next bytes, fewer only at the end."""
        data = self._source.read_at(self.position, length)
        self.position += len(data)
        return data

    def skip(self, length: int) -> None:
        """Pass over bytes without reading them."""
        self.position += length


class GzipStream:
    """What an object's bytes inflate to.

    Raises
    ------
    BadArchive
        As it is read: if the bytes are not gzip's, end before they should, differ from their
        CRC-32, or inflate to more than they may.

    References
    ----------
    RFC 1952, 2.2 (one stream after the other)
    """

    def __init__(self, source: StoredObject) -> None:
        if source.size > GZIP_BYTES_MAX:
            raise BadArchive(
                f"a tar.gz of more than {GZIP_BYTES_MAX >> 30} GB is not read: after a fault all "
                "of it would be inflated again; write it as .tar or .zip, or split it"
            )
        self._source = ReadAhead(source)
        self._taken = 0
        self._parts = 0
        self._fault: BadArchive | None = None
        self._begin()
        self.position = 0

    def read(self, length: int) -> bytes:
        """Give the next bytes, fewer only at the end."""
        pieces: list[bytes] = []
        while length and (piece := self._inflate(min(length, PIECE_BYTES))):
            pieces.append(piece)
            length -= len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def skip(self, length: int) -> None:
        """Pass over bytes, which are inflated all the same."""
        while length and (piece := self._inflate(min(length, PIECE_BYTES))):
            length -= len(piece)

    def _inflate(self, at_most: int) -> bytes:
        if self._fault is not None:
            raise self._fault
        try:
            return self._inflated(at_most)
        except zlib.error as error:
            message = "the archive is damaged: its bytes are not gzip's or differ from their CRC-32"
            self._fault = BadArchive(message, Reason.CHECKSUM_MISMATCH)
            raise self._fault from error
        except BadArchive as error:
            self._fault = error
            raise

    def _inflated(self, at_most: int) -> bytes:
        """Give the next bytes, none only at the end."""
        while not self._inflater.eof or self._begin_next():
            data = self._inflater.unconsumed_tail or self._next_input()
            piece = self._inflater.decompress(data, at_most)
            if piece:
                self._count(len(piece))
                return piece
            if not data and not self._inflater.eof:
                raise BadArchive("the archive is cut short", Reason.TRUNCATED)
        return b""

    def _begin(self) -> None:
        self._inflater = zlib.decompressobj(_GZIP)

    def _begin_next(self) -> bool:
        """Begin the gzip stream that follows, if one does; zeros may fill up the object."""
        rest = self._inflater.unused_data.lstrip(b"\0")
        while not rest and (data := self._next_input()):
            rest = data.lstrip(b"\0")
        if not rest:
            return False
        self._parts += 1
        if self._parts >= GZIP_PARTS_MAX:
            raise BadArchive(f"the archive has more than {GZIP_PARTS_MAX:,} gzip streams")
        self._taken -= len(rest)
        self._begin()
        return True

    def _next_input(self) -> bytes:
        data = self._source.read_at(self._taken, _INPUT_BYTES)
        self._taken += len(data)
        return data

    def _count(self, length: int) -> None:
        self.position += length
        if self.position > max(RATIO_FREE_BYTES, RATIO_MAX * self._taken):
            raise BadArchive(
                f"the archive inflates to more than {RATIO_MAX} times its size; write it as .tar"
            )
        if self.position > INFLATED_BYTES_MAX:
            raise BadArchive(
                f"the archive inflates to more than {INFLATED_BYTES_MAX >> 40} TB; split it"
            )
