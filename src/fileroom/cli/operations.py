"""``fileroom operations``."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

import click

from fileroom.cli.connection import Connection, confirm, connected, dataset_option
from fileroom.cli.following import follow
from fileroom.cli.groups import Group
from fileroom.cli.rendering import (
    Format,
    field,
    format_option,
    limit_option,
    name_segment,
    result_format_option,
    write_many,
    write_one,
)
from fileroom.client.queries import PAGE_SIZE_MAX
from fileroom.errors import ObjectFailure, Reason

if TYPE_CHECKING:
    from fileroom.client import JsonObject

_COLUMNS = [
    name_segment("ID", "operations"),
    name_segment("LOCATION", "locations"),
    field("DONE", "done"),
]
_FAILURE_TABLE = [
    field("REASON", "reason"),
    field("SOURCE", "source"),
    field("MESSAGE", "error", "message"),
]
_FAILURE_CSV = [
    field("source", "source"),
    field("reason", "reason"),
    field("code", "error", "code"),
    field("message", "error", "message"),
    field("tag", "tag"),
    field("byteOffset", "byteOffset"),
]


@click.group("operations", cls=Group)
def operations() -> None:
    """Follow imports, exports and other long work."""


@operations.command("list", example="fileroom operations list --dataset=ct --limit=10")
@click.option("--dataset", required=True, help="Dataset; id or full name.")
@format_option("table", "json", "yaml")
@limit_option
@connected
def list_(connection: Connection, dataset: str, output_format: Format, limit: int | None) -> None:
    """List the operations of a dataset, newest first."""
    parent = connection.dataset(dataset)
    with connection.open() as client:
        found = client.list_operations(parent, page_size=limit)
        write_many((item.body for item in islice(found, limit)), _COLUMNS, output_format)


@operations.command("describe", example="fileroom operations describe 17 --dataset=ct")
@click.argument("operation")
@dataset_option
@format_option("yaml", "json", "table")
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
@connected
def cancel(connection: Connection, operation: str, dataset: str | None) -> None:
    """Ask an operation to end; what it did so far stays."""
    name = connection.operation(operation, dataset)
    confirm(connection, f"You are about to cancel [{name.operation_id}].")
    with connection.open() as client:
        client.cancel_operation(name)
    click.echo(f"Cancel requested for operation [{name.operation_id}].", err=True)


@operations.command(
    "failures", example="fileroom operations failures 17 --dataset=ct --format=csv > failures.csv"
)
@click.argument("operation")
@dataset_option
@click.option(
    "--reason",
    type=click.Choice([str(reason) for reason in Reason], case_sensitive=False),
    metavar="REASON",
    help="Only those of one reason, such as NOT_DICOM.",
)
@format_option("table", "csv", "json", "yaml")
@limit_option
@connected
def failures(
    connection: Connection,
    operation: str,
    dataset: str | None,
    reason: str | None,
    output_format: Format,
    limit: int | None,
) -> None:
    """List every object that failed, with its reason."""
    name = connection.operation(operation, dataset)
    columns = _FAILURE_CSV if output_format == "csv" else _FAILURE_TABLE
    with connection.open() as client:
        wanted = Reason(reason) if reason else None
        found = client.failures(name, reason=wanted, page_size=limit or PAGE_SIZE_MAX)
        write_many((_to_body(item) for item in islice(found, limit)), columns, output_format)


def _to_body(failure: ObjectFailure) -> JsonObject:
    body: JsonObject = {
        "source": failure.source,
        "error": {"code": int(failure.code), "message": failure.message},
        "reason": str(failure.reason),
    }
    if failure.tag is not None:
        body["tag"] = failure.tag
    if failure.byte_offset is not None:
        body["byteOffset"] = str(failure.byte_offset)
    return body
