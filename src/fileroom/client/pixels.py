"""Uncompressed frames as one array of stored values.

References
----------
PS3.3 C.7.6.3.1 (Image Pixel), C.7.6.24 and C.7.6.25 (floating point); PS3.5 8.1.1 (native
encoding); PS3.18 8.7.3.3.2 (frames as octets: little endian, each begun at a byte of its own)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from fileroom.client.values import child
from fileroom.errors import DataLoss, InvalidArgument, ResourceExhausted

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from fileroom.client.values import JsonObject

    Samples = NDArray[np.integer | np.floating]

FRAMES_OF_REQUEST: Final = 1000
"""A server takes 10,000, and a request line of 32 KiB has room for half as many."""

_TRANSFER_SYNTAX_UID: Final = "00020010"
_SAMPLES_PER_PIXEL: Final = "00280002"
_PHOTOMETRIC_INTERPRETATION: Final = "00280004"
_PLANAR_CONFIGURATION: Final = "00280006"
_NUMBER_OF_FRAMES: Final = "00280008"
_ROWS: Final = "00280010"
_COLUMNS: Final = "00280011"
_BITS_ALLOCATED: Final = "00280100"
_BITS_STORED: Final = "00280101"
_HIGH_BIT: Final = "00280102"
_PIXEL_REPRESENTATION: Final = "00280103"
_NAMES: Final = {
    _SAMPLES_PER_PIXEL: "Samples per Pixel",
    _PLANAR_CONFIGURATION: "Planar Configuration",
    _NUMBER_OF_FRAMES: "Number of Frames",
    _ROWS: "Rows",
    _COLUMNS: "Columns",
    _BITS_ALLOCATED: "Bits Allocated",
    _BITS_STORED: "Bits Stored",
    _HIGH_BIT: "High Bit",
    _PIXEL_REPRESENTATION: "Pixel Representation",
}
_PIXEL_DATA: Final = "7FE00010"
_FLOAT_BITS: Final = {"7FE00008": 32, "7FE00009": 64}
_BIT: Final = 1
_BITS: Final = frozenset({_BIT, 8, 16, 32, 64})
_HALF_WIDTH_CHROMA: Final = frozenset({"YBR_FULL_422", "YBR_PARTIAL_422"})
_COMPRESSED: Final = ("1.2.840.10008.1.2.4.", "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.8.1")
"""What the UIDs begin with of transfer syntaxes whose frames the server decodes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameLayout:
    """How the samples of a frame lie in its octets."""

    rows: int
    columns: int
    samples_per_pixel: int
    bits_allocated: int
    bits_stored: int
    high_bit: int
    is_signed: bool
    is_float: bool
    is_planar: bool
    """Whether the octets have one sample of all pixels before the next."""
    is_half_width: bool
    """Whether two pixels may share their chrominance."""
    number_of_frames: int

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows and columns, and samples where there are several."""
        several = (self.samples_per_pixel,) if self.samples_per_pixel > 1 else ()
        return (self.rows, self.columns, *several)

    @property
    def dtype(self) -> np.dtype[np.integer | np.floating]:
        """The type of a sample; one of a single bit takes a byte."""
        kind = "f" if self.is_float else "i" if self.is_signed else "u"
        return np.dtype(f"{kind}{max(1, self.bits_allocated // 8)}")

    def array(self, frames: Iterable[bytes], count: int) -> Samples:
        """Give so many frames as one array; each is drawn once the one before has its place.

        Raises
        ------
        DataLoss
            If there are more or fewer, or one has another size.
        ResourceExhausted
            If there is no room for them.
        """
        try:
            array = np.empty((count, *self.shape), self.dtype)
        except (MemoryError, ValueError, OverflowError) as error:
            raise ResourceExhausted(
                f"{count} frames of {self.shape} do not fit into memory; ask for some by number",
                "numbers",
            ) from error
        filled = 0
        for filled, frame in enumerate(frames, 1):
            if filled > count:
                break
            array[filled - 1] = self._samples(frame).reshape(self.shape)
        if filled != count:
            raise DataLoss(f"the server gave other than the {count} frames that were asked for")
        return self._in_bits_stored(array)

    def _samples(self, frame: bytes) -> Samples:
        """Give the samples of a frame in the order of the array."""
        rows, columns, samples = self.rows, self.columns, self.samples_per_pixel
        count = rows * columns * samples
        if self.bits_allocated == _BIT:
            self._require_size(frame, (count + 7) // 8)
            packed = np.frombuffer(frame, np.uint8)
            return np.unpackbits(packed, count=count, bitorder="little")
        little = self.dtype.newbyteorder("<")
        whole = count * little.itemsize
        if self.is_half_width and 3 * len(frame) == 2 * whole and columns % 2 == 0:
            pairs = np.frombuffer(frame, little).reshape(rows, columns // 2, 4)
            chrominance = np.repeat(pairs[:, :, 2:], 2, axis=1)
            return np.concatenate((pairs[:, :, :2].reshape(rows, columns, 1), chrominance), axis=2)
        self._require_size(frame, whole)
        flat = np.frombuffer(frame, little)
        if self.is_planar:
            return np.moveaxis(flat.reshape(samples, rows, columns), 0, -1)
        return flat

    def _require_size(self, frame: bytes, size_bytes: int) -> None:
        if len(frame) != size_bytes:
            raise DataLoss(
                f"a frame has {len(frame)} bytes where Rows, Columns and Bits Allocated demand"
                f" {size_bytes}"
            )

    def _in_bits_stored(self, array: Samples) -> Samples:
        """Give the numbers in Bits Stored: the other bits may hold anything (PS3.5 8.1.1)."""
        unused = self.bits_allocated - self.bits_stored
        above = self.bits_allocated - 1 - self.high_bit
        if self.is_float or not unused or not 0 <= above <= unused:
            return array
        # Shifting right a signed number repeats its sign.
        np.left_shift(array, above, out=array)
        np.right_shift(array, unused, out=array)
        return array


def parse_layout(metadata: JsonObject) -> FrameLayout:
    """Read the layout of an instance's frames from its metadata.

    Raises
    ------
    InvalidArgument
        If there are no pixels, or the metadata do not say how large a frame is.
    """
    found = next((tag for tag in (*_FLOAT_BITS, _PIXEL_DATA) if metadata.get(tag)), None)
    if found is None:
        raise InvalidArgument("the instance has no pixel data", "instance")
    is_float = found in _FLOAT_BITS
    bits = _FLOAT_BITS[found] if is_float else _number(metadata, _BITS_ALLOCATED)
    if bits not in _BITS:
        raise InvalidArgument(f"samples of {bits} bits have no type; take frames", "instance")
    stored = bits if is_float else _number(metadata, _BITS_STORED, bits)
    samples = _number(metadata, _SAMPLES_PER_PIXEL, 1)
    is_native = not _text(metadata, _TRANSFER_SYNTAX_UID).startswith(_COMPRESSED)
    layout = FrameLayout(
        rows=_number(metadata, _ROWS),
        columns=_number(metadata, _COLUMNS),
        samples_per_pixel=samples,
        bits_allocated=bits,
        bits_stored=stored,
        high_bit=_number(metadata, _HIGH_BIT, stored - 1),
        is_signed=_number(metadata, _PIXEL_REPRESENTATION, 0) == 1 and bits != _BIT,
        is_float=is_float,
        # Codecs give all samples of a pixel together, whatever the metadata say.
        is_planar=is_native and samples > 1 and _number(metadata, _PLANAR_CONFIGURATION, 0) == 1,
        is_half_width=is_native
        and samples == 3
        and _text(metadata, _PHOTOMETRIC_INTERPRETATION) in _HALF_WIDTH_CHROMA,
        number_of_frames=_number(metadata, _NUMBER_OF_FRAMES, 1) or 1,
    )
    if not 0 < stored <= bits or not all(layout.shape) or not samples:
        raise InvalidArgument(
            "Rows, Columns, Samples per Pixel or Bits Stored cannot be so; take frames", "instance"
        )
    return layout


def _first(metadata: JsonObject, tag: str) -> object:
    values = child(metadata, tag).get("Value")
    return values[0] if isinstance(values, list) and values else None


def _text(metadata: JsonObject, tag: str) -> str:
    value = _first(metadata, tag)
    return value if isinstance(value, str) else ""


def _number(metadata: JsonObject, tag: str, default: int | None = None) -> int:
    value = _first(metadata, tag)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if value is None and default is not None:
        return default
    if not isinstance(value, int) or value < 0:
        raise InvalidArgument(
            f"the metadata do not tell {_NAMES[tag]}, so that no frame can be read; retrieve the"
            " instance",
            "instance",
        )
    return value
