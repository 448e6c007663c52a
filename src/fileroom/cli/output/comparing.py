"""What the operators of ``--filter`` mean: a value of a resource beside one on the command line.

Of a list, one element that fits is enough; of an object, one key or value, but an object has no
order and no regular expression matches it. Numbers are compared as numbers, moments as moments,
else text; no value is an empty text.

References
----------
``gcloud topic filters``
"""

from __future__ import annotations

import operator
import re
import unicodedata
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from fileroom.client import Json

Comparison: TypeAlias = Callable[["Json"], bool]

_Scalar: TypeAlias = str | int | float | bool | None

_NUMBER = re.compile(r"[+-]?(\d{1,100}|\d{0,100}\.\d{1,100}|\d{1,100}\.)([eE][+-]?\d{1,3})?")
_MOMENT = re.compile(r"(\d{4})(-\d\d)?(-\d\d)?([T ].+)?")
_DURATION = re.compile(
    r"([+-]?)P(?=.)(?:(\d+)Y)?(?:(\d+)M)?(?:(\d+)W)?(?:(\d+)D)?"
    r"(?:T(?=.)(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?"
)
_DURATION_SECONDS = (365 * 86400, 30 * 86400, 7 * 86400, 86400, 3600, 60, 1)


def make_comparison(name: str, operand: str) -> Comparison:
    """Give the test that an operator and its operand make of a value.

    Raises
    ------
    ValueError
        If the operand is none of this operator, such as a regular expression that is not one.
    """
    if name == ":" and operand == "*":
        return lambda value: value not in (None, "", [], {})
    test = OPERATORS[name](operand)
    within = name in _WITHIN_OBJECTS
    if name not in _NEGATIVE:
        return lambda value: any(map(test, _scalars(value, within)))

    def differs(value: Json) -> bool:
        if isinstance(value, dict) and not within:
            return False
        return not any(map(test, _scalars(value, within)))

    # As in gcloud, one other element is enough; -key=value tells that none is equal.
    return lambda value: any(map(differs, value if isinstance(value, list) and value else [value]))


def contains_word(word: str) -> Comparison:
    """Give the test whether any value within a resource contains a word."""
    wanted = fold(word)

    def test(value: Json) -> bool:
        if isinstance(value, dict):
            return any(map(test, value.values()))
        if isinstance(value, list):
            return any(map(test, value))
        return wanted in fold(_text(value))

    return test


def fold(text: str) -> str:
    """Give text without case and accents."""
    if not text.isascii():
        decomposed = unicodedata.normalize("NFKD", text)
        text = "".join(c for c in decomposed if not unicodedata.combining(c))
    return text.casefold()


def to_number(value: _Scalar) -> int | float | None:
    """Read a number, such as the API's counters, which are text; ``None`` if it is none."""
    if not isinstance(value, str):
        return value
    if not _NUMBER.fullmatch(value):
        return None
    try:
        # A float would take neighbouring operation numbers of 19 digits for one.
        return int(value)
    except ValueError:
        return float(value)


def _scalars(value: Json, within: bool) -> Iterator[_Scalar]:
    if isinstance(value, list):
        for element in value:
            yield from _scalars(element, within)
    elif not isinstance(value, dict):
        yield value
    elif within:
        for key, inner in value.items():
            yield key
            yield from _scalars(inner, within)


def _text(value: _Scalar) -> str:
    return "" if value is None else str(value)


def _contains(operand: str) -> Callable[[_Scalar], bool]:
    wanted = fold(operand)
    start, star, end = wanted.partition("*")
    if "*" in end:
        raise ValueError("at most one * is understood; ~ takes regular expressions")
    number = to_number(operand)

    def test(value: _Scalar) -> bool:
        text = fold(_text(value))
        if star:
            return len(text) >= len(start + end) and text.startswith(start) and text.endswith(end)
        return wanted in text or (number is not None and number == to_number(value))

    return test


def _equals(operand: str) -> Callable[[_Scalar], bool]:
    wanted = fold(operand)
    number = to_number(operand)

    def test(value: _Scalar) -> bool:
        if number is not None and (other := to_number(value)) is not None:
            return number == other
        return fold(_text(value)) == wanted

    return test


@dataclass(frozen=True, slots=True)
class _Order:
    """A comparison of order, such as ``<``."""

    holds: Callable[[int, int], bool]
    """Of how the values compare (-1, 0 or 1), and 0."""

    def __call__(self, operand: str) -> Callable[[_Scalar], bool]:
        number, moment, holds = to_number(operand), _to_moment(operand), self.holds

        def test(value: _Scalar) -> bool:
            if number is not None and (other := to_number(value)) is not None:
                return holds((other > number) - (other < number), 0)
            text = _text(value)
            if moment is not None:
                if not text:
                    return False
                if when := _to_moment(text):
                    return holds((when > moment) - (when < moment), 0)
            return holds((text > operand) - (text < operand), 0)

        return test


def _matches(operand: str) -> Callable[[_Scalar], bool]:
    pattern = _compile(operand)
    return lambda value: pattern.search(_text(value)) is not None


def _compile(operand: str) -> re.Pattern[str]:
    try:
        with warnings.catch_warnings():
            # What may mean something else in a later Python means here what it does now.
            warnings.simplefilter("ignore", FutureWarning)
            return re.compile(operand)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"no regular expression ({error})") from error


def _to_moment(text: str) -> datetime | None:
    """Read a date, a moment, or how long ago it was (``-P1D``); without a zone it is local."""
    if duration := _DURATION.fullmatch(text):
        sign, *amounts = duration.groups("0")
        try:
            seconds = sum(map(operator.mul, map(int, amounts), _DURATION_SECONDS))
            return datetime.now(UTC) + timedelta(seconds=-seconds if sign == "-" else seconds)
        except (OverflowError, ValueError):
            return None
    if not _MOMENT.match(text):
        return None
    try:
        return datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError):
        return None


OPERATORS: dict[str, Callable[[str], Callable[[_Scalar], bool]]] = {
    "=": _equals,
    ":": _contains,
    "!=": _equals,
    "<": _Order(operator.lt),
    "<=": _Order(operator.le),
    ">": _Order(operator.gt),
    ">=": _Order(operator.ge),
    "~": _matches,
    "!~": _matches,
}
_NEGATIVE = frozenset({"!=", "!~"})
_WITHIN_OBJECTS = frozenset({"=", "!=", ":"})
