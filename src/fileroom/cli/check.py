"""``fileroom check``: whether every instance is there and whole."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING

import click

from fileroom.archive.check import Fault
from fileroom.archive.drift import Drift
from fileroom.cli.groups import Command
from fileroom.cli.output.printable import printable
from fileroom.cli.settings_options import (
    buckets_option,
    config_option,
    data_option,
    read_settings,
    report_format_option,
)
from fileroom.upkeep import check_data

if TYPE_CHECKING:
    from pathlib import Path

    from fileroom.archive.check import Finding
    from fileroom.database.collection import KnownPlace

EXIT_FOUND = 3


@click.command("check", cls=Command, example="fileroom check --data /srv/fileroom --deep")
@data_option
@config_option
@buckets_option
@report_format_option
@click.option(
    "--deep",
    is_flag=True,
    help="Read every byte: compare checksums, and what the files say with the index.",
)
@click.pass_context
def check(
    ctx: click.Context,
    data: Path | None,
    config: Path | None,
    buckets: tuple[str, ...],
    output_format: str,
    *,
    deep: bool,
) -> None:
    """Compare rows with blobs and sources; the server must not run meanwhile.

    Prints a line for each instance whose bytes are missing or differ, or whose source is changed or
    gone where it is kept by reference, and for each blob in which no row names any, then their
    number.
    Nothing is changed: the server drops orphans by itself. Exit code 0 where all is well, 3 where
    an instance is missing or differs.
    """
    found = Counter[Fault]()
    told: list[dict[str, object]] = []
    settings = read_settings(config, data=data, buckets=buckets)
    with check_data(settings, deep=deep) as findings:
        for finding in findings:
            found[finding.fault] += 1
            if output_format == "json":
                told.append(_as_json(finding))
            else:
                click.echo(_line(finding))
    harmless = found.pop(Fault.ORPHANED, 0)
    if output_format == "json":
        whole = {"findings": told, "faults": found.total(), "orphaned": harmless}
        click.echo(json.dumps(whole, indent=2))
    else:
        counts = ", ".join(f"{count} {fault}" for fault, count in sorted(found.items()))
        click.echo(f"{counts or 'all instances are there'}; {harmless} orphaned blobs")
    if found:
        ctx.exit(EXIT_FOUND)


def _line(finding: Finding | Drift) -> str:
    if isinstance(finding, Drift):
        told = f"{finding.fault} {finding.uri} {finding.instance or ''}".rstrip()
        return printable(f"{told}: {finding.cause}" if finding.cause else told)
    told = f" {finding.instance}" if finding.instance is not None else ""
    why = finding.cause or ", ".join(finding.attributes)
    return f"{finding.fault} {finding.path}{_of(finding.place)}{told}{why and f': {why}'}"


def _as_json(finding: Finding | Drift) -> dict[str, object]:
    instance = None if finding.instance is None else str(finding.instance)
    told: dict[str, object] = {"fault": str(finding.fault), "instance": instance}
    if isinstance(finding, Drift):
        return told | {"uri": finding.uri, "cause": finding.cause}
    told["path"] = finding.path
    if finding.fault is Fault.DIFFERING_ATTRIBUTES:
        told |= {"attributes": list(finding.attributes), "cause": finding.cause}
    place = finding.place
    if place is not None:
        sha256 = None if place.sha256 is None else place.sha256.hex()
        told |= {"offset": place.offset, "size": place.size, "sha256": sha256}
    return told


def _of(place: KnownPlace | None) -> str:
    """Give what an operator needs to find the good file and put it in its place."""
    if place is None:
        return ""
    sha256 = f", sha256 {place.sha256.hex()}" if place.sha256 is not None else ""
    return f" at byte {place.offset}: {place.size} bytes{sha256}"
