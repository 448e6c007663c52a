"""What a search asks: QIDO-RS parameters as a value (PS3.4 C.2.2.2, PS3.18 8.3.4).

Two dialects. ``google`` knows the keys of the Cloud Healthcare API and its texts for all others;
``extended`` adds a few keys that the index answers as cheaply.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Final

from fileroom.dicom.dictionary import Attribute, attribute, find_attribute
from fileroom.dicom.levels import LEVELS, RULES, Level
from fileroom.errors import InvalidArgument
from fileroom.names import Uid, parse_uid

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

OFFSET_MAX: Final = 1_000_000
NAME_KEY_CHARACTERS: Final = 255
"""Longest name key: an index of PostgreSQL takes no value over 2,700 bytes."""

GLOBAL_PARAMETERS: Final = frozenset(
    {
        "$.xgafv",
        "access_token",
        "alt",
        "callback",
        "fields",
        "key",
        "oauth_token",
        "prettyPrint",
        "quotaUser",
        "uploadType",
        "upload_protocol",
    }
)
"""What generated clients add to every call; never a search attribute."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Equals:
    """The attribute has exactly this value."""

    keyword: str
    value: str | int


@dataclass(frozen=True, slots=True, kw_only=True)
class DateRange:
    """The attribute is a date within both bounds, where given."""

    keyword: str
    first: str | None
    last: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NameTokens:
    """One of these begins one of the tokens of the name; see ``name_key``."""

    keyword: str
    tokens: tuple[str, ...]


