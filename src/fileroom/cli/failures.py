"""``fileroom failures``, and the same command among those of operations."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from fileroom.cli.connection import Connection, connected, dataset_option
from fileroom.cli.groups import Command
from fileroom.cli.output.listing import Listing, row_options
from fileroom.cli.output.projections import parse_columns
from fileroom.cli.reaching import operation_without_server, reach, reaching_options
from fileroom.client.queries import PAGE_SIZE_MAX
from fileroom.errors import ObjectFailure, Reason

if TYPE_CHECKING:
    from pathlib import Path

    from fileroom.client import JsonObject

_TABLE = parse_columns("reason, source, tag, byteOffset:label=BYTE, error.message")
_CSV = parse_columns("source, reason, error.code, error.message, tag, byteOffset:label=byteOffset")


def _parse_reason(_ctx: click.Context, _option: click.Parameter, text: str | None) -> Reason | None:
    if text is None:
        return None
    if text.upper() not in Reason.__members__:
        raise click.BadParameter(f"{text!r} is none of {', '.join(Reason.__members__)}")
    return Reason(text.upper())


def failures_command(example: str) -> click.Command:
    """Give the command for the place that its example shows it at."""

    @click.command("failures", cls=Command, example=example)
    @click.argument("operation")
    @dataset_option
    @click.option(
        "--reason",
        callback=_parse_reason,
        shell_complete=lambda _context, _option, begun: [
            str(reason) for reason in Reason if reason.startswith(begun.upper())
        ],
        metavar="REASON",
        help="Only those of one reason, such as NOT_DICOM.",
    )
    @row_options(filter_example="reason=TRUNCATED", format_example="csv(source,reason)")
    @reaching_options
    @connected
    def failures(
        connection: Connection,
        operation: str,
        dataset: str | None,
        reason: Reason | None,
        listing: Listing,
        data: Path | None,
        config: Path | None,
    ) -> None:
        """List every object that failed in an operation, with its reason.

        With --data or --config it looks there, without a server.
        """
        if data is not None or config is not None:
            name = operation_without_server(connection, operation, dataset)
        else:
            name = connection.operation(operation, dataset)
        columns = _TABLE if listing.output_format.name == "table" else _CSV
        with reach(connection, data, config) as client:
            found = client.failures(
                name,
                reason=reason,
                page_size=listing.request_size or PAGE_SIZE_MAX,
            )
            listing.write(map(_to_body, found), columns)

    return failures


failures = failures_command("fileroom failures 17 --dataset=ct --format=csv > failures.csv")


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
