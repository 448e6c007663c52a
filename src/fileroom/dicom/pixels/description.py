"""What the Image Pixel Module says of an instance's frames.

References
----------
PS3.3 C.7.6.3 (Image Pixel), C.7.6.6 (Multi-frame), C.7.6.24 and C.7.6.25 (floating point);
PS3.5 8.1.1 (native encoding)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from fileroom.dicom.encoding import PIXEL_DATA
from fileroom.dicom.header import big_endian, find_elements
from fileroom.dicom.pixels.failure import PixelError, malformed
from fileroom.errors import Reason

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fileroom.dicom.header import Element, Header

FRAME_BYTES_MAX: Final = 150 << 20
"""Decoded; the limit for transcoding and for rendering (Cloud Healthcare quotas, DICOM)."""

FLOAT_PIXEL_DATA: Final = 0x7FE00008
DOUBLE_FLOAT_PIXEL_DATA: Final = 0x7FE00009
PixelElement = Literal["PixelData", "FloatPixelData", "DoubleFloatPixelData"]
_PIXEL_ELEMENTS: Final[dict[int, PixelElement]] = {
    FLOAT_PIXEL_DATA: "FloatPixelData",
    DOUBLE_FLOAT_PIXEL_DATA: "DoubleFloatPixelData",
    PIXEL_DATA: "PixelData",
}
_FLOAT_BITS: Final = {"FloatPixelData": 32, "DoubleFloatPixelData": 64}
_BITS_ALLOCATED: Final = frozenset({1, 8, 16, 32, 64})
_FRAMES_MAX: Final = 2**31 - 1

SAMPLES_PER_PIXEL: Final = 0x00280002
PHOTOMETRIC_INTERPRETATION: Final = 0x00280004
PLANAR_CONFIGURATION: Final = 0x00280006
_NUMBER_OF_FRAMES: Final = 0x00280008
_ROWS: Final = 0x00280010
_COLUMNS: Final = 0x00280011
_BITS: Final = 0x00280100
_BITS_STORED: Final = 0x00280101
_HIGH_BIT: Final = 0x00280102
_PIXEL_REPRESENTATION: Final = 0x00280103
_NAMES: Final = {
    SAMPLES_PER_PIXEL: "Samples per Pixel",
    PLANAR_CONFIGURATION: "Planar Configuration",
    _ROWS: "Rows",
    _COLUMNS: "Columns",
    _BITS: "Bits Allocated",
    _BITS_STORED: "Bits Stored",
    _HIGH_BIT: "High Bit",
    _PIXEL_REPRESENTATION: "Pixel Representation",
}
_WANTED: Final = frozenset(
    {*_NAMES, *_PIXEL_ELEMENTS, PHOTOMETRIC_INTERPRETATION, _NUMBER_OF_FRAMES}
)

HALF_WIDTH_CHROMA: Final = frozenset({"YBR_FULL_422", "YBR_PARTIAL_422"})
"""Native: two pixels share a pair of chrominance samples (PS3.3 C.7.6.3.1.2)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PixelDescription:
    """How the frames of an instance are made; checked, so that sizes can be computed from it."""

    rows: int
    columns: int
    samples_per_pixel: int
    photometric_interpretation: str
    planar_configuration: int
    bits_allocated: int
    bits_stored: int
    high_bit: int
    pixel_representation: int
    """1 if samples are signed."""
    number_of_frames: int
    pixel_element: PixelElement = "PixelData"

    @property
    def native_frame_bits(self) -> int:
        """Bits of a frame as native pixel data hold it: frames follow each other without gaps."""
        samples = self.rows * self.columns * self.samples_per_pixel
        if self.photometric_interpretation in HALF_WIDTH_CHROMA:
            samples = samples * 2 // 3
        return samples * self.bits_allocated

    @property
    def native_frame_bytes(self) -> int:
        """Bytes of a frame as native pixel data hold it, a begun one included."""
        return (self.native_frame_bits + 7) // 8

    @property
    def decoded_frame_bytes(self) -> int:
        """Bytes of a decoded frame: no subsampling, one byte for a sample of one bit."""
        samples = self.rows * self.columns * self.samples_per_pixel
        return samples * max(1, self.bits_allocated // 8)

    @property
    def is_float(self) -> bool:
        """Whether samples are floating point numbers."""
        return self.pixel_element != "PixelData"

    @property
    def is_monochrome(self) -> bool:
        """Whether samples are grey levels."""
        return self.photometric_interpretation.startswith("MONOCHROME")

    @property
    def is_signed(self) -> bool:
        """Whether samples are two's complement numbers."""
        return self.pixel_representation == 1 and not self.is_float

    def require_decodable(self) -> None:
        """Refuse a frame that is over the limit, before anything is allocated for it.

        Raises
        ------
        PixelError
            ``MEMORY_LIMIT``.
        """
        if self.decoded_frame_bytes > FRAME_BYTES_MAX:
            raise PixelError(
                f"a frame takes {self.decoded_frame_bytes} bytes decoded, over the limit of"
                f" {FRAME_BYTES_MAX}; retrieve it with transfer-syntax=*",
                Reason.MEMORY_LIMIT,
            )


def find_pixel_description(header: Header) -> PixelDescription | None:
    """Give what the header says of the frames, ``None`` where the instance has no pixel data.

    Raises
    ------
    PixelError
        ``MALFORMED`` if it cannot be so.
    """
    found = find_elements(header, _WANTED)
    tag = next((tag for tag in _PIXEL_ELEMENTS if tag in found), None)
    if tag is None or not found[tag].length:
        return None
    return _described(found, _PIXEL_ELEMENTS[tag], "big" if big_endian(header) else "little")


def parse_pixel_description(header: Header) -> PixelDescription:
    """Give what the header says of the frames.

    Raises
    ------
    PixelError
        ``NO_PIXEL_DATA`` if there are none, ``MALFORMED`` if what it says cannot be so.
    """
    description = find_pixel_description(header)
    if description is None:
        raise PixelError(
            "the instance has no pixel data; retrieve it as application/dicom",
            Reason.NO_PIXEL_DATA,
        )
    return description


def _described(
    found: Mapping[int, Element], pixel_element: PixelElement, order: Literal["big", "little"]
) -> PixelDescription:
    def number(tag: int, default: int | None = None) -> int:
        return _unsigned_short(found.get(tag), _NAMES[tag], order, default)

    samples = number(SAMPLES_PER_PIXEL, 1)
    bits = _FLOAT_BITS.get(pixel_element) or number(_BITS)
    stored = bits if pixel_element in _FLOAT_BITS else number(_BITS_STORED, bits)
    description = PixelDescription(
        rows=number(_ROWS),
        columns=number(_COLUMNS),
        samples_per_pixel=samples,
        photometric_interpretation=_text(found.get(PHOTOMETRIC_INTERPRETATION))
        or ("MONOCHROME2" if samples == 1 else "RGB"),
        planar_configuration=number(PLANAR_CONFIGURATION, 0) if samples > 1 else 0,
        bits_allocated=bits,
        bits_stored=stored,
        high_bit=number(_HIGH_BIT, stored - 1),
        pixel_representation=number(_PIXEL_REPRESENTATION, 0),
        number_of_frames=_frames(found.get(_NUMBER_OF_FRAMES)),
        pixel_element=pixel_element,
    )
    _require_possible(description)
    return description


def _require_possible(description: PixelDescription) -> None:
    """Refuse what no frame can be."""
    grey = description.is_monochrome or description.photometric_interpretation == "PALETTE COLOR"
    wrong = {
        "Rows": description.rows < 1,
        "Columns": description.columns < 1,
        "Samples per Pixel": description.samples_per_pixel != 1
        if grey
        else description.samples_per_pixel not in {1, 3, 4},
        "Planar Configuration": description.planar_configuration not in {0, 1},
        "Bits Allocated": description.bits_allocated not in _BITS_ALLOCATED
        or (description.bits_allocated == 1 and description.samples_per_pixel != 1),
        "Bits Stored": not 0 < description.bits_stored <= description.bits_allocated,
        "Pixel Representation": description.pixel_representation not in {0, 1},
    }
    if description.photometric_interpretation in HALF_WIDTH_CHROMA:
        wrong["Samples per Pixel"] = description.samples_per_pixel != 3
    for name, is_wrong in wrong.items():
        if is_wrong:
            raise malformed(
                f"{name} has a value that it cannot have with the others of the Image Pixel"
                " Module; retrieve the instance with transfer-syntax=*"
            )


def _unsigned_short(
    element: Element | None, name: str, order: Literal["big", "little"], default: int | None
) -> int:
    """Give the value of a US element: other lengths are refused, whatever VR is claimed."""
    if element is None or not element.length:
        if default is None:
            raise malformed(f"{name} is missing; retrieve the instance with transfer-syntax=*")
        return default
    if element.length != 2 or len(element.value) != 2:
        raise malformed(f"{name} is not one number of two bytes, as US demands (PS3.6)")
    return int.from_bytes(element.value, order)


def _text(element: Element | None) -> str:
    return "" if element is None else element.value.decode("ascii", "replace").strip(" \0")


def _frames(element: Element | None) -> int:
    """Give Number of Frames; absent, empty and 0 mean one."""
    text = _text(element)
    if not text:
        return 1
    if not text.isascii() or not text.lstrip("+").isdigit() or len(text) > 12:
        raise malformed("Number of Frames is not an integer")
    number = int(text)
    if number > _FRAMES_MAX:
        raise malformed(f"Number of Frames is over {_FRAMES_MAX} (PS3.5 6.2, IS)")
    return max(1, number)
