"""``fileroom audit``: who did what, and whether the log of it is whole."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, cast

import click

from fileroom.audit import entries_of
from fileroom.cli.groups import Group
from fileroom.cli.output.listing import Listing, row_options
from fileroom.cli.output.projections import parse_columns
from fileroom.cli.settings_options import (
    config_option,
    data_option,
    read_settings,
    report_format_option,
)
from fileroom.upkeep.auditing import verify_audit

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from fileroom.audit import Verdict
    from fileroom.client import JsonObject

EXIT_BROKEN = 1
_COLUMNS = parse_columns(
    "timestamp:label=TIME, protoPayload.authenticationInfo.principalEmail:label=PRINCIPAL,"
    " protoPayload.methodName:label=METHOD, protoPayload.resourceName:label=RESOURCE,"
    " protoPayload.status.message:label=STATUS"
)


@click.group("audit", cls=Group)
def audit() -> None:
    """Read the audit log in DATA/audit; a server may run meanwhile."""


@audit.command("list", example="fileroom audit list --limit=20 --sort-by=~timestamp")
@data_option
@config_option
@row_options(
    filter_example="protoPayload.status.message=PERMISSION_DENIED",
    format_example="csv(timestamp,protoPayload.methodName)",
)
def list_(data: Path | None, config: Path | None, listing: Listing) -> None:
    """List who did what, oldest first."""
    lines = entries_of(read_settings(config, data=data).audit_directory)
    listing.write(cast("Iterable[JsonObject]", lines), _COLUMNS)


@audit.command("verify", example="fileroom audit verify --data /srv/fileroom")
@data_option
@config_option
@report_format_option
@click.pass_context
def verify(ctx: click.Context, data: Path | None, config: Path | None, output_format: str) -> None:
    """Tell whether every line that was written is there, unchanged and in its order.

    Prints how many there are, from when to when, and the number and hash of the last: note them
    elsewhere, and nobody can cut the log shorter unseen. Exit code 1 where the chain is broken,
    with the first place where it is.
    """
    verdict = verify_audit(read_settings(config, data=data))
    click.echo(
        json.dumps(_to_body(verdict), indent=2) if output_format == "json" else _text(verdict)
    )
    if verdict.broken is not None:
        ctx.exit(EXIT_BROKEN)


def _to_body(verdict: Verdict) -> dict[str, object]:
    head = verdict.head
    return {
        "lines": verdict.lines,
        "segments": verdict.segments,
        "from": verdict.began_at,
        "to": verdict.ended_at,
        "missedAccesses": verdict.missed,
        "last": None if head is None else {"sequence": head.sequence, "sha256": head.digest},
        "broken": verdict.broken,
    }


def _text(verdict: Verdict) -> str:
    told = [f"{verdict.lines:,} lines in {verdict.segments:,} segments"]
    if verdict.lines:
        told.append(f"from {verdict.began_at} to {verdict.ended_at}")
    if verdict.head is not None:
        told.append(f"last line {verdict.head.sequence}, SHA-256 {verdict.head.digest}")
    if verdict.missed:
        told.append(f"{verdict.missed:,} accesses have no line: the disk took none")
    told.append("OK" if verdict.broken is None else f"BROKEN: {verdict.broken}")
    return "\n".join(told)
