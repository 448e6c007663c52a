"""``fileroom operations``."""

from __future__ import annotations

import click

from fileroom.cli.connection import Connection, confirm, connected, dataset_option
from fileroom.cli.failures import failures_command
from fileroom.cli.following import begin, detach_option, follow
from fileroom.cli.groups import Group
from fileroom.cli.ledger import ledger
from fileroom.cli.output.listing import Listing, list_options
from fileroom.cli.output.projections import parse_columns
from fileroom.cli.output.rendering import (
    Format,
    answer_format_option,
    format_option,
    result_format_option,
    write_one,
)

_COLUMNS = parse_columns(
    "name.scope(operations):label=ID, name.scope(locations).segment(0):label=LOCATION, done"
)


@click.group("operations", cls=Group)
def operations() -> None:
    """Follow imports, exports and other long work."""


@operations.command("list", example="fileroom operations list --dataset=ct --limit=10")
@click.option("--dataset", required=True, help="Dataset; id or full name.")
@list_options
@connected
def list_(connection: Connection, dataset: str, listing: Listing) -> None:
    """List the operations of a dataset, newest first."""
    parent = connection.dataset(dataset)
    with connection.open() as client:
        found = client.list_operations(parent, page_size=listing.request_size)
        listing.write_resources(client, (item.body for item in found), _COLUMNS)


@operations.command("describe", example="fileroom operations describe 17 --dataset=ct")
@click.argument("operation")
@dataset_option
@format_option("yaml")
@connected
def describe(
    connection: Connection, operation: str, dataset: str | None, output_format: Format
) -> None:
    """Print an operation: whether it is done, its counters, its result."""
    name = connection.operation(operation, dataset)
    with connection.open() as client:
        write_one(client.get_operation(name).body, output_format)


@operations.command("wait", example="fileroom operations wait 17 --dataset=ct")
@click.argument("operation")
@dataset_option
@result_format_option
@connected
def wait(
    connection: Connection, operation: str, dataset: str | None, output_format: Format | None
) -> None:
    """Follow an operation to its end.

    Ctrl-C leaves it running. Exit codes: 0 all went well, 1 it failed, 3 some objects failed.
    """
    name = connection.operation(operation, dataset)
    with connection.open() as client:
        follow(client, client.get_operation(name), output_format)


@operations.command("cancel", example="fileroom operations cancel 17 --dataset=ct --quiet")
@click.argument("operation")
@dataset_option
@answer_format_option
@connected
def cancel(
    connection: Connection, operation: str, dataset: str | None, output_format: Format
) -> None:
    """Ask an operation to end; what it did so far stays."""
    name = connection.operation(operation, dataset)
    confirm(connection, f"You are about to cancel [{name.operation_id}].")
    with connection.open() as client:
        client.cancel_operation(name)
    click.echo(f"Cancel requested for operation [{name.operation_id}].", err=True)
    write_one({}, output_format)


@operations.command("pause", example="fileroom operations pause 17 --dataset=ct")
@click.argument("operation")
@dataset_option
@answer_format_option
@connected
def pause(
    connection: Connection, operation: str, dataset: str | None, output_format: Format
) -> None:
    """Ask an operation to wait; what it did so far stays, and 'resume' has it go on."""
    name = connection.operation(operation, dataset)
    with connection.open() as client:
        client.pause_operation(name)
    click.echo(f"Pause requested for operation [{name.operation_id}].", err=True)
    write_one({}, output_format)


@operations.command("resume", example="fileroom operations resume 17 --dataset=ct")
@click.argument("operation")
@dataset_option
@answer_format_option
@connected
def resume(
    connection: Connection, operation: str, dataset: str | None, output_format: Format
) -> None:
    """Have an operation go on that was asked to wait."""
    name = connection.operation(operation, dataset)
    with connection.open() as client:
        client.resume_operation(name)
    click.echo(f"Operation [{name.operation_id}] goes on.", err=True)
    write_one({}, output_format)


@operations.command("undo", example="fileroom operations undo 17 --dataset=ct --quiet")
@click.argument("operation")
@dataset_option
@detach_option
@result_format_option
@connected
def undo(
    connection: Connection,
    operation: str,
    dataset: str | None,
    detach: bool,
    output_format: Format | None,
) -> None:
    """Take an import back: what it created is deleted, what it replaced is restored.

    What somebody changed since stays, and so do instances that were there already. What was
    replaced can be restored within the grace of deletions only. Exit codes: 0 all went well, 1 it
    failed, 3 some instances failed.
    """
    name = connection.operation(operation, dataset)
    confirm(connection, f"You are about to undo [{name.operation_id}].")
    with connection.open() as client:
        begin(client, client.undo_import(name), output_format, detach=detach)


operations.add_command(ledger)
operations.add_command(
    failures_command("fileroom operations failures 17 --dataset=ct --reason=TRUNCATED")
)
