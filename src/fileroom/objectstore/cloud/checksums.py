"""CRC-32C, as clouds tell it."""

from __future__ import annotations

from typing import cast

import google_crc32c


class Crc32c:
    """The CRC-32C of bytes that come piece by piece.

    References
    ----------
    RFC 3720 12.1.
    """

    def __init__(self, content: bytes = b"") -> None:
        self._sum = google_crc32c.Checksum(content)  # type: ignore[no-untyped-call]

    def update(self, piece: bytes) -> None:
        """Take the next bytes."""
        self._sum.update(piece)  # type: ignore[no-untyped-call]

    def digest(self) -> bytes:
        """Give the sum of what was taken, 4 bytes, big endian."""
        return cast("bytes", self._sum.digest())  # type: ignore[no-untyped-call]
