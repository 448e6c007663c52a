"""The flags of commands that look at settings and a data directory themselves, not at a server."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click

from fileroom.errors import FileroomError
from fileroom.settings import Settings, load_settings

C = TypeVar("C", bound=Callable[..., object])

data_option = click.option(
    "--data",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="The data directory: database, blobs and local buckets.",
)
config_option = click.option(
    "--config",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Settings; ./fileroom.toml if it is there.",
)
format_option = click.option(
    "--format",
    "output_format",
    type=click.Choice(("table", "json", "yaml", "csv")),
    default="table",
    show_default=True,
    help="Form of the output.",
)
report_format_option = click.option(
    "--format",
    "output_format",
    type=click.Choice(("text", "json")),
    default="text",
    show_default=True,
    help="Lines to read, or one JSON object.",
)
buckets_option = click.option(
    "--bucket",
    "buckets",
    multiple=True,
    metavar="NAME=DIR",
    help="Serve a local directory as gs://NAME; may be repeated.",
)


def read_settings(config: Path | None, **flags: object) -> Settings:
    """Give the settings of this command; what is wrong in them is wrong in how it was given."""
    try:
        return load_settings(flags, os.environ, config)
    except FileroomError as error:
        raise click.UsageError(error.message) from error


def server_options(command: C) -> C:
    """Add the flags that a server is started with."""
    for option in reversed(_SERVER_OPTIONS):
        command = option(command)
    return command


_SERVER_OPTIONS = (
    config_option,
    data_option,
    click.option("--host", metavar="ADDRESS", help="Address to listen on; 127.0.0.1 unless given."),
    click.option("--port", type=int, metavar="PORT", help="Port; 8080 unless given, 0 a free one."),
    buckets_option,
    click.option(
        "--auth",
        type=click.Choice(["token", "service-account", "oidc", "none"]),
        help="token and service-account, unless given; none lets everybody on this machine in.",
    ),
    click.option(
        "--log-level",
        type=click.Choice(["DEBUG", "INFO", "WARNING", "ERROR"], case_sensitive=False),
        help="Least severity that is logged; INFO unless given.",
    ),
)
