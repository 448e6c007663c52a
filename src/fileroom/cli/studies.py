"""``fileroom studies``: what lies below ``dicomWeb/`` of a DICOM store.

gcloud has no commands for it; ours are named after the methods of the API.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from fileroom.cli.connection import Connection, confirm, connected, dataset_option
from fileroom.cli.following import begin, detach_option
from fileroom.cli.groups import Group
from fileroom.cli.output.rendering import Format, format_option, result_format_option, write_one
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
    """Count, change and delete studies, series and instances."""


@studies.command(
    "metrics", example="fileroom studies metrics 1.2.3 --dicom-store=trial --dataset=ct"
)
@_content_options
@format_option("yaml")
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
    "patch-metadata",
    example="fileroom studies patch-metadata 1.2.3 --dicom-store=trial --dataset=ct"
    " --body=patch.json",
)
@_content_options
@click.option(
    "--body",
    required=True,
    type=click.Path(dir_okay=False, allow_dash=True),
    metavar="FILE",
    help='DICOM JSON, as {"00081030": {"vr": "LO", "Value": ["Knee"]}}; - is the standard input.',
)
@detach_option
@result_format_option
@connected
def patch_metadata(
    connection: Connection,
    path: InstancePath,
    dicom_store: str,
    dataset: str | None,
    body: str,
    detach: bool,
    output_format: Format | None,
) -> None:
    """Replace attributes of an instance, or of all of a study or series.

    PATH is the UID of a study, or studies/UID[/series/UID[/instances/UID]]. What the file names is
    replaced, what it does not name stays; the command follows the operation that does it.
    """
    name = connection.dicom_store(dicom_store, dataset)
    attributes = _read_attributes(body)
    with connection.open() as client:
        if path.sop_instance_uid is not None:
            client.patch_instance(name, path, attributes)
            click.echo(f"Patched [{path}].", err=True)
            return
        start = client.patch_study if path.series_instance_uid is None else client.patch_series
        begin(client, start(name, path, attributes), output_format, detach=detach)


def _read_attributes(body: str) -> JsonObject:
    try:
        with click.open_file(body, "rb") as file:
            attributes = json.load(file)
    except OSError as error:
        raise click.BadParameter(f"{body}: {error.strerror}", param_hint="--body") from error
    except ValueError as error:
        raise click.BadParameter("the file is no JSON", param_hint="--body") from error
    if not isinstance(attributes, dict):
        raise click.BadParameter("the file holds no JSON object", param_hint="--body")
    return attributes


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
