"""Data set to DICOM JSON Model (PS3.18 F).

What is left to choice there is chosen here:

- IS and DS are numbers; strings where the text is no number or a number would lose digits, and so
  are SV and UV beyond 2**53, which a browser would round (F.2.3);
- FL and FD that are no finite number are the strings ``NaN``, ``Infinity``, ``-Infinity``, since
  JSON has no such numbers;
- Specific Character Set says ISO_IR 192 where the data set names one: JSON is UTF-8 (F.2);
- of the file meta information Transfer Syntax UID is told, as by the Cloud Healthcare API.

Which values are a BulkDataURI is the Cloud Healthcare API's rule, not the size alone.
"""

from __future__ import annotations

import math
import re
from binascii import b2a_base64
from decimal import Decimal
from functools import lru_cache
from struct import unpack_from
from typing import TYPE_CHECKING, Final, Literal

from fileroom.dicom.byte_order import WORD_BYTES, swapped
from fileroom.dicom.charsets import decode_characters
from fileroom.dicom.header import big_endian, elements, find_elements

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from fileroom.dicom.header import Element, Header

    Read = Callable[[int, int], bytes]
    """Gives bytes of the blob, or of its inflated data set: offset, length."""

JsonObject = dict[str, object]
ByteOrder = Literal["<", ">"]

SEQUENCE_BYTES_MAX: Final = 1 << 20
"""A longer sequence is left out."""
INLINE_BYTES_MAX: Final = 2048
"""A longer OD, OF, OL or OV value is a BulkDataURI."""
VALUES_MAX: Final = 512
"""More AT, FD, FL, UL, US, SV or UV values are a BulkDataURI."""
TEXT_BYTES_MAX: Final = 1 << 20
"""Longest value of another VR that is told in full: one value must not fill the memory."""
EXACT_INTEGER_MAX: Final = 1 << 53

_RECURRING_BYTES_MAX: Final = 64
_NEVER_BULK_BYTES: Final = 1024
_SPECIFIC_CHARACTER_SET: Final = 0x00080005
_PIXELS: Final = frozenset({0x7FE00008, 0x7FE00009, 0x7FE00010})
_ALWAYS_BULK: Final = frozenset({"OB", "OW", "UN"})
_INLINE: Final = frozenset({"OD", "OF", "OL", "OV"})
NUMBER_CODES: Final = {
    "US": "H",
    "SS": "h",
    "UL": "I",
    "SL": "i",
    "UV": "Q",
    "SV": "q",
    "FL": "f",
    "FD": "d",
}
"""What ``struct`` calls the numbers of each binary VR."""
_COUNTED: Final = {"AT": 4, **{vr: WORD_BYTES[vr] for vr in ("FD", "FL", "UL", "US", "SV", "UV")}}
ONE_VALUE_VRS: Final = frozenset({"LT", "ST", "UR", "UT"})
_LEADING_SPACE_COUNTS: Final = frozenset({"LT", "PN", "ST", "UC", "UT"})
PERSON_NAME_GROUPS: Final = ("Alphabetic", "Ideographic", "Phonetic")
_INTEGER = re.compile(r"[+-]?[0-9]+")
_DECIMAL = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_DIGITS_READ_MAX: Final = 100
"""Of an integer; Python refuses thousands, and none of them is exact in JSON."""
_DIGITS_ALWAYS_EXACT: Final = 15


def metadata(header: Header, *, bulk_data_uri: str, read: Read) -> JsonObject:
    """Give the DICOM JSON of an instance.

    Parameters
    ----------
    header
        Its skeleton.
    bulk_data_uri
        ``…/instances/{sop_instance_uid}/bulkdata``; ``/{tag}`` is added, and for a value inside a
        sequence ``/{tag}/{item, counted from 0}/{tag}``.
    read
        Gives the bytes of a cut value that is told in full.
    """
    found = elements(header, sequence_bytes_max=SEQUENCE_BYTES_MAX)
    return _whole(header, found, bulk_data_uri, read)


def attributes(
    header: Header, tags: Collection[int], *, bulk_data_uri: str, read: Read
) -> JsonObject:
    """Give the DICOM JSON of those of the tags that the top level of the data set has."""
    wanted = {_SPECIFIC_CHARACTER_SET, *tags}
    model = _whole(header, find_elements(header, wanted).values(), bulk_data_uri, read)
    return {key: value for key, value in model.items() if int(key, 16) in tags}


def attribute_value(vr: str, value: str | int | None) -> JsonObject:
    """Give the DICOM JSON of an element whose value is known as the index keeps it."""
    if value is None or value == "":
        return {"vr": vr}
    if isinstance(value, int):
        return {"vr": vr, "Value": [value]}
    return {"vr": vr, "Value": _converted(vr, value)}


def told_character_set(specific_character_set: str | None) -> str | None:
    """Give what Specific Character Set is in JSON, which is always UTF-8."""
    return "ISO_IR 192" if specific_character_set else None


# ------------------------------------------------------------------ elements


def _whole(header: Header, found: Iterable[Element], uri: str, read: Read) -> JsonObject:
    model: JsonObject = {"00020010": {"vr": "UI", "Value": [header.transfer_syntax_uid]}}
    order: ByteOrder = ">" if big_endian(header) else "<"
    model.update(_Converter(order, read).data_set(found, "", uri))
    # PS3.18 F.2.2 wants ascending names; some files are not in order.
    return model if header.in_order else dict(sorted(model.items()))


