"""Bytes of pixel data, read piece by piece."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from fileroom.errors import DataLoss

Read = Callable[[int, int], bytes]
"""Gives so many bytes from an offset, fewer only at the end."""
PIECE_BYTES: Final = 8 << 20
"""What of a frame is held at a time."""


def exactly(read: Read, offset: int, length: int) -> bytes:
    """Give all of the bytes asked for.

    Raises
    ------
    DataLoss
        If there are fewer.
    """
    data = read(offset, length)
    if len(data) != length:
        raise DataLoss(
            f"the pixel data end {length - len(data)} bytes early; restore the blob from a backup"
        )
    return data
