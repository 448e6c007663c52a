"""``fileroom studies``: what lies below ``dicomWeb/`` of a DICOM store.

gcloud has no commands for it; ours are named after the methods of the API.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from fileroom.cli.connection import Connection, confirm, connected, dataset_option
from fileroom.cli.following import begin, detach_option
from fileroom.cli.groups import Group
from fileroom.cli.rendering import Format, format_option, result_format_option, write_one
from fileroom.errors import InvalidArgument
from fileroom.names import InstancePath, parse_instance_path, parse_uid

if TYPE_CHECKING:
    from collections.abc import Callable

    from fileroom.client.values import JsonObject


def _to_path(_ctx: click.Context, _param: click.Parameter, text: str) -> InstancePath:
    """Read a study by its UID, or a study, series or instance by its path."""
    try:
        if "/" in text:
            return parse_instance_path(text)
        return InstancePath(parse_uid(text, "StudyInstanceUID"))
    except InvalidArgument as error:
        raise click.BadParameter(error.message) from error


_path_argument = click.argument("path", callback=_to_path)
_store_option = click.option("--dicom-store", required=True, help="DICOM store; id or full name.")


def _content_options(command: Callable[..., None]) -> Callable[..., None]:
    return _path_argument(_store_option(dataset_option(command)))


@click.group("studies", cls=Group)
def studies() -> None:
    """Count and delete studies, series and instances."""


@studies.command(
    "metrics", example="fileroom studies metrics 1.2.3 --dicom-store=trial --dataset=ct"
)
@_content_options
@format_option("yaml", "json", "table")
@connected
def metrics(
    connection: Connection,
    path: InstancePath,
    dicom_store: str,
    dataset: str | None,
    output_format: Format,
) -> None:
    """Print what a study or series holds, or how an instance is kept.

    PATH is the UID of a study, or studies/UID[/series/UID[/instances/UID]].
    """
    name = connection.dicom_store(dicom_store, dataset)
    with connection.open() as client:
        body: JsonObject
        if path.sop_instance_uid is not None:
            body = client.get_storage_info(name, path).body
        elif path.series_instance_uid is not None:
            body = client.get_series_metrics(name, path).body
        else:
            body = client.get_study_metrics(name, path).body
        write_one(body, output_format)


@studies.command(
    "delete", example="fileroom studies delete 1.2.3 --dicom-store=trial --dataset=ct --quiet"
)
@_content_options
@detach_option
@result_format_option
@connected
def delete(
    connection: Connection,
    path: InstancePath,
    dicom_store: str,
    dataset: str | None,
    detach: bool,
    output_format: Format | None,
) -> None:
    """Delete a study, series or instance.

    PATH is the UID of a study, or studies/UID[/series/UID[/instances/UID]]. It is gone for
    everybody at once; the command follows the operation that deletes what it held.
    """
    name = connection.dicom_store(dicom_store, dataset)
    confirm(connection, f"You are about to delete [{path}] and all it holds.")
    with connection.open() as client:
        if path.sop_instance_uid is not None:
            client.delete_instance(name, path)
            click.echo(f"Deleted [{path}].", err=True)
            return
        start = client.delete_study if path.series_instance_uid is None else client.delete_series
        begin(client, start(name, path), output_format, detach=detach)
