"""``fileroom buckets``: which buckets there are, and whether they can be used."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from fileroom.cli.groups import Group
from fileroom.cli.output.rendering import Format, field, write_many
from fileroom.cli.settings_options import (
    buckets_option,
    config_option,
    data_option,
    format_option,
    read_settings,
)
from fileroom.objectstore.buckets import Buckets
from fileroom.objectstore.checking import KINDS, State, check_bucket, kind_of

if TYPE_CHECKING:
    from pathlib import Path

    from fileroom.client import JsonObject
    from fileroom.objectstore.buckets import BucketSettings

EXIT_FAILS = 3
_LISTED = [
    field("BUCKET", "bucket"),
    field("KIND", "kind"),
    field("PLACE", "place"),
    field("ALLOW", "allow"),
    field("STORES", "stores"),
]
_CHECKED = [
    field("RIGHT", "right"),
    field("STATE", "state"),
    field("WHAT", "message"),
]


@click.group("buckets", cls=Group)
def buckets() -> None:
    """List the buckets of the settings, and check what works in them."""


@buckets.command("list", example="fileroom buckets list --config fileroom.toml")
@data_option
@config_option
@buckets_option
@format_option
def list_(
    data: Path | None, config: Path | None, buckets: tuple[str, ...], output_format: Format
) -> None:
    """Print every bucket that a server on these settings would serve."""
    rows: list[JsonObject] = []
    missing: list[str] = []
    known = _buckets(data, config, buckets)
    for name in known.names():
        settings = known.find(name)
        if settings is not None:
            rows.append(
                {
                    "bucket": name,
                    "kind": KINDS[kind_of(settings)],
                    "place": place_of(settings),
                    "allow": ", ".join(sorted(settings.allow)),
                    "stores": ", ".join(settings.stores),
                }
            )
            if settings.path is not None and not settings.path.is_dir():
                missing.append(f"WARNING: {name} is missing: {settings.path} is no directory")
    write_many(rows, _LISTED, output_format)
    for line in missing:
        click.echo(line, err=True)


@buckets.command("check", example="fileroom buckets check s3://scans --config fileroom.toml")
@click.argument("name")
@data_option
@config_option
@buckets_option
@format_option
@click.pass_context
def check(
    ctx: click.Context,
    name: str,
    data: Path | None,
    config: Path | None,
    buckets: tuple[str, ...],
    output_format: Format,
) -> None:
    """Try to list, read, write and delete in a bucket, as far as the settings allow.

    Nothing is left in the bucket: an upload is begun and given up, and what is deleted was not
    there. Exit code 0 where all that is allowed works, 3 where something does not.
    """
    known = _buckets(data, config, buckets)
    name = _full_name(known, name)
    settings = known.find(name)
    if settings is None:
        raise click.UsageError(
            f'there is no bucket {name}; name it in the settings under [buckets."{name}"], or see:'
            " fileroom buckets list"
        )
    findings = list(check_bucket(settings))
    rows: list[JsonObject] = [
        {
            "right": each.right,
            "state": str(each.state),
            "message": each.message,
            "remedy": each.remedy,
        }
        for each in findings
    ]
    write_many(rows, _CHECKED, output_format)
    remedies: dict[str, list[str]] = {}
    for each in findings:
        if each.remedy:
            remedies.setdefault(each.remedy, []).append(each.right)
    for remedy, rights in remedies.items():
        click.echo(f"{', '.join(rights)}: {remedy}", err=True)
    if any(each.state is State.FAILS for each in findings):
        ctx.exit(EXIT_FAILS)


def _buckets(data: Path | None, config: Path | None, given: tuple[str, ...]) -> Buckets:
    settings = read_settings(config, data=data, buckets=given)
    return Buckets(settings.named_buckets, settings.buckets_directory)


def _full_name(known: Buckets, name: str) -> str:
    """Give a bucket's name with its scheme; that may be left out where no other has the name."""
    if "://" in name:
        return name
    named = [each for each in known.names() if each.partition("://")[2] == name]
    if len(named) > 1:
        raise click.UsageError(f"which of {', '.join(named)} is meant?")
    return named[0] if named else f"gs://{name}"


def place_of(settings: BucketSettings) -> str:
    """Give where a bucket is, and in whose name it is asked."""
    if settings.path is not None:
        return str(settings.path)
    parts = (settings.endpoint, settings.account, settings.region, settings.credentials)
    return ", ".join(part for part in parts if part)
