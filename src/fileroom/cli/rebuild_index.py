"""``fileroom rebuild-index``: a database that was lost is made again from blobs alone."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Final

import click

from fileroom.cli.groups import Command
from fileroom.cli.output.printable import printable
from fileroom.cli.settings_options import (
    config_option,
    data_option,
    read_settings,
    report_format_option,
)
from fileroom.upkeep import NOT_RESTORED
from fileroom.upkeep import rebuild_index as rebuild

if TYPE_CHECKING:
    from pathlib import Path

    from fileroom.upkeep import RebuiltStore

EXIT_UNREADABLE: Final = 3
_LINE_SECONDS: Final = 5.0


@click.command("rebuild-index", cls=Command, example="fileroom rebuild-index --data /srv/fileroom")
@data_option
@config_option
@report_format_option
@click.pass_context
def rebuild_index(
    ctx: click.Context, data: Path | None, config: Path | None, output_format: str
) -> None:
    """Make the rows of an empty database from blobs alone; the server must not run meanwhile.

    Takes a data directory, or a PostgreSQL, whose database is not there or empty. What was deleted
    stays deleted. Blobs are only read. A run that was interrupted goes on when it is repeated, and
    no server starts before that. Tells what was restored, which blobs could not be read, and what
    is told nowhere beside the blobs. Exit code 3 where some could not be read.
    """
    settings = read_settings(config, data=data)
    told = rebuild(settings, _Progress())
    if output_format == "json":
        click.echo(json.dumps(_as_json(told), indent=2))
    else:
        for store in told:
            _tell(store)
        click.echo("What blobs do not tell is not restored:")
        for lost in NOT_RESTORED:
            click.echo(f"  {lost}")
    if any(store.content.unreadable for store in told):
        ctx.exit(EXIT_UNREADABLE)


class _Progress:
    """Says now and then how far it is."""

    def __init__(self) -> None:
        self._said_at = time.monotonic()

    def __call__(self, store: str, instances: int) -> None:
        if time.monotonic() - self._said_at >= _LINE_SECONDS:
            self._said_at = time.monotonic()
            click.echo(printable(f"{store}: {instances:,} instances so far"), err=True)


def _tell(store: RebuiltStore) -> None:
    content = store.content
    if store.deleted:
        click.echo(printable(f"{store.name}: deleted; its blobs are purged by the next server"))
        return
    counts = {
        "of them where an earlier run had been": content.known,
        "deleted or replaced before, and left so": content.deleted,
        "superseded by a newer file": len(content.superseded),
        "copies": content.copies,
        "unreadable": len(content.unreadable),
    }
    parts = [f"{content.instances + content.known:,} instances"]
    parts += [f"{count:,} {what}" for what, count in counts.items() if count]
    click.echo(printable(f"{store.name}: {', '.join(parts)}"))
    if store.former_name != store.name:
        former = store.former_name or "told nowhere"
        click.echo(printable(f"  its name was {former}; that is not to be had"))
    for path in content.superseded:
        click.echo(f"  two different files, the newer one is shown: {path}")
    for one in content.unreadable:
        click.echo(printable(f"  UNREADABLE {one.path} at byte {one.offset}: {one.cause}"))
    for strange in content.strange:
        click.echo(printable(f"  not written by Fileroom, and left alone: {strange}"))


def _as_json(told: list[RebuiltStore]) -> dict[str, object]:
    return {
        "dicomStores": [
            {
                "name": store.name,
                "formerName": store.former_name,
                "deleted": store.deleted,
                "instances": store.content.instances,
                "alreadyThere": store.content.known,
                "deletedPlaces": store.content.deleted,
                "copies": store.content.copies,
                "superseded": [str(path) for path in store.content.superseded],
                "unreadable": [
                    {"path": one.path, "offset": one.offset, "cause": one.cause}
                    for one in store.content.unreadable
                ],
                "strange": store.content.strange,
            }
            for store in told
        ],
        "notRestored": list(NOT_RESTORED),
    }
