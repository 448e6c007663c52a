"""What one match key of a search asks, as a value (PS3.4 C.2.2.2).

Names are compared by their keys: Python normalises them, never the database (see ``name_key``).
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

NAME_KEY_CHARACTERS: Final = 255
"""Longest name key: an index of PostgreSQL takes no value over 2,700 bytes."""

_APOSTROPHES: Final = frozenset("'’ʼ`´")


@dataclass(frozen=True, slots=True, kw_only=True)
class Equals:
    """The attribute has exactly this value."""

    keyword: str
    value: str | int


@dataclass(frozen=True, slots=True, kw_only=True)
class AnyOf:
    """The attribute has one of these values."""

    keyword: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DateRange:
    """The attribute is a date within both bounds, where given."""

    keyword: str
    first: str | None
    last: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeRange:
    """The attribute is a time within both bounds, where given.

    Bounds compare as text: ``first`` has no zeros at its end, so that every spelling of that moment
    is after it, and what begins with ``last`` is still within.
    """

    keyword: str
    first: str | None
    last: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wildcards:
    """The attribute matches a pattern: ``*`` is any characters or none, ``?`` any one."""

    keyword: str
    pattern: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NameWildcards:
    """The key of the name with a space after it matches a pattern; see ``name_pattern``."""

    keyword: str
    pattern: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NameTokens:
    """One of these begins one of the tokens of the name; see ``name_key``."""

    keyword: str
    tokens: tuple[str, ...]


Condition = Equals | AnyOf | DateRange | TimeRange | Wildcards | NameWildcards | NameTokens

AFTER_EVERY_DIGIT: Final = "~"
"""After a bound it makes one that lies behind all that begins with it."""


def fulfils(condition: Condition, key: str) -> bool:
    """Tell whether a value is what a condition asks for, by its search key."""
    match condition:
        case Equals(value=value):
            return key == str(value)
        case AnyOf(values=values):
            return key in values
        case DateRange(first=first, last=last):
            return (first is None or key >= first) and (last is None or key <= last)
        case TimeRange(first=first, last=last):
            return (first is None or key >= first) and (
                last is None or key <= last + AFTER_EVERY_DIGIT
            )
        case Wildcards(pattern=pattern):
            return _expression(pattern).fullmatch(key) is not None
        case NameWildcards(pattern=pattern):
            return _expression(pattern).fullmatch(f"{key} ") is not None
        case NameTokens(tokens=tokens):
            return any(f" {token}" in key for token in tokens)


def name_key(patient_name: str) -> str:
    """Give a person's name as it is searched: each token after one space, without case or accents.

    All component groups count, apostrophes do not. ``Müller^Anna-Lena`` gives
    ``" muller anna lena"``; a token begins with ``x`` where the key holds ``" x"``.
    """
    return "".join(f" {token}" for token in _folded(patient_name).split())[:NAME_KEY_CHARACTERS]


def name_pattern(value: str) -> str:
    """Give the pattern that the key of a name, with a space after it, must match.

    ``Mül*^Anna`` gives ``" mul* anna "``. Separators at the end ask for nothing (PS3.5 6.2), and a
    ``*`` alone between two of them stands for one word or more.
    """
    pieces = re.split(r"([*?])", value.rstrip("^= \0"))
    folded = "".join(piece if piece in {"*", "?"} else _folded(piece) for piece in pieces)
    pattern = re.sub(r"\*+", "*", re.sub(r" +", " ", f" {folded} "))
    if pattern.startswith(" *") and value.lstrip(" ").startswith("*"):
        pattern = pattern[1:]
    return pattern[:-1] if pattern.endswith("* ") else pattern


def fixed_beginning(pattern: str) -> str:
    """Give what all that matches a pattern begins with, perhaps nothing."""
    return re.split(r"[*?]", pattern, maxsplit=1)[0]


def _folded(name: str) -> str:
    """Give a name without case, accents and apostrophes, a space for each other mark."""
    decomposed = unicodedata.normalize("NFKD", name).casefold()
    return "".join(
        character if character.isalnum() else " "
        for character in decomposed
        if not unicodedata.combining(character) and character not in _APOSTROPHES
    )


@lru_cache(maxsize=64)
def _expression(pattern: str) -> re.Pattern[str]:
    """Give a pattern as a regular expression that never goes back over what it has matched."""
    first, *middle = [re.escape(part).replace(r"\?", ".") for part in pattern.split("*")]
    if not middle:
        return re.compile(first, re.DOTALL)
    last = middle.pop()
    # The first place where a middle part fits is as good as any other.
    between = "".join(f"(?>.*?{part})" for part in middle if part)
    return re.compile(f"{first}{between}.*{last}", re.DOTALL)
