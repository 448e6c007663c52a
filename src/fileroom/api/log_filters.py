"""Filters of log entries: conditions joined with ``AND``, of the fields that entries here have.

References
----------
Cloud Logging documentation, "Logging query language"
"""

from __future__ import annotations

import operator
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from fileroom.errors import InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Callable

    from fileroom.api.wire import JsonObject

SEVERITIES: Final = {
    "DEFAULT": 0,
    "DEBUG": 100,
    "INFO": 200,
    "NOTICE": 300,
    "WARNING": 400,
    "ERROR": 500,
    "CRITICAL": 600,
    "ALERT": 700,
    "EMERGENCY": 800,
}
FILTER_CHARACTERS_MAX: Final = 20_000
_TEXTS: Final = (
    "logName",
    "operation.id",
    "resource.labels.dataset_id",
    "resource.labels.location",
    "resource.labels.project_id",
    "resource.type",
)
_COMPARISONS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "=": operator.eq,
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}
_CONDITION: Final = re.compile(
    r"""\s*([A-Za-z_][\w.]*)\s*(>=|<=|=|>|<)\s*("(?:\\.|[^"\\])*"|[^\s"()]+)""", re.DOTALL
)
_AND: Final = re.compile(r"\s+AND(?=\s)|(?=\s)|\s*\Z")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Condition:
    field: str
    comparison: str
    value: str | int


@dataclass(frozen=True, slots=True)
class LogFilter:
    """Conditions that all hold for an entry."""

    conditions: tuple[_Condition, ...]

    @property
    def operation_id(self) -> str | None:
        """The last segment of the operation it names, if it names one."""
        for condition in self.conditions:
            if condition.field == "operation.id":
                return str(condition.value).rpartition("/")[2]
        return None

    def matches(self, entry: JsonObject) -> bool:
        """Whether it lets an entry through."""
        return all(
            _COMPARISONS[condition.comparison](_value(entry, condition.field), condition.value)
            for condition in self.conditions
        )


def parse_log_filter(text: str) -> LogFilter:
    """Give the conditions of a filter; an empty one lets all through.

    Raises
    ------
    InvalidArgument
        If it holds anything else; the message names what is known.
    """
    if len(text) > FILTER_CHARACTERS_MAX:
        raise InvalidArgument(f"filter has over {FILTER_CHARACTERS_MAX} characters", "filter")
    conditions: list[_Condition] = []
    place = 0
    while text[place:].strip():
        found = _CONDITION.match(text, place)
        if found is None:
            raise _not_understood(text[place:])
        conditions.append(_condition(found))
        joint = _AND.match(text, found.end())
        if joint is None:
            raise _not_understood(text[found.end() :])
        if joint[0].strip() and not text[joint.end() :].strip():
            raise _not_understood(joint[0])
        place = joint.end()
    return LogFilter(tuple(conditions))


def _condition(found: re.Match[str]) -> _Condition:
    field, comparison, value = found.groups()
    if value.startswith('"'):
        value = re.sub(r"\\(.)", r"\1", value[1:-1], flags=re.DOTALL)
    if field in _TEXTS and comparison == "=":
        return _Condition(field=field, comparison=comparison, value=value)
    if field == "severity" and value.upper() in SEVERITIES:
        return _Condition(field=field, comparison=comparison, value=SEVERITIES[value.upper()])
    if field == "timestamp":
        return _Condition(field=field, comparison=comparison, value=_microseconds(value))
    raise _not_understood(found[0].strip())


def _value(entry: JsonObject, field: str) -> object:
    found: object = entry
    for name in field.split("."):
        found = found.get(name) if isinstance(found, dict) else None
    if field == "severity":
        return SEVERITIES[str(found)]
    return _microseconds(str(found)) if field == "timestamp" else found


def _microseconds(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text.upper())
    except ValueError as error:
        raise InvalidArgument(
            f'filter: {text[:40]!r} is no time; write timestamp>="2026-01-31T12:00:00Z"', "filter"
        ) from error
    return ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - _EPOCH) // timedelta(
        microseconds=1
    )


def _not_understood(text: str) -> InvalidArgument:
    return InvalidArgument(
        f"filter is not understood at {text.strip()[:100]!r}. Conditions are joined with AND:"
        f" {', '.join(f'{name}=' for name in _TEXTS)}; severity and timestamp with =, >=, >, <= or"
        f" <, where a severity is one of {', '.join(SEVERITIES)}",
        "filter",
    )
