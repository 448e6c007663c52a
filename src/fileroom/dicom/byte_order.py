"""Values between big and little endian (PS3.5 7.3)."""

from __future__ import annotations

from typing import Final

WORD_BYTES: Final = {
    **dict.fromkeys(("AT", "OW", "SS", "US"), 2),
    **dict.fromkeys(("FL", "OF", "OL", "SL", "UL"), 4),
    **dict.fromkeys(("FD", "OD", "OV", "SV", "UV"), 8),
}
"""How many bytes are reversed together, by VR; values of the others have no byte order."""


def swapped(value: bytes, word_bytes: int) -> bytes:
    """Give a value with the bytes of each word reversed; an incomplete word at the end stays."""
    end = len(value) // word_bytes * word_bytes
    result = bytearray(value)
    for byte in range(word_bytes):
        result[byte:end:word_bytes] = value[word_bytes - 1 - byte : end : word_bytes]
    return bytes(result)
