"""What a key can make of its value: ``name.basename()``, ``labels.list()``.

References
----------
``gcloud topic projections``
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from fileroom.client import Json

Transform: TypeAlias = Callable[["Json"], "Json"]


def make_transform(name: str, arguments: Sequence[str]) -> Transform:
    """Give the transform of a name with its arguments, each a value or ``name=value``.

    Raises
    ------
    ValueError
        Saying what there is instead.
    """
    kind = _KINDS.get(name)
    if kind is None:
        known = ", ".join(f"{known}()" for known in sorted(_KINDS))
        raise ValueError(f"there is no transform {name}(); there are {known}")
    given = dict(kind.parameters)
    names = list(given)
    for index, argument in enumerate(arguments):
        key, equals, value = argument.partition("=")
        if equals and key in given:
            given[key] = value
        elif index < len(names):
            given[names[index]] = argument
        else:
            takes = f"nothing but {', '.join(names)}" if names else "no value"
            raise ValueError(f"{name}() takes {takes}")
    return kind.make(**given)


def to_text(value: Json) -> str:
    """Give a value within a list of values; gcloud writes them as Python does."""
    return "" if value is None else str(value)


def joined(value: Json, separator: str) -> str:
    """Give a list or an object in one line: ``a,b`` or ``a=1,b=2``."""
    if isinstance(value, dict):
        return separator.join(f"{key}={to_text(value[key])}" for key in sorted(value))
    if isinstance(value, list):
        return separator.join(map(to_text, value))
    return to_text(value)


def _basename() -> Transform:
    return lambda value: str(value).rpartition("/")[2] if value else value


def _segment(index: str) -> Transform:
    try:
        place = int(index)
    except ValueError as error:
        raise ValueError("segment() takes a number, from 0 on or from -1 back") from error

    def pick(value: Json) -> Json:
        segments = to_text(value).split("/")
        return segments[place] if -len(segments) <= place < len(segments) else None

    return pick


def _scope(collection: str) -> Transform:
    def pick(value: Json) -> Json:
        if not isinstance(value, str) or not collection:
            return value
        _, found, rest = f"/{value}".partition(f"/{collection}/")
        return rest if found else value

    return pick


def _list(separator: str) -> Transform:
    return lambda value: joined(value, separator)


def _len() -> Transform:
    return lambda value: len(value) if isinstance(value, str | list | dict) else 0


def _yesno(yes: str, no: str) -> Transform:
    return lambda value: (yes or value) if value else no


@dataclass(frozen=True, slots=True)
class _Kind:
    make: Callable[..., Transform]
    parameters: dict[str, str]
    """Each with its default."""


_KINDS = {
    "basename": _Kind(_basename, {}),
    "len": _Kind(_len, {}),
    "list": _Kind(_list, {"separator": ","}),
    "scope": _Kind(_scope, {"collection": ""}),
    "segment": _Kind(_segment, {"index": "-1"}),
    "yesno": _Kind(_yesno, {"yes": "", "no": "No"}),
}
