"""One frame in another transfer syntax: what a worker does with bytes and gives back as bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fileroom.dicom.media_types import NATIVE_TRANSFER_SYNTAXES
from fileroom.dicom.pixels.pairs import require_transcodable
from fileroom.dicom.pixels.syntaxes import JPEG_BASELINE, JPEG_LOSSY, JPEG_XL_RECOMPRESSION

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from fileroom.dicom.pixels.description import PixelDescription


def reencode_frame(frame: bytes, description: PixelDescription, stored: str, asked: str) -> bytes:
    """Give a stored frame in the asked transfer syntax, without a padding byte.

    Native frames are given, and asked for, in little endian. In Explicit VR Little Endian the
    result is what ``application/octet-stream; transfer-syntax=1.2.840.10008.1.2.1`` means.

    Raises
    ------
    PixelError
        If the pair is not offered, or the frame cannot be decoded.
    """
    require_transcodable(stored, asked, description)
    if stored == asked or {stored, asked} <= NATIVE_TRANSFER_SYNTAXES:
        return frame
    if {stored, asked} == {JPEG_BASELINE, JPEG_XL_RECOMPRESSION}:
        from fileroom.dicom.pixels.recompression import jpeg_from_jpeg_xl, jpeg_xl_from_jpeg

        if asked == JPEG_XL_RECOMPRESSION:
            return jpeg_xl_from_jpeg(frame, description)
        return jpeg_from_jpeg_xl(frame, description)
    # The codecs take a quarter of a second to load: only where a frame is decoded.
    from fileroom.dicom.pixels.colour import as_rgb
    from fileroom.dicom.pixels.decode import decode_frame
    from fileroom.dicom.pixels.encode import encode_frame

    decoded = decode_frame(frame, description, stored)
    if _is_converted(stored):
        decoded = as_rgb(decoded, description.bits_stored)
    return encode_frame(decoded, description, asked)


def reencode_frames(
    frames: Iterable[bytes], description: PixelDescription, stored: str, asked: str
) -> Iterator[bytes]:
    """Give frames one after another as ``reencode_frame`` gives each: for ``transcoded_pieces``."""
    return (reencode_frame(frame, description, stored, asked) for frame in frames)


def reencoded_photometric_interpretation(
    description: PixelDescription, stored: str, asked: str
) -> str:
    """Give the Photometric Interpretation of what ``reencode_frame`` gives."""
    from fileroom.dicom.pixels.encode import encoded_photometric_interpretation

    colour = description.photometric_interpretation
    unchanged = {stored, asked} == {JPEG_BASELINE, JPEG_XL_RECOMPRESSION}
    if unchanged or description.samples_per_pixel != 3:
        return colour
    if colour in {"YBR_RCT", "YBR_ICT", "XYB"} or _is_converted(stored):
        colour = "RGB"
    elif colour == "YBR_FULL_422":
        colour = "YBR_FULL"
    return encoded_photometric_interpretation(colour, asked)


def _is_converted(stored: str) -> bool:
    """Tell whether decoded samples are made RGB.

    Of lossy JPEG they are: readers expect RGB of a decompressed one, and its markers, not the
    header, tell what it holds. Elsewhere a conversion would lose what was stored without loss.
    """
    return stored in JPEG_LOSSY or stored == JPEG_XL_RECOMPRESSION
