"""The language of ``--filter``: which resources of a list are shown.

Terms are ``key=value``, ``key:value`` (contains; anchored where it holds a ``*``), ``!=``, ``<``,
``<=``, ``>``, ``>=``, ``~`` and ``!~`` (regular expressions), or a value alone, which may be
anywhere. They are joined by ``AND``, ``OR``, ``NOT``, ``-`` and parentheses; side by side, all
must hold.

References
----------
``gcloud topic filters``
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fileroom.cli.output.comparing import OPERATORS, contains_word, make_comparison
from fileroom.cli.output.expressions import Scanner
from fileroom.cli.output.keys import Key, take_key
from fileroom.errors import InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fileroom.cli.output.comparing import Comparison
    from fileroom.client import JsonObject

NESTING_MAX = 50

_OPERATOR_CHARACTERS = ":=<>!~"
_LIST_OPERATORS = frozenset({"=", ":"})
_LOGICAL = frozenset({"AND", "OR", "NOT"})
_LOGICAL_WORD = re.compile(r"(AND|OR|NOT)(?![^\s()])")
_WORD_ENDS = " \t\r\n()"


@dataclass(frozen=True, slots=True)
class Filter:
    """A filter that was read, and the keys that it names."""

    matches: Comparison
    keys: tuple[Key, ...]

    def __call__(self, body: JsonObject) -> bool:
        """Tell whether a resource is wanted."""
        return self.matches(body)


def parse_filter(text: str) -> Filter:
    """Read a filter.

    Raises
    ------
    InvalidArgument
        Showing where it went wrong.
    """
    parser = _Parser(Scanner(text))
    matches = parser.take_group()
    if not parser.scanner.ended:
        raise parser.scanner.wrong("this parenthesis closes nothing")
    return Filter(matches, tuple(parser.keys))


@dataclass(slots=True)
class _Parser:
    scanner: Scanner
    keys: list[Key] = field(default_factory=list)
    depth: int = 0

    def take_group(self) -> Comparison:
        """Take terms up to a closing parenthesis or the end; ``OR`` binds those beside it."""
        alternatives: list[list[Comparison]] = []
        used: set[str] = set()
        operator = ""
        while operator or not self._at_end_of_group():
            term = self._take_negated()
            if operator == "OR":
                alternatives[-1].append(term)
            else:
                alternatives.append([term])
            start = self.scanner.position
            operator = self._take_logical("AND", "OR")
            used.add(operator)
            if {"AND", "OR"} <= used:
                raise self.scanner.wrong("AND beside OR needs parentheses", start)
        return _every([_any(terms) for terms in alternatives])

    def _at_end_of_group(self) -> bool:
        self.scanner.skip_space()
        return self.scanner.ended or self.scanner.peek() == ")"

    def _take_logical(self, *words: str) -> str:
        self.scanner.skip_space()
        found = _LOGICAL_WORD.match(self.scanner.text, self.scanner.position)
        if found is None or found[1] not in words:
            return ""
        self.scanner.position = found.end()
        return found[1]

    def _take_negated(self) -> Comparison:
        negated = False
        while self._take_logical("NOT") or self.scanner.take("-"):
            negated = not negated
        term = self._take_term()
        return (lambda body: not term(body)) if negated else term

    def _take_term(self) -> Comparison:
        scanner = self.scanner
        start = scanner.position
        if self._at_end_of_group() or _LOGICAL_WORD.match(scanner.text, start):
            raise scanner.wrong("a term is missing")
        if scanner.take("("):
            return self._take_parenthesized(start)
        try:
            key = take_key(scanner)
        except InvalidArgument as error:
            return self._take_word(start, error)
        operator = self._take_operator()
        if not operator:
            if key.transforms:
                raise scanner.wrong("an operator is missing")
            return self._take_word(start)
        self.keys.append(key)
        return self._take_comparison(key, operator)

    def _take_parenthesized(self, start: int) -> Comparison:
        self.depth += 1
        if self.depth > NESTING_MAX:
            raise self.scanner.wrong(f"more than {NESTING_MAX} parentheses within each other")
        group = self.take_group()
        if not self.scanner.take(")"):
            raise self.scanner.wrong("a parenthesis is not closed", start)
        self.depth -= 1
        return group

    def _take_word(self, start: int, error: InvalidArgument | None = None) -> Comparison:
        """Take what may be anywhere; ``error`` tells why it is no key, should it have to be one."""
        scanner = self.scanner
        scanner.position = start
        word = scanner.take_until(_WORD_ENDS + _OPERATOR_CHARACTERS)
        if error is not None and (not word or scanner.peek() in {"(", *_OPERATOR_CHARACTERS}):
            raise error
        return contains_word(word)

    def _take_operator(self) -> str:
        scanner = self.scanner
        before = scanner.position
        scanner.skip_space()
        start = scanner.position
        operator = scanner.take_while(_OPERATOR_CHARACTERS)
        if not operator:
            scanner.position = before
        elif operator not in OPERATORS:
            known = " ".join(OPERATORS)
            raise scanner.wrong(f"there is no operator {operator}, but {known}", start)
        return operator

    def _take_comparison(self, key: Key, operator: str) -> Comparison:
        scanner = self.scanner
        scanner.skip_space()
        start = scanner.position
        if _LOGICAL_WORD.match(scanner.text, start):
            raise scanner.wrong("a value is missing; one such as AND needs quotes")
        if operator in _LIST_OPERATORS and scanner.take("("):
            operands = [text for text in scanner.take_arguments() if text not in _LOGICAL]
        else:
            operands = [scanner.take_until(_WORD_ENDS)]
            if scanner.position == start:
                quotes = "; one with a parenthesis needs quotes" if scanner.peek() == "(" else ""
                raise scanner.wrong(f"a value is missing{quotes}")
        try:
            compare = _any([make_comparison(operator, operand) for operand in operands])
        except ValueError as error:
            raise scanner.wrong(str(error), start) from error
        return lambda body: compare(key.pick(body))


def _any(tests: Sequence[Comparison]) -> Comparison:
    return tests[0] if len(tests) == 1 else lambda body: any(test(body) for test in tests)


def _every(tests: Sequence[Comparison]) -> Comparison:
    return tests[0] if len(tests) == 1 else lambda body: all(test(body) for test in tests)
