"""Files of this machine sent to a DICOM store, one after another."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.termui import progressbar

from fileroom.cli.following import EXIT_PARTLY_FAILED
from fileroom.cli.output.printable import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fileroom.client import Client
    from fileroom.names import DicomStoreName


def store_each(
    client: Client,
    name: DicomStoreName,
    files: Sequence[str],
    *,
    replace: bool,
    storage_class: str | None,
) -> None:
    """Send each file in a request of its own, so that each failure has a name, and tell of all."""
    absent = [file for file in files if not Path(file).is_file()]
    if absent:
        raise click.UsageError(f"{absent[0]} is no file; nothing was sent")
    failures = []
    with progressbar(files, label="Storing", file=sys.stderr) as shown:
        for file in shown:
            result = client.store_instances(
                name, [Path(file)], replace=replace, storage_class=storage_class
            )
            failures += [f"{file}: {refused.message}" for refused in result.refused]
    line = f"{len(files):,} file{'' if len(files) == 1 else 's'}: "
    line += f"{len(files) - len(failures):,} stored"
    click.echo(f"{line}, {len(failures):,} failed" if failures else line)
    for failure in failures:
        click.echo(f"  {printable(failure)}")
    if failures:
        click.get_current_context().exit(EXIT_PARTLY_FAILED)
