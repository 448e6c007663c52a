"""Frames decoded into samples.

No codec runs before the size that a frame claims was compared with the header's, and the header's
with the limit. A codec may still crash or hang on a hostile frame: call this where that is one
task's affair, in the pool of processes.

References
----------
PS3.5 8.1 (native), 8.2 (encapsulated: the characteristics in the compressed stream are used to
decode it), Annex G (RLE); PS3.3 C.7.6.3.1 (planar configuration, photometric interpretation)
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import imagecodecs
import numpy as np

from fileroom.dicom.media_types import NATIVE_TRANSFER_SYNTAXES
from fileroom.dicom.pixels.codestreams import (
    Claim,
    jpeg_2000_claim,
    jpeg_2000_codestream,
    jpeg_claim,
    jpeg_xl_claim,
)
from fileroom.dicom.pixels.description import HALF_WIDTH_CHROMA, PixelDescription
from fileroom.dicom.pixels.failure import PixelError, malformed, unsupported
from fileroom.dicom.pixels.syntaxes import (
    DEFLATED_IMAGE_FRAME,
    HTJ2K,
    JPEG,
    JPEG_2000,
    JPEG_LOSSY,
    JPEG_LS,
    JPEG_XL,
    JPEG_XL_LOSSLESS,
    RLE_LOSSLESS,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Samples = NDArray[np.generic]

CODEC_ERRORS: Final = (RuntimeError, ValueError, TypeError, IndexError, OverflowError)
"""What the codecs raise at a frame they cannot read."""
_BIT: Final = 1
_END_OF_IMAGE: Final = b"\xff\xd9"


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodedFrame:
    """The samples of a frame, and what they mean."""

    samples: Samples
    """``(rows, columns, samples)``, as stored: unused bits are not cleared, colour not converted.
    Samples of one bit are 0 and 1 in bytes."""
    photometric_interpretation: str
    """Of these samples: ``YBR_RCT``, ``YBR_ICT`` and ``XYB`` were undone by the codec and are
    ``RGB``; chrominance has full resolution, so that ``YBR_FULL_422`` is ``YBR_FULL``."""


def decode_frame(
    frame: bytes, description: PixelDescription, transfer_syntax_uid: str
) -> DecodedFrame:
    """Decode one frame; a native one is given in little endian, starting at bit 0.

    Raises
    ------
    PixelError
        ``MEMORY_LIMIT`` if it is over the limit, ``MALFORMED`` if it cannot be decoded or is
        another size than the header says, ``UNSUPPORTED_TRANSCODING`` for a transfer syntax that
        is kept but not decoded.
    """
    description.require_decodable()
    if transfer_syntax_uid in NATIVE_TRANSFER_SYNTAXES:
        return _native(frame, description)
    decode = _DECODERS.get(transfer_syntax_uid)
    if decode is None:
        raise unsupported(
            f"frames of transfer syntax {transfer_syntax_uid} are not decoded; retrieve the"
            " instance with transfer-syntax=*"
        )
    try:
        return decode(frame, description, transfer_syntax_uid)
    except PixelError:
        raise
    except CODEC_ERRORS as error:
        raise malformed(
            f"a frame is no valid stream of transfer syntax {transfer_syntax_uid}"
            f" ({type(error).__name__}); retrieve the instance with transfer-syntax=*"
        ) from error


def sample_type(description: PixelDescription) -> np.dtype[np.generic]:
    """Give the type of decoded samples."""
    if description.is_float:
        return np.dtype(f"<f{description.bits_allocated // 8}")
    kind = "i" if description.is_signed and description.bits_allocated > _BIT else "u"
    return np.dtype(f"<{kind}{max(1, description.bits_allocated // 8)}")


def stored_values(samples: Samples, description: PixelDescription) -> Samples:
    """Give the numbers that the Bits Stored of each sample mean, whatever the unused bits hold."""
    if description.is_float or description.bits_allocated == _BIT:
        return samples
    unused = description.bits_allocated - description.bits_stored
    above = description.bits_allocated - 1 - description.high_bit
    if not unused or above < 0 or above > unused:
        return samples
    # Shifting right a signed number repeats its sign.
    return (samples << above) >> unused  # type: ignore[operator, no-any-return]


def _native(frame: bytes, description: PixelDescription) -> DecodedFrame:
    rows, columns, count = description.rows, description.columns, description.samples_per_pixel
    colour = description.photometric_interpretation
    if len(frame) < description.native_frame_bytes:
        raise malformed(
            f"a frame has {len(frame)} bytes where Rows, Columns and Bits Allocated demand"
            f" {description.native_frame_bytes}"
        )
    if description.bits_allocated == _BIT:
        packed = np.frombuffer(frame, np.uint8, description.native_frame_bytes)
        bits = np.unpackbits(packed, count=rows * columns, bitorder="little")
        return DecodedFrame(
            samples=bits.reshape(rows, columns, 1), photometric_interpretation=colour
        )
    dtype = sample_type(description)
    flat = np.frombuffer(frame, dtype, description.native_frame_bytes // dtype.itemsize)
    if colour in HALF_WIDTH_CHROMA and len(frame) >= description.decoded_frame_bytes:
        # Called subsampled, and is not: seen of writers that decompress JPEG.
        flat = np.frombuffer(frame, dtype, rows * columns * count)
        samples = flat.reshape(rows, columns, count)
        colour = colour.replace("_422", "")
    elif colour in HALF_WIDTH_CHROMA:
        if columns % 2:
            raise malformed("native YBR_FULL_422 has pairs of pixels, but Columns is odd")
        pairs = flat.reshape(rows, columns // 2, 4)
        samples = np.empty((rows, columns, 3), dtype)
        samples[:, :, 0] = pairs[:, :, :2].reshape(rows, columns)
        samples[:, :, 1:] = np.repeat(pairs[:, :, 2:], 2, axis=1)
        colour = colour.replace("_422", "")
    elif description.planar_configuration:
        samples = np.moveaxis(flat.reshape(count, rows, columns), 0, -1)
    else:
        samples = flat.reshape(rows, columns, count)
    return DecodedFrame(samples=samples, photometric_interpretation=colour)


def _jpeg(frame: bytes, description: PixelDescription, syntax: str) -> DecodedFrame:
    claim = require_claim(jpeg_claim(frame), description)
    if claim.components == 1:
        samples = imagecodecs.jpeg8_decode(frame)
    else:
        # The same space in and out: the codec is to upsample, not to convert.
        samples = imagecodecs.jpeg8_decode(frame, colorspace="YCBCR", outcolorspace="YCBCR")
    # Of a lossy stream the markers tell, whatever the header says; lossless ones are never
    # converted, and many bear a JFIF marker over RGB.
    marked = claim.colour if syntax in JPEG_LOSSY else None
    colour = marked or _undone(description)
    return _fitted(samples, claim, description, colour)


def _jpeg_ls(frame: bytes, description: PixelDescription, _: str) -> DecodedFrame:
    claim = require_claim(jpeg_claim(frame), description)
    # Without a marker at its end a frame that is cut short takes CharLS seconds to refuse.
    ended = frame if frame[-3:].rstrip(b"\0").endswith(_END_OF_IMAGE) else frame + _END_OF_IMAGE
    return _fitted(imagecodecs.jpegls_decode(ended), claim, description, _undone(description))


def _jpeg_2000(frame: bytes, description: PixelDescription, _: str) -> DecodedFrame:
    stream = jpeg_2000_codestream(frame)
    claim = require_claim(jpeg_2000_claim(stream), description)
    # HTJ2K too: its own decoder (OpenJPH in imagecodecs 2026.3) passes over the errors of a damaged
    # stream and gives whatever was in memory. OpenJPEG takes twice its millisecond.
    samples = imagecodecs.jpeg2k_decode(stream, planar=False)
    return _fitted(samples, claim, description, _undone(description))


def _jpeg_xl(frame: bytes, description: PixelDescription, syntax: str) -> DecodedFrame:
    claim = require_claim(jpeg_xl_claim(frame), description)
    samples = imagecodecs.jpegxl_decode(frame, numthreads=1)
    colour = _undone(description)
    if description.samples_per_pixel == 3 and syntax != JPEG_XL_LOSSLESS:
        # Of a lossy or recompressed stream the codec gives RGB, whatever is inside.
        colour = "RGB"
    return _fitted(samples, claim, description, colour)


def _rle(frame: bytes, description: PixelDescription, _: str) -> DecodedFrame:
    rows, columns, count = description.rows, description.columns, description.samples_per_pixel
    sample_bytes = max(1, description.bits_allocated // 8)
    if int.from_bytes(frame[:4], "little") != count * sample_bytes:
        raise malformed("an RLE frame has another number of segments than its samples have bytes")
    # Not pylibjpeg-rle's: at a damaged segment it panics, which no handler of errors catches.
    room = bytearray(description.decoded_frame_bytes)
    planes = imagecodecs.dicomrle_decode(frame, sample_type(description), out=room)
    if len(planes) != len(room):
        raise malformed("an RLE frame decodes into another size than the header says")
    flat = np.frombuffer(planes, sample_type(description))
    return DecodedFrame(
        samples=np.moveaxis(flat.reshape(count, rows, columns), 0, -1),
        photometric_interpretation=_undone(description),
    )


def _deflated(frame: bytes, description: PixelDescription, _: str) -> DecodedFrame:
    try:
        inflated = zlib.decompressobj(-zlib.MAX_WBITS).decompress(
            frame, description.native_frame_bytes
        )
    except zlib.error as error:
        raise malformed("a deflated frame cannot be inflated") from error
    return _native(inflated, description)


def require_claim(claim: Claim, description: PixelDescription) -> Claim:
    """Refuse a frame that would decode into another size than the header says."""
    components = claim.components or description.samples_per_pixel
    expected = (description.rows, description.columns, description.samples_per_pixel)
    if (claim.rows, claim.columns, components) != expected:
        raise malformed(
            "a compressed frame claims another size or number of components than Rows, Columns"
            " and Samples per Pixel say"
        )
    if claim.precision is not None and claim.precision > description.bits_allocated:
        raise malformed("a compressed frame has samples of more bits than Bits Allocated")
    return claim


def _fitted(
    samples: Samples, claim: Claim, description: PixelDescription, colour: str
) -> DecodedFrame:
    """Give what a codec decoded with the shape and the type that the header says."""
    shape = (description.rows, description.columns, description.samples_per_pixel)
    if samples.shape != (shape if shape[2] > 1 else shape[:2]) or samples.dtype.kind not in "iu":
        raise malformed("a compressed frame decodes into another shape than the header says")
    width = 8 * samples.dtype.itemsize
    precision = claim.precision or width
    if width > description.bits_allocated and precision > description.bits_allocated:
        raise malformed("a compressed frame has samples of more bits than Bits Allocated")
    if description.is_signed and samples.dtype.kind == "u":
        # JPEG and JPEG-LS know no sign: the highest bit of their precision is it.
        shift = width - precision
        signed = samples.view(f"i{width // 8}")
        samples = (signed << shift) >> shift if shift else signed
    elif not description.is_signed and samples.dtype.kind == "i":
        samples = samples.view(f"u{width // 8}") & ((1 << precision) - 1)
    return DecodedFrame(
        samples=samples.astype(sample_type(description), copy=False).reshape(shape),
        photometric_interpretation=colour,
    )


_UNDONE: Final = {
    "YBR_RCT": "RGB",
    "YBR_ICT": "RGB",
    "XYB": "RGB",
    "YBR_FULL_422": "YBR_FULL",
    "YBR_PARTIAL_422": "YBR_PARTIAL",
    "YBR_PARTIAL_420": "YBR_PARTIAL",
}


def _undone(description: PixelDescription) -> str:
    """Give the photometric interpretation of samples that a codec has decoded."""
    colour = description.photometric_interpretation
    return _UNDONE.get(colour, colour)


_DECODERS: Final[dict[str, Callable[[bytes, PixelDescription, str], DecodedFrame]]] = {
    **dict.fromkeys(JPEG, _jpeg),
    **dict.fromkeys(JPEG_LS, _jpeg_ls),
    **dict.fromkeys(JPEG_2000, _jpeg_2000),
    **dict.fromkeys(HTJ2K, _jpeg_2000),
    **dict.fromkeys(JPEG_XL, _jpeg_xl),
    RLE_LOSSLESS: _rle,
    DEFLATED_IMAGE_FRAME: _deflated,
}
