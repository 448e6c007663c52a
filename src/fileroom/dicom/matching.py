"""What a search asks: QIDO-RS parameters as a value (PS3.4 C.2.2.2, PS3.18 8.3.4).

Two dialects. ``google`` knows the keys of the Cloud Healthcare API and its texts for all others;
``extended`` adds what the index answers as cheaply, and any other attribute, which the store may
index or which headers are looked through for (core rule H23).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from fileroom.dicom.dictionary import Attribute, attribute, find_attribute
from fileroom.dicom.levels import LEVELS, RULES, Level
from fileroom.dicom.match_values import extended_condition, further_condition, google_condition
from fileroom.dicom.search_keys import SEARCHED_VRS
from fileroom.errors import InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from fileroom.dicom.conditions import Condition
    from fileroom.names import Uid

OFFSET_MAX: Final = 1_000_000

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
class Query:
    """A search, checked: whatever it says can be answered."""

    level: Level
    study_instance_uid: Uid | None = None
    """The study whose series or instances are searched, ``None`` for those of the whole store."""
    series_instance_uid: Uid | None = None
    conditions: tuple[Condition, ...] = ()
    """What is asked of columns of the index."""
    further: tuple[Condition, ...] = ()
    """What is asked of search keys of other attributes."""
    fields: tuple[Attribute, ...]
    """What each result tells, by ascending tag: the defaults of the level and what is included."""
    every_field: bool = False
    """Each result tells the whole data set (``includefield=all`` of instances)."""
    limit: int
    offset: int = 0


_COUNTED: Final = frozenset(keyword for each in LEVELS for keyword in RULES[each].extended_fields)
_COMPUTED: Final = frozenset({"InstanceAvailability", "RetrieveURL", "SpecificCharacterSet"})
"""What results tell and no search goes by."""
_NEVER_INCLUDED: Final = frozenset({"AvailableTransferSyntaxUID"})
"""Known attributes whose inclusion the real service refuses; clients retry without them."""


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
    above = _identified_above(level, study_instance_uid, series_instance_uid)
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
    # A key without a value matches everything (PS3.4 C.2.2.2.3).
    asked = [(key, value) for key, value in keys.values() if value.strip()]
    supported = _supported_keys(level, extended=extended)
    parse = extended_condition if extended else google_condition
    conditions = [
        parse(key, value, fuzzy=fuzzy) for key, value in asked if key.keyword in supported
    ]
    further = [
        further_condition(key, value) for key, value in asked if key.keyword not in supported
    ]
    return Query(
        level=level,
        study_instance_uid=study_instance_uid,
        series_instance_uid=series_instance_uid,
        conditions=tuple(condition for condition in conditions if condition is not None),
        further=tuple(condition for condition in further if condition is not None),
        fields=_fields(level, included, above, extended=extended),
        every_field=level is Level.INSTANCE and any(_is_all(field) for field in included),
        limit=_parse_count(options, "limit", rules.limit_default, 1, rules.limit_max),
        offset=_parse_count(options, "offset", 0, 0, OFFSET_MAX),
    )


def always_searched() -> frozenset[str]:
    """Give the keywords that no setting needs to index, or can."""
    return frozenset(_supported_keys(Level.INSTANCE, extended=True)) | _COUNTED | _COMPUTED


# ------------------------------------------------------------------ match keys


def _match_key(level: Level, name: str, *, extended: bool) -> Attribute:
    found = find_attribute(name)
    if found is None:
        raise InvalidArgument(f"unknown/unsupported QIDO attribute: {name[:80]}", name[:80])
    supported = _supported_keys(level, extended=extended)
    if found.keyword in supported:
        return found
    if extended and found.vr in SEARCHED_VRS and found.keyword not in _never_further(level):
        return found
    hint = f"; search by {', '.join(supported)}" if extended else ""
    if extended and found.vr not in SEARCHED_VRS:
        hint = f": values of VR {found.vr} are not searched"
    raise InvalidArgument(
        f"{found.keyword} is not a supported {RULES[level].unsupported} level attribute{hint}",
        found.keyword,
    )


def _never_further(level: Level) -> frozenset[str]:
    """Give the keywords that no header can answer at this level."""
    return _known_below(level) | _COUNTED | _COMPUTED


def _supported_keys(level: Level, *, extended: bool) -> tuple[str, ...]:
    rules = [RULES[each] for each in LEVELS[: LEVELS.index(level) + 1]]
    keys = [key for each in rules for key in each.keys]
    if extended:
        keys += [key for each in rules for key in each.extended_keys]
    return tuple(keys)


# ------------------------------------------------------------------ included fields


def _is_all(field: str) -> bool:
    return field.lower() == "all"


def _identified_above(level: Level, study: Uid | None, series: Uid | None) -> tuple[str, ...]:
    """Give what a result needs to say where it belongs, as far as the path does not."""
    given = {Level.STUDY: study, Level.SERIES: series}
    above = LEVELS[: LEVELS.index(level)]
    return tuple(RULES[each].keys[0] for each in above if given[each] is None)


def _fields(
    level: Level, included: Sequence[str], above: Sequence[str], *, extended: bool
) -> tuple[Attribute, ...]:
    rules = RULES[level]
    found = {attribute(keyword) for keyword in rules.fields}
    if extended:
        found.update(attribute(keyword) for keyword in (*above, *rules.extended_fields))
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
        for keyword in (
            *RULES[each].fields,
            *RULES[each].extended_fields,
            *RULES[each].all_fields,
            "TransferSyntaxUID",
        )
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
