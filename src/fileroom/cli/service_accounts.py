"""``fileroom service-accounts``: who programs are, and the key files by which they prove it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fileroom.cli.connection import Connection, confirm, connected
from fileroom.cli.groups import Group
from fileroom.cli.output.listing import Listing, list_options
from fileroom.cli.output.projections import parse_columns
from fileroom.cli.output.rendering import Format, field, format_option, write_many, write_one
from fileroom.errors import AlreadyExists, FailedPrecondition, InvalidArgument
from fileroom.names import ServiceAccountName, parse_account_email

if TYPE_CHECKING:
    from fileroom.client import Client, JsonObject

_COLUMNS = parse_columns(
    "displayName:label=DISPLAY_NAME, email:label=EMAIL,"
    " disabled.yesno(yes=yes,no=no):label=DISABLED"
)
_KEY_COLUMNS = [field("KEY_ID", "id"), field("CREATED_AT", "validAfterTime")]
_account = click.argument("account")
_owner = click.option(
    "--iam-account", "account", required=True, help="The account; its email, or its first part."
)


def _name(connection: Connection, text: str) -> ServiceAccountName:
    """Give the account that an email, or its first part in the project at hand, means."""
    try:
        if "@" in text:
            return parse_account_email(text)
        return ServiceAccountName(connection.location_name().project, text)
    except InvalidArgument as error:
        raise click.UsageError(error.message) from error


@click.group("service-accounts", cls=Group)
def service_accounts() -> None:
    """Manage service accounts, by which programs prove who they are."""


@service_accounts.command(
    "create", example="fileroom service-accounts create importer --project=hospital"
)
@_account
@click.option("--display-name", default="", help="What it is for.")
@format_option("yaml")
@connected
def create(connection: Connection, account: str, display_name: str, output_format: Format) -> None:
    """Create a service account; it may do nothing until a policy names it."""
    name = _name(connection, account)
    with connection.open() as client:
        made = client.service_accounts.create(name, display_name=display_name)
    click.echo(f"Created service account [{name.account_id}].", err=True)
    write_one(made, output_format)


@service_accounts.command("list", example="fileroom service-accounts list --project=hospital")
@list_options
@connected
def list_(connection: Connection, listing: Listing) -> None:
    """List the service accounts of a project."""
    project = connection.location_name().project
    with connection.open() as client:
        found = client.service_accounts.list_(project, page_size=listing.request_size)
        listing.write_resources(client, found, _COLUMNS)


@service_accounts.command(
    "describe", example="fileroom service-accounts describe importer --project=hospital"
)
@_account
@format_option("yaml")
@connected
def describe(connection: Connection, account: str, output_format: Format) -> None:
    """Print a service account."""
    name = _name(connection, account)
    with connection.open() as client:
        write_one(client.service_accounts.get(name), output_format)


@service_accounts.command(
    "delete", example="fileroom service-accounts delete importer --project=hospital --quiet"
)
@_account
@connected
def delete(connection: Connection, account: str) -> None:
    """Delete a service account with its keys; what they signed counts no more."""
    name = _name(connection, account)
    confirm(connection, f"You are about to delete service account [{name.email}].")
    with connection.open() as client:
        client.service_accounts.delete(name)
    click.echo(f"deleted service account [{name.email}]", err=True)


@service_accounts.command(
    "disable", example="fileroom service-accounts disable importer --project=hospital"
)
@_account
@connected
def disable(connection: Connection, account: str) -> None:
    """Have a service account count no more, until it is enabled."""
    name = _name(connection, account)
    with connection.open() as client:
        client.service_accounts.disable(name)
    click.echo(f"Disabled service account [{name.email}].", err=True)


@service_accounts.command(
    "enable", example="fileroom service-accounts enable importer --project=hospital"
)
@_account
@connected
def enable(connection: Connection, account: str) -> None:
    """Have a service account count again."""
    name = _name(connection, account)
    with connection.open() as client:
        client.service_accounts.enable(name)
    click.echo(f"Enabled service account [{name.email}].", err=True)


@service_accounts.group("keys", cls=Group)
def keys() -> None:
    """Manage the keys of a service account."""


@keys.command(
    "create",
    example="fileroom service-accounts keys create key.json --iam-account=importer"
    " --project=hospital",
)
@click.argument("output_file", metavar="OUTPUT_FILE", type=click.Path(path_type=Path))
@_owner
@connected
def create_key(connection: Connection, output_file: Path, account: str) -> None:
    """Make a key and write its file, which only its owner can read.

    The file is for GOOGLE_APPLICATION_CREDENTIALS. It is nowhere else: who loses it makes another.
    """
    name = _name(connection, account)
    descriptor = _new_file(output_file)
    with os.fdopen(descriptor, "wb") as file:
        try:
            with connection.open() as client:
                key, content = client.service_accounts.create_key(name)
            file.write(content)
        except BaseException:
            output_file.unlink(missing_ok=True)
            raise
    key_id = str(key.get("name", "")).rpartition("/")[2]
    click.echo(f"created key [{key_id}] as [{output_file}] for [{name.email}]", err=True)


@keys.command(
    "list",
    example="fileroom service-accounts keys list --iam-account=importer --project=hospital",
)
@_owner
@format_option("table")
@connected
def list_keys(connection: Connection, account: str, output_format: Format) -> None:
    """List the keys of a service account, oldest first."""
    name = _name(connection, account)
    with connection.open() as client:
        write_many(_keys(client, name), _KEY_COLUMNS, output_format)


@keys.command(
    "delete",
    example="fileroom service-accounts keys delete 0a1b --iam-account=importer --project=hospital",
)
@click.argument("key_id", metavar="KEY_ID")
@_owner
@connected
def delete_key(connection: Connection, key_id: str, account: str) -> None:
    """Delete a key; what it signed counts no more."""
    name = _name(connection, account)
    confirm(connection, f"You are about to delete key [{key_id}] of [{name.email}].")
    with connection.open() as client:
        client.service_accounts.delete_key(name, key_id)
    click.echo(f"deleted key [{key_id}] for service account [{name.email}]", err=True)


def _keys(client: Client, name: ServiceAccountName) -> list[JsonObject]:
    return [
        key | {"id": str(key.get("name", "")).rpartition("/")[2]}
        for key in client.service_accounts.list_keys(name)
    ]


def _new_file(path: Path) -> int:
    """Make the file before the key, so that no key is made whose file cannot be kept."""
    try:
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError as error:
        raise AlreadyExists(f"{path} exists already: choose another file", "output_file") from error
    except OSError as error:
        raise FailedPrecondition(
            f"{path} cannot be written: {error.strerror}", "output_file"
        ) from error
