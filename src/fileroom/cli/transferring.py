"""``fileroom dicom-stores import`` and ``export``: each follows its operation to the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from fileroom.cli.connection import Connection, connected, dataset_option
from fileroom.cli.following import begin, detach_option
from fileroom.cli.groups import Group
from fileroom.cli.output.rendering import Format, result_format_option
from fileroom.cli.transfer_options import (
    export_options,
    filter_option,
    import_options,
    in_full,
    mime_type_option,
    storage_class_option,
)

if TYPE_CHECKING:
    from fileroom.client import ExportOptions, ImportOptions, JsonObject


@click.group("import", cls=Group)
def import_() -> None:
    """Import instances."""


@import_.command(
    "gcs", example="fileroom dicom-stores import gcs trial --dataset=ct --gcs-uri='gs://demo/**'"
)
@click.argument("dicom_store")
@dataset_option
@click.option(
    "--gcs-uri",
    default="",
    help="gs://BUCKET/OBJECT; * and ? match within a directory, a closing ** or **.dcm below it."
    " Required without --retry-of.",
)
@storage_class_option
@import_options
@detach_option
@result_format_option
@connected
def import_gcs(
    connection: Connection,
    dicom_store: str,
    dataset: str | None,
    gcs_uri: str,
    storage_class: str | None,
    options: ImportOptions,
    detach: bool,
    output_format: Format | None,
) -> None:
    """Import the objects of a bucket and follow it to the end.

    Ctrl-C leaves it running. Exit codes: 0 all went well, 1 it failed, 3 some objects failed.
    """
    if not gcs_uri and not options["retry_of"]:
        raise click.UsageError("Missing option '--gcs-uri', or '--retry-of'.")
    name = connection.dicom_store(dicom_store, dataset)
    options = in_full(options, connection, name.parent)
    with connection.open() as client:
        operation = client.import_(
            name,
            gcs_uri,
            storage_class=storage_class or "",
            **options,
        )
        begin(client, operation, output_format, detach=detach)


@click.group("export", cls=Group)
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
@mime_type_option
@filter_option
@export_options
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
    options: ExportOptions,
    detach: bool,
    output_format: Format | None,
) -> None:
    """Export a DICOM store to a bucket and follow it to the end.

    Ctrl-C leaves it running. Exit codes: 0 all went well, 1 it failed, 3 some objects failed.
    """
    name = connection.dicom_store(dicom_store, dataset)
    options = in_full(options, connection, name.parent)
    with connection.open() as client:
        operation = client.export(
            name,
            gcs_uri_prefix,
            mime_type=mime_type,
            filter_config_gcs_uri=filter_config_gcs_uri,
            **options,
        )
        begin(client, operation, output_format, detach=detach)


@export.command(
    "bq",
    example="fileroom dicom-stores export bq trial --dataset=ct --bq-table=bq://p.d.t"
    " --write-disposition=write-append",
)
@click.argument("dicom_store")
@dataset_option
@click.option("--bq-table", required=True, help="bq://PROJECT.DATASET.TABLE, made if need be.")
@click.option(
    "--overwrite-table/--no-overwrite-table",
    default=None,
    help="Whether a table that is there already is overwritten.",
)
@click.option(
    "--write-disposition",
    type=click.Choice(["write-empty", "write-truncate", "write-append"]),
    help="What becomes of the rows of a table that is there already.",
)
@filter_option
@detach_option
@result_format_option
@connected
def export_bq(
    connection: Connection,
    dicom_store: str,
    dataset: str | None,
    bq_table: str,
    overwrite_table: bool | None,
    write_disposition: str | None,
    filter_config_gcs_uri: str,
    detach: bool,
    output_format: Format | None,
) -> None:
    """Export the metadata of a DICOM store to BigQuery; this server does not offer it yet."""
    name = connection.dicom_store(dicom_store, dataset)
    destination: JsonObject = {"tableUri": bq_table}
    if overwrite_table is not None:
        destination["force"] = overwrite_table
    if write_disposition is not None:
        destination["writeDisposition"] = write_disposition.replace("-", "_").upper()
    with connection.open() as client:
        operation = client.export_to_bigquery(
            name, destination, filter_config_gcs_uri=filter_config_gcs_uri
        )
        begin(client, operation, output_format, detach=detach)
