"""The frames of encapsulated pixel data as the database keeps them.

A table is cut into chunks, and one chunk tells all about its frames. A chunk is one zstd frame:
version, how many frames it has, how many the instance has, where its first frame begins, then the
lengths (the deltas of the offsets) with their bytes sorted by significance. So 65,536 frames of one
size take 100 bytes, and of random sizes of 16 bits about two bytes each.
"""

from __future__ import annotations

import struct
import sys
from array import array
from dataclasses import dataclass
from itertools import accumulate
from struct import Struct
from typing import TYPE_CHECKING, Final

import zstandard

from fileroom.dicom.frames.encapsulated import FragmentedFrame
from fileroom.errors import DataLoss

if TYPE_CHECKING:
    from collections.abc import Iterator

FRAMES_IN_CHUNK: Final = 65_536
_VERSION: Final = 1
_PREFIX: Final = Struct("<BxxxIQQ")
_LENGTH_BYTES: Final = 8
_CHUNK_BYTES_MAX: Final = _PREFIX.size + FRAMES_IN_CHUNK * _LENGTH_BYTES
_LEVEL: Final = 3
_FILE_BYTES_MAX: Final = 1 << 62


@dataclass(frozen=True, slots=True)
class TableChunk:
    """Where neighbouring frames lie."""

    number_of_frames: int
    """Of the whole instance."""
    _offsets: array[int]
    """Of each frame, and the end of the last."""

    def __len__(self) -> int:
        """How many frames the chunk has."""
        return len(self._offsets) - 1

    def frame(self, index: int) -> FragmentedFrame:
        """Give where a frame is, counted from 0 in this chunk."""
        begin, end = self._offsets[index : index + 2]
        return FragmentedFrame(offset=begin, length=end - begin)


def chunk_of(number: int) -> int:
    """Give which chunk has a frame, counted from 1."""
    return (number - 1) // FRAMES_IN_CHUNK


def encode_table(start: int, lengths: array[int]) -> Iterator[bytes]:
    """Give the chunks of a table of frames that follow one another from ``start`` on."""
    compressor = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True)
    for first in range(0, len(lengths), FRAMES_IN_CHUNK):
        some = lengths[first : first + FRAMES_IN_CHUNK]
        prefix = _PREFIX.pack(_VERSION, len(some), len(lengths), start)
        start += sum(some)
        if sys.byteorder == "big":
            some.byteswap()
        data = some.tobytes()
        planes = (data[byte::_LENGTH_BYTES] for byte in range(_LENGTH_BYTES))
        yield compressor.compress(b"".join([prefix, *planes]))


def decode_chunk(z: bytes) -> TableChunk:
    """Give a chunk that ``encode_table`` made.

    Raises
    ------
    DataLoss
        If the bytes are damaged or of another format; the table is made again from the blob.
    """
    try:
        if zstandard.get_frame_parameters(z).content_size > _CHUNK_BYTES_MAX:
            raise _unreadable()
        data = zstandard.ZstdDecompressor().decompress(z, max_output_size=_CHUNK_BYTES_MAX)
        version, count, number_of_frames, start = _PREFIX.unpack_from(data)
    except (zstandard.ZstdError, struct.error) as error:
        raise _unreadable() from error
    planes = data[_PREFIX.size :]
    if version != _VERSION or len(planes) != count * _LENGTH_BYTES or count > number_of_frames:
        raise _unreadable()
    interleaved = bytearray(len(planes))
    for byte in range(_LENGTH_BYTES):
        interleaved[byte::_LENGTH_BYTES] = planes[byte * count : (byte + 1) * count]
    lengths = array("Q", bytes(interleaved))
    if sys.byteorder == "big":
        lengths.byteswap()
    if not count or start + sum(lengths) > _FILE_BYTES_MAX:
        raise _unreadable()
    return TableChunk(number_of_frames, array("Q", accumulate(lengths, initial=start)))


def _unreadable() -> DataLoss:
    return DataLoss("a stored table of frames cannot be read; it is made again from the blob")
