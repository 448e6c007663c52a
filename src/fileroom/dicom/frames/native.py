"""Frames of native pixel data: arithmetic on one value.

Frames follow one another without a gap, bit by bit where a pixel is no whole byte: such a frame may
begin inside a byte and is shifted out. What is given is little endian, whatever the file is.

References
----------
PS3.5 8.1.1 (native pixel data), 8.2 (their VR), A.3 (big endian); PS3.3 C.7.6.3.1.2 (4:2:2)
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from fileroom.dicom.byte_order import WORD_BYTES, swapped
from fileroom.dicom.frames.pieces import PIECE_BYTES, exactly
from fileroom.dicom.frames.pixel_data import PIXEL_ELEMENTS, is_encapsulated, pixel_element
from fileroom.dicom.header import big_endian, find_elements
from fileroom.errors import DataLoss

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from fileroom.dicom.frames.pieces import Read
    from fileroom.dicom.header import Cut, Element, Header

_SAMPLES_PER_PIXEL: Final = 0x00280002
_PHOTOMETRIC_INTERPRETATION: Final = 0x00280004
_NUMBER_OF_FRAMES: Final = 0x00280008
_ROWS: Final = 0x00280010
_COLUMNS: Final = 0x00280011
_BITS_ALLOCATED: Final = 0x00280100
_DESCRIBING: Final = (
    _SAMPLES_PER_PIXEL,
    _PHOTOMETRIC_INTERPRETATION,
    _NUMBER_OF_FRAMES,
    _ROWS,
    _COLUMNS,
    _BITS_ALLOCATED,
)
_HALVED: Final = frozenset({b"YBR_FULL_422", b"YBR_PARTIAL_422"})
"""Two pixels of these share their two colour samples: two samples a pixel, not three."""
_COMPRESSED: Final = ("1.2.840.10008.1.2.4.", "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.8.1")
"""What the UIDs of compressed transfer syntaxes begin with (PS3.6 A)."""
_INTEGER: Final = re.compile(rb"[\0 ]*\+?([0-9]{1,19})(?:\.0*)?[\0 ]*(?:\\|\Z)")


@dataclass(frozen=True, slots=True, kw_only=True)
class NativeFrame:
    """One frame of native pixel data."""

    value: bytes | Cut
    """Of the whole element."""
    first_bit: int
    bits: int
    word_bytes: int
    """The words of the value are reversed; 1 where they are not."""

    @property
    def size_max(self) -> int:
        """Bytes that it has, a begun one included."""
        return -(-self.bits // 8)

    def pieces(self, read: Read) -> Iterator[bytes]:
        """Give the frame in pieces of at most 8 MB, each one ranged read.

        Raises
        ------
        DataLoss
            If the file is over before the frame is.
        """
        size = self.size_max
        for start in range(0, size, PIECE_BYTES):
            yield self._piece(read, start, min(PIECE_BYTES, size - start))

    def _piece(self, read: Read, start: int, length: int) -> bytes:
        value, word = self.value, self.word_bytes
        first = self.first_bit + 8 * start
        end = min(first + 8 * length, self.first_bit + self.bits)
        low = first // (8 * word) * word
        high = -(-end // (8 * word)) * word
        if isinstance(value, bytes):
            data = value[low:high]
        else:
            # The last word may be incomplete.
            high = min(high, value.length)
            data = exactly(read, value.offset + low, high - low)
        if word > 1:
            data = swapped(data, word)
        shift = first - 8 * low
        if not shift % 8 and not (end - first) % 8:
            return data[shift // 8 : shift // 8 + length]
        # The first pixel is the lowest bit (PS3.5 8.1.1).
        mask = (1 << (end - first)) - 1
        return (int.from_bytes(data, "little") >> shift & mask).to_bytes(length, "little")


@dataclass(frozen=True, slots=True, kw_only=True)
class NativeFrames:
    """The frames of one instance's native pixel data."""

    number_of_frames: int
    """As the header has it; the value may hold fewer."""
    value: bytes | Cut
    length: int
    """Of the value in bytes."""
    frame_bits: int
    word_bytes: int

    def frame(self, number: int) -> NativeFrame:
        """Give where a frame is, counted from 1.

        Raises
        ------
        DataLoss
            If the pixel data end before it does.
        """
        assert 1 <= number <= self.number_of_frames
        whole = 8 * self.length // self.frame_bits
        if number > whole:
            raise DataLoss(
                f"the pixel data end before frame {number}: they hold {whole} of the "
                f"{self.number_of_frames} frames that the header tells of"
            )
        return NativeFrame(
            value=self.value,
            first_bit=(number - 1) * self.frame_bits,
            bits=self.frame_bits,
            word_bytes=self.word_bytes,
        )


def find_frames(header: Header) -> NativeFrames | Cut:
    """Give the frames of native pixel data, or where the encapsulated ones lie all together.

    Raises
    ------
    NoPixelData
        If the instance has no pixel data.
    DataLoss
        If the header does not say how large a frame is, or tells of another kind of pixel data.
    """
    found = find_elements(header, (*_DESCRIBING, *PIXEL_ELEMENTS))
    element = pixel_element(found)
    if element.cut is not None and is_encapsulated(header, element.cut):
        return element.cut
    if header.transfer_syntax_uid.startswith(_COMPRESSED):
        raise DataLoss(
            f"the pixel data are not encapsulated, which transfer syntax "
            f"{header.transfer_syntax_uid} demands; retrieve the whole instance"
        )
    is_big = big_endian(header)
    number_of_frames = _integer(found, _NUMBER_OF_FRAMES, is_big=is_big) or 1
    return NativeFrames(
        number_of_frames=number_of_frames,
        value=element.value if element.cut is None else element.cut,
        length=element.length,
        frame_bits=_frame_bits(found, element.length, number_of_frames, is_big=is_big),
        word_bytes=WORD_BYTES.get(element.vr, 1) if is_big else 1,
    )


def _frame_bits(
    found: Mapping[int, Element], length: int, number_of_frames: int, *, is_big: bool
) -> int:
    rows, columns, bits = (
        _integer(found, tag, is_big=is_big) or 0 for tag in (_ROWS, _COLUMNS, _BITS_ALLOCATED)
    )
    samples = _integer(found, _SAMPLES_PER_PIXEL, is_big=is_big) or 1
    frame_bits = rows * columns * samples * bits
    if not frame_bits:
        raise DataLoss(
            "Rows, Columns or Bits Allocated are missing, so that no frame can be told from the"
            " next; retrieve the whole instance"
        )
    photometric = found.get(_PHOTOMETRIC_INTERPRETATION)
    halved = photometric is not None and photometric.value.strip(b"\0 ") in _HALVED
    # Some writers name 4:2:2 and keep all samples: then there is room for them.
    if halved and samples == 3 and 8 * length < number_of_frames * frame_bits:
        return frame_bits // 3 * 2
    return frame_bits


def _integer(found: Mapping[int, Element], tag: int, *, is_big: bool) -> int | None:
    """Give the first number of an element, if it is one that is not negative."""
    element = found.get(tag)
    if element is None or not element.value:
        return None
    if element.vr in {"IS", "DS"} or tag == _NUMBER_OF_FRAMES:
        match = _INTEGER.match(element.value)
        return int(match[1]) if match else None
    size = 4 if element.vr in {"UL", "SL"} else 2
    return int.from_bytes(element.value[:size], "big" if is_big else "little")
