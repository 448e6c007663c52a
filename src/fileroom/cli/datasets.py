"""``fileroom datasets``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from fileroom.cli.connection import Connection, confirm, connected
from fileroom.cli.deidentifying import deidentify_options, to_config
from fileroom.cli.following import begin, detach_option, raise_for_error
from fileroom.cli.groups import Group
from fileroom.cli.iam import DATASETS, add_policy_commands
from fileroom.cli.output.listing import Listing, list_options
from fileroom.cli.output.projections import parse_columns
from fileroom.cli.output.rendering import Format, answer_format_option, format_option, write_one

if TYPE_CHECKING:
    from fileroom.client import JsonObject

# gcloud says "Google-managed key" where there is none, which would be untrue of this server.
_COLUMNS = parse_columns(
    "name.scope(datasets):label=ID, name.scope(locations).segment(0):label=LOCATION,"
    "timeZone:label=TIMEZONE, encryptionSpec.kmsKeyName.yesno(no=none):label=ENCRYPTION"
)


@click.group("datasets", cls=Group)
def datasets() -> None:
    """Manage datasets, the owners of DICOM stores."""


@datasets.command("create", example="fileroom datasets create ct --time-zone=Europe/Paris")
@click.argument("dataset")
@click.option("--time-zone", default="", help="Default time zone, such as Europe/Paris.")
@click.option(
    "--encryption-key",
    default="",
    help="Key of Cloud KMS; this server has none, and says so rather than pretend.",
)
@detach_option
@answer_format_option
@connected
def create(
    connection: Connection,
    dataset: str,
    time_zone: str,
    encryption_key: str,
    detach: bool,
    output_format: Format,
) -> None:
    """Create a dataset."""
    name = connection.dataset(dataset)
    with connection.open() as client:
        operation = client.create_dataset(name, time_zone=time_zone, encryption_key=encryption_key)
        click.echo(f"Create request issued for: [{name.dataset_id}]", err=True)
        if detach:
            click.echo(f"Check operation [{operation.name}] for status.", err=True)
            named: JsonObject = {"name": str(operation.name)}
            write_one(named, "yaml" if output_format.name == "none" else output_format)
            return
        raise_for_error(client.wait(operation))
        click.echo(f"Created dataset [{name.dataset_id}].", err=True)
        if output_format.name != "none":
            write_one(client.get_dataset(name).body, output_format)


@datasets.command("list", example="fileroom datasets list --location=us-central1")
@list_options
@connected
def list_(connection: Connection, listing: Listing) -> None:
    """List the datasets of a location."""
    parent = connection.location_name()
    with connection.open() as client:
        found = client.list_datasets(parent, page_size=listing.request_size)
        listing.write_resources(client, (dataset.body for dataset in found), _COLUMNS)


@datasets.command("describe", example="fileroom datasets describe ct")
@click.argument("dataset")
@format_option("yaml")
@connected
def describe(connection: Connection, dataset: str, output_format: Format) -> None:
    """Print a dataset."""
    name = connection.dataset(dataset)
    with connection.open() as client:
        write_one(client.get_dataset(name).body, output_format)


@datasets.command("update", example="fileroom datasets update ct --time-zone=UTC")
@click.argument("dataset")
@click.option("--time-zone", required=True, help="Default time zone, such as Europe/Paris.")
@format_option("yaml")
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
@answer_format_option
@connected
def delete(connection: Connection, dataset: str, output_format: Format) -> None:
    """Delete a dataset with all its DICOM stores."""
    name = connection.dataset(dataset)
    confirm(connection, f"You are about to delete dataset [{name.dataset_id}] and all its stores.")
    with connection.open() as client:
        client.delete_dataset(name)
    click.echo(f"Deleted dataset [{name.dataset_id}].", err=True)
    write_one({}, output_format)


@datasets.command(
    "deidentify",
    example="fileroom datasets deidentify ct --destination-dataset=public"
    " --dicom-filter-tags=PatientID,StudyInstanceUID --text-redaction-mode=all",
)
@click.argument("dataset")
@click.option("--destination-dataset", required=True, help="Dataset to be made; id or full name.")
@click.option(
    "--default-fhir-config/--no-default-fhir-config",
    default=False,
    help="De-identify FHIR stores too, in the usual way.",
)
@deidentify_options
@connected
def deidentify(
    connection: Connection,
    dataset: str,
    destination_dataset: str,
    default_fhir_config: bool,
    dicom_filter_tags: str | None,
    text_redaction_mode: str | None,
    detach: bool,
    output_format: Format | None,
) -> None:
    """De-identify a dataset into a new one; this server does not offer it yet."""
    name = connection.dataset(dataset)
    destination = connection.dataset(destination_dataset)
    config = to_config(dicom_filter_tags, text_redaction_mode, has_fhir=default_fhir_config)
    with connection.open() as client:
        operation = client.deidentify(name, destination, config)
        begin(client, operation, output_format, detach=detach)


add_policy_commands(datasets, DATASETS)
