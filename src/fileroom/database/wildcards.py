"""Patterns with ``*`` and ``?`` in SQL: case counts, whatever the dialect."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import Boolean, and_, literal
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from fileroom.dicom.conditions import fixed_beginning

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement
    from sqlalchemy.sql.compiler import SQLCompiler

_LIKE: Final = str.maketrans({"\\": "\\\\", "%": "\\%", "_": "\\_", "*": "%", "?": "_"})
_SURROGATES: Final = range(0xD800, 0xE000)
_LAST_CHARACTER: Final = 0x10FFFF


def matches_pattern(value: ColumnElement[object], pattern: str) -> ColumnElement[bool]:
    """Tell whether a text matches a pattern as a whole."""
    return _Matches(value, literal(pattern.replace("[", "[[]")), literal(pattern.translate(_LIKE)))


def begins_as(column: ColumnElement[object], pattern: str) -> ColumnElement[bool] | None:
    """Give the stretch of an index in which all that matches a pattern lies.

    ``None`` where the pattern begins with a wildcard. Spaces at its end are left out, so that the
    stretch also holds values to which one was added before they were compared.
    """
    beginning = fixed_beginning(pattern).rstrip(" ")
    if not beginning:
        return None
    end = _next_text(beginning)
    return column >= beginning if end is None else and_(column >= beginning, column < end)


def _next_text(text: str) -> str | None:
    """Give the least text behind all that begin with this one."""
    while text and ord(text[-1]) == _LAST_CHARACTER:
        text = text[:-1]
    if not text:
        return None
    following = ord(text[-1]) + 1
    if following in _SURROGATES:
        following = _SURROGATES.stop
    return text[:-1] + chr(following)


class _Matches(FunctionElement[bool]):
    """A text, and a pattern in the spelling of either dialect."""

    type = Boolean()
    name = "matches_pattern"
    inherit_cache = True


@compiles(_Matches)
def _like(element: _Matches, compiler: SQLCompiler, **options: object) -> str:
    value, _, pattern = (compiler.process(each, **options) for each in element.clauses)
    return f"({value} LIKE {pattern} ESCAPE '\\')"


@compiles(_Matches, "sqlite")
def _glob(element: _Matches, compiler: SQLCompiler, **options: object) -> str:
    # Its LIKE is blind to the case of ASCII letters.
    value, pattern, _ = (compiler.process(each, **options) for each in element.clauses)
    return f"({value} GLOB {pattern})"
