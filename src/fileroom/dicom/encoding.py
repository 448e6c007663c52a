"""How data elements are laid out in bytes, and which VR an implicit one has.

References
----------
PS3.5 6.2 (VRs), 7.1 (data elements), 7.5 (sequences), Annex A (transfer syntaxes)
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from struct import Struct
from typing import TYPE_CHECKING

from fileroom.dicom.dictionary import public_vrs

if TYPE_CHECKING:
    from collections.abc import Callable

IMPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2"
EXPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"
DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2.1.99"
EXPLICIT_VR_BIG_ENDIAN = "1.2.840.10008.1.2.2"
DEFLATED = frozenset(
    {
        DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
        "1.2.840.10008.1.2.4.95",  # JPIP Referenced Deflate
        "1.2.840.10008.1.2.4.205",  # JPIP HTJ2K Referenced Deflate
    }
)
_IMPLICIT = frozenset(
    {
        IMPLICIT_VR_LITTLE_ENDIAN,
        "1.2.840.113619.5.2",  # GE private: implicit VR, only the pixels big endian
        "1.2.826.0.1.3680043.2.494.1.1",  # Papyrus 3, implicit VR little endian
    }
)

UNDEFINED_LENGTH = 0xFFFFFFFF
ITEM = 0xFFFEE000
ITEM_DELIMITER = 0xFFFEE00D
SEQUENCE_DELIMITER = 0xFFFEE0DD
ITEM_GROUP = 0xFFFE
"""Of items and delimiters."""
PIXEL_DATA = 0x7FE00010

SHORT_VRS = frozenset(
    {
        "AE", "AS", "AT", "CS", "DA", "DS", "DT", "FD", "FL", "IS", "LO", "LT", "PN", "SH", "SL",
        "SS", "ST", "TM", "UI", "UL", "US",
    }
)  # fmt: skip
"""VRs with a length of two bytes (PS3.5 7.1.2)."""
LONG_VRS = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"})
"""VRs with two reserved bytes and a length of four."""
_BLANK_VR = "  "
"""What some scanners write before a value of two bytes whose VR they did not know."""

_INTEGERS = {"SL": "i", "SS": "h", "SV": "q", "UL": "I", "US": "H", "UV": "Q"}

KEPT_BULK_BYTES = 64
"""Longest OB, OW or UN value that stays in the header."""
KEPT_NUMBERS_BYTES = 2048
"""Longest OD, OF, OL or OV value that stays in the header."""
KEPT_VALUE_BYTES = 64 * 1024
"""Longest value of any other VR that stays in the header."""


def kept_bytes_max(vr: str) -> int:
    """Give the length over which a value is cut out of the header."""
    if vr in {"OB", "OW", "UN"}:
        return KEPT_BULK_BYTES
    if vr in {"OD", "OF", "OL", "OV"}:
        return KEPT_NUMBERS_BYTES
    return KEPT_VALUE_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoding:
    """One of the ways to lay out elements; compare by identity."""

    implicit: bool
    big_endian: bool
    unpack: Callable[[bytes, int], tuple[int, ...]]
    """Group, element, VR and short length; implicit: group, element, length."""
    unpack_length: Callable[[bytes, int], tuple[int]]
    unpack_item: Callable[[bytes, int], tuple[int, int, int]]
    """Group, element and length, as items have in every encoding."""
    short: frozenset[int]
    """The VRs with a short length, as the number ``unpack`` gives."""
    plain: frozenset[int]
    """The same without the blank VR, which does not tell explicit from implicit VR."""
    long: dict[int, int]
    """The other VRs but SQ, each with the longest value that is kept."""
    names: dict[int, str]
    """All VRs, by the number ``unpack`` gives."""
    integers: dict[str, tuple[Callable[[bytes], tuple[int]], int]]
    """What unpacks the first value of a binary integer VR, and its length in bytes."""
    explicit: tuple[
        Callable[[bytes, int], tuple[int, ...]],
        Callable[[bytes, int], tuple[int]],
        frozenset[int],
        dict[int, int],
        int,
    ]
    """``unpack``, ``unpack_length``, ``short``, ``long`` and SQ at one go."""


def _encoding(*, implicit: bool, big_endian: bool) -> Encoding:
    order = ">" if big_endian else "<"
    byte_order = "big" if big_endian else "little"

    def number(vr: str) -> int:
        return int.from_bytes(vr.encode(), byte_order)  # type: ignore[arg-type]

    unpack = Struct(order + ("HHI" if implicit else "HHHH")).unpack_from
    unpack_length = Struct(order + "I").unpack_from
    short = frozenset(number(vr) for vr in [*SHORT_VRS, _BLANK_VR])
    long = {number(vr): kept_bytes_max(vr) for vr in LONG_VRS if vr != "SQ"}
    return Encoding(
        implicit=implicit,
        big_endian=big_endian,
        unpack=unpack,
        unpack_length=unpack_length,
        unpack_item=Struct(order + "HHI").unpack_from,
        short=short,
        plain=short - {number(_BLANK_VR)},
        long=long,
        names={number(vr): vr for vr in [*SHORT_VRS, *LONG_VRS]} | {number(_BLANK_VR): "UN"},
        integers={
            vr: (Struct(order + code).unpack_from, Struct(order + code).size)
            for vr, code in _INTEGERS.items()
        },
        explicit=(unpack, unpack_length, short, long, number("SQ")),
    )


IMPLICIT_LITTLE = _encoding(implicit=True, big_endian=False)
EXPLICIT_LITTLE = _encoding(implicit=False, big_endian=False)
EXPLICIT_BIG = _encoding(implicit=False, big_endian=True)


def data_set_encoding(transfer_syntax_uid: str, start: bytes) -> Encoding:
    """Give the encoding of a data set from its transfer syntax and its first six bytes.

    Where the first element shows the other kind of VR than the transfer syntax says, the bytes
    are believed: files with a wrong transfer syntax are common, and a length that looks like two
    capital letters would be over 16 KB.
    """
    if transfer_syntax_uid == EXPLICIT_VR_BIG_ENDIAN:
        return EXPLICIT_BIG
    if len(start) < 6:
        return IMPLICIT_LITTLE if transfer_syntax_uid in _IMPLICIT else EXPLICIT_LITTLE
    return EXPLICIT_LITTLE if shows_explicit_vr(start, 0) else IMPLICIT_LITTLE


def item_encoding(outer: Encoding, buffer: bytes, position: int) -> Encoding:
    """Give the encoding of an item's data set, whose first element is at ``position``.

    Some writers put implicit VR items into explicit VR data sets (seen in private sequences and
    in those that passed an implicit VR system).
    """
    if outer is not EXPLICIT_LITTLE or shows_explicit_vr(buffer, position):
        return outer
    return IMPLICIT_LITTLE


def shows_explicit_vr(buffer: bytes, position: int) -> bool:
    """Tell whether an element's fifth and sixth byte are capital letters."""
    vr = buffer[position + 4 : position + 6]
    return vr.isalpha() and vr.isupper()


@lru_cache(maxsize=1)
def dictionary_sequences() -> frozenset[int]:
    """Give the tags that need a closer look in implicit VR: sequences, items and delimiters."""
    sequences = {tag for tag, vr in public_vrs().items() if vr == "SQ"}
    return frozenset(sequences | {ITEM, ITEM_DELIMITER, SEQUENCE_DELIMITER})


def dictionary_vr(tag: int) -> str:
    """Give the VR of an element that does not carry one; ``UN`` if it is not known.

    The choice between US and SS is left open (``US or SS``): it needs Pixel Representation.
    """
    vr = public_vrs().get(tag)
    if vr is None:
        group = tag >> 16
        if tag & 0xFFFF == 0:
            return "UL"
        if group & 1 and 0x10 <= tag & 0xFFFF <= 0xFF:
            return "LO"
        return "UN"
    if vr in {"OB or OW", "US or OW", "US or SS or OW"}:
        return "OW"
    return "UN" if vr == "NONE" else vr
