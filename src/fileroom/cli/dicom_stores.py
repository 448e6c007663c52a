"""``fileroom dicom-stores``; import and export are in ``transferring``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from fileroom.cli.connection import Connection, confirm, connected, dataset_option
from fileroom.cli.deidentifying import deidentify_options, to_config
from fileroom.cli.following import begin, detach_option
from fileroom.cli.groups import Group, LazyCommand
from fileroom.cli.iam import DICOM_STORES, add_policy_commands
from fileroom.cli.output.listing import Listing, list_options
from fileroom.cli.output.projections import parse_columns
from fileroom.cli.output.rendering import (
    Format,
    answer_format_option,
    format_option,
    result_format_option,
    write_one,
)
from fileroom.cli.storing import store_each
from fileroom.cli.transfer_options import STORAGE_CLASS, filter_option, storage_class_option

if TYPE_CHECKING:
    from collections.abc import Callable

    from fileroom.client import JsonObject

_COLUMNS = parse_columns(
    "name.scope(dicomStores):label=ID, name.scope(locations).segment(0):label=LOCATION,"
    "notificationConfig.pubsubTopic:label=TOPIC,"
    "notificationConfig.sendForBulkImport:label=BULKIMPORT,"
    "streamConfigs.bigqueryDestination.tableUri:label=BQDESTINATION"
)


def _settings_options(command: Callable[..., None]) -> Callable[..., None]:
    for option in (
        click.option("--stream-configs", help="BigQuery tables bq://P.D.T, separated by commas."),
        click.option(
            "--send-for-bulk-import/--no-send-for-bulk-import",
            default=None,
            help="Whether an import notifies the topic too.",
        ),
        click.option("--pubsub-topic", help="Topic of notifications, projects/P/topics/T."),
    ):
        command = option(command)
    return command


_TRANSFERS = {
    "import": LazyCommand("fileroom.cli.transferring", "import_", "Import instances."),
    "export": LazyCommand("fileroom.cli.transferring", "export", "Export instances."),
}


@click.group("dicom-stores", cls=Group, lazy=_TRANSFERS)
def dicom_stores() -> None:
    """Manage DICOM stores; import and export."""


@dicom_stores.command("create", example="fileroom dicom-stores create trial --dataset=ct")
@click.argument("dicom_store")
@dataset_option
@_settings_options
@answer_format_option
@connected
def create(
    connection: Connection,
    dicom_store: str,
    dataset: str | None,
    pubsub_topic: str | None,
    send_for_bulk_import: bool | None,
    stream_configs: str | None,
    output_format: Format,
) -> None:
    """Create a DICOM store."""
    name = connection.dicom_store(dicom_store, dataset)
    settings, _ = to_settings(pubsub_topic, send_for_bulk_import, stream_configs)
    with connection.open() as client:
        created = client.create_dicom_store(name, settings)
    click.echo(f"Created dicomStore [{name.dicom_store_id}].", err=True)
    write_one(created.body, output_format)


@dicom_stores.command("list", example="fileroom dicom-stores list --dataset=ct")
@click.option("--dataset", required=True, help="Dataset; id or full name.")
@list_options
@connected
def list_(connection: Connection, dataset: str, listing: Listing) -> None:
    """List the DICOM stores of a dataset."""
    parent = connection.dataset(dataset)
    with connection.open() as client:
        found = client.list_dicom_stores(parent, page_size=listing.request_size)
        listing.write_resources(client, (item.body for item in found), _COLUMNS)


@dicom_stores.command("describe", example="fileroom dicom-stores describe trial --dataset=ct")
@click.argument("dicom_store")
@dataset_option
@format_option("yaml")
@connected
def describe(
    connection: Connection, dicom_store: str, dataset: str | None, output_format: Format
) -> None:
    """Print a DICOM store."""
    name = connection.dicom_store(dicom_store, dataset)
    with connection.open() as client:
        write_one(client.get_dicom_store(name).body, output_format)


@dicom_stores.command("metrics", example="fileroom dicom-stores metrics trial --dataset=ct")
@click.argument("dicom_store")
@dataset_option
@format_option("yaml")
@connected
def metrics(
    connection: Connection, dicom_store: str, dataset: str | None, output_format: Format
) -> None:
    """Print how many studies, series, instances and bytes a DICOM store holds."""
    name = connection.dicom_store(dicom_store, dataset)
    with connection.open() as client:
        write_one(client.get_dicom_store_metrics(name).body, output_format)


@dicom_stores.command(
    "update",
    example="fileroom dicom-stores update trial --dataset=ct --pubsub-topic=projects/p/topics/t",
)
@click.argument("dicom_store")
@dataset_option
@_settings_options
@format_option("yaml")
@connected
def update(
    connection: Connection,
    dicom_store: str,
    dataset: str | None,
    pubsub_topic: str | None,
    send_for_bulk_import: bool | None,
    stream_configs: str | None,
    output_format: Format,
) -> None:
    """Change a DICOM store."""
    name = connection.dicom_store(dicom_store, dataset)
    settings, update_mask = to_settings(pubsub_topic, send_for_bulk_import, stream_configs)
    if not update_mask:
        raise click.UsageError(
            "nothing to change: give --pubsub-topic, --send-for-bulk-import or --stream-configs"
        )
    with connection.open() as client:
        changed = client.patch_dicom_store(name, settings, update_mask=update_mask)
    click.echo(f"Updated dicomStore [{name.dicom_store_id}].", err=True)
    write_one(changed.body, output_format)


@dicom_stores.command("delete", example="fileroom dicom-stores delete trial --dataset=ct --quiet")
@click.argument("dicom_store")
@dataset_option
@answer_format_option
@connected
def delete(
    connection: Connection, dicom_store: str, dataset: str | None, output_format: Format
) -> None:
    """Delete a DICOM store with all its instances."""
    name = connection.dicom_store(dicom_store, dataset)
    confirm(
        connection,
        f"You are about to delete dicomStore [{name.dicom_store_id}] and all its instances.",
    )
    with connection.open() as client:
        client.delete_dicom_store(name)
    click.echo(f"Deleted dicomStore [{name.dicom_store_id}].", err=True)
    write_one({}, output_format)


@dicom_stores.command(
    "store", example="fileroom dicom-stores store trial --dataset=ct slice-1.dcm slice-2.dcm"
)
@click.argument("dicom_store")
@click.argument("files", nargs=-1, required=True, type=click.Path(dir_okay=False))
@dataset_option
@click.option("--replace", is_flag=True, help="Put them in the place of other files of theirs.")
@storage_class_option
@connected
def store(
    connection: Connection,
    dicom_store: str,
    files: tuple[str, ...],
    dataset: str | None,
    replace: bool,
    storage_class: str | None,
) -> None:
    """Send files of this machine to a DICOM store; of many, import a bucket.

    Exit codes: 0 all were stored, 1 the server refused or is gone, 3 some files were not stored.
    """
    name = connection.dicom_store(dicom_store, dataset)
    with connection.open() as client:
        store_each(client, name, files, replace=replace, storage_class=storage_class)


@dicom_stores.command(
    "set-blob-storage-settings",
    example="fileroom dicom-stores set-blob-storage-settings trial --dataset=ct"
    " --storage-class=ARCHIVE",
)
@click.argument("dicom_store")
@dataset_option
@click.option(
    "--storage-class",
    type=STORAGE_CLASS,
    required=True,
    help="Kept with each instance.",
)
@click.option("--path", help="studies/UID[/series/UID[/instances/UID]]; everything unless given.")
@filter_option
@detach_option
@result_format_option
@connected
def set_blob_storage_settings(
    connection: Connection,
    dicom_store: str,
    dataset: str | None,
    storage_class: str,
    path: str | None,
    filter_config_gcs_uri: str,
    detach: bool,
    output_format: Format | None,
) -> None:
    """Set the storage class of instances and follow it to the end.

    It is kept and told; all bytes stay on the same disk.
    """
    name = connection.dicom_store(dicom_store, dataset)
    with connection.open() as client:
        operation = client.set_blob_storage_settings(
            name, storage_class, within=path, filter_config_gcs_uri=filter_config_gcs_uri
        )
        begin(client, operation, output_format, detach=detach)


@dicom_stores.command(
    "promote", example="fileroom dicom-stores promote trial --dataset=ct --path=studies/1.2.3"
)
@click.argument("dicom_store")
@dataset_option
@click.option("--path", help="studies/UID[/series/UID[/instances/UID]]; everything unless given.")
@detach_option
@result_format_option
@connected
def promote(
    connection: Connection,
    dicom_store: str,
    dataset: str | None,
    path: str | None,
    detach: bool,
    output_format: Format | None,
) -> None:
    """Copy instances in that are kept by reference, and follow it to the end.

    Their sources are only read, and may go afterwards. Exit codes: 0 all went well, 1 it failed, 3
    some instances failed.
    """
    name = connection.dicom_store(dicom_store, dataset)
    with connection.open() as client:
        begin(client, client.promote(name, within=path), output_format, detach=detach)


@dicom_stores.command(
    "deidentify",
    example="fileroom dicom-stores deidentify trial --dataset=ct --destination-store=public"
    " --dicom-filter-tags=PatientID,StudyInstanceUID --text-redaction-mode=all",
)
@click.argument("dicom_store")
@dataset_option
@click.option(
    "--destination-store",
    required=True,
    help="DICOM store that exists already; id in the same dataset, or full name.",
)
@deidentify_options
@connected
def deidentify(
    connection: Connection,
    dicom_store: str,
    dataset: str | None,
    destination_store: str,
    dicom_filter_tags: str | None,
    text_redaction_mode: str | None,
    detach: bool,
    output_format: Format | None,
) -> None:
    """De-identify a DICOM store into another; this server does not offer it yet."""
    name = connection.dicom_store(dicom_store, dataset)
    destination = connection.dicom_store(destination_store, str(name.parent))
    config = to_config(dicom_filter_tags, text_redaction_mode)
    with connection.open() as client:
        operation = client.deidentify(name, destination, config)
        begin(client, operation, output_format, detach=detach)


add_policy_commands(dicom_stores, DICOM_STORES)


def to_settings(
    pubsub_topic: str | None, send_for_bulk_import: bool | None, stream_configs: str | None
) -> tuple[JsonObject, list[str]]:
    """Give a DICOM store's settings from the flags that were given, and the mask naming them."""
    settings: JsonObject = {}
    notification: JsonObject = {}
    update_mask: list[str] = []
    if pubsub_topic is not None:
        notification["pubsubTopic"] = pubsub_topic
        update_mask.append("notificationConfig.pubsubTopic")
    if send_for_bulk_import is not None:
        notification["sendForBulkImport"] = send_for_bulk_import
        update_mask.append("notificationConfig.sendForBulkImport")
    if notification:
        settings["notificationConfig"] = notification
    if stream_configs is not None:
        tables = [table.strip() for table in stream_configs.split(",") if table.strip()]
        settings["streamConfigs"] = [{"bigqueryDestination": {"tableUri": t}} for t in tables]
        update_mask.append("streamConfigs")
    return settings, update_mask