class _Converter:
    """Turns elements of one instance into JSON."""

    def __init__(self, order: ByteOrder, read: Read) -> None:
        self._order = order
        self._read = read

    def data_set(self, found: Iterable[Element], charset: str, uri: str) -> JsonObject:
        """Give the JSON of a data set; an item has its sequence's character set unless its own."""
        model: JsonObject = {}
        order = self._order
        for tag, vr, value, length, cut, items in found:
            key = _key(tag)
            if items is not None:
                if length <= SEQUENCE_BYTES_MAX:
                    model[key] = self._sequence(items, charset, f"{uri}/{key}")
            elif tag & 0xFFFF == 0 or tag < 0x00030000:
                # Group lengths have no place in JSON (PS3.18 F.2.2), nor file meta information.
                continue
            elif length == 0:
                model[key] = {"vr": vr}
            elif vr in _ALWAYS_BULK or tag in _PIXELS or _is_bulk(vr, length):
                model[key] = {"vr": vr, "BulkDataURI": f"{uri}/{key}"}
            elif tag == _SPECIFIC_CHARACTER_SET:
                charset = value.decode("latin_1").strip("\0 ") or charset
                model[key] = attribute_value(vr, told_character_set(charset))
            elif cut is not None:
                model[key] = _value(vr, self._read(cut.offset, cut.length), charset, order)
            elif length <= _RECURRING_BYTES_MAX:
                model[key] = _recurring_value(vr, value, charset, order)
            else:
                model[key] = _value(vr, value, charset, order)
        return model

    def _sequence(
        self, items: tuple[tuple[Element, ...], ...], charset: str, uri: str
    ) -> JsonObject:
        if not items:
            return {"vr": "SQ"}
        values = [
            self.data_set(item, charset, f"{uri}/{index}") for index, item in enumerate(items)
        ]
        return {"vr": "SQ", "Value": values}


@lru_cache(maxsize=1 << 14)
def _key(tag: int) -> str:
    return f"{tag:08X}"


def _is_bulk(vr: str, length: int) -> bool:
    if length <= _NEVER_BULK_BYTES:
        return False
    width = _COUNTED.get(vr)
    if width is not None:
        return length > width * VALUES_MAX
    return length > (INLINE_BYTES_MAX if vr in _INLINE else TEXT_BYTES_MAX)


# ------------------------------------------------------------------ values


def _value(vr: str, value: bytes, charset: str, order: ByteOrder) -> JsonObject:
    if vr in _INLINE:
        # In JSON it is little endian (PS3.18 F.2.7).
        little = value if order == "<" else swapped(value, WORD_BYTES[vr])
        return {"vr": vr, "InlineBinary": b2a_base64(little, newline=False).decode("ascii")}
    values = _values(vr, value, charset, order)
    return {"vr": vr, "Value": values} if values else {"vr": vr}


_recurring_value = lru_cache(maxsize=1 << 14)(_value)
"""Most values of an instance are those of the one before it; nobody may change what it gives."""


def _values(vr: str, value: bytes, charset: str, order: ByteOrder) -> list[object]:
    code = NUMBER_CODES.get(vr)
    if code is not None:
        count = len(value) // WORD_BYTES[vr]
        numbers = unpack_from(f"{order}{count}{code}", value)
        return _tellable(numbers) if vr in {"FL", "FD", "SV", "UV"} else list(numbers)
    if vr == "AT":
        count = len(value) // 4 * 2
        words = unpack_from(f"{order}{count}H", value)
        return [f"{words[at]:04X}{words[at + 1]:04X}" for at in range(0, count, 2)]
    return _converted(vr, decode_characters(value, vr, charset))


def _tellable(values: Iterable[float]) -> list[object]:
    told: list[object] = []
    for value in values:
        if isinstance(value, int):
            told.append(value if abs(value) <= EXACT_INTEGER_MAX else str(value))
        elif math.isfinite(value):
            told.append(value)
        else:
            told.append("NaN" if math.isnan(value) else f"{'-' * (value < 0)}Infinity")
    return told


def _converted(vr: str, text: str) -> list[object]:
    """Give the values of a text, which may be several."""
    texts = [text] if vr in ONE_VALUE_VRS else text.split("\\")
    if vr in _LEADING_SPACE_COUNTS:
        texts = [each.rstrip(" \0") for each in texts]
    else:
        texts = [each.strip(" \0") for each in texts]
    if texts == [""]:
        return []
    convert = _CONVERSIONS.get(vr)
    if convert is None:
        # A missing one of several values is null (PS3.18 F.2.5).
        return [each or None for each in texts]
    return [convert(each) if each else None for each in texts]


def _integer(text: str) -> object:
    if _INTEGER.fullmatch(text):
        if len(text) > _DIGITS_READ_MAX:
            return text
        number = int(text)
        return number if abs(number) <= EXACT_INTEGER_MAX else text
    return _decimal(text)


def _decimal(text: str) -> object:
    if not _DECIMAL.fullmatch(text):
        return text
    if _INTEGER.fullmatch(text) and len(text) <= _DIGITS_ALWAYS_EXACT:
        return int(text)
    number = float(text)
    if not math.isfinite(number):
        return text
    if len(text) <= _DIGITS_ALWAYS_EXACT or Decimal(repr(number)) == Decimal(text):
        return number
    return text


def _person_name(text: str) -> object:
    groups = [group.rstrip(" \0") for group in text.split("=")]
    named = zip(PERSON_NAME_GROUPS, groups, strict=False)
    return {name: group for name, group in named if group} or None


_CONVERSIONS: Final[dict[str, Callable[[str], object]]] = {
    "DS": _decimal,
    "IS": _integer,
    "PN": _person_name,
}
