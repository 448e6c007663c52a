"""Bodies of requests that come compressed (RFC 9110 8.4); Google's Java client sends them so."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Final

from fileroom.errors import InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Iterator

INFLATED_BYTES: Final = 1 << 20
"""What is unpacked at one go: a piece of a bomb becomes many, each of which is counted."""
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

    def unpack(self, piece: bytes) -> Iterator[bytes]:
        """Give what a piece holds, at most ``INFLATED_BYTES`` at a time.

        Raises
        ------
        InvalidArgument
            If it is no gzip.
        """
        while piece:
            if self._member.eof:
                self._member = zlib.decompressobj(_GZIP)
            try:
                inflated = self._member.decompress(piece, INFLATED_BYTES)
            except zlib.error as error:
                raise InvalidArgument(
                    f"the body is not the gzip that it says it is: {error}", "Content-Encoding"
                ) from error
            piece = self._member.unconsumed_tail or self._member.unused_data
            if inflated:
                yield inflated

    def finish(self) -> Iterator[bytes]:
        """Give what is left; InvalidArgument where the body ends within a member."""
        while not self._member.eof:
            inflated = self._member.decompress(b"", INFLATED_BYTES)
            if not inflated:
                raise InvalidArgument("the body's gzip is cut short", "Content-Encoding")
            yield inflated
