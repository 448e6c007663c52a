"""CRC-32C and MD5 of what comes piece by piece, as Cloud Storage tells them.

CRC-32C is made of what Python has at the speed of C: the bytes of many equal stretches are looked
up together, a byte of each at a time (``bytes.translate``), and the stretches are joined in the
end, for a CRC is linear. 115 MB/s were measured so, 9 MB/s byte by byte.

References
----------
RFC 3720 B.4; Cloud Storage JSON API v1, Objects: ``crc32c``, ``md5Hash``
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from typing import Final

_REVERSED_POLYNOMIAL: Final = 0x82F63B78
_ALL_ONES: Final = 0xFFFFFFFF
_BLOCK_SHAPES: Final = ((1024, 1024), (128, 128))
"""Stretches and the bytes of each, of the blocks into which a body is cut; the rest is a tail."""
_HELD_BYTES_MAX: Final = _BLOCK_SHAPES[0][0] * _BLOCK_SHAPES[0][1]


class Checksums:
    """The checksums of a body."""

    def __init__(self) -> None:
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._register = _ALL_ONES
        self._held = bytearray()

    def write(self, piece: bytes) -> None:
        """Take the next piece."""
        self._md5.update(piece)
        self._held += piece
        if len(self._held) >= _HELD_BYTES_MAX:
            self._register, taken = _folded(self._register, self._held, *_BLOCK_SHAPES[0])
            del self._held[:taken]

    @property
    def md5_hash(self) -> str:
        """MD5 in Base64."""
        return base64.b64encode(self._md5.digest()).decode()

    @property
    def crc32c(self) -> str:
        """CRC-32C in Base64, its most significant byte first."""
        register, start = self._register, 0
        for stretches, length in _BLOCK_SHAPES:
            register, taken = _folded(register, self._held[start:], stretches, length)
            start += taken
        for byte in self._held[start:]:
            register = _TABLE[(register ^ byte) & 0xFF] ^ (register >> 8)
        return base64.b64encode((register ^ _ALL_ONES).to_bytes(4, "big")).decode()


def _folded(register: int, content: bytearray, stretches: int, length: int) -> tuple[int, int]:
    """Give the register after all whole blocks of some content, and how many bytes they have."""
    block_bytes = stretches * length
    whole = len(content) - len(content) % block_bytes
    shifts = _shifts(length) if whole else ()
    for start in range(0, whole, block_bytes):
        block = bytes(content[start : start + block_bytes])
        for own in _registers(block, stretches, length):
            register = own ^ (
                shifts[0][register & 0xFF]
                ^ shifts[1][register >> 8 & 0xFF]
                ^ shifts[2][register >> 16 & 0xFF]
                ^ shifts[3][register >> 24]
            )
    return register, whole


def _registers(block: bytes, stretches: int, length: int) -> list[int]:
    """Give the register of each stretch by itself, begun at zero.

    The lowest bytes of all registers are one number, so are the next, and so on.
    """
    low = second = third = high = 0
    for place in range(length):
        column = int.from_bytes(block[place::length], "little")
        index = (low ^ column).to_bytes(stretches, "little")
        low = int.from_bytes(index.translate(_PLANES[0]), "little") ^ second
        second = int.from_bytes(index.translate(_PLANES[1]), "little") ^ third
        third = int.from_bytes(index.translate(_PLANES[2]), "little") ^ high
        high = int.from_bytes(index.translate(_PLANES[3]), "little")
    planes = (each.to_bytes(stretches, "little") for each in (low, second, third, high))
    return [a | b << 8 | c << 16 | d << 24 for a, b, c, d in zip(*planes, strict=True)]


@cache
def _shifts(length: int) -> tuple[tuple[int, ...], ...]:
    """Give what becomes of each byte of a register as so many zero bytes come after it."""
    bits = []
    for bit in range(32):
        register = 1 << bit
        for _ in range(length):
            register = _TABLE[register & 0xFF] ^ (register >> 8)
        bits.append(register)
    return tuple(
        tuple(_sum_of(bits[place : place + 8], value) for value in range(256))
        for place in range(0, 32, 8)
    )


def _sum_of(images: list[int], value: int) -> int:
    total = 0
    for bit, image in enumerate(images):
        if value >> bit & 1:
            total ^= image
    return total


def _table() -> tuple[int, ...]:
    entries = []
    for value in range(256):
        register = value
        for _ in range(8):
            register = (register >> 1) ^ (_REVERSED_POLYNOMIAL if register & 1 else 0)
        entries.append(register)
    return tuple(entries)


_TABLE: Final = _table()
_PLANES: Final = tuple(bytes(entry >> shift & 0xFF for entry in _TABLE) for shift in (0, 8, 16, 24))
