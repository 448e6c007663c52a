"""Scan a Part 10 file: its header and the attributes that are indexed.

References
----------
PS3.10 7 (the file), PS3.5 7 (the data set), PS3.5 9.1 (UIDs)
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fileroom.dicom.charsets import decode_text
from fileroom.dicom.encoding import DEFLATED, data_set_encoding
from fileroom.dicom.file_meta import Found, walk_file_meta
from fileroom.dicom.header import Fragments, Header
from fileroom.dicom.inflate import Inflated
from fileroom.dicom.refusal import Refused, refused
from fileroom.dicom.skeleton import Walk
from fileroom.dicom.window import Limits, Window
from fileroom.errors import Reason
from fileroom.names import UID_LENGTH_MAX

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fileroom.dicom.encoding import Encoding
    from fileroom.dicom.header import ByteSource, Cut

__all__ = ["IndexedAttributes", "Limits", "Refused", "Scan", "scan"]

_DATA_AT = 132
_MEDIA_STORAGE_DIRECTORY = b"1.2.840.10008.1.3.10"
_TRANSFER_SYNTAX_UID = 0x00020010
_MEDIA_STORAGE_SOP_CLASS_UID = 0x00020002
_SPECIFIC_CHARACTER_SET = 0x00080005
_EXTENDED_OFFSET_TABLE = 0x7FE00001
_INTEGER = re.compile(rb"[\0 ]*([+-]?[0-9]{1,19})(?:\.0*)?[\0 ]*(?:\\|\Z)")
"""The first of the numbers of an IS; writers put a point with zeros after it."""
_RANGES = {"IS": (-(1 << 63), (1 << 63) - 1), "US": (0, 0xFFFF)}
"""IS may have 32 bits (PS3.5 6.2); writers that put dates and times there are let through."""
_INDEXED_CHARACTERS_MAX = 1024
"""Longer text is cut off in the index: over ten times what its VRs may hold (PS3.5 6.2), and a
bound on what 250 small deflated objects can make of memory and rows. The header keeps it whole."""
_SPECIAL = re.compile(rb"[\x1b\\=\x80-\xff]")
"""What makes text more than ASCII: escape sequences, several values, groups of a person name."""
_UID = re.compile(rb"[0-9]+(?:\.[0-9]+)*")
_ABSENT: Found = (0, b"", -1)

_UIDS = {
    0x0020000D: "study_instance_uid",
    0x0020000E: "series_instance_uid",
    0x00080018: "sop_instance_uid",
    0x00080016: "sop_class_uid",
}
_TEXTS = {
    0x00080020: ("study_date", "DA"),
    0x00080021: ("series_date", "DA"),
    0x00080030: ("study_time", "TM"),
    0x00080031: ("series_time", "TM"),
    0x00080050: ("accession_number", "SH"),
    0x00080060: ("modality", "CS"),
    0x00080090: ("referring_physician_name", "PN"),
    0x00080201: ("timezone_offset_from_utc", "SH"),
    0x00081030: ("study_description", "LO"),
    0x0008103E: ("series_description", "LO"),
    0x00100010: ("patient_name", "PN"),
    0x00100020: ("patient_id", "LO"),
    0x00100030: ("patient_birth_date", "DA"),
    0x00100040: ("patient_sex", "CS"),
    0x00200010: ("study_id", "SH"),
}
_NUMBERS = {
    0x00200011: ("series_number", "IS"),
    0x00200013: ("instance_number", "IS"),
    0x00280008: ("number_of_frames", "IS"),
    0x00280010: ("rows", "US"),
    0x00280011: ("columns", "US"),
    0x00280100: ("bits_allocated", "US"),
}


def _by_group(tags: Iterable[int]) -> dict[int, frozenset[int]]:
    groups: dict[int, set[int]] = {}
    for tag in tags:
        groups.setdefault(tag >> 16, set()).add(tag & 0xFFFF)
    return {group: frozenset(elements) for group, elements in groups.items()}


_WANTED = _by_group(
    (
        _TRANSFER_SYNTAX_UID,
        _MEDIA_STORAGE_SOP_CLASS_UID,
        _SPECIFIC_CHARACTER_SET,
        _EXTENDED_OFFSET_TABLE,
        *_UIDS,
        *_TEXTS,
        *_NUMBERS,
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexedAttributes:
    """What the index knows of an instance: Unicode without padding, None if absent or empty."""

    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    specific_character_set: str | None = None
    timezone_offset_from_utc: str | None = None
    patient_id: str | None = None
    patient_name: str | None = None
    patient_birth_date: str | None = None
    patient_sex: str | None = None
    study_date: str | None = None
    study_time: str | None = None
    accession_number: str | None = None
    referring_physician_name: str | None = None
    study_id: str | None = None
    study_description: str | None = None
    modality: str | None = None
    series_number: int | None = None
    series_description: str | None = None
    series_date: str | None = None
    series_time: str | None = None
    instance_number: int | None = None
    rows: int | None = None
    columns: int | None = None
    bits_allocated: int | None = None
    number_of_frames: int | None = None


@dataclass(frozen=True, slots=True)
class Scan:
    """What is kept of an instance beside its bytes."""

    header: Header
    attributes: IndexedAttributes
    fragments: Fragments | None = None
    """Of encapsulated pixel data; ``None`` where there are none or they are native."""


class _Bytes:
    """Bytes as a source."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.size = len(data)

    def read_at(self, offset: int, length: int) -> bytes:
        return self._data[offset : offset + length]


