"""The value of a match key read as a condition (PS3.4 C.2.2.2, PS3.18 8.3.4).

``google`` knows single values, ranges of dates and fuzzy patient names. ``extended`` has wildcards,
lists and ranges of times beside them. Date and time are matched one by one: that they combine needs
a negotiation that DICOMweb has not (PS3.4 C.2.2.2.5).
"""

from __future__ import annotations

import re
from datetime import date
from typing import TYPE_CHECKING, Final

from fileroom.dicom.conditions import (
    AnyOf,
    DateRange,
    Equals,
    NameTokens,
    NameWildcards,
    TimeRange,
    Wildcards,
    name_key,
    name_pattern,
)
from fileroom.dicom.search_keys import NUMBER_VRS, TEXT_VRS, number_key, text_key
from fileroom.errors import InvalidArgument
from fileroom.names import parse_uid

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fileroom.dicom.conditions import Condition
    from fileroom.dicom.dictionary import Attribute

LIST_VALUES_MAX: Final = 500
"""Values of a list; as many UIDs as fit into the line of a request."""

_DATES = re.compile(r"(?:([0-9]{8})?-([0-9]{8})?|([0-9]{8}))")
_TIME = r"(?:[0-9]{2}|[0-9]{4}|[0-9]{6}(?:\.[0-9]{1,6})?)"
_TIMES = re.compile(rf"(?:({_TIME})?-({_TIME})?|({_TIME}))")
_MOMENT = r"(?:[0-9]{4}|[0-9]{6}|[0-9]{8}|[0-9]{10}|[0-9]{12}|[0-9]{14}(?:\.[0-9]{1,6})?)"
_MOMENTS = re.compile(rf"(?:({_MOMENT})?-({_MOMENT})?|({_MOMENT}))")
_HOURS, _MINUTES, _SECONDS = range(24), range(60), range(61)
_NUMBER = re.compile(r"[+-]?[0-9]{1,12}")
_DECIMAL = re.compile(r"[+-]?(?:[0-9]{1,16}\.?[0-9]{0,16}|\.[0-9]{1,16})(?:[eE][+-]?[0-9]{1,3})?")


def google_condition(key: Attribute, value: str, *, fuzzy: bool) -> Condition | None:
    """Give what a value asks of a key of the Cloud Healthcare API; ``None`` asks for nothing."""
    match key.vr:
        case "UI":
            return Equals(keyword=key.keyword, value=parse_uid(value.strip(), key.keyword))
        case "DA":
            return _dates(key.keyword, value.strip())
        case _ if fuzzy and key.keyword == "PatientName":
            return _tokens(key.keyword, value)
        case _:
            return _literal(key, value)


def extended_condition(key: Attribute, value: str, *, fuzzy: bool) -> Condition | None:
    """Give what a value asks of a column of the index; ``None`` asks for nothing."""
    match key.vr:
        case "UI":
            return _uids(key.keyword, value)
        case "CS":
            return _codes(key.keyword, value)
        case "TM":
            return _times(key.keyword, value.strip())
        case "IS" | "US":
            if not _NUMBER.fullmatch(value.strip()):
                raise InvalidArgument(f"{key.keyword} must be a whole number", key.keyword)
            return Equals(keyword=key.keyword, value=int(value))
        case vr if vr in TEXT_VRS | {"PN"} and _has_wildcards(value):
            if fuzzy and key.keyword == "PatientName":
                return _tokens(key.keyword, value)
            return _wildcards(key, value)
        case _:
            return google_condition(key, value, fuzzy=fuzzy)


def further_condition(key: Attribute, value: str) -> Condition | None:
    """Give what a value asks of the search keys of any other attribute; see ``search_keys``."""
    text = value.strip(" \0")
    match key.vr:
        case "UI" | "CS" | "TM":
            return extended_condition(key, value, fuzzy=False)
        case "DA":
            return _dates(key.keyword, text)
        case "DT":
            return _moments(key.keyword, text)
        case "PN":
            # Names that are no columns are known by their keys alone.
            return _wildcards(key, value) if name_key(value) or _has_wildcards(value) else None
        case vr if vr in NUMBER_VRS:
            if not _DECIMAL.fullmatch(text):
                raise InvalidArgument(f"{key.keyword} must be a number", key.keyword)
            return Equals(keyword=key.keyword, value=number_key(text))
        case vr if vr in TEXT_VRS and _has_wildcards(text):
            return _wildcards(key, text)
        case _:
            return Equals(keyword=key.keyword, value=text_key(text))


# ------------------------------------------------------------------ text


def _has_wildcards(value: str) -> bool:
    return "*" in value or "?" in value


def _literal(key: Attribute, value: str) -> Equals:
    # The index keeps values without padding (PS3.5 6.2) and empty last name groups.
    text = value.strip(" \0")
    return Equals(keyword=key.keyword, value=text.rstrip("=") if key.vr == "PN" else text)