Condition = Equals | DateRange | NameTokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A search, checked: whatever it says can be answered."""

    level: Level
    study_instance_uid: Uid | None = None
    """The study whose series or instances are searched, ``None`` for those of the whole store."""
    series_instance_uid: Uid | None = None
    conditions: tuple[Condition, ...] = ()
    fields: tuple[Attribute, ...]
    """What each result tells, by ascending tag: the defaults of the level and what is included."""
    every_field: bool = False
    """Each result tells the whole data set (``includefield=all`` of instances)."""
    limit: int
    offset: int = 0


_NEVER_INCLUDED: Final = frozenset({"AvailableTransferSyntaxUID"})
"""Known attributes whose inclusion the real service refuses; clients retry without them."""
_RANGE = re.compile(r"(?:([0-9]{8})?-([0-9]{8})?|([0-9]{8}))")
_NUMBER = re.compile(r"[+-]?[0-9]{1,12}")


def parse_query(
    level: Level,
    parameters: Iterable[tuple[str, str]],
    *,
    extended: bool,
    study_instance_uid: Uid | None = None,
    series_instance_uid: Uid | None = None,
) -> Query:
    """Give the search that a request's path and query parameters mean.

    Raises
    ------
    InvalidArgument
        If a parameter is unknown, given twice, not searchable at this level or has no valid value.
    """
    rules = RULES[level]
    keys: dict[str, tuple[Attribute, str]] = {}
    options: dict[str, str] = {}
    included: list[str] = []
    for name, value in parameters:
        if name in GLOBAL_PARAMETERS or not name:
            continue
        if name == "includefield":
            included += [field.strip() for field in value.split(",") if field.strip()]
        elif name in {"limit", "offset", "fuzzymatching"}:
            _refuse_second(options, name)
            options[name] = value
        else:
            key = _match_key(level, name, extended=extended)
            _refuse_second(keys, key.keyword)
            keys[key.keyword] = (key, value)
    fuzzy = _parse_boolean(options.get("fuzzymatching", "false"), "fuzzymatching")
    conditions = (
        _condition(key, value, fuzzy=fuzzy) for key, value in keys.values() if value.strip()
    )
    return Query(
        level=level,
        study_instance_uid=study_instance_uid,
        series_instance_uid=series_instance_uid,
        # A key without a value matches everything (PS3.4 C.2.2.2.3).
        conditions=tuple(condition for condition in conditions if condition is not None),
        fields=_fields(level, included, extended=extended),
        every_field=level is Level.INSTANCE and any(_is_all(field) for field in included),
        limit=_parse_count(options, "limit", rules.limit_default, 1, rules.limit_max),
        offset=_parse_count(options, "offset", 0, 0, OFFSET_MAX),
    )


def name_key(patient_name: str) -> str:
    """Give a person's name as it is searched: each token after one space, without case or accents.

    All component groups count, apostrophes do not. ``Müller^Anna-Lena`` gives
    ``" muller anna lena"``; a token begins with ``x`` where the key holds ``" x"``.
    """
    decomposed = unicodedata.normalize("NFKD", patient_name).casefold()
    kept = [
        character if character.isalnum() else " "
        for character in decomposed
        if not unicodedata.combining(character) and character not in "'’ʼ`´"
    ]
    tokens = "".join(kept).split()
    return "".join(f" {token}" for token in tokens)[:NAME_KEY_CHARACTERS]


# ------------------------------------------------------------------ match keys


def _match_key(level: Level, name: str, *, extended: bool) -> Attribute:
    found = find_attribute(name)
    if found is None:
        raise InvalidArgument(f"unknown/unsupported QIDO attribute: {name[:80]}", name[:80])
    supported = _supported_keys(level, extended=extended)
    if found.keyword not in supported:
        hint = f"; search by {', '.join(supported)}" if extended else ""
        raise InvalidArgument(
            f"{found.keyword} is not a supported {RULES[level].unsupported} level attribute{hint}",
            found.keyword,
        )
    return found


def _supported_keys(level: Level, *, extended: bool) -> tuple[str, ...]:
    rules = [RULES[each] for each in LEVELS[: LEVELS.index(level) + 1]]
    keys = [key for each in rules for key in each.keys]
    if extended:
        keys += [key for each in rules for key in each.extended_keys]
    return tuple(keys)


def _condition(key: Attribute, value: str, *, fuzzy: bool) -> Condition | None:
    match key.vr:
        case "UI":
            return Equals(keyword=key.keyword, value=parse_uid(value.strip(), key.keyword))
        case "DA":
            return _parse_dates(key.keyword, value.strip())
        case "IS":
            if not _NUMBER.fullmatch(value.strip()):
                raise InvalidArgument(f"{key.keyword} must be a whole number", key.keyword)
            return Equals(keyword=key.keyword, value=int(value))
        case _ if fuzzy and key.keyword == "PatientName":
            tokens = tuple(name_key(value).split())
            # Nothing but punctuation asks for nothing, as an empty value does.
            return NameTokens(keyword=key.keyword, tokens=tokens) if tokens else None
        case _:
            # The index keeps values without padding (PS3.5 6.2) and empty last name groups.
            text = value.strip(" \0")
            return Equals(keyword=key.keyword, value=text.rstrip("=") if key.vr == "PN" else text)


def _parse_dates(keyword: str, value: str) -> DateRange:
    found = _RANGE.fullmatch(value)
    bounds = () if found is None else tuple(bound for bound in found.groups() if bound)
    if found is None or not bounds or not all(_is_date(bound) for bound in bounds):
        raise InvalidArgument(
            f"{keyword} must be YYYYMMDD or a range YYYYMMDD-YYYYMMDD, either end of which may be"
            " left out",
            keyword,
        )
    first, last, only = found.groups()
    return DateRange(keyword=keyword, first=first or only, last=last or only)


def _is_date(digits: str) -> bool:
    try:
        date(int(digits[:4]), int(digits[4:6]), int(digits[6:]))
    except ValueError:
        return False
    return True


# ------------------------------------------------------------------ included fields


def _is_all(field: str) -> bool:
    return field.lower() == "all"


def _fields(level: Level, included: Sequence[str], *, extended: bool) -> tuple[Attribute, ...]:
    rules = RULES[level]
    found = {attribute(keyword) for keyword in rules.fields}
    below = _known_below(level)
    for field in included:
        if _is_all(field):
            found.update(attribute(keyword) for keyword in rules.all_fields)
            continue
        asked = _included_attribute(field, extended=extended)
        # OHIF asks for Modality of studies: not refused, but a study has no such thing.
        if asked.keyword not in below:
            found.add(asked)
    return tuple(sorted(found))


def _included_attribute(field: str, *, extended: bool) -> Attribute:
    found = find_attribute(field)
    if found is None and extended and re.fullmatch(r"[0-9A-Fa-f]{8}", field):
        return Attribute(int(field, 16), "", "UN")
    if found is None or (found.keyword in _NEVER_INCLUDED and not extended):
        raise InvalidArgument(f"unknown/unsupported QIDO attribute: {field[:80]}", "includefield")
    return found


def _known_below(level: Level) -> frozenset[str]:
    """Give the keywords that describe a lower level, which a result of this one cannot tell."""
    below = LEVELS[LEVELS.index(level) + 1 :]
    above = {field for each in LEVELS if each not in below for field in RULES[each].fields}
    lower = {
        keyword
        for each in below
        for keyword in (*RULES[each].fields, *RULES[each].all_fields, "TransferSyntaxUID")
    }
    return frozenset(lower - above)


# ------------------------------------------------------------------ options


def _refuse_second(given: Mapping[str, object], name: str) -> None:
    if name in given:
        raise InvalidArgument(f"{name} is given more than once", name)


def _parse_boolean(text: str, name: str) -> bool:
    if text.lower() not in {"true", "false", ""}:
        raise InvalidArgument(f"{name} must be true or false", name)
    return text.lower() == "true"


def _parse_count(
    options: Mapping[str, str], name: str, default: int, smallest: int, largest: int
) -> int:
    text = options.get(name, "")
    if not text:
        return default
    if not re.fullmatch(r"[0-9]{1,9}", text) or not smallest <= int(text) <= largest:
        raise InvalidArgument(f"{name} must be a whole number from {smallest} to {largest}", name)
    return int(text)
