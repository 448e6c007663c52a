"""Values of a data set as a search compares them: text, one key for each value."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Final

from fileroom.dicom.conditions import name_key

KEY_CHARACTERS: Final = 255
"""Values that agree so far are taken for equal: an index of PostgreSQL takes no long ones."""
KEYS_MAX: Final = 64
"""Values of one attribute of one instance that are searched."""

NUMBER_VRS: Final = frozenset({"DS", "FD", "FL", "IS", "SL", "SS", "SV", "UL", "US", "UV"})
TEXT_VRS: Final = frozenset({"AE", "CS", "LO", "LT", "SH", "ST", "UC", "UR", "UT"})
"""Those that wildcards apply to, beside PN (PS3.4 C.2.2.2.4)."""
SEARCHED_VRS: Final = NUMBER_VRS | TEXT_VRS | {"AS", "DA", "DT", "PN", "TM", "UI"}


def search_keys(element: object) -> tuple[str, ...]:
    """Give the keys of an element in the DICOM JSON Model; none where it has no searched values."""
    if not isinstance(element, dict) or element["vr"] not in SEARCHED_VRS:
        return ()
    values = element.get("Value", [])[:KEYS_MAX]
    keys = (_key(element["vr"], value) for value in values if value is not None)
    return tuple(dict.fromkeys(key for key in keys if key))


def text_key(text: str) -> str:
    """Give the key of a text."""
    return text[:KEY_CHARACTERS]


def number_key(text: str) -> str:
    """Give the one spelling of a number, ``1`` for ``1.0`` and ``+01``; of other text, itself."""
    try:
        number = Decimal(text)
    except InvalidOperation:
        return text_key(text)
    if not number.is_finite() or abs(number.adjusted()) > KEY_CHARACTERS // 2:
        return text_key(text)
    return text_key(format(number.normalize() + 0, "f"))


def _key(vr: str, value: object) -> str:
    if isinstance(value, dict):
        return name_key("=".join(str(group) for group in value.values()))
    return number_key(str(value)) if vr in NUMBER_VRS else text_key(str(value))
