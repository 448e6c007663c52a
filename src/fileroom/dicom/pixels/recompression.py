"""JPEG streams packed as JPEG XL, and given back bit by bit (ISO/IEC 18181-2, PS3.5 8.2.15)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import imagecodecs

from fileroom.dicom.pixels.codestreams import jpeg_claim, jpeg_xl_claim
from fileroom.dicom.pixels.decode import CODEC_ERRORS, require_claim
from fileroom.dicom.pixels.failure import malformed

if TYPE_CHECKING:
    from fileroom.dicom.pixels.description import PixelDescription


def jpeg_xl_from_jpeg(frame: bytes, description: PixelDescription) -> bytes:
    """Pack a JPEG stream."""
    require_claim(jpeg_claim(frame), description)
    try:
        return bytes(imagecodecs.jpegxl_encode_jpeg(frame, numthreads=1))
    except CODEC_ERRORS as error:
        raise malformed("a JPEG frame cannot be recompressed") from error


def jpeg_from_jpeg_xl(frame: bytes, description: PixelDescription) -> bytes:
    """Give the JPEG stream that was packed."""
    require_claim(jpeg_xl_claim(frame), description)
    try:
        return bytes(imagecodecs.jpegxl_decode_jpeg(frame, numthreads=1))
    except CODEC_ERRORS as error:
        raise malformed("a JPEG XL frame holds no JPEG stream") from error
