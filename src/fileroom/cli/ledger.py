"""``fileroom operations ledger``: what became of every object of an operation."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING, cast

import click

from fileroom.cli.connection import Connection, connected, dataset_option
from fileroom.cli.groups import Command
from fileroom.cli.reaching import operation_without_server, reach, reaching_options

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path
    from typing import BinaryIO

PARQUET = "parquet"
_open_file = cast("Callable[..., AbstractContextManager[BinaryIO]]", click.open_file)


@click.command(
    "ledger", cls=Command, example="fileroom operations ledger 17 --dataset=ct --to=ledger.csv"
)
@click.argument("operation")
@dataset_option
@click.option(
    "--format",
    "form",
    type=click.Choice(["ndjson", "csv", PARQUET]),
    help="As the name of --to ends, or ndjson.",
)
@click.option(
    "--to", "path", type=click.Path(dir_okay=False), metavar="FILE", help="Write it to a file."
)
@reaching_options
@connected
def ledger(
    connection: Connection,
    operation: str,
    dataset: str | None,
    form: str | None,
    path: str | None,
    data: Path | None,
    config: Path | None,
) -> None:
    """Give a line for every object that an operation has worked on.

    It tells where each came from and went to, its size, checksum and UIDs, what became of it and
    why. The lines add up to the operation's account. With --data or --config it looks there,
    without a server.
    """
    if data is not None or config is not None:
        name = operation_without_server(connection, operation, dataset)
    else:
        name = connection.operation(operation, dataset)
    form = form or _form_of(path or "")
    if form == PARQUET and path is None and sys.stdout.isatty():
        raise click.UsageError("a terminal shows no Parquet; name a file with --to")
    with reach(connection, data, config) as client, ExitStack() as stack:
        file: BinaryIO = sys.stdout.buffer
        if path is not None:
            file = stack.enter_context(_open_file(path, "wb", atomic=True))
        size = client.ledger_to(file, name, form)
    if path is not None:
        click.echo(f"Wrote {size:,} bytes to {path}.", err=True)


def _form_of(path: str) -> str:
    extension = path.rpartition(".")[2].lower()
    return extension if extension in {"csv", PARQUET} else "ndjson"
