"""Scan a Part 10 file: its header and the attributes that are indexed.

References
----------
PS3.10 7 (the file), PS3.5 7 (the data set), PS3.5 9.1 (UIDs)
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fileroom.dicom.charsets import decode_text
from fileroom.dicom.encoding import DEFLATED, data_set_encoding
from fileroom.dicom.header import Header
from fileroom.dicom.inflate import Inflated
from fileroom.dicom.refusal import Refused
from fileroom.dicom.skeleton import Walk
from fileroom.dicom.window import Limits, Window
from fileroom.errors import Reason
from fileroom.names import UID_LENGTH_MAX

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fileroom.dicom.encoding import Encoding
    from fileroom.dicom.header import ByteSource

__all__ = ["IndexedAttributes", "Limits", "Refused", "Scan", "scan"]

_DATA_AT = 132
_MEDIA_STORAGE_DIRECTORY = b"1.2.840.10008.1.3.10"
_TRANSFER_SYNTAX_UID = 0x00020010
_MEDIA_STORAGE_SOP_CLASS_UID = 0x00020002
_SPECIFIC_CHARACTER_SET = 0x00080005
_INTEGER = re.compile(rb"[\0 ]*([+-]?[0-9]{1,19})(?:\.0*)?[\0 ]*(?:\\|\Z)")
"""The first of the numbers of an IS; writers put a point with zeros after it."""
_INTEGER_BYTES = {"SL": 4, "SS": 2, "SV": 8, "UL": 4, "US": 2, "UV": 8}
_UID = re.compile(r"[0-9]+(?:\.[0-9]+)*")

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


class _Bytes:
    """Bytes as a source."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.size = len(data)

    def read_at(self, offset: int, length: int) -> bytes:
        return self._data[offset : offset + length]


def scan(source: bytes | ByteSource, *, limits: Limits = Limits()) -> Scan:  # noqa: B008 - frozen
    """Read the header of an instance and check that the whole of it is well formed.

    Values are passed over, not read, wherever they are large.

    Raises
    ------
    Refused
        If the object is no instance that can be stored.
    """
    _check_prefix(source)
    window = Window(source, limits)
    window.start(_DATA_AT)
    walk = Walk(window, _WANTED, limits)
    position = walk.file_meta(_DATA_AT)
    transfer_syntax_uid = _uid(walk.found, _TRANSFER_SYNTAX_UID)
    _refuse_directory(walk.found, position)
    if transfer_syntax_uid in DEFLATED:
        held = _Bytes(source) if isinstance(source, bytes) else source
        window.switch(position, Inflated(held, position, limits.inflated_bytes))
        position = 0
    at = window.hold(position)
    encoding = data_set_encoding(transfer_syntax_uid, window.buffer[at : at + 8])
    walk.data_set(position, encoding)
    header = Header(transfer_syntax_uid, window.skeleton(), tuple(window.cuts), walk.in_order)
    return Scan(header, _attributes(walk.found, transfer_syntax_uid, encoding))


def _check_prefix(source: bytes | ByteSource) -> None:
    size = len(source) if isinstance(source, bytes) else source.size
    if not size:
        raise Refused("empty DICOM instance found", Reason.EMPTY, None, 0)
    prefix = source[128:132] if isinstance(source, bytes) else source.read_at(128, 4)
    if prefix != b"DICM":
        raise Refused(
            'not a DICOM file: no "DICM" at byte 128 (a bare data set must be written as a '
            "DICOM Part 10 file first)",
            Reason.NOT_DICOM,
            None,
            min(128, size),
        )


def _refuse_directory(found: dict[int, tuple[int, bytes]], position: int) -> None:
    _, sop_class_uid = found.get(_MEDIA_STORAGE_SOP_CLASS_UID, (0, b""))
    if sop_class_uid.rstrip(b"\0 ") == _MEDIA_STORAGE_DIRECTORY:
        raise Refused(
            "a DICOMDIR is an index of files, not an instance; import the files themselves",
            Reason.DICOMDIR,
            f"{_MEDIA_STORAGE_SOP_CLASS_UID:08X}",
            position,
        )


def _uid(found: dict[int, tuple[int, bytes]], tag: int) -> str:
    element = found.get(tag)
    text = "" if element is None else element[1].rstrip(b"\0 ").decode("latin_1")
    if not text:
        raise Refused(
            f"({tag >> 16:04X},{tag & 0xFFFF:04X}) is absent or empty; "
            "an instance cannot be stored without it",
            Reason.MISSING_UID,
            f"{tag:08X}",
            None,
        )
    if len(text) > UID_LENGTH_MAX or not _UID.fullmatch(text):
        raise Refused(
            f"({tag >> 16:04X},{tag & 0xFFFF:04X}) is not a UID: digits and dots, at most "
            f"{UID_LENGTH_MAX} characters",
            Reason.INVALID_UID,
            f"{tag:08X}",
            None,
        )
    return text


def _attributes(
    found: dict[int, tuple[int, bytes]], transfer_syntax_uid: str, encoding: Encoding
) -> IndexedAttributes:
    values: dict[str, str | int] = {name: _uid(found, tag) for tag, name in _UIDS.items()}
    _, character_set = found.get(_SPECIFIC_CHARACTER_SET, (0, b""))
    specific = decode_text(character_set, "CS", None)
    if specific:
        values["specific_character_set"] = specific
    for tag, (vr_number, value) in found.items():
        if tag in _TEXTS:
            name, vr = _TEXTS[tag]
            text = decode_text(value, vr, specific)
            if text:
                values[name] = text
        elif tag in _NUMBERS:
            name, vr = _NUMBERS[tag]
            number = _number(value, encoding.names.get(vr_number, vr), vr, encoding)
            if number is not None:
                values[name] = number
    return IndexedAttributes(transfer_syntax_uid=transfer_syntax_uid, **values)  # type: ignore[arg-type]


def _number(value: bytes, vr: str, own_vr: str, encoding: Encoding) -> int | None:
    """Give the first number of a value, if it is one the attribute may have.

    ``vr`` is the VR as written, ``own_vr`` the attribute's.
    """
    if vr == "UN":
        vr = own_vr
    size = _INTEGER_BYTES.get(vr)
    if size is not None:
        if len(value) < size:
            return None
        order = "big" if encoding.big_endian else "little"
        number = int.from_bytes(value[:size], order, signed=vr[0] == "S")  # type: ignore[arg-type]
    elif vr in {"DS", "IS"} or own_vr == "IS":
        match = _INTEGER.match(value)
        if match is None:
            return None
        number = int(match[1])
    else:
        return None
    low, high = (0, 0xFFFF) if own_vr == "US" else (-(1 << 63), (1 << 63) - 1)
    return number if low <= number <= high else None
