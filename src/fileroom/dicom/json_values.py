"""Values of the DICOM JSON Model to bytes (PS3.18 F.2).

The inverse of ``json_model``. Text is written as it is given, though it may be longer than its VR
allows: a file is stored in the same way. Numbers are written so that their VR allows them.
"""

from __future__ import annotations

import math
import re
import struct
from binascii import Error as Base64Error
from binascii import a2b_base64
from typing import TYPE_CHECKING, Final

from fileroom.dicom.charsets import encode_characters
from fileroom.dicom.json_model import NUMBER_CODES, ONE_VALUE_VRS, PERSON_NAME_GROUPS
from fileroom.errors import InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Callable

INLINE_VRS: Final = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "UN"})
"""VRs whose values are base64 (PS3.18 F.2.7)."""

_DECIMAL_CHARACTERS_MAX: Final = 16
_INTEGER_CHARACTERS_MAX: Final = 12
"""Of DS and IS (PS3.5 6.2)."""
_DECIMAL_MAX: Final = 1e308
"""Beyond, what 16 characters hold may no longer be a number for who reads it."""
_TAG = re.compile(r"[0-9A-Fa-f]{8}")
_WHOLE_NUMBER = re.compile(r"[+-]?[0-9]{1,20}")
_NOT_FINITE: Final = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def wrong(path: str, what: str) -> InvalidArgument:
    """Give the error that a value at a JSON path is to blame for; it never tells the value."""
    return InvalidArgument(f"{path}: {what}", path)


def encode_values(
    vr: str, values: list[object], path: str, specific_character_set: str | None, order: str = "<"
) -> bytes:
    """Give the value field of an element, without its padding.

    Parameters
    ----------
    vr
        Neither SQ nor one of ``INLINE_VRS``.
    values, path
        Its ``Value``, and where that stands.
    specific_character_set
        What text is written in.
    order
        ``<`` or ``>``, as ``struct`` has it.

    Raises
    ------
    InvalidArgument
        If a value is not what its VR asks for.
    """
    if vr in NUMBER_CODES:
        return _numbers(vr, values, path, order)
    if vr == "AT":
        return b"".join(_tag(each, f"{path}[{at}]", order) for at, each in enumerate(values))
    if vr in ONE_VALUE_VRS and len(values) > 1:
        raise wrong(path, f"{vr} has one value (PS3.5 6.4)")
    convert = _TEXTS.get(vr, _text)
    texts = [
        "" if each is None else convert(each, f"{path}[{at}]") for at, each in enumerate(values)
    ]
    if vr not in ONE_VALUE_VRS:
        for at, text in enumerate(texts):
            if "\\" in text:
                raise wrong(f"{path}[{at}]", "a backslash separates values (PS3.5 6.2)")
    try:
        return encode_characters("\\".join(texts), vr, specific_character_set)
    except UnicodeEncodeError:
        raise wrong(path, f"{vr} has a character that its character set has not") from None


def decode_inline(value: object, path: str) -> bytes:
    """Give the bytes of an InlineBinary."""
    if not isinstance(value, str):
        raise wrong(path, "expected base64 text")
    try:
        return a2b_base64(value, strict_mode=True)
    except (Base64Error, ValueError):
        raise wrong(path, "is not base64 (RFC 4648 4)") from None


def _numbers(vr: str, values: list[object], path: str, order: str) -> bytes:
    number: Callable[[object, str], float] = _float if vr in {"FD", "FL"} else _integer
    numbers = [number(each, f"{path}[{at}]") for at, each in enumerate(values)]
    try:
        return struct.pack(f"{order}{len(numbers)}{NUMBER_CODES[vr]}", *numbers)
    except (struct.error, OverflowError):
        raise wrong(path, f"has a number that {vr} cannot hold (PS3.5 6.2)") from None


def _integer(value: object, path: str) -> int:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and _WHOLE_NUMBER.fullmatch(value):
        # As numbers are told that a browser would round (PS3.18 F.2.3).
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise wrong(path, "expected a whole number")


def _float(value: object, path: str) -> float:
    if isinstance(value, str) and value in _NOT_FINITE:
        return _NOT_FINITE[value]
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    raise wrong(path, "expected a number")


def _tag(value: object, path: str, order: str) -> bytes:
    if not isinstance(value, str) or not _TAG.fullmatch(value):
        raise wrong(path, "expected a tag of eight hexadecimal digits")
    return struct.pack(f"{order}HH", int(value[:4], 16), int(value[4:], 16))


def _text(value: object, path: str) -> str:
    if not isinstance(value, str):
        raise wrong(path, "expected text or null")
    return value


def _integer_string(value: object, path: str) -> str:
    if isinstance(value, str):
        return value
    text = str(_integer(value, path))
    if len(text) > _INTEGER_CHARACTERS_MAX:
        raise wrong(path, f"IS has at most {_INTEGER_CHARACTERS_MAX} characters (PS3.5 6.2)")
    return text


def _decimal_string(value: object, path: str) -> str:
    if isinstance(value, str):
        return value
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise wrong(path, "expected a number, text or null")
    if not abs(value) <= _DECIMAL_MAX:
        raise wrong(path, "DS has no such number (PS3.5 6.2)")
    text = str(value)
    digits = _DECIMAL_CHARACTERS_MAX
    while len(text) > _DECIMAL_CHARACTERS_MAX:
        # The most digits that DS has room for beside sign, point and exponent.
        digits -= 1
        text = f"{value:.{digits}g}"
    return text


def _person_name(value: object, path: str) -> str:
    if not isinstance(value, dict) or not value.keys() <= set(PERSON_NAME_GROUPS):
        raise wrong(path, f"expected an object of {', '.join(PERSON_NAME_GROUPS)}, or null")
    groups = [_text(value.get(group) or "", f"{path}.{group}") for group in PERSON_NAME_GROUPS]
    if any("=" in group for group in groups):
        raise wrong(path, 'a "=" separates the groups of a name (PS3.5 6.2)')
    return "=".join(groups).rstrip("=")


_TEXTS: Final[dict[str, Callable[[object, str], str]]] = {
    "DS": _decimal_string,
    "IS": _integer_string,
    "PN": _person_name,
}
