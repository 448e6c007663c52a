"""``fileroom collect-garbage``: what no row names any more is collected at once."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from fileroom.cli.groups import Command
from fileroom.cli.settings_options import (
    config_option,
    data_option,
    read_settings,
    report_format_option,
)
from fileroom.upkeep import collect_garbage as collect

if TYPE_CHECKING:
    from pathlib import Path


@click.command(
    "collect-garbage", cls=Command, example="fileroom collect-garbage --data /srv/fileroom"
)
@data_option
@config_option
@report_format_option
def collect_garbage(data: Path | None, config: Path | None, output_format: str) -> None:
    """Collect what is due, orphans included, once; the server must not run meanwhile.

    A server does the same by itself, all the time. What was deleted or replaced a short while ago
    waits for the grace; how much that is, and until when, is told.
    """
    done = collect(read_settings(config, data=data))
    waiting = done.waiting
    first_due = None
    if waiting.first_due is not None:
        first_due = datetime.fromtimestamp(waiting.first_due // 1_000_000, UTC).isoformat()
    if output_format == "json":
        told = {
            "reclaimed": {"places": done.places, "bytes": done.bytes},
            "waiting": {"places": waiting.places, "bytes": waiting.bytes, "firstDue": first_due},
            "deletedDicomStores": done.deleted_stores,
        }
        click.echo(json.dumps(told, indent=2))
        return
    click.echo(f"collected {done.places:,} places, {done.bytes:,} bytes")
    if waiting.places:
        click.echo(
            f"{waiting.places:,} places, {waiting.bytes:,} bytes wait for the grace, the first"
            f" until {first_due}"
        )
    if done.deleted_stores:
        click.echo(f"{done.deleted_stores} deleted DICOM stores wait for operations on them to end")
