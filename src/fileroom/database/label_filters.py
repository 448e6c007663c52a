"""Which labels a listing asks for: ``labels.key=value``, ``AND``, ``OR``, ``NOT``, parentheses.

``NOT`` binds closest, then ``OR``, then ``AND``, as in Google's list filters; two terms side by
side mean ``AND``; ``labels.key:*`` asks for the key alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

from fileroom.errors import InvalidArgument

LabelFilter = Callable[[Mapping[str, str]], bool]

LENGTH_MAX: Final = 4096
_NESTING_MAX: Final = 32
_TOKEN: Final = re.compile(
    r"""\s*(?:
        (?P<bracket>[()])
      | (?P<word>AND|OR|NOT)(?=[\s()]|$)
      | (?P<minus>-)(?=["l(])
      | "?labels\.(?P<key>[^\s"():=!]+)"?\s*(?P<sign>!=|=|:)\s*
        (?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<bare>[^\s"()]*))
    )""",
    re.VERBOSE,
)


def parse_label_filter(text: str) -> LabelFilter:
    """Give the test that labels must pass; an empty text lets all pass.

    Raises
    ------
    InvalidArgument
        If the text is not of that form.
    """
    if not text.strip():
        return lambda labels: True
    if len(text) > LENGTH_MAX:
        raise InvalidArgument(f"filter is longer than {LENGTH_MAX} characters", "filter")
    parser = _Parser(text)
    result = parser.conjunction(0)
    parser.expect_end()
    return result


class _Parser:
    """One walk over the tokens; each method takes what it needs and leaves the rest."""

    def __init__(self, text: str) -> None:
        self._tokens: list[re.Match[str]] = []
        position = 0
        while position < len(text.rstrip()):
            token = _TOKEN.match(text, position)
            if token is None:
                raise self._wrong(text[position : position + 40].strip())
            self._tokens.append(token)
            position = token.end()
        self._next = 0

    def conjunction(self, depth: int) -> LabelFilter:
        """Take terms joined by AND or by nothing."""
        terms = [self._disjunction(depth)]
        while self._take("AND") or not (self._at_end() or self._sees(")")):
            terms.append(self._disjunction(depth))
        return lambda labels: all(term(labels) for term in terms)

    def expect_end(self) -> None:
        if not self._at_end():
            raise self._wrong(self._tokens[self._next].group().strip())

    def _disjunction(self, depth: int) -> LabelFilter:
        terms = [self._negation(depth)]
        while self._take("OR"):
            terms.append(self._negation(depth))
        return lambda labels: any(term(labels) for term in terms)

    def _negation(self, depth: int) -> LabelFilter:
        if depth > _NESTING_MAX:
            raise self._wrong("nested too deep")
        if self._take("NOT") or self._take("-"):
            negated = self._negation(depth + 1)
            return lambda labels: not negated(labels)
        if self._take("("):
            inner = self.conjunction(depth + 1)
            if not self._take(")"):
                raise self._wrong("a parenthesis is not closed")
            return inner
        return self._comparison()

    def _comparison(self) -> LabelFilter:
        if self._at_end() or self._tokens[self._next]["key"] is None:
            raise self._wrong("a term is missing")
        token = self._tokens[self._next]
        self._next += 1
        key, sign = token["key"], token["sign"]
        quoted = token["quoted"]
        value = token["bare"] if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
        if sign == ":":
            if value == "*":
                return lambda labels: key in labels
            return lambda labels: value in labels.get(key, "") if value else key in labels
        if sign == "!=":
            return lambda labels: labels.get(key) != value
        return lambda labels: labels.get(key) == value

    def _at_end(self) -> bool:
        return self._next >= len(self._tokens)

    def _sees(self, text: str) -> bool:
        return not self._at_end() and self._tokens[self._next].group().strip() == text

    def _take(self, text: str) -> bool:
        if not self._sees(text):
            return False
        self._next += 1
        return True

    @staticmethod
    def _wrong(where: str) -> InvalidArgument:
        return InvalidArgument(
            f"filter is not understood at {where!r}: only labels can be asked for, as in"
            ' labels.key=value, labels.key:* or labels.key="a value", joined by AND, OR and NOT',
            "filter",
        )