def scan(
    source: bytes | ByteSource,
    *,
    limits: Limits = Limits(),  # noqa: B008 - frozen
    sparse: bool = False,
) -> Scan:
    """Read the header of an instance and check that the whole of it is well formed.

    Values are passed over, not read, wherever they are large. ``sparse`` leaves encapsulated pixel
    data unread but for their first fragment, if the object ends with them: fragments by the
    thousand, read one by one, would take a cloud as many requests.

    Raises
    ------
    Refused
        If the object is no instance that can be stored.
    """
    window = Window(source, limits)
    _check_prefix(window)
    window.start(_DATA_AT)
    found: dict[int, Found] = {}
    position = walk_file_meta(window, _DATA_AT, _WANTED[2], found)
    transfer_syntax_uid = _uid(found, _TRANSFER_SYNTAX_UID)
    _refuse_directory(found)
    if transfer_syntax_uid in DEFLATED:
        if sparse:
            raise _unsparing(position)
        deflated = _Bytes(source) if isinstance(source, bytes) else source
        bytes_max = limits.inflated_bytes_max(deflated.size)
        window.switch(position, Inflated(deflated, position, bytes_max))
        position = 0
    at = window.hold(position)
    encoding = data_set_encoding(transfer_syntax_uid, window.buffer[at : at + 8])
    walk = Walk(window, _WANTED, found, limits, sparse=sparse)
    walk.data_set(position, encoding)
    header = Header(transfer_syntax_uid, window.skeleton(), tuple(window.cuts), walk.in_order)
    attributes = _attributes(found, transfer_syntax_uid, encoding)
    fragments = walk.fragments
    if fragments is not None and _EXTENDED_OFFSET_TABLE in found:
        fragments = replace(fragments, extended_offsets=_extended_offsets(found, header, encoding))
    return Scan(header, attributes, fragments)


def _unsparing(position: int) -> Refused:
    return Refused(
        "a deflated data set can only be read whole, so it is not kept by reference; import it by"
        " copy",
        Reason.UNSUPPORTED_REFERENCE,
        None,
        position,
    )


def _check_prefix(window: Window) -> None:
    if not window.size:
        raise Refused("empty DICOM instance found", Reason.EMPTY, None, 0)
    at = window.hold(0)
    if window.buffer[at + 128 : at + 132] != b"DICM":
        raise Refused(
            'not a DICOM file: no "DICM" at byte 128 (a bare data set must be written as a '
            "DICOM Part 10 file first)",
            Reason.NOT_DICOM,
            None,
            min(128, window.size),
        )


