"""Values as the text of a terminal or a file: YAML, JSON, tables, CSV, in gcloud's shapes."""

from __future__ import annotations

import csv
import functools
import io
import itertools
import json
import textwrap
from collections import deque
from typing import TYPE_CHECKING, TypeVar

import click
from click.shell_completion import CompletionItem

from fileroom.cli.output.expressions import ExpressionType
from fileroom.cli.output.keys import Key
from fileroom.cli.output.printable import printable
from fileroom.cli.output.projections import (
    FORMAT_NAMES,
    Column,
    Projection,
    parse_columns,
    parse_format,
)
from fileroom.cli.output.projections import Format as Format
from fileroom.cli.output.transforms import joined, to_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    import yaml

    from fileroom.cli.output.projections import FormatName
    from fileroom.client import Json, JsonObject

C = TypeVar("C", bound="Callable[..., object]")

_TABLE_BLOCK_ROWS = 1000
_FIELDS = parse_columns("field,value")
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


class FormatType(ExpressionType):
    """The value of ``--format``, whose names a shell completes."""

    def __init__(self) -> None:
        super().__init__("format", parse_format)

    def shell_complete(
        self, _ctx: click.Context, _param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Give the names that begin so."""
        return [CompletionItem(name) for name in FORMAT_NAMES if name.startswith(incomplete)]


def field(label: str, *path: str) -> Column:
    """Give the column of a field, by its path in the resource."""
    return Column(label, Key(path))


def format_option(default: FormatName) -> Callable[[C], C]:
    """Add ``--format``."""
    return click.option(
        "--format",
        "output_format",
        type=FormatType(),
        metavar="FORMAT",
        default=default,
        show_default=True,
        help="json, yaml, table, csv, value or none; of some fields, as value(name.basename()).",
    )


def answer_format_option(command: C) -> C:
    """Add ``--format`` to a command that says on the standard error what it did."""
    return click.option(
        "--format",
        "output_format",
        type=FormatType(),
        metavar="FORMAT",
        default="none",
        show_default=True,
        help="Print the server's answer too, in a form such as json.",
    )(command)


def result_format_option(command: C) -> C:
    """Add ``--format`` to a command that tells its result in words unless it is given."""
    return click.option(
        "--format",
        "output_format",
        type=FormatType(),
        metavar="FORMAT",
        help="Print the ended operation, in a form such as json, instead of its result in words.",
    )(command)


def write_one(body: JsonObject, output_format: Format | FormatName) -> None:
    """Print one resource; a name alone is the format of all its fields."""
    if isinstance(output_format, str):
        output_format = Format(name=output_format)
    columns = output_format.columns
    match output_format.name:
        case "json":
            click.echo(to_json(Projection.of(columns)(body) if columns else body))
        case "yaml":
            click.echo(to_yaml(Projection.of(columns)(body) if columns else body), nl=False)
        case "none" | "disable":
            pass
        case _ if columns:
            write_lines(_row_lines([body], columns, output_format))
        case _:
            fields: list[JsonObject] = [
                {"field": key, "value": value} for key, value in _flatten(body)
            ]
            write_lines(_row_lines(fields, _FIELDS, output_format))


def write_many(
    bodies: Iterable[JsonObject], usual: Sequence[Column], output_format: Format | FormatName
) -> None:
    """Print a list of resources as they come, so that a long list needs no memory.

    ``usual`` is what a table or CSV file shows unless the format names columns.
    """
    if isinstance(output_format, str):
        output_format = Format(name=output_format)
    first = next(iterator := iter(bodies), None)
    if first is None:
        match output_format.name:
            case "json":
                click.echo("[]")
            case "csv":
                columns = output_format.columns_beside(usual)
                write_lines(_row_lines([], columns, output_format))
        click.echo("Listed 0 items.", err=True)
        return
    items: Iterable[JsonObject] = itertools.chain([first], iterator)
    match output_format.name:
        case "json":
            write_lines(_json_lines(_projected(items, output_format)))
        case "yaml":
            projected = _projected(items, output_format)
            write_lines(f"---\n{to_yaml(value)}".rstrip("\n") for value in projected)
        case "none" | "disable":
            deque(items, maxlen=0)
        case _:
            columns = output_format.columns_beside(usual)
            write_lines(_row_lines(items, columns, output_format))


def write_lines(lines: Iterable[str]) -> None:
    """Print lines as they come."""
    for line in lines:
        click.echo(line)


def to_json(value: Json) -> str:
    """Give JSON with sorted keys; what a terminal might obey is escaped."""
    text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False)
    if text.isascii():
        return text
    return "".join(c if c == "\n" or c.isprintable() else json.dumps(c)[1:-1] for c in text)


def to_yaml(body: Json) -> str:
    """Give YAML with sorted keys; text of several lines as a literal block."""
    import yaml

    if body is None:
        return "null\n"

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


def table_lines(
    rows: Iterable[JsonObject], columns: Sequence[Column], *, has_heading: bool = True
) -> Iterator[str]:
    """Give a heading and aligned rows; widths may grow from one block of rows to the next."""
    labels = [column.heading for column in columns] if has_heading else [""] * len(columns)
    widths = list(map(len, labels))
    heading = [labels] if has_heading else []
    remaining = iter(rows)
    while block := list(itertools.islice(remaining, _TABLE_BLOCK_ROWS)):
        cells = [
            *heading,
            *([printable(to_text(column.key.pick(row))) for column in columns] for row in block),
        ]
        columns_of_cells = zip(widths, *cells, strict=True)
        widths = [max(width, *map(len, texts)) for width, *texts in columns_of_cells]
        for texts in cells:
            padded = map(str.ljust, texts, widths)
            yield "  ".join(padded).rstrip()
        heading = []


def csv_lines(
    rows: Iterable[JsonObject],
    columns: Sequence[Column],
    *,
    has_heading: bool = True,
    separator: str = ",",
) -> Iterator[str]:
    """Give a heading and one line for each row (RFC 4180)."""
    if has_heading:
        yield _csv_line([_csv_heading(column) for column in columns], separator)
    for row in rows:
        cells = [_harmless(printable(joined(column.key.pick(row), ";"))) for column in columns]
        yield _csv_line(cells, separator)


def value_lines(
    rows: Iterable[JsonObject], columns: Sequence[Column], *, separator: str = "\t"
) -> Iterator[str]:
    """Give one line of bare values for each row, as scripts read them."""
    for row in rows:
        cells = (printable(joined(column.key.pick(row), ";")) for column in columns)
        yield separator.join(cells)


def _projected(bodies: Iterable[JsonObject], output_format: Format) -> Iterable[Json]:
    if not output_format.columns:
        return bodies
    return map(Projection.of(output_format.columns), bodies)


def _row_lines(
    rows: Iterable[JsonObject], columns: Sequence[Column], output_format: Format
) -> Iterator[str]:
    match output_format.name:
        case "csv":
            return csv_lines(
                rows,
                columns,
                has_heading=output_format.has_heading,
                separator=output_format.separator,
            )
        case "value":
            return value_lines(rows, columns, separator=output_format.separator)
        case _:
            return table_lines(rows, columns, has_heading=output_format.has_heading)


def _csv_heading(column: Column) -> str:
    return column.heading.lower() if column.heading.isupper() else column.heading


def _harmless(cell: str) -> str:
    # A spreadsheet runs a cell that begins like a formula.
    return f"'{cell}" if cell.startswith(_FORMULA_STARTS) else cell


def _csv_line(cells: list[str], separator: str) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="", delimiter=separator).writerow(cells)
    return line.getvalue()


def _json_lines(values: Iterable[Json]) -> Iterator[str]:
    yield "["
    held = ""
    for value in values:
        if held:
            yield f"{held},"
        held = textwrap.indent(to_json(value), "  ")
    if held:
        yield held
    yield "]"


def _flatten(body: JsonObject, prefix: str = "") -> Iterator[tuple[str, Json]]:
    for key in sorted(body):
        value = body[key]
        if isinstance(value, dict) and value:
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
