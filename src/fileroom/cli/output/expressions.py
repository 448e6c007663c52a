"""What ``--filter``, ``--format`` and ``--sort-by`` have in common: text, quotes, arguments."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from fileroom.errors import InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Callable

EXPRESSION_CHARACTERS_MAX = 10_000

_SPACE = " \t\r\n"
_QUOTES = "\"'"


@dataclass(slots=True)
class Scanner:
    """A text that is read from left to right."""

    text: str
    position: int = 0

    def __post_init__(self) -> None:
        """Refuse what nobody writes by hand."""
        if len(self.text) > EXPRESSION_CHARACTERS_MAX:
            raise InvalidArgument(f"longer than {EXPRESSION_CHARACTERS_MAX:,} characters")

    def wrong(self, message: str, position: int | None = None) -> InvalidArgument:
        """Give the error that shows where the text went wrong: here, unless told otherwise."""
        at = self.position if position is None else position
        before, after = self.text[:at].rstrip(), self.text[at:].lstrip()
        return InvalidArgument(f"{message}: {' '.join(filter(None, [before, '*HERE*', after]))}")

    @property
    def ended(self) -> bool:
        """Whether nothing is left."""
        return self.position >= len(self.text)

    def peek(self, length: int = 1) -> str:
        """Give the next characters without taking them."""
        return self.text[self.position : self.position + length]

    def skip_space(self) -> None:
        """Pass over white space."""
        self.take_while(_SPACE)

    def take(self, expected: str) -> bool:
        """Take a text if it comes next, and tell whether it did."""
        found = self.text.startswith(expected, self.position)
        self.position += len(expected) if found else 0
        return found

    def take_while(self, characters: str) -> str:
        """Take the characters of a kind."""
        start = self.position
        while not self.ended and self.text[self.position] in characters:
            self.position += 1
        return self.text[start : self.position]

    def take_until(self, stops: str) -> str:
        """Take what comes before a character of ``stops``, quoted parts without their quotes."""
        parts = []
        while not self.ended and (character := self.peek()) not in stops:
            if character in _QUOTES:
                parts.append(self._take_quoted())
            else:
                parts.append(character)
                self.position += 1
        return "".join(parts)

    def take_arguments(self, separators: str = ",") -> list[str]:
        """Take the rest of a list whose opening parenthesis was taken, and the closing one."""
        arguments: list[str] = []
        opened = self.position - 1
        while True:
            self.take_while(separators + _SPACE if arguments else _SPACE)
            if self.take(")"):
                return arguments
            start = self.position
            argument = self.take_until(f"{separators}{_SPACE}()")
            if self.ended:
                raise self.wrong("a parenthesis is not closed", opened)
            if start == self.position:
                raise self.wrong("a value is missing")
            arguments.append(argument)

    def _take_quoted(self) -> str:
        opened = self.position
        quote = self.peek()
        self.position += 1
        parts = []
        while not self.take(quote):
            if self.ended:
                raise self.wrong("a quote is not closed", opened)
            if self.peek() == "\\" and self.peek(2)[1:] in (quote, "\\"):
                self.position += 1
            parts.append(self.peek())
            self.position += 1
        return "".join(parts)


class ExpressionType(click.ParamType[object]):
    """The value of an option in one of gcloud's small languages."""

    def __init__(self, name: str, parse: Callable[[str], object]) -> None:
        self.name = name
        self._parse = parse

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> object:
        """Read the value, or show where it goes wrong."""
        if not isinstance(value, str):
            return value
        try:
            return self._parse(value)
        except InvalidArgument as error:
            self.fail(error.message, param, ctx)
