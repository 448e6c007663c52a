"""The size that a compressed frame claims, read before any codec may allocate it.

References
----------
ITU-T T.81 B.2.2 (JPEG frame header), T.87 C.2.2 (JPEG-LS), T.800 A.5.1 (JPEG 2000), I.4 (JP2
boxes); ISO/IEC 18181-1 (JPEG XL, size header), 18181-2 (its boxes)
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import TYPE_CHECKING, Final

from fileroom.dicom.pixels.failure import malformed

if TYPE_CHECKING:
    from collections.abc import Iterator

_FRAME_HEADERS: Final = frozenset({*range(0xC0, 0xD0), 0xF7}) - {0xC4, 0xC8, 0xCC}
"""SOF0 to SOF15 without DHT, JPG and DAC; SOF55 of JPEG-LS."""
_ALONE: Final = frozenset({0x01, *range(0xD0, 0xD8)})
"""TEM and RST: markers without a length."""
_START_OF_SCAN, _END, _APP0, _APP14 = 0xDA, 0xD9, 0xE0, 0xEE
_IMAGE_AND_TILE_SIZE = Struct(">HHHIIIIIIIIH")
_BOX = Struct(">I4s")
_JPEG_2000_START: Final = b"\xff\x4f\xff\x51"
_JPEG_XL_START: Final = b"\xff\x0a"
_BOXES_MAX: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What a compressed frame says of itself."""

    rows: int
    columns: int
    components: int | None = None
    precision: int | None = None
    """Bits of a sample."""
    signed: bool = False
    colour: str | None = None
    """``RGB`` or ``YBR_FULL`` where markers tell."""


def jpeg_claim(frame: bytes) -> Claim:
    """Read the frame header of a JPEG or JPEG-LS stream."""
    claim: Claim | None = None
    colour: str | None = None
    for marker, start, end in _segments(frame):
        if marker in _FRAME_HEADERS:
            if claim is not None or end - start < 6:
                raise malformed("a JPEG frame has two frame headers, or one cut short")
            precision, components = frame[start], frame[start + 5]
            rows = int.from_bytes(frame[start + 1 : start + 3])
            columns = int.from_bytes(frame[start + 3 : start + 5])
            names = frame[start + 6 : end : 3][:3]
            subsampled = components > 1 and len(set(frame[start + 7 : end : 3])) > 1
            claim = Claim(rows=rows, columns=columns, components=components, precision=precision)
            if names.upper() == b"RGB":
                colour = "RGB"
            elif subsampled:
                # Only chrominance is ever sampled more coarsely than the rest.
                colour = "YBR_FULL"
        elif marker == _APP14 and frame[start : start + 5] == b"Adobe" and end - start >= 12:
            colour = colour or ("YBR_FULL" if frame[start + 11] == 1 else "RGB")
        elif marker == _APP0 and frame[start : start + 4] == b"JFIF":
            colour = colour or "YBR_FULL"
    if claim is None:
        raise malformed("a JPEG frame has no frame header")
    return Claim(
        rows=claim.rows,
        columns=claim.columns,
        components=claim.components,
        precision=claim.precision,
        colour=colour if claim.components == 3 else None,
    )


def _segments(frame: bytes) -> Iterator[tuple[int, int, int]]:
    """Give marker, start and end of each segment before the first scan."""
    if frame[:2] != b"\xff\xd8":
        raise malformed("a JPEG frame does not begin with a start of image")
    at = 2
    while True:
        if frame[at : at + 1] != b"\xff":
            raise malformed("a JPEG frame has no marker where one must be")
        while frame[at : at + 1] == b"\xff":
            at += 1
        marker = frame[at] if at < len(frame) else _END
        at += 1
        if marker in {_START_OF_SCAN, _END}:
            return
        if marker in _ALONE:
            continue
        length = int.from_bytes(frame[at : at + 2])
        if length < 2 or at + length > len(frame):
            raise malformed("a JPEG frame ends inside a marker segment")
        yield marker, at + 2, at + length
        at += length


def jpeg_2000_codestream(frame: bytes) -> bytes:
    """Give the codestream, freed from the JP2 boxes that some writers leave around it.

    DICOM has none (PS3.5 A.4.4), and what they say of size and colour is not to be believed.
    """
    if frame.startswith(_JPEG_2000_START):
        return frame
    for kind, start, end in _boxes(frame):
        if kind == b"jp2c" and frame[start : start + 4] == _JPEG_2000_START:
            return frame[start:end]
    raise malformed("a JPEG 2000 frame has no codestream")


def jpeg_2000_claim(codestream: bytes) -> Claim:
    """Read the image and tile size segment, the first of a codestream."""
    if len(codestream) < 4 + _IMAGE_AND_TILE_SIZE.size + 3:
        raise malformed("a JPEG 2000 frame ends inside its header")
    _, _, _, width, height, left, top, *_, components = _IMAGE_AND_TILE_SIZE.unpack_from(
        codestream, 2
    )
    depths = codestream[42 : 42 + 3 * components : 3]
    steps = codestream[42 : 42 + 3 * components]
    if width <= left or height <= top or len(steps) != 3 * components or not components:
        raise malformed("a JPEG 2000 frame has an impossible size")
    if len(set(depths)) > 1:
        raise malformed("the components of a JPEG 2000 frame differ in depth")
    return Claim(
        rows=height - top,
        columns=width - left,
        components=components,
        precision=(depths[0] & 0x7F) + 1,
        signed=bool(depths[0] & 0x80),
    )


def jpeg_xl_claim(frame: bytes) -> Claim:
    """Read the size header of a JPEG XL codestream, or of the one in its boxes."""
    stream = frame
    if not frame.startswith(_JPEG_XL_START):
        stream = next(
            (
                frame[start + (4 if kind == b"jxlp" else 0) : end][:64]
                for kind, start, end in _boxes(frame)
                if kind in {b"jxlc", b"jxlp"}
            ),
            b"",
        )
    if not stream.startswith(_JPEG_XL_START) or len(stream) < 4:
        raise malformed("a JPEG XL frame has no codestream")
    bits = _Bits(int.from_bytes(stream[2:34], "little"))
    small = bits.take(1)
    rows = (bits.take(5) + 1) * 8 if small else bits.size()
    ratio = bits.take(3)
    if ratio:
        over, under = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))[ratio - 1]
        columns = rows * over // under
    else:
        columns = (bits.take(5) + 1) * 8 if small else bits.size()
    return Claim(rows=rows, columns=columns)


class _Bits:
    """Bits from the least significant on."""

    def __init__(self, value: int) -> None:
        self._value = value

    def take(self, count: int) -> int:
        taken = self._value & ((1 << count) - 1)
        self._value >>= count
        return taken

    def size(self) -> int:
        return self.take((9, 13, 18, 30)[self.take(2)]) + 1


def _boxes(frame: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Give kind, start and end of each box."""
    at = 0
    for _ in range(_BOXES_MAX):
        if at + 8 > len(frame):
            return
        length, kind = _BOX.unpack_from(frame, at)
        start = at + 8
        if length == 1:
            length = int.from_bytes(frame[start : start + 8])
            start += 8
        end = at + length if length else len(frame)
        if end < start or end > len(frame):
            return
        yield kind, start, end
        at = end
