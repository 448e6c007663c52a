"""``fileroom auth``: what the owner of a data directory can do without a server."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from fileroom.auth.token_file import read_access_token, read_given_token
from fileroom.cli.groups import Group
from fileroom.cli.settings_options import config_option, data_option, read_settings
from fileroom.errors import FailedPrecondition

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
    settings = read_settings(config, data=data)
    if settings.access_token_file is not None:
        click.echo(read_given_token(settings.access_token_file))
    else:
        click.echo(read_access_token(settings.data))


@auth.command("rotate-access-token", example="fileroom auth rotate-access-token --data /srv/f")
@data_option
@config_option
def rotate_access_token(data: Path | None, config: Path | None) -> None:
    """Make another access token; servers take it, and no other, once they start again."""
    from fileroom.auth.authenticate import rotate_access_token as rotate
    from fileroom.database.engine import open_database
    from fileroom.upkeep.owning import check_there

    settings = read_settings(config, data=data)
    if settings.access_token_file is not None:
        raise FailedPrecondition(
            f"the token is that of {settings.access_token_file}: put another into the file, and"
            " start the servers again",
            "access_token_file",
        )
    check_there(settings)
    database = open_database(settings.database_place)
    try:
        rotate(database, settings.data)
    finally:
        database.close()
    click.echo(
        "Another access token is in the data directory; start the servers again, and they take no"
        " other. `fileroom auth print-access-token` prints it.",
        err=True,
    )
