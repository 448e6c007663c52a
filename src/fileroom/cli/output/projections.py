"""The language of ``--format`` and ``--sort-by``: which fields, in which form and order.

A format is ``NAME[ATTRIBUTES](KEY:ATTRIBUTES, …)``, as ``csv[no-heading](name.basename(),done)``.

References
----------
``gcloud topic formats``, ``gcloud topic projections``
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

from fileroom.cli.output.comparing import to_number
from fileroom.cli.output.expressions import Scanner
from fileroom.cli.output.keys import Key, Step, step_into, take_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from fileroom.cli.output.transforms import Transform
    from fileroom.client import Json, JsonObject

FormatName: TypeAlias = Literal["json", "yaml", "table", "csv", "value", "none", "disable"]

FORMAT_NAMES: tuple[FormatName, ...] = get_args(FormatName)

_NAME = re.compile(r"[\w-]*")
_SEPARATORS = {"csv": ",", "value": "\t"}
_CSV_SEPARATORS = frozenset(",;|\t")
_CAPITAL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table, or of a CSV file; or one field of a smaller resource."""

    label: str
    """Empty unless it was given."""
    key: Key
    sort: int = 0
    """Its place among the columns that order the rows; 0 is none."""
    reverse: bool = False

    @property
    def heading(self) -> str:
        """The label, or what is made of the key's last name: ``TIME_ZONE`` of ``timeZone``."""
        names = [step for step in self.key.path if isinstance(step, str)]
        return self.label or _CAPITAL.sub("_", names[-1]).upper()


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """How a resource, or a list of them, is printed."""

    name: FormatName
    columns: tuple[Column, ...] = ()
    """Everything, or the columns of the command, unless some were asked for."""
    has_heading: bool = True
    separator: str = ","

    def columns_beside(self, usual: Sequence[Column]) -> list[Column]:
        """Give the columns of rows whose command would show ``usual``.

        As in gcloud, a key that is among the usual ones keeps its label, and what the command
        makes of it unless it is told otherwise: ``name`` is shown as the id that ends it.
        """
        known = {column.key.path: column for column in reversed(usual)}
        return [_like(column, known.get(column.key.path)) for column in self.columns or usual]

    def order(self, rows: Iterable[JsonObject]) -> Iterable[JsonObject]:
        """Give the rows in the order that columns with ``:sort`` ask for."""
        chosen = sorted((c for c in self.columns if c.sort), key=lambda column: column.sort)
        return order_by([SortKey(column.key, column.reverse) for column in chosen], rows)


@dataclass(frozen=True, slots=True)
class SortKey:
    """A key that rows are ordered by."""

    key: Key
    reverse: bool


def parse_format(text: str) -> Format:
    """Read what ``--format`` was given.

    Raises
    ------
    InvalidArgument
        Showing where it went wrong.
    """
    scanner = Scanner(text.strip())
    found = _NAME.match(scanner.text)
    named = found[0] if found else ""
    name = next((known for known in FORMAT_NAMES if known == named), None)
    if name is None:
        raise scanner.wrong(f"there is no format {named!r}; there are {', '.join(FORMAT_NAMES)}")
    scanner.position = len(name)
    made = Format(name=name, separator=_SEPARATORS.get(name, ","))
    if scanner.take("["):
        made = _take_attributes(scanner, made)
    if scanner.take("("):
        made = replace(made, columns=_take_columns(scanner, ")"))
        if not scanner.take(")"):
            raise scanner.wrong("a parenthesis is not closed")
    if not scanner.ended:
        raise scanner.wrong("nothing more is understood")
    return made


def parse_columns(text: str) -> tuple[Column, ...]:
    """Read columns, as they stand between the parentheses of a format."""
    scanner = Scanner(text)
    columns = _take_columns(scanner, "")
    if not scanner.ended:
        raise scanner.wrong("nothing more is understood")
    return columns


def parse_sort_keys(text: str) -> tuple[SortKey, ...]:
    """Read the keys that ``--sort-by`` was given; ``~`` goes from the last to the first."""
    scanner = Scanner(text)
    keys: list[SortKey] = []
    while True:
        scanner.skip_space()
        reverse = scanner.take("~")
        keys.append(SortKey(take_key(scanner), reverse))
        scanner.skip_space()
        if not scanner.take(","):
            break
    if not scanner.ended:
        raise scanner.wrong("nothing more is understood")
    return tuple(keys)


