"""Patterns of object names as ``matchGlob`` takes them.

A name is matched in one pass, whatever the pattern: its states are the bits of a number.

References
----------
Cloud Storage documentation, "List objects and prefixes using glob"
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from fileroom.errors import InvalidArgument

PATTERN_CHARACTERS_MAX: Final = 1024
ALTERNATIVES_MAX: Final = 64
"""Patterns that one with braces stands for."""
_ENDS: Final = {"[": "]", "{": "}"}


@dataclass(frozen=True, slots=True)
class _Token:
    """One sign of a pattern."""

    literal: str = ""
    """The one character that it means."""
    ranges: tuple[tuple[str, str], ...] = ()
    """Characters from the first to the last of each."""
    is_negated: bool = False
    """Whether it means all characters but those."""
    repeats: bool = False
    """Whether it means any number of them."""

    def means(self, character: str) -> bool:
        """Whether it means a character."""
        if self.literal:
            return character == self.literal
        return any(first <= character <= last for first, last in self.ranges) != self.is_negated


_NOT_SLASH: Final = (("/", "/"),)
_QUESTION: Final = _Token(ranges=_NOT_SLASH, is_negated=True)
_STAR: Final = _Token(ranges=_NOT_SLASH, is_negated=True, repeats=True)
_TWO_STARS: Final = _Token(is_negated=True, repeats=True)


class Glob:
    """A pattern of names."""

    def __init__(self, text: str) -> None:
        if len(text) > PATTERN_CHARACTERS_MAX:
            raise _invalid(text, f"it is longer than {PATTERN_CHARACTERS_MAX} characters")
        alternatives = [_tokens(each, text) for each in _expanded(text)]
        self._automata = [_Automaton(tokens) for tokens in alternatives]
        self.prefix = _common_start([_literal_start(each) for each in alternatives])
        """What every name that it matches begins with."""

    def matches(self, name: str) -> bool:
        """Whether it means a name."""
        return any(automaton.matches(name) for automaton in self._automata)


class _Automaton:
    """Bit ``n`` of its state: the first ``n`` tokens have met what was read."""

    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._repeating = sum(1 << n for n, token in enumerate(tokens) if token.repeats)
        self._single = ((1 << len(tokens)) - 1) & ~self._repeating
        self._end = 1 << len(tokens)
        self._meant: dict[str, int] = {}

    def matches(self, name: str) -> bool:
        state = self._passed_over(1)
        for character in name:
            meant = self._meant.get(character)
            if meant is None:
                meant = self._meant[character] = self._meaning(character)
            met = state & meant
            state = self._passed_over((met & self._single) << 1 | met & self._repeating)
            if not state:
                return False
        return bool(state & self._end)

    def _passed_over(self, state: int) -> int:
        """Add the states after tokens that may mean nothing; no two of them are neighbours."""
        return state | (state & self._repeating) << 1

    def _meaning(self, character: str) -> int:
        return sum(1 << n for n, token in enumerate(self._tokens) if token.means(character))


def _literal_start(tokens: list[_Token]) -> str:
    start = ""
    for token in tokens:
        if not token.literal:
            break
        start += token.literal
    return start


def _common_start(texts: list[str]) -> str:
    """Give what all texts begin with: what the first and the last in order do."""
    first, last = min(texts), max(texts)
    same = next((n for n, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), None)
    return first[:same]


def _expanded(text: str) -> list[str]:
    """Give the patterns without braces that a pattern stands for."""
    patterns, place = [""], 0
    while place < len(text):
        if text[place] == "\\":
            end, choices = place + 2, [text[place : place + 2]]
        elif text[place] in _ENDS:
            end = _end_of(text, place)
            group = text[place:end]
            choices = [group] if text[place] == "[" else _choices(group[1:-1], text)
        else:
            end, choices = place + 1, [text[place]]
        patterns = [before + choice for before in patterns for choice in choices]
        if len(patterns) > ALTERNATIVES_MAX:
            raise _invalid(text, f"its braces stand for over {ALTERNATIVES_MAX} patterns")
        place = end
    return patterns


def _end_of(text: str, start: int) -> int:
    """Give the place after the sign that closes what is opened at ``start``."""
    opened = text[start]
    place = start + 1
    if opened == "[":
        # The first character of a set is a member, also where it is the sign that would close it.
        place += text[place : place + 1] in {"!", "^"}
        place += 2 if text[place : place + 1] == "\\" else 1
    while place < len(text) and text[place] != _ENDS[opened]:
        place += 2 if text[place] == "\\" else 1
    if place >= len(text):
        raise _invalid(text, f"{opened!r} is not closed")
    return place + 1


def _choices(inner: str, text: str) -> list[str]:
    """Give what stands between commas."""
    choices, place = [""], 0
    while place < len(inner):
        width = 2 if inner[place] == "\\" else 1
        if inner[place] == "{":
            raise _invalid(text, "braces do not stand within braces")
        if inner[place] == ",":
            choices.append("")
        else:
            choices[-1] += inner[place : place + width]
        place += width
    return choices


def _tokens(pattern: str, text: str) -> list[_Token]:
    tokens: list[_Token] = []
    place = 0
    while place < len(pattern):
        character = pattern[place]
        width = 1
        if character == "\\":
            width = 2
            if place + 1 == len(pattern):
                raise _invalid(text, "nothing follows its last '\\'")
            token = _Token(literal=pattern[place + 1])
        elif character == "[":
            end = _end_of(pattern, place)
            width = end - place
            token = _set(pattern[place + 1 : end - 1], text)
        elif character == "*":
            width = len(pattern) - place - len(pattern[place:].lstrip("*"))
            token = _STAR if width == 1 else _TWO_STARS
        else:
            token = _QUESTION if character == "?" else _Token(literal=character)
        tokens.append(token)
        place += width
    return tokens


def _set(inner: str, text: str) -> _Token:
    is_negated = inner[0] in {"!", "^"}
    members = _members(inner[1:] if is_negated else inner)
    ranges: list[tuple[str, str]] = []
    place = 0
    while place < len(members):
        character, _ = members[place]
        if members[place + 1 : place + 2] == [("-", False)] and place + 2 < len(members):
            last, _ = members[place + 2]
            if last < character:
                raise _invalid(text, f"the range {character}-{last} ends before it begins")
            ranges.append((character, last))
            place += 3
        else:
            ranges.append((character, character))
            place += 1
    return _Token(ranges=tuple(ranges), is_negated=is_negated)


def _members(inner: str) -> list[tuple[str, bool]]:
    """Give the characters of a set, each with whether a backslash stands before it."""
    members: list[tuple[str, bool]] = []
    is_escaped = False
    for character in inner:
        if character == "\\" and not is_escaped:
            is_escaped = True
            continue
        members.append((character, is_escaped))
        is_escaped = False
    return members


def _invalid(text: str, why: str) -> InvalidArgument:
    return InvalidArgument(f"invalid matchGlob {text[:100]!r}: {why}", "matchGlob")
