"""``fileroom dicom-stores``, import and export among them."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

import click

from fileroom.cli.connection import Connection, confirm, connected, dataset_option
from fileroom.cli.following import begin, detach_option
from fileroom.cli.groups import Group
from fileroom.cli.rendering import (
    Column,
    Format,
    field,
    format_option,
    limit_option,
    name_segment,
    result_format_option,
    write_many,
    write_one,
)
from fileroom.cli.storing import store_each
from fileroom.client.values import objects
from fileroom.dicom.media_types import export_mime_types

if TYPE_CHECKING:
    from collections.abc import Callable

    from fileroom.client import Json, JsonObject


def _pick_tables(body: JsonObject) -> Json:
    table = field("", "bigqueryDestination", "tableUri")
    return [table.pick(stream) for stream in objects(body, "streamConfigs")] or None


_COLUMNS = [
    name_segment("ID", "dicomStores"),
    name_segment("LOCATION", "locations"),
    field("TOPIC", "notificationConfig", "pubsubTopic"),
    field("BULKIMPORT", "notificationConfig", "sendForBulkImport"),
    Column("BQDESTINATION", _pick_tables),
]
_storage_classes = click.Choice(["STANDARD", "NEARLINE", "COLDLINE", "ARCHIVE"])


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


@click.group("dicom-stores", cls=Group)
def dicom_stores() -> None:
    """Manage DICOM stores; import and export."""


@dicom_stores.command("create", example="fileroom dicom-stores create trial --dataset=ct")
@click.argument("dicom_store")
@dataset_option
@_settings_options
@connected
def create(
    connection: Connection,
    dicom_store: str,
    dataset: str | None,
    pubsub_topic: str | None,
    send_for_bulk_import: bool | None,
    stream_configs: str | None,
) -> None:
    """Create a DICOM store."""
    name = connection.dicom_store(dicom_store, dataset)
    settings, _ = to_settings(pubsub_topic, send_for_bulk_import, stream_configs)
    with connection.open() as client:
        client.create_dicom_store(name, settings)
    click.echo(f"Created dicomStore [{name.dicom_store_id}].", err=True)


@dicom_stores.command("list", example="fileroom dicom-stores list --dataset=ct")
@click.option("--dataset", required=True, help="Dataset; id or full name.")
@format_option("table", "json", "yaml")
@limit_option
@connected
def list_(connection: Connection, dataset: str, output_format: Format, limit: int | None) -> None:
    """List the DICOM stores of a dataset."""
    parent = connection.dataset(dataset)
    with connection.open() as client:
        found = client.list_dicom_stores(parent, page_size=limit)
        write_many((item.body for item in islice(found, limit)), _COLUMNS, output_format)


@dicom_stores.command("describe", example="fileroom dicom-stores describe trial --dataset=ct")
@click.argument("dicom_store")
@dataset_option
@format_option("yaml", "json", "table")
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
@format_option("yaml", "json", "table")
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
@format_option("yaml", "json", "table")
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
@connected
def delete(connection: Connection, dicom_store: str, dataset: str | None) -> None:
    """Delete a DICOM store with all its instances."""
    name = connection.dicom_store(dicom_store, dataset)
    confirm(
        connection,
        f"You are about to delete dicomStore [{name.dicom_store_id}] and all its instances.",
    )
    with connection.open() as client:
        client.delete_dicom_store(name)
    click.echo(f"Deleted dicomStore [{name.dicom_store_id}].", err=True)


@dicom_stores.command(
    "store", example="fileroom dicom-stores store trial --dataset=ct slice-1.dcm slice-2.dcm"
)
@click.argument("dicom_store")
@click.argument("files", nargs=-1, required=True, type=click.Path(dir_okay=False))
@dataset_option
@click.option("--replace", is_flag=True, help="Put them in the place of other files of theirs.")
@click.option(
    "--storage-class",
    type=click.Choice(["STANDARD", "NEARLINE", "COLDLINE", "ARCHIVE"]),
    help="Kept with each instance; STANDARD unless given.",
)
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


@dicom_stores.group("import")
def import_() -> None:
    """Import instances."""


@import_.command(
    "gcs", example="fileroom dicom-stores import gcs trial --dataset=ct --gcs-uri='gs://demo/**'"
)
@click.argument("dicom_store")
@dataset_option
@click.option(
    "--gcs-uri",
    required=True,
    help="gs://BUCKET/OBJECT; * and ? match within a directory, a closing ** or **.dcm below it.",
)
@click.option(
    "--storage-class",
    type=_storage_classes,
    help="Kept with each instance; STANDARD unless given.",
)
@detach_option
@result_format_option
@connected
def import_gcs(
    connection: Connection,
    dicom_store: str,
    dataset: str | None,
    gcs_uri: str,
    storage_class: str | None,
    detach: bool,
    output_format: Format | None,
) -> None:
    """Import the objects of a bucket and follow it to the end.

    Ctrl-C leaves it running. Exit codes: 0 all went well, 1 it failed, 3 some objects failed.
    """
    name = connection.dicom_store(dicom_store, dataset)
    with connection.open() as client:
        operation = client.import_(name, gcs_uri, storage_class=storage_class or "")
        begin(client, operation, output_format, detach=detach)


@dicom_stores.group("export")
def export() -> None:
    """Export instances."""


@export.command(
    "gcs",
    example="fileroom dicom-stores export gcs trial --dataset=ct --gcs-uri-prefix=gs://out/trial "
    "--mime-type='application/dicom; transfer-syntax=1.2.840.10008.1.2.4.90'",
)
@click.argument("dicom_store")
@dataset_option
@click.option(
    "--gcs-uri-prefix", required=True, help="gs://BUCKET[/DIRECTORY] to write the files below."
)
@click.option(
    "--mime-type",
    default="",
    shell_complete=lambda _context, _option, begun: [
        text for text in export_mime_types() if text.startswith(begun)
    ],
    help="image/png, image/jpeg, application/octet-stream or application/dicom, the last two with"
    " '; transfer-syntax=UID' too; as stored unless given.",
)
@click.option(
    "--filter-config-gcs-uri",
    default="",
    help="gs:// file of lines /studies/UID[/series/UID[/instances/UID]]; everything unless given.",
)
@detach_option
@result_format_option
@connected
def export_gcs(
    connection: Connection,
    dicom_store: str,
    dataset: str | None,
    gcs_uri_prefix: str,
    mime_type: str,
    filter_config_gcs_uri: str,
    detach: bool,
    output_format: Format | None,
) -> None:
    """Export a DICOM store to a bucket and follow it to the end.

    Ctrl-C leaves it running. Exit codes: 0 all went well, 1 it failed, 3 some objects failed.
    """
    name = connection.dicom_store(dicom_store, dataset)
    with connection.open() as client:
        operation = client.export(
            name,
            gcs_uri_prefix,
            mime_type=mime_type,
            filter_config_gcs_uri=filter_config_gcs_uri,
        )
        begin(client, operation, output_format, detach=detach)


@dicom_stores.command(
    "set-blob-storage-settings",
    example="fileroom dicom-stores set-blob-storage-settings trial --dataset=ct"
    " --storage-class=ARCHIVE",
)
@click.argument("dicom_store")
@dataset_option
@click.option(
    "--storage-class", type=_storage_classes, required=True, help="Kept with each instance."
)
@click.option("--path", help="studies/UID[/series/UID[/instances/UID]]; everything unless given.")
@click.option(
    "--filter-config-gcs-uri",
    default="",
    help="gs:// file of lines /studies/UID[/series/UID[/instances/UID]]; everything unless given.",
)
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
