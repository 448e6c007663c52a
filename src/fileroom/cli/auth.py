"""``fileroom auth``: what the owner of a data directory can do without a server."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from fileroom.auth.token_file import read_access_token
from fileroom.cli.groups import Group
from fileroom.cli.settings_options import config_option, data_option, read_settings

if TYPE_CHECKING:
    from pathlib import Path


@click.group("auth", cls=Group)
def auth() -> None:
    """Show the server's access token."""


@auth.command("print-access-token", example="TOKEN=$(fileroom auth print-access-token)")
@data_option
@config_option
def print_access_token(data: Path | None, config: Path | None) -> None:
    """Print the access token to the owner of the data directory."""
    click.echo(read_access_token(read_settings(config, data=data).data))
