"""The flags of commands that look at settings and a data directory themselves, not at a server."""

from __future__ import annotations

from pathlib import Path

import click

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
buckets_option = click.option(
    "--bucket",
    "buckets",
    multiple=True,
    metavar="NAME=DIR",
    help="Serve a local directory as gs://NAME; may be repeated.",
)
