"""Which transfer syntax can be had from which, told from a header alone.

One table for retrieval, where no means 406, and for export, where the instance fails.

References
----------
Cloud Healthcare conformance, Retrieve ("transcoding"); PS3.5 8.2.1 to 8.2.16 (the attributes that
each syntax allows)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fileroom.dicom.encoding import EXPLICIT_VR_BIG_ENDIAN
from fileroom.dicom.media_types import AS_STORED, NATIVE_TRANSFER_SYNTAXES, TRANSFER_SYNTAXES
from fileroom.dicom.pixels.description import find_pixel_description
from fileroom.dicom.pixels.failure import PixelError, unsupported
from fileroom.dicom.pixels.syntaxes import (
    DEFLATED_IMAGE_FRAME,
    JPEG,
    JPEG_BASELINE,
    JPEG_EXTENDED,
    JPEG_LOSSY,
    JPEG_LS,
    JPEG_XL,
    JPEG_XL_RECOMPRESSION,
    LOSSY_METHODS,
)
from fileroom.errors import Reason

if TYPE_CHECKING:
    from fileroom.dicom.header import Header
    from fileroom.dicom.pixels.description import PixelDescription

READABLE: Final = frozenset({*TRANSFER_SYNTAXES, EXPLICIT_VR_BIG_ENDIAN})
"""What is transcoded from; others are given as stored only."""
_COLOURS: Final = frozenset({"RGB", "YBR_FULL", "YBR_FULL_422", "YBR_RCT", "YBR_ICT", "XYB"})


def find_transcoding_obstacle(header: Header, asked: str) -> PixelError | None:
    """Give why an instance cannot be had in a transfer syntax; ``None`` if it can.

    ``asked`` is a transfer syntax UID, or ``*`` for the stored one. Where nothing would be decoded
    the Image Pixel Module is not looked at.
    """
    stored = header.transfer_syntax_uid
    native = {stored, asked} <= NATIVE_TRANSFER_SYNTAXES
    if native or asked in {stored, AS_STORED} or stored not in READABLE:
        return find_pair_obstacle(stored, asked, None)
    try:
        return find_pair_obstacle(stored, asked, find_pixel_description(header))
    except PixelError as error:
        return error


def find_pair_obstacle(
    stored: str, asked: str, description: PixelDescription | None
) -> PixelError | None:
    """Give why frames cannot be had in another transfer syntax; ``None`` if they can.

    Parameters
    ----------
    stored, asked
        Transfer syntax UIDs; ``*`` asks for the stored one.
    description
        Of the instance's frames, ``None`` where it has no pixel data.
    """
    if asked in {stored, AS_STORED}:
        return None
    if asked not in TRANSFER_SYNTAXES:
        return unsupported(f"nothing is transcoded to {asked}; use {', '.join(TRANSFER_SYNTAXES)}")
    if stored not in READABLE:
        return unsupported(
            f"transfer syntax {stored} is kept, but not transcoded; use transfer-syntax=*"
        )
    native = asked in NATIVE_TRANSFER_SYNTAXES
    if stored in NATIVE_TRANSFER_SYNTAXES and native:
        return None
    if description is None:
        return PixelError(
            f"an instance without pixel data cannot be had in {asked}; use transfer-syntax=*"
            " or 1.2.840.10008.1.2.1",
            Reason.NO_PIXEL_DATA,
        )
    try:
        description.require_decodable()
    except PixelError as error:
        return error
    why = _unfit(stored, asked, description)
    if why is None:
        return None
    return unsupported(f"{stored} to {asked}: {why}; use transfer-syntax=*")


def require_transcodable(stored: str, asked: str, description: PixelDescription | None) -> None:
    """Raise why an instance cannot be had in a transfer syntax.

    Raises
    ------
    PixelError
        As ``find_pair_obstacle`` gives it.
    """
    obstacle = find_pair_obstacle(stored, asked, description)
    if obstacle is not None:
        raise obstacle


def _unfit(stored: str, asked: str, description: PixelDescription) -> str | None:
    bits = description.bits_allocated
    if description.is_float or bits == 1:
        return "floating point samples, and those of one bit, are given in native formats only"
    partial = description.photometric_interpretation.startswith("YBR_PARTIAL")
    if partial and stored not in JPEG_LOSSY:
        return "YBR_PARTIAL is decoded from lossy JPEG only"
    if asked in NATIVE_TRANSFER_SYNTAXES:
        return None
    if asked == JPEG_XL_RECOMPRESSION:
        # What is recompressed is the JPEG stream itself, bit by bit.
        return None if stored == JPEG_BASELINE else "only JPEG baseline can be recompressed"
    if stored == JPEG_XL_RECOMPRESSION and asked == JPEG_BASELINE:
        return None
    if asked == DEFLATED_IMAGE_FRAME:
        return None
    if bits not in {8, 16}:
        return f"samples of {bits} bits are given in native formats only"
    return _unfit_colour(asked, description) or _unfit_bits(asked, description)


def _unfit_colour(asked: str, description: PixelDescription) -> str | None:
    colour = description.photometric_interpretation
    if description.is_monochrome:
        return None
    if description.bits_allocated > 8 and asked in JPEG:
        return "colour of more than 8 bits cannot become JPEG"
    if colour == "PALETTE COLOR":
        if asked in LOSSY_METHODS:
            return "indices into a palette cannot be compressed with loss"
        return "JPEG XL knows no palette (PS3.5 8.2.15)" if asked in JPEG_XL else None
    if colour not in _COLOURS:
        return "this photometric interpretation is not compressed"
    if asked == JPEG_EXTENDED:
        return "JPEG extended holds grey levels only (PS3.5 table 8.2.1-1)"
    if asked in JPEG_LS and colour == "YBR_FULL" and description.bits_allocated > 8:
        return "JPEG-LS holds YBR_FULL of 8 bits only (PS3.5 table 8.2.3-1)"
    return None


def _unfit_bits(asked: str, description: PixelDescription) -> str | None:
    stored = description.bits_stored
    if description.is_signed and not description.is_monochrome:
        return "signed colour is not compressed"
    if asked in JPEG_LOSSY and description.is_signed:
        return "signed samples cannot become lossy JPEG (PS3.5 table 8.2.1-1)"
    bits = (description.bits_allocated, stored)
    if asked == JPEG_BASELINE and bits != (8, 8):
        return "JPEG baseline holds 8 bits"
    if asked == JPEG_EXTENDED and bits not in {(8, 8), (16, 12)}:
        return "JPEG extended holds 8 bits, or 12 in 16 (PS3.5 table 8.2.1-1)"
    if asked in JPEG_XL and description.is_signed:
        return "JPEG XL knows no signed samples (PS3.5 8.2.15)"
    if asked in JPEG_LS and stored < 2:
        return "JPEG-LS holds 2 bits or more (PS3.5 table 8.2.3-1)"
    if asked in LOSSY_METHODS and description.high_bit != stored - 1:
        return "samples that do not begin at bit 0 cannot be compressed with loss"
    return None
