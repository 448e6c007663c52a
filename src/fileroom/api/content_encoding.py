"""Bodies of requests that come compressed (RFC 9110 8.4); Google's Java client sends them so."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Final

from fileroom.errors import InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Iterator

INFLATED_BYTES: Final = 1 << 20
"""What is unpacked at one go: a piece of a bomb becomes many, each of which is counted."""
_WASTE_BYTES: Final = 1 << 20
"""What may be packed into nothing: gzip adds five bytes to 64 KiB that it cannot pack."""
_GZIP: Final = zlib.MAX_WBITS | 16
_PLAIN: Final = frozenset({"", "identity"})
_GZIPPED: Final = frozenset({"gzip", "x-gzip"})


def find_unpacker(content_encoding: str) -> Unpacker | None:
    """Give what unpacks a body of this ``Content-Encoding``; ``None`` for one that comes as it is.

    Raises
    ------
    InvalidArgument
        If it is another encoding than gzip, or several.
    """
    encoding = content_encoding.strip().lower()
    if encoding in _PLAIN:
        return None
    if encoding in _GZIPPED:
        return Unpacker()
    raise InvalidArgument(
        f"Content-Encoding {encoding[:40]!r} is not read; send the body as it is, or gzip",
        "Content-Encoding",
    )


class Unpacker:
    """Unpacks gzip as it comes (RFC 1952), one member or several."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(_GZIP)
        self._taken = 0
        self._given = 0

    def unpack(self, piece: bytes) -> Iterator[bytes]:
        """Give what a piece holds, at most ``INFLATED_BYTES`` at a time.

        Raises
        ------
        InvalidArgument
            If it is no gzip, or one that holds less than it takes.
        """
        self._taken += len(piece)
        while piece:
            if self._member.eof:
                self._member = zlib.decompressobj(_GZIP)
            unpacked = self._inflate(piece)
            piece = self._member.unconsumed_tail or self._member.unused_data
            if unpacked:
                yield unpacked
        if self._taken > self._given + self._given // 64 + _WASTE_BYTES:
            raise InvalidArgument("the body's gzip holds less than it takes", "Content-Encoding")

    def finish(self) -> Iterator[bytes]:
        """Give what is left; InvalidArgument where the body ends within a member."""
        while not self._member.eof:
            unpacked = self._inflate(b"")
            if not unpacked:
                raise InvalidArgument("the body's gzip is cut short", "Content-Encoding")
            yield unpacked

    def _inflate(self, piece: bytes) -> bytes:
        try:
            unpacked = self._member.decompress(piece, INFLATED_BYTES)
        except zlib.error as error:
            raise InvalidArgument(
                f"the body is not the gzip that it says it is: {error}", "Content-Encoding"
            ) from error
        self._given += len(unpacked)
        return unpacked
