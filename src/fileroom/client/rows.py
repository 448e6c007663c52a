"""The DICOM JSON Model as flat rows of Python values.

References
----------
PS3.18 F.2
"""

from __future__ import annotations

import re
from base64 import b64decode
from functools import lru_cache
from typing import TYPE_CHECKING, Final, TypeAlias

from pydicom.datadict import dictionary_has_tag, dictionary_keyword

from fileroom.errors import DataLoss

if TYPE_CHECKING:
    from fileroom.client.values import Json, JsonObject

Value: TypeAlias = str | int | float | bytes | list["Value"] | dict[str, "Value"] | None
Row: TypeAlias = dict[str, Value]

_INTEGERS: Final = frozenset({"IS", "SL", "SS", "SV", "UL", "US", "UV"})
_DECIMALS: Final = frozenset({"DS", "FD", "FL"})
_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,20}")
_DECIMAL: Final = re.compile(
    r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|NaN|-?Infinity"
)
_NAME_GROUPS: Final = ("Alphabetic", "Ideographic", "Phonetic")


def to_row(model: JsonObject) -> Row:
    """Give the attributes of a data set by keyword; ``Matches.rows`` says how."""
    return {keyword(tag): _value(element) for tag, element in model.items()}


@lru_cache(1 << 12)
def keyword(tag: str) -> str:
    """Give the keyword of an attribute, or its tag as it is where it has no keyword of its own."""
    try:
        number = int(tag, 16)
    except ValueError:
        return tag
    # Of repeating groups (60xx) one keyword would stand for several attributes.
    return (dictionary_has_tag(number) and dictionary_keyword(number)) or tag


def _value(element: Json) -> Value:
    match element:
        case {"vr": "SQ", **rest}:
            items = rest.get("Value")
            items = items if isinstance(items, list) else []
            return [to_row(item) if isinstance(item, dict) else {} for item in items]
        case {"BulkDataURI": str(uri)}:
            return uri
        case {"InlineBinary": str(text)}:
            try:
                return b64decode(text, validate=True)
            except ValueError as error:
                raise DataLoss("an InlineBinary of the answer is no base64") from error
        case {"vr": str(vr), "Value": [*values]}:
            told = [_one(vr, value) for value in values]
            return told if len(told) > 1 else next(iter(told), None)
        case _:
            return None


def _one(vr: str, value: Json) -> Value:
    match value:
        case dict():
            return next((str(value[name]) for name in _NAME_GROUPS if value.get(name)), None)
        case str() if vr in _INTEGERS and _INTEGER.fullmatch(value):
            return int(value)
        case str() if vr in _DECIMALS and _DECIMAL.fullmatch(value):
            return float(value)
        case int() if vr in _DECIMALS:
            return float(value)
        case float() if vr in _INTEGERS and value.is_integer():
            return int(value)
        case str() | int() | float():
            return value
        case _:
            return None
