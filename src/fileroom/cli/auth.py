"""``fileroom auth``: what the owner of a data directory can do without a server."""

from __future__ import annotations

import os
from pathlib import Path

import click

from fileroom.auth.token_file import read_access_token
from fileroom.cli.groups import Group
from fileroom.settings import load_settings


@click.group("auth", cls=Group)
def auth() -> None:
    """Show the server's access token."""


@auth.command("print-access-token", example="TOKEN=$(fileroom auth print-access-token)")
@click.option(
    "--data", type=click.Path(path_type=Path), metavar="DIR", help="The server's data directory."
)
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The server's fileroom.toml, which names its data directory.",
)
def print_access_token(data: Path | None, config: Path | None) -> None:
    """Print the access token to the owner of the data directory."""
    click.echo(read_access_token(load_settings({"data": data}, os.environ, config).data))
