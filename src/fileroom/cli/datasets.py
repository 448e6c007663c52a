"""``fileroom datasets``."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

import click

from fileroom.cli.connection import Connection, confirm, connected
from fileroom.cli.following import raise_for_error
from fileroom.cli.groups import Group
from fileroom.cli.rendering import (
    Column,
    Format,
    field,
    format_option,
    limit_option,
    name_segment,
    write_many,
    write_one,
)

if TYPE_CHECKING:
    from fileroom.client import Json, JsonObject


def _pick_key(body: JsonObject) -> Json:
    # gcloud says "Google-managed key" where there is none, which would be untrue of this server.
    return field("", "encryptionSpec", "kmsKeyName").pick(body) or "none"


_COLUMNS = [
    name_segment("ID", "datasets"),
    name_segment("LOCATION", "locations"),
    field("TIMEZONE", "timeZone"),
    Column("ENCRYPTION", _pick_key),
]


@click.group("datasets", cls=Group)
def datasets() -> None:
    """Manage datasets, the owners of DICOM stores."""


@datasets.command("create", example="fileroom datasets create ct --time-zone=Europe/Paris")
@click.argument("dataset")
@click.option("--time-zone", default="", help="Default time zone, such as Europe/Paris.")
@click.option("--async", "detach", is_flag=True, help="Print the operation's name; do not wait.")
@connected
def create(connection: Connection, dataset: str, time_zone: str, detach: bool) -> None:
    """Create a dataset."""
    name = connection.dataset(dataset)
    with connection.open() as client:
        operation = client.create_dataset(name, time_zone=time_zone)
        if detach:
            write_one(operation.body, "yaml")
            return
        raise_for_error(client.wait(operation))
    click.echo(f"Created dataset [{name.dataset_id}].", err=True)


@datasets.command("list", example="fileroom datasets list --location=us-central1")
@format_option("table", "json", "yaml")
@limit_option
@connected
def list_(connection: Connection, output_format: Format, limit: int | None) -> None:
    """List the datasets of a location."""
    parent = connection.location_name()
    with connection.open() as client:
        found = client.list_datasets(parent, page_size=limit)
        write_many((dataset.body for dataset in islice(found, limit)), _COLUMNS, output_format)


@datasets.command("describe", example="fileroom datasets describe ct")
@click.argument("dataset")
@format_option("yaml", "json", "table")
@connected
def describe(connection: Connection, dataset: str, output_format: Format) -> None:
    """Print a dataset."""
    name = connection.dataset(dataset)
    with connection.open() as client:
        write_one(client.get_dataset(name).body, output_format)


@datasets.command("update", example="fileroom datasets update ct --time-zone=UTC")
@click.argument("dataset")
@click.option("--time-zone", required=True, help="Default time zone, such as Europe/Paris.")
@format_option("yaml", "json", "table")
@connected
def update(connection: Connection, dataset: str, time_zone: str, output_format: Format) -> None:
    """Change a dataset."""
    name = connection.dataset(dataset)
    with connection.open() as client:
        changed = client.patch_dataset(name, {"timeZone": time_zone}, update_mask=["timeZone"])
    click.echo(f"Updated dataset [{name.dataset_id}].", err=True)
    write_one(changed.body, output_format)


@datasets.command("delete", example="fileroom datasets delete ct --quiet")
@click.argument("dataset")
@connected
def delete(connection: Connection, dataset: str) -> None:
    """Delete a dataset with all its DICOM stores."""
    name = connection.dataset(dataset)
    confirm(connection, f"You are about to delete dataset [{name.dataset_id}] and all its stores.")
    with connection.open() as client:
        client.delete_dataset(name)
    click.echo(f"Deleted dataset [{name.dataset_id}].", err=True)
