"""``fileroom doctor``: whether machine and settings are fit for an archive."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

import click

from fileroom.cli.groups import Command
from fileroom.cli.output.printable import printable
from fileroom.cli.settings_options import (
    buckets_option,
    config_option,
    data_option,
    read_settings,
    report_format_option,
)
from fileroom.diagnosis import State, diagnose

if TYPE_CHECKING:
    from pathlib import Path

EXIT_FAILS: Final = 3


@click.command("doctor", cls=Command, example="fileroom doctor --data /srv/fileroom")
@data_option
@config_option
@buckets_option
@report_format_option
@click.pass_context
def doctor(
    ctx: click.Context,
    data: Path | None,
    config: Path | None,
    buckets: tuple[str, ...],
    output_format: str,
) -> None:
    """Look at database, disks, clock, limits, codecs and buckets; a server may run meanwhile.

    Prints a line for each with ok, warn or fail, and what to do about it. Nothing is changed. Exit
    code 0 where nothing fails, 3 where something does.
    """
    signs = list(diagnose(read_settings(config, data=data, buckets=buckets)))
    if output_format == "json":
        told = [
            {
                "of": sign.of,
                "state": str(sign.state),
                "message": sign.message,
                "remedy": sign.remedy,
            }
            for sign in signs
        ]
        click.echo(json.dumps(told, indent=2))
    else:
        for sign in signs:
            click.echo(printable(f"{sign.state:4} {sign.of}: {sign.message}"))
            if sign.remedy:
                click.echo(printable(f"     {sign.remedy}"))
    if any(sign.state is State.FAIL for sign in signs):
        ctx.exit(EXIT_FAILS)