def _tokens(keyword: str, value: str) -> NameTokens | None:
    tokens = tuple(name_key(value).split())
    # Nothing but punctuation asks for nothing, as an empty value does.
    return NameTokens(keyword=keyword, tokens=tokens) if tokens else None


def _wildcards(key: Attribute, value: str) -> Condition | None:
    text = value.strip(" \0")
    if not text.strip("*"):
        # It matches everything, what has no value included (PS3.4 C.2.2.2.4).
        return None
    if key.vr == "PN":
        return NameWildcards(keyword=key.keyword, pattern=name_pattern(text))
    return Wildcards(keyword=key.keyword, pattern=_pattern(key.keyword, text))


def _pattern(keyword: str, text: str) -> str:
    if "\0" in text:
        # SQLite would take what is before it for the whole.
        raise InvalidArgument(f"{keyword}: there is a NUL among the wildcards", keyword)
    return re.sub(r"\*+", "*", text)


# ------------------------------------------------------------------ lists


def _listed(keyword: str, value: str) -> list[str]:
    values = [each.strip(" \0") for each in re.split(r"[,\\]", value)]
    if len(values) > LIST_VALUES_MAX:
        raise InvalidArgument(f"{keyword}: a list has at most {LIST_VALUES_MAX} values", keyword)
    return values


def _uids(keyword: str, value: str) -> Condition:
    uids = [parse_uid(each, keyword) for each in _listed(keyword, value)]
    return _any_of(keyword, uids)


def _codes(keyword: str, value: str) -> Condition | None:
    codes = [each for each in _listed(keyword, value) if each]
    if not _has_wildcards(value):
        return _any_of(keyword, codes) if codes else None
    if len(codes) > 1:
        raise InvalidArgument(f"{keyword}: a list has no wildcards", keyword)
    pattern = _pattern(keyword, codes[0])
    return None if pattern == "*" else Wildcards(keyword=keyword, pattern=pattern)


def _any_of(keyword: str, values: Sequence[str]) -> Condition:
    distinct = tuple(dict.fromkeys(values))
    if len(distinct) == 1:
        return Equals(keyword=keyword, value=distinct[0])
    return AnyOf(keyword=keyword, values=distinct)


# ------------------------------------------------------------------ ranges


def _dates(keyword: str, value: str) -> DateRange:
    first, last = _bounds(
        _DATES,
        value,
        InvalidArgument(
            f"{keyword} must be YYYYMMDD or a range YYYYMMDD-YYYYMMDD, either end of which may be"
            " left out",
            keyword,
        ),
        _is_date,
    )
    return DateRange(keyword=keyword, first=first, last=last)


def _times(keyword: str, value: str) -> TimeRange:
    first, last = _bounds(
        _TIMES,
        value,
        InvalidArgument(
            f"{keyword} must be HH, HHMM, HHMMSS or HHMMSS.FFFFFF, or a range of two of them,"
            " either end of which may be left out",
            keyword,
        ),
        _is_time,
    )
    return TimeRange(keyword=keyword, first=_without_zeros(first, whole=2), last=last)


def _moments(keyword: str, value: str) -> TimeRange:
    first, last = _bounds(
        _MOMENTS,
        value,
        InvalidArgument(
            f"{keyword} must be YYYY, YYYYMM … YYYYMMDDHHMMSS.FFFFFF without an offset, or a range"
            " of two of them, either end of which may be left out",
            keyword,
        ),
        _is_moment,
    )
    return TimeRange(keyword=keyword, first=_without_zeros(first, whole=10), last=last)


def _bounds(
    form: re.Pattern[str], value: str, error: InvalidArgument, valid: Callable[[str], bool]
) -> tuple[str | None, str | None]:
    found = form.fullmatch(value)
    bounds = () if found is None else tuple(bound for bound in found.groups() if bound)
    if found is None or not bounds or not all(valid(bound) for bound in bounds):
        raise error
    first, last, only = found.groups()
    return first or only, last or only


def _is_date(digits: str) -> bool:
    try:
        date(int(digits[:4]), int(digits[4:6] or 1), int(digits[6:] or 1))
    except ValueError:
        return False
    return True


def _is_time(text: str) -> bool:
    # A leap second is written as 60 (PS3.5 6.2).
    return (
        int(text[:2]) in _HOURS
        and int(text[2:4] or 0) in _MINUTES
        and int(text[4:6] or 0) in _SECONDS
    )


def _is_moment(text: str) -> bool:
    return _is_date(text[:8]) and (len(text) <= 8 or _is_time(text[8:]))


def _without_zeros(bound: str | None, *, whole: int) -> str | None:
    """Give a lower bound that is not behind shorter spellings of the same moment."""
    if bound is None:
        return None
    digits, _, fraction = bound.partition(".")
    if fraction.strip("0"):
        return f"{digits}.{fraction.rstrip('0')}"
    while len(digits) > whole and digits.endswith("00"):
        digits = digits[:-2]
    return digits
