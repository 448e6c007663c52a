"""The options of every list: ``--filter``, ``--sort-by``, ``--limit``, ``--format`` and more."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

import click

from fileroom.cli.output.expressions import ExpressionType
from fileroom.cli.output.filters import Filter, parse_filter
from fileroom.cli.output.projections import Format, SortKey, order_by, parse_sort_keys
from fileroom.cli.output.rendering import FormatType, write_lines, write_many

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from fileroom.cli.output.projections import Column
    from fileroom.client import Client, JsonObject

R = TypeVar("R")


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """Which rows of a list are wanted, in which order and form."""

    filter_: Filter | None
    sort_by: tuple[SortKey, ...]
    limit: int | None
    page_size: int | None
    uri: bool
    output_format: Format

    @property
    def request_size(self) -> int | None:
        """How many to ask the server for at once; all it likes to give unless that is known."""
        if self.page_size is not None or self.filter_ is not None or self.sort_by:
            return self.page_size
        return self.limit

    def write(self, bodies: Iterable[JsonObject], columns: Sequence[Column]) -> None:
        """Print the rows as they come; ``--sort-by`` alone waits for all of them."""
        write_many(self._select(bodies), columns, self.output_format)

    def write_resources(
        self, client: Client, bodies: Iterable[JsonObject], columns: Sequence[Column]
    ) -> None:
        """Print rows that are resources: with ``--uri``, their URLs."""
        if self.uri:
            write_lines(f"{client.url}/v1/{body['name']}" for body in self._select(bodies))
        else:
            self.write(bodies, columns)

    def _select(self, bodies: Iterable[JsonObject]) -> Iterable[JsonObject]:
        rows = bodies if self.filter_ is None else _matching(bodies, self.filter_)
        ordered = self.output_format.order(order_by(self.sort_by, rows))
        return islice(ordered, self.limit)


def list_options(command: Callable[..., R]) -> Callable[..., R]:
    """Add the options of a list of resources; the command gets them as ``listing``."""
    option = click.option("--uri", is_flag=True, help="Print the URLs of the resources instead.")
    rows = row_options(
        filter_example="-done=true AND name:trial", format_example="csv(name.basename(),done)"
    )
    return option(rows(command))


def row_options(
    *, filter_example: str, format_example: str
) -> Callable[[Callable[..., R]], Callable[..., R]]:
    """Add the options of a list; the command gets them as ``listing``."""

    def add(command: Callable[..., R]) -> Callable[..., R]:
        with_listing = _with_listing(command)
        for option in _row_options(filter_example, format_example):
            with_listing = option(with_listing)
        return with_listing

    return add


def _with_listing(command: Callable[..., R]) -> Callable[..., R]:
    @functools.wraps(command)
    def with_listing(
        *args: object,
        filter_: Filter | None,
        sort_by: tuple[SortKey, ...] | None,
        limit: int | None,
        page_size: int | None,
        output_format: Format | None,
        uri: bool = False,
        **kwargs: object,
    ) -> R:
        if uri and output_format is not None:
            raise click.UsageError("--uri prints one URL a line; leave out --format")
        listing = Listing(
            filter_=filter_,
            sort_by=sort_by or (),
            limit=limit,
            page_size=page_size,
            uri=uri,
            output_format=output_format or Format(name="table"),
        )
        return command(*args, listing=listing, **kwargs)

    return with_listing


def _row_options(
    filter_example: str, format_example: str
) -> tuple[Callable[[Callable[..., R]], Callable[..., R]], ...]:
    return (
        click.option(
            "--page-size",
            type=click.IntRange(min=1),
            help="Ask the server for so many at once; what is printed is the same.",
        ),
        click.option(
            "--limit", type=click.IntRange(min=1), help="Print at most so many; all unless given."
        ),
        click.option(
            "--sort-by",
            type=ExpressionType("keys", parse_sort_keys),
            metavar="KEYS",
            help="Order by fields, as ~metadata.createTime,name; ~ begins with the last.",
        ),
        click.option(
            "--filter",
            "filter_",
            type=ExpressionType("expression", parse_filter),
            metavar="EXPRESSION",
            help=f"Print only what matches, as '{filter_example}'.",
        ),
        click.option(
            "--format",
            "output_format",
            type=FormatType(),
            metavar="FORMAT",
            help="table unless given; json, yaml, csv, value or none; of some fields, as"
            f" {format_example}.",
        ),
    )


def _matching(bodies: Iterable[JsonObject], wanted: Filter) -> Iterator[JsonObject]:
    """Give what matches; tell of keys that nothing had, which may be misspelt."""
    absent = list(wanted.keys)
    any_seen = False
    for body in bodies:
        any_seen = True
        absent = [key for key in absent if key.find(body) is None]
        if wanted(body):
            yield body
    if any_seen and absent:
        names = ", ".join(dict.fromkeys(map(str, absent)))
        click.echo(f"WARNING: --filter names what no item has: {names}", err=True)
