"""``fileroom import`` and ``fileroom export``: on a data directory of one's own, no server."""

from __future__ import annotations

import shlex
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import click

from fileroom.cli.connection import Connection, dataset_option, located
from fileroom.cli.embedded import embedded_settings, open_embedded
from fileroom.cli.following import leave, tell, watch
from fileroom.cli.groups import EXIT_INTERRUPTED, Command
from fileroom.cli.local_places import (
    find_destination,
    find_file,
    find_source,
    keep_apart,
    make_destination,
)
from fileroom.cli.output.rendering import result_format_option
from fileroom.cli.reaching import DEFAULT_STORE, refuse_server, store_without_server
from fileroom.cli.settings_options import buckets_option, config_option, data_option
from fileroom.cli.transfer_options import (
    export_options,
    import_options,
    in_full,
    mime_type_option,
    storage_class_option,
)
from fileroom.client.bodies import export_body, import_body
from fileroom.client.values import child
from fileroom.errors import AlreadyExists

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fileroom.cli.local_places import Place
    from fileroom.cli.output.rendering import Format
    from fileroom.client import Client, ExportOptions, ImportOptions, JsonObject, Operation
    from fileroom.names import DicomStoreName
    from fileroom.objectstore.buckets import BucketSettings

REFERENCE: Final = "REFERENCE"

_store_option = click.option(
    "--dicom-store",
    default=DEFAULT_STORE,
    show_default=True,
    help="DICOM store; id or full name.",
)


def _place_options(command: Callable[..., None]) -> Callable[..., None]:
    for option in (config_option, buckets_option, data_option, dataset_option, _store_option):
        command = option(command)
    return command


@click.command("import", cls=Command, example="fileroom import /srv/dicom --data=/srv/fileroom")
@click.argument("sources", nargs=-1, required=True, metavar="DIR|FILE|URI...")
@_place_options
@storage_class_option
@import_options
@result_format_option
@located
def import_(
    connection: Connection,
    sources: tuple[str, ...],
    dicom_store: str,
    dataset: str | None,
    data: Path | None,
    buckets: tuple[str, ...],
    config: Path | None,
    storage_class: str | None,
    options: ImportOptions,
    output_format: Format | None,
) -> None:
    """Import directories, files or buckets without a server.

    The data directory is that of 'fileroom serve', which must not run on it meanwhile; dataset and
    DICOM store are made if need be. What was interrupted goes on when the same command is given
    again. Exit codes: 0 all went well, 1 it failed, 3 some objects failed, 130 interrupted.
    """
    places = [find_source(text) for text in sources]
    refuse_server(connection)
    name = store_without_server(connection, dicom_store, dataset)
    options = in_full(options, connection, name.parent)
    settings = embedded_settings(data, config, buckets, must_exist=False)
    keep_apart(places, settings.data)
    ended = []
    with open_embedded(settings, [p.bucket for p in places if p.bucket is not None]) as client:
        _make_store(client, name)
        for place in places:
            click.echo(f"{place.text} into {name}", err=True)
            if options.get("mode") == REFERENCE and place.bucket is not None:
                click.echo(_how_to_find_again(place.bucket), err=True)
            request = import_body(place.uri, storage_class or "", **options)
            operation = _find_unfinished(client, name, request) or client.import_(
                name, place.uri, storage_class=storage_class or "", **options
            )
            ended.append(_run(client, operation, output_format, place, settings.data))
    leave(*ended)


@click.command("export", cls=Command, example="fileroom export /srv/copy --mime-type=image/png")
@click.argument("destination", metavar="DIR|URI")
@_place_options
@mime_type_option
@click.option(
    "--filter-file",
    metavar="FILE",
    help="File of lines /studies/UID[/series/UID[/instances/UID]]; everything unless given.",
)
@export_options
@result_format_option
@located
def export(
    connection: Connection,
    destination: str,
    dicom_store: str,
    dataset: str | None,
    data: Path | None,
    buckets: tuple[str, ...],
    config: Path | None,
    mime_type: str,
    filter_file: str | None,
    options: ExportOptions,
    output_format: Format | None,
) -> None:
    """Export a DICOM store to a directory or bucket without a server.

    The data directory is that of 'fileroom serve', which must not run on it meanwhile. What was
    interrupted goes on when the same command is given again. Exit codes: 0 all went well, 1 it
    failed, 3 some instances failed, 130 interrupted.
    """
    place = find_destination(destination)
    chosen = find_file(filter_file) if filter_file is not None else None
    places = [place, *([chosen] if chosen is not None else [])]
    refuse_server(connection)
    name = store_without_server(connection, dicom_store, dataset)
    options = in_full(options, connection, name.parent)
    settings = embedded_settings(data, config, buckets)
    keep_apart(places, settings.data)
    make_destination(place)
    filter_uri = chosen.uri if chosen is not None else ""
    with open_embedded(settings, [p.bucket for p in places if p.bucket is not None]) as client:
        client.get_dicom_store(name)
        click.echo(f"{name} to {place.text}", err=True)
        request = export_body(place.uri, mime_type, filter_uri, **options)
        operation = _find_unfinished(client, name, request) or client.export(
            name, place.uri, mime_type=mime_type, filter_config_gcs_uri=filter_uri, **options
        )
        ended = _run(client, operation, output_format, place, settings.data)
    leave(ended)


def _how_to_find_again(bucket: BucketSettings) -> str:
    """Tell what a server needs to be told to read what is kept by reference."""
    name = bucket.name.removeprefix("gs://")
    return (
        "The files stay where they are: start every server on this data directory with"
        f" {shlex.quote(f'--bucket={name}={bucket.path}')}, or they are not found."
    )


def _make_store(client: Client, name: DicomStoreName) -> None:
    with suppress(AlreadyExists):
        client.wait(client.create_dataset(name.parent), poll_seconds=0.05)
    with suppress(AlreadyExists):
        client.create_dicom_store(name)


def _find_unfinished(client: Client, name: DicomStoreName, request: JsonObject) -> Operation | None:
    """Give the operation that an interrupted command left, which goes on already."""
    asked = {"name": str(name), **request}
    for operation in client.list_operations(name.parent, filter_text="done=false"):
        told = child(child(operation.body, "metadata"), "fileroomRequest")
        if told == asked and not operation.cancel_requested:
            click.echo("It was interrupted before, and goes on where it was.", err=True)
            return operation
    return None


def _run(
    client: Client,
    operation: Operation,
    output_format: Format | None,
    place: Place,
    data: Path,
) -> Operation:
    """Follow an operation to its end, tell it, and give it; Ctrl-C ends it in good order."""
    interrupted = False
    click.echo(f"name: {operation.name}", err=True)
    try:
        ended = watch(client, operation)
    except KeyboardInterrupt:
        interrupted = True
        click.echo("Ending; what was done stays. Once more Ctrl-C leaves at once.", err=True)
        client.cancel_operation(operation.name)
        ended = client.wait(operation, poll_seconds=0.1)
    tell(
        client,
        ended,
        output_format,
        failures_command=f"fileroom failures {ended.name} --data={shlex.quote(str(data))}",
        place=place.name,
    )
    if interrupted:
        click.get_current_context().exit(EXIT_INTERRUPTED)
    return ended