def _extended_offsets(found: dict[int, Found], header: Header, encoding: Encoding) -> bytes | Cut:
    """Give the extended offset table, or where it is if it was cut out."""
    _, value, position = found[_EXTENDED_OFFSET_TABLE]
    if value is not None:
        return value
    offset = position + (8 if encoding.implicit else 12)
    return next((cut for cut in header.cuts if cut.offset == offset), b"")


def _refuse_directory(found: dict[int, Found]) -> None:
    _, sop_class_uid, position = found.get(_MEDIA_STORAGE_SOP_CLASS_UID, _ABSENT)
    if sop_class_uid and sop_class_uid.rstrip(b"\0 ") == _MEDIA_STORAGE_DIRECTORY:
        raise refused(
            "a DICOMDIR is an index of files, not an instance; import the files themselves",
            Reason.DICOMDIR,
            _MEDIA_STORAGE_SOP_CLASS_UID,
            position,
        )


def _uid(found: dict[int, Found], tag: int) -> str:
    """Give a UID by the rule of ``names.parse_uid``."""
    _, value, position = found.get(tag, _ABSENT)
    uid = b"" if value is None else value.rstrip(b"\0 ")
    if len(uid) <= UID_LENGTH_MAX and _UID.fullmatch(uid):
        return uid.decode("ascii")
    name = f"({tag >> 16:04X},{tag & 0xFFFF:04X})"
    if value is not None and not uid:
        raise Refused(
            f"{name} is absent or empty; an instance cannot be stored without it",
            Reason.MISSING_UID,
            f"{tag:08X}",
            position if tag in found else None,
        )
    raise refused(
        f"{name} is not a UID: digits with single dots between, at most {UID_LENGTH_MAX} "
        "characters",
        Reason.INVALID_UID,
        tag,
        position,
    )


def _attributes(
    found: dict[int, Found], transfer_syntax_uid: str, encoding: Encoding
) -> IndexedAttributes:
    values: dict[str, str | int] = {name: _uid(found, tag) for tag, name in _UIDS.items()}
    _, character_set, _ = found.get(_SPECIFIC_CHARACTER_SET, _ABSENT)
    specific = decode_text(character_set or b"", "CS", None)
    if specific:
        values["specific_character_set"] = specific[:_INDEXED_CHARACTERS_MAX]
    texts = [
        (name, vr, value)
        for tag, (name, vr) in _TEXTS.items()
        if (value := found.get(tag, _ABSENT)[1])
    ]
    plain = not _SPECIAL.search(b"".join([value for _, _, value in texts]))
    for name, vr, value in texts:
        text = value.decode("ascii").strip("\0 ") if plain else decode_text(value, vr, specific)
        if text:
            values[name] = text[:_INDEXED_CHARACTERS_MAX]
    for tag, (name, vr) in _NUMBERS.items():
        vr_number, value, _ = found.get(tag, _ABSENT)
        if value:
            number = _number(value, encoding.names.get(vr_number, "UN"), vr, encoding)
            if number is not None:
                values[name] = number
    # The tables give each name a value of its type.
    return IndexedAttributes(transfer_syntax_uid=transfer_syntax_uid, **values)  # type: ignore[arg-type]


def _number(value: bytes, vr: str, own_vr: str, encoding: Encoding) -> int | None:
    """Give the first number of a value, if it is one the attribute may have.

    ``vr`` is the VR as written, ``own_vr`` the attribute's.
    """
    if vr == "UN":
        vr = own_vr
    if vr in encoding.integers:
        unpack, size = encoding.integers[vr]
        if len(value) < size:
            return None
        (number,) = unpack(value)
    elif vr in {"DS", "IS"} or own_vr == "IS":
        match = _INTEGER.match(value)
        if match is None:
            return None
        number = int(match[1])
    else:
        return None
    low, high = _RANGES[own_vr]
    return number if low <= number <= high else None
