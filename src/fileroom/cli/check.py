"""``fileroom check``: whether every instance is there and whole."""

from __future__ import annotations

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
)
from fileroom.upkeep import check_data

if TYPE_CHECKING:
    from pathlib import Path

    from fileroom.database.collection import KnownPlace

EXIT_FOUND = 3


@click.command("check", cls=Command, example="fileroom check --data /srv/fileroom --deep")
@data_option
@config_option
@buckets_option
@click.option("--deep", is_flag=True, help="Read every byte and compare checksums.")
@click.pass_context
def check(
    ctx: click.Context,
    data: Path | None,
    config: Path | None,
    buckets: tuple[str, ...],
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
    settings = read_settings(config, data=data, buckets=buckets)
    with check_data(settings, deep=deep) as findings:
        for finding in findings:
            found[finding.fault] += 1
            if isinstance(finding, Drift):
                told = f"{finding.fault} {finding.uri} {finding.instance or ''}".rstrip()
                click.echo(printable(f"{told}: {finding.cause}" if finding.cause else told))
                continue
            told = f" {finding.instance}" if finding.instance is not None else ""
            click.echo(f"{finding.fault} {finding.path}{_of(finding.place)}{told}")
    harmless = found.pop(Fault.ORPHANED, 0)
    counts = ", ".join(f"{count} {fault}" for fault, count in sorted(found.items()))
    click.echo(f"{counts or 'all instances are there'}; {harmless} orphaned blobs")
    if found:
        ctx.exit(EXIT_FOUND)


def _of(place: KnownPlace | None) -> str:
    """Give what an operator needs to find the good file and put it in its place."""
    if place is None:
        return ""
    sha256 = f", sha256 {place.sha256.hex()}" if place.sha256 is not None else ""
    return f" at byte {place.offset}: {place.size} bytes{sha256}"
