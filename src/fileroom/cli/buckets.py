"""``fileroom buckets``: which buckets there are, and whether they can be used."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from fileroom.cli.groups import Group
from fileroom.cli.output.rendering import Format, field, write_many
from fileroom.cli.settings_options import (
    buckets_option,
    config_option,
    data_option,
    format_option,
)
from fileroom.objectstore.buckets import Buckets
from fileroom.objectstore.checking import KINDS, State, check_bucket, kind_of
from fileroom.settings import load_settings

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
    field("REMEDY", "remedy"),
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
    write_many(rows, _LISTED, output_format)


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
    name = name if "://" in name else f"gs://{name}"
    settings = _buckets(data, config, buckets).find(name)
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
    if any(each.state is State.FAILS for each in findings):
        ctx.exit(EXIT_FAILS)


def _buckets(data: Path | None, config: Path | None, given: tuple[str, ...]) -> Buckets:
    settings = load_settings({"data": data, "buckets": given}, os.environ, config)
    return Buckets(settings.named_buckets, settings.buckets_directory)


def place_of(settings: BucketSettings) -> str:
    """Give where a bucket is, and in whose name it is asked."""
    if settings.path is not None:
        return str(settings.path)
    parts = (settings.endpoint, settings.account, settings.region, settings.credentials)
    return ", ".join(part for part in parts if part)
