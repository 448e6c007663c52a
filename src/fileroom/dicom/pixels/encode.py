"""Samples encoded as frames.

Lossless syntaxes keep the whole word of each sample, unused bits included. Lossy ones are written
for keeping, not for size: root mean square errors stay within a few thousandths of the range that
Bits Stored gives, and JPEG-LS keeps every sample within a thousandth of it.

References
----------
PS3.5 8.1.1 (native), 8.2 (what each syntax allows), 10.18 (progressive HTJ2K), A.4 (encapsulated)
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Final

import imagecodecs
import numpy as np
import rle.rle

from fileroom.dicom.media_types import NATIVE_TRANSFER_SYNTAXES
from fileroom.dicom.pixels.colour import as_rgb
from fileroom.dicom.pixels.decode import CODEC_ERRORS, DecodedFrame, stored_values
from fileroom.dicom.pixels.failure import PixelError, unsupported
from fileroom.dicom.pixels.syntaxes import (
    DEFLATED_IMAGE_FRAME,
    HTJ2K_LOSSLESS,
    HTJ2K_LOSSY,
    JPEG_2000_LOSSLESS,
    JPEG_2000_LOSSY,
    JPEG_BASELINE,
    JPEG_EXTENDED,
    JPEG_LOSSLESS,
    JPEG_LS_LOSSLESS,
    JPEG_LS_NEAR_LOSSLESS,
    JPEG_XL_LOSSLESS,
    JPEG_XL_LOSSY,
    RLE_LOSSLESS,
)
from fileroom.errors import Reason

if TYPE_CHECKING:
    from collections.abc import Callable

    from fileroom.dicom.pixels.decode import Samples
    from fileroom.dicom.pixels.description import PixelDescription

    Encoded = bytes | bytearray

_JPEG_QUALITY: Final = 95
_PEAK_SIGNAL_TO_NOISE_DB: Final = 60
"""Of JPEG 2000: a root mean square error of a thousandth of the range."""
_HTJ2K_STEP: Final = 1 / 400
"""The quantization step, of the range of Bits Stored: an error of about a thousandth of it."""
_JPEG_XL_DISTANCE: Final = 0.1
"""A tenth of what is just noticeable."""
_BASE_RESOLUTION: Final = 64
_DECOMPOSITIONS: Final = 5
_DEFLATE_LEVEL: Final = 6


def encode_frame(
    frame: DecodedFrame, description: PixelDescription, transfer_syntax_uid: str
) -> bytes:
    """Encode one frame, without a padding byte.

    Parameters
    ----------
    frame
        Samples and their photometric interpretation, as ``decode_frame`` gives them; the pair of
        syntaxes is one that ``find_pair_obstacle`` finds nothing against.
    description
        Of the instance that the samples come from.

    Raises
    ------
    PixelError
        If the codec refuses them.
    """
    if transfer_syntax_uid in NATIVE_TRANSFER_SYNTAXES:
        return _native(frame.samples, description)
    encode = _ENCODERS.get(transfer_syntax_uid)
    if encode is None:
        raise unsupported(f"frames are not encoded in transfer syntax {transfer_syntax_uid}")
    try:
        return bytes(encode(frame, description))
    except CODEC_ERRORS as error:
        raise PixelError(
            f"the encoder of transfer syntax {transfer_syntax_uid} refused a frame"
            f" ({type(error).__name__}); retrieve the instance with transfer-syntax=*",
            Reason.UNSUPPORTED_TRANSCODING,
        ) from error


def encodable() -> frozenset[str]:
    """Give the transfer syntaxes that samples can be encoded in."""
    return NATIVE_TRANSFER_SYNTAXES | _ENCODERS.keys()


def encoded_photometric_interpretation(colour: str, transfer_syntax_uid: str) -> str:
    """Give the Photometric Interpretation of an encoded frame, from that of its samples.

    References
    ----------
    PS3.5 tables 8.2.1-1, 8.2.4-1 and 8.2.15-1
    """
    if colour not in {"RGB", "YBR_FULL"}:
        return colour
    if transfer_syntax_uid == JPEG_BASELINE:
        return "YBR_FULL_422"
    if colour == "RGB" and transfer_syntax_uid in {JPEG_2000_LOSSLESS, *HTJ2K_LOSSLESS}:
        return "YBR_RCT"
    if colour == "RGB" and transfer_syntax_uid in {JPEG_2000_LOSSY, HTJ2K_LOSSY}:
        return "YBR_ICT"
    if transfer_syntax_uid == JPEG_XL_LOSSY:
        return "XYB"
    return colour


def _native(samples: Samples, description: PixelDescription) -> bytes:
    if description.bits_allocated == 1:
        return np.packbits(samples.reshape(-1).astype(bool), bitorder="little").tobytes()
    return np.ascontiguousarray(samples).tobytes()


def _squeezed(samples: Samples) -> Samples:
    """Give the samples as codecs take them: contiguous, a single plane without its last axis."""
    plane = samples[:, :, 0] if samples.shape[2] == 1 else samples
    return np.ascontiguousarray(plane)


def _unsigned(frame: DecodedFrame) -> Samples:
    """Give the bit pattern: JPEG and JPEG-LS know no sign, Pixel Representation keeps it."""
    samples = _squeezed(frame.samples)
    return samples.view(f"<u{samples.dtype.itemsize}")


def _precision(samples: Samples, description: PixelDescription) -> int:
    """Give Bits Stored where every sample fits, else all bits, so that none is lost."""
    stored = description.bits_stored
    if samples.dtype.kind == "i":
        low, high = -(1 << (stored - 1)), (1 << (stored - 1)) - 1
    else:
        low, high = 0, (1 << stored) - 1
    fits = low <= int(samples.min()) and int(samples.max()) <= high
    return stored if fits else description.bits_allocated


def _in_word(precision: int, samples: Samples) -> int:
    """Give a precision that codecs take for words of this size: 2 to 8, or 9 to 16 bits."""
    return max(precision, 2 if samples.dtype.itemsize == 1 else 9)


def _values(frame: DecodedFrame, description: PixelDescription) -> Samples:
    """Give the numbers to be compressed with loss, free of what unused bits hold."""
    return _squeezed(stored_values(frame.samples, description))


def _jpeg_lossless(frame: DecodedFrame, description: PixelDescription) -> Encoded:
    samples = _unsigned(frame)
    precision = _in_word(_precision(samples, description), samples)
    if samples.ndim == 2:
        return imagecodecs.jpeg8_encode(
            samples, lossless=True, predictor=1, bitspersample=precision
        )
    # The same space in and out: samples are coded as they are.
    stream = imagecodecs.jpeg8_encode(
        samples,
        lossless=True,
        predictor=1,
        bitspersample=precision,
        colorspace="RGB",
        outcolorspace="RGB",
    )
    if frame.photometric_interpretation == "YBR_FULL":
        return _without_colour(stream)
    return stream


def _without_colour(stream: Encoded) -> Encoded:
    """Give a lossless JPEG stream whose markers no longer say that it is RGB.

    The codec's own way to encode YCbCr without loss writes table selectors that contradict its
    tables (libjpeg-turbo 3.1): some decoders then give noise.
    """
    bare = bytearray(stream)
    if bare[2:4] == b"\xff\xee":
        del bare[2 : 4 + int.from_bytes(bare[4:6])]
    frame_header, scan_header = bare.find(b"\xff\xc3"), bare.find(b"\xff\xda")
    for number in range(3):
        bare[frame_header + 10 + 3 * number] = number + 1
        bare[scan_header + 5 + 2 * number] = number + 1
    return bare


def _jpeg_baseline(frame: DecodedFrame, description: PixelDescription) -> Encoded:
    samples = _values(frame, description)
    if samples.ndim == 2:
        return imagecodecs.jpeg8_encode(samples, level=_JPEG_QUALITY)
    return imagecodecs.jpeg8_encode(
        samples,
        level=_JPEG_QUALITY,
        colorspace="RGB" if frame.photometric_interpretation == "RGB" else "YCBCR",
        outcolorspace="YCBCR",
        subsampling="422",
    )


def _jpeg_extended(frame: DecodedFrame, description: PixelDescription) -> Encoded:
    samples = _values(frame, description)
    return imagecodecs.jpeg8_encode(
        samples, level=_JPEG_QUALITY, bitspersample=description.bits_stored
    )


def _jpeg_ls(frame: DecodedFrame, description: PixelDescription) -> bytes:
    return _jpeg_ls_near(_unsigned(frame), 0)


def _jpeg_ls_lossy(frame: DecodedFrame, description: PixelDescription) -> Encoded:
    samples = _values(frame, description)
    near = max(1, (1 << description.bits_stored) // 1024)
    width = 8 * samples.dtype.itemsize
    if samples.dtype.kind == "i":
        edge = (1 << (width - 1)) - near
        if int(samples.max()) >= edge or int(samples.min()) < -edge:
            # As bit patterns the greatest and the least number are neighbours, and an error could
            # turn one into the other: such a frame is kept without loss, as PS3.5 A.4.3 allows.
            near = 0
    return _jpeg_ls_near(samples.view(f"<u{width // 8}"), near)


def _jpeg_ls_near(samples: Samples, near: int) -> bytes:
    # Noise takes more room than the samples; the codec asks for what it may fill.
    room = samples.nbytes * 2 + 4096
    return bytes(imagecodecs.jpegls_encode(samples, level=near, out=room))


def _jpeg_2000(frame: DecodedFrame, description: PixelDescription) -> Encoded:
    samples = _squeezed(frame.samples)
    return imagecodecs.jpeg2k_encode(
        samples,
        level=0,
        codecformat="j2k",
        reversible=True,
        bitspersample=_precision(samples, description),
        planar=False,
        mct=frame.photometric_interpretation == "RGB",
    )


def _jpeg_2000_lossy(frame: DecodedFrame, description: PixelDescription) -> Encoded:
    samples = _values(frame, description)
    return imagecodecs.jpeg2k_encode(
        samples,
        level=_PEAK_SIGNAL_TO_NOISE_DB,
        codecformat="j2k",
        reversible=False,
        bitspersample=_in_word(description.bits_stored, samples),
        planar=False,
        mct=frame.photometric_interpretation == "RGB",
    )


def _htj2k(frame: DecodedFrame, description: PixelDescription) -> Encoded:
    samples = _squeezed(frame.samples)
    return imagecodecs.htj2k_encode(
        samples,
        reversible=True,
        planar=False,
        rgb=frame.photometric_interpretation == "RGB",
        resolutions=_decompositions(samples),
        tlm=True,
    )


def _htj2k_lossy(frame: DecodedFrame, description: PixelDescription) -> Encoded:
    samples = _values(frame, description)
    step = _HTJ2K_STEP * 2.0 ** (description.bits_stored - 8 * samples.dtype.itemsize)
    return imagecodecs.htj2k_encode(
        samples,
        level=step,
        reversible=False,
        planar=False,
        rgb=frame.photometric_interpretation == "RGB",
        resolutions=_decompositions(samples),
        tlm=True,
    )


def _decompositions(samples: Samples) -> int:
    """Give how often the size is halved: until the base resolution is a thumbnail (10.18)."""
    side, count = max(samples.shape[:2]), _DECOMPOSITIONS
    while (side >> count) >= _BASE_RESOLUTION:
        count += 1
    return count


def _jpeg_xl(frame: DecodedFrame, description: PixelDescription) -> Encoded:
    samples = _squeezed(frame.samples)
    return imagecodecs.jpegxl_encode(
        samples,
        lossless=True,
        effort=3,
        numthreads=1,
        bitspersample=_in_word(_precision(samples, description), samples),
    )


def _jpeg_xl_lossy(frame: DecodedFrame, description: PixelDescription) -> Encoded:
    # Its own colour space, XYB, is reached from RGB only.
    samples = _values(as_rgb(frame, description.bits_stored), description)
    return imagecodecs.jpegxl_encode(
        samples,
        distance=_JPEG_XL_DISTANCE,
        effort=3,
        numthreads=1,
        bitspersample=_in_word(description.bits_stored, samples),
    )


def _rle(frame: DecodedFrame, description: PixelDescription) -> bytes:
    rows, columns, count = frame.samples.shape
    flat = np.ascontiguousarray(frame.samples).tobytes()
    return bytes(rle.rle.encode_frame(flat, rows, columns, count, description.bits_allocated, "<"))


def _deflated(frame: DecodedFrame, description: PixelDescription) -> bytes:
    deflater = zlib.compressobj(_DEFLATE_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
    return deflater.compress(_native(frame.samples, description)) + deflater.flush()


_ENCODERS: Final[dict[str, Callable[[DecodedFrame, PixelDescription], Encoded]]] = {
    JPEG_BASELINE: _jpeg_baseline,
    JPEG_EXTENDED: _jpeg_extended,
    **dict.fromkeys(JPEG_LOSSLESS, _jpeg_lossless),
    JPEG_LS_LOSSLESS: _jpeg_ls,
    JPEG_LS_NEAR_LOSSLESS: _jpeg_ls_lossy,
    JPEG_2000_LOSSLESS: _jpeg_2000,
    JPEG_2000_LOSSY: _jpeg_2000_lossy,
    **dict.fromkeys(HTJ2K_LOSSLESS, _htj2k),
    HTJ2K_LOSSY: _htj2k_lossy,
    JPEG_XL_LOSSLESS: _jpeg_xl,
    JPEG_XL_LOSSY: _jpeg_xl_lossy,
    RLE_LOSSLESS: _rle,
    DEFLATED_IMAGE_FRAME: _deflated,
}