def order_by(keys: Sequence[SortKey], rows: Iterable[JsonObject]) -> Iterable[JsonObject]:
    """Give rows in order: those without a value, then numbers, then text; as they are without keys.

    Only to be ordered do rows have to be in memory at once.
    """
    if not keys:
        return rows
    ordered = list(rows)
    for sort_key in reversed(keys):
        ordered.sort(key=_rank_by(sort_key.key), reverse=sort_key.reverse)
    return ordered


@dataclass(slots=True)
class Projection:
    """A smaller resource of the same shape, for JSON and YAML."""

    children: dict[Step, Projection] = field(default_factory=dict)
    transforms: tuple[Transform, ...] | None = None
    """What is made of the value here; ``None`` where only parts of it are wanted."""

    @classmethod
    def of(cls, columns: Iterable[Column]) -> Projection:
        """Give what keeps the fields of some columns."""
        root = cls()
        for column in columns:
            here = root
            for step in column.key.path:
                here = here.children.setdefault(step, cls())
            here.transforms = column.key.transforms
        return root

    def __call__(self, value: Json) -> Json:
        """Give what is kept of a value; ``None`` if that is nothing."""
        if self.transforms is not None:
            for transform in self.transforms:
                value = transform(value)
            return value
        if isinstance(value, list):
            return self._of_list(value)
        parts: dict[str, Json] = {
            str(step): part
            for step, child in self.children.items()
            if (part := child(step_into(value, step))) is not None
        }
        return parts or None

    def _of_list(self, elements: list[Json]) -> Json:
        """Keep of each element what names ask for, of some what their places ask for."""
        if None in self.children:
            return [self.children[None](element) for element in elements]
        places = {step: child for step, child in self.children.items() if isinstance(step, int)}
        if places:
            return [child(step_into(elements, step)) for step, child in places.items()]
        return [part for element in elements if (part := self(element)) is not None]


def _like(column: Column, usual: Column | None) -> Column:
    if usual is None:
        return column
    key = column.key if column.key.transforms else usual.key
    return replace(column, label=column.label or usual.label, key=key)


def _rank_by(key: Key) -> Callable[[JsonObject], tuple[int, float, str]]:
    def rank(row: JsonObject) -> tuple[int, float, str]:
        value = key.pick(row)
        if value is None:
            return 0, 0, ""
        number = None if isinstance(value, list | dict) else to_number(value)
        return (2, 0, str(value)) if number is None else (1, number, "")

    return rank


def _take_attributes(scanner: Scanner, made: Format) -> Format:
    while not scanner.take("]"):
        start = scanner.position
        name = scanner.take_until("=,]")
        if name == "no-heading":
            made = replace(made, has_heading=False)
        elif name == "separator" and scanner.take("="):
            made = replace(made, separator=scanner.take_until(",]"))
            if made.name == "csv" and made.separator not in _CSV_SEPARATORS:
                raise scanner.wrong("the separator of CSV is one of , ; | and a tab", start)
        else:
            known = "no-heading and separator=TEXT"
            raise scanner.wrong(f"no attribute of a format; there are {known}", start)
        if not scanner.take(",") and scanner.peek() != "]":
            raise scanner.wrong("a bracket is not closed")
    return made


def _take_columns(scanner: Scanner, end: str) -> tuple[Column, ...]:
    columns: list[Column] = []
    while True:
        scanner.skip_space()
        if scanner.ended or scanner.peek() == end:
            return tuple(columns)
        columns.append(_take_column(scanner))
        scanner.skip_space()
        if not scanner.take(","):
            return tuple(columns)


def _take_column(scanner: Scanner) -> Column:
    column = Column("", take_key(scanner))
    while scanner.take(":"):
        start = scanner.position
        name = scanner.take_until("=:,) ")
        value = scanner.take_until(":,) ") if scanner.take("=") else ""
        if name == "label":
            column = replace(column, label=value)
        elif name == "reverse":
            column = replace(column, reverse=True)
        elif name == "sort" and value.isdecimal():
            column = replace(column, sort=int(value))
        else:
            raise scanner.wrong(
                "no attribute of a column; there are label=TEXT, sort=NUMBER and reverse", start
            )
    return column
