"""Values as the text of a terminal or a file: YAML, JSON, tables, CSV, in gcloud's shapes."""

from __future__ import annotations

import csv
import functools
import io
import itertools
import json
import textwrap
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeVar

import click

if TYPE_CHECKING:
    import yaml

    from fileroom.client import Json, JsonObject

Format = Literal["json", "yaml", "table", "csv"]
C = TypeVar("C", bound=Callable[..., object])

_TABLE_BLOCK_ROWS = 1000
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table or a CSV file."""

    label: str
    pick: Callable[[JsonObject], Json]


def field(label: str, *path: str) -> Column:
    """Give the column of a field, by its path in the resource."""

    def pick(body: JsonObject) -> Json:
        value: Json = body
        for key in path:
            value = value.get(key) if isinstance(value, dict) else None
        return value

    return Column(label, pick)


def name_segment(label: str, collection: str) -> Column:
    """Give the column of one id within the resource's name, such as that after ``locations``."""

    def pick(body: JsonObject) -> Json:
        segments = str(body.get("name", "")).split("/")
        following = dict(itertools.pairwise(segments))
        return following.get(collection)

    return Column(label, pick)


def format_option(*formats: Format) -> Callable[[C], C]:
    """Add ``--format``; the first format is the default."""
    return click.option(
        "--format",
        "output_format",
        type=click.Choice(formats),
        default=formats[0],
        show_default=True,
        help="Form of the output.",
    )


def result_format_option(command: C) -> C:
    """Add ``--format`` to a command that tells its result in words unless it is given."""
    return click.option(
        "--format",
        "output_format",
        type=click.Choice(("json", "yaml", "table")),
        help="Print the ended operation, in this form, instead of its result in words.",
    )(command)


def limit_option(command: C) -> C:
    """Add ``--limit``."""
    return click.option(
        "--limit", type=click.IntRange(min=1), help="Print at most so many; all unless given."
    )(command)


def write_one(body: JsonObject, output_format: Format) -> None:
    """Print one resource."""
    match output_format:
        case "json":
            click.echo(to_json(body))
        case "yaml":
            click.echo(to_yaml(body), nl=False)
        case _:
            fields: list[JsonObject] = [
                {"field": key, "value": value} for key, value in _flatten(body)
            ]
            _write_lines(table_lines(fields, [field("FIELD", "field"), field("VALUE", "value")]))


def write_many(bodies: Iterable[JsonObject], columns: list[Column], output_format: Format) -> None:
    """Print a list of resources as they come, so that a long list needs no memory."""
    first = next(iterator := iter(bodies), None)
    if first is None:
        match output_format:
            case "json":
                click.echo("[]")
            case "csv":
                _write_lines(csv_lines([], columns))
        click.echo("Listed 0 items.", err=True)
        return
    items = itertools.chain([first], iterator)
    match output_format:
        case "json":
            _write_lines(_json_lines(items))
        case "yaml":
            _write_lines(f"---\n{to_yaml(body)}".rstrip("\n") for body in items)
        case "csv":
            _write_lines(csv_lines(items, columns))
        case _:
            _write_lines(table_lines(items, columns))


def to_json(value: Json) -> str:
    """Give JSON with sorted keys."""
    return json.dumps(value, indent=2, sort_keys=True)


def to_yaml(body: JsonObject) -> str:
    """Give YAML with sorted keys; text of several lines as a literal block."""
    import yaml

    text: str = yaml.dump(body, Dumper=_yaml_dumper(), sort_keys=True, allow_unicode=True)
    return text


@functools.cache
def _yaml_dumper() -> type[yaml.SafeDumper]:
    # Loaded when needed, as few runs print YAML.
    import yaml

    class Dumper(yaml.SafeDumper):
        """Writes text of several lines as a literal block."""

    def represent_text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
        style = None
        if not value.isprintable():
            # PyYAML leaves some control characters bare unless it is told to quote.
            style = "|" if "\n" in value and value.replace("\n", "").isprintable() else '"'
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)

    Dumper.add_representer(str, represent_text)
    return Dumper


def table_lines(rows: Iterable[JsonObject], columns: list[Column]) -> Iterator[str]:
    """Give a heading and aligned rows; widths may grow from one block of rows to the next."""
    widths = [len(column.label) for column in columns]
    heading: list[list[str]] = [[column.label for column in columns]]
    remaining = iter(rows)
    while block := list(itertools.islice(remaining, _TABLE_BLOCK_ROWS)):
        cells = [
            *heading,
            *([printable(_cell(column.pick(row))) for column in columns] for row in block),
        ]
        columns_of_cells = zip(widths, *cells, strict=True)
        widths = [max(width, *map(len, texts)) for width, *texts in columns_of_cells]
        for texts in cells:
            padded = map(str.ljust, texts, widths)
            yield "  ".join(padded).rstrip()
        heading = []


def csv_lines(rows: Iterable[JsonObject], columns: list[Column]) -> Iterator[str]:
    """Give a heading and one line for each row (RFC 4180)."""
    yield _csv_line([column.label for column in columns])
    for row in rows:
        yield _csv_line([_harmless(_cell(column.pick(row))) for column in columns])


def printable(text: str) -> str:
    """Give text that cannot command a terminal: object names hold what their makers chose."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _cell(value: Json) -> str:
    if value is None:
        return ""
    # Lists as gcloud writes them, which is as Python does.
    return json.dumps(value, sort_keys=True) if isinstance(value, dict) else str(value)


def _harmless(cell: str) -> str:
    # A spreadsheet runs a cell that begins like a formula.
    return f"'{cell}" if cell.startswith(_FORMULA_STARTS) else cell


def _csv_line(cells: list[str]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(cells)
    return line.getvalue()


def _json_lines(bodies: Iterable[JsonObject]) -> Iterator[str]:
    yield "["
    remaining = iter(bodies)
    held = next(remaining, None)
    while held is not None:
        following = next(remaining, None)
        comma = "" if following is None else ","
        yield textwrap.indent(to_json(held), "  ") + comma
        held = following
    yield "]"


def _flatten(body: JsonObject, prefix: str = "") -> Iterator[tuple[str, Json]]:
    for key in sorted(body):
        value = body[key]
        if isinstance(value, dict) and value:
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _write_lines(lines: Iterable[str]) -> None:
    for line in lines:
        click.echo(line)
