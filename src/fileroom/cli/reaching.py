"""Where a DICOM store is reached: at a server, or in a data directory without one."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import click

from fileroom.cli.settings_options import config_option, data_option

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from fileroom.cli.connection import Connection
    from fileroom.client import Client
    from fileroom.names import DicomStoreName, OperationName

DEFAULT_PROJECT: Final = "local"
DEFAULT_DATASET: Final = "default"
DEFAULT_STORE: Final = "default"


def reaching_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add ``--data`` and ``--config``, either of which means: without a server."""
    return data_option(config_option(command))


@contextmanager
def reach(connection: Connection, data: Path | None, config: Path | None) -> Iterator[Client]:
    """Give a client of the server, or of one within this command if a data directory was named."""
    if data is None and config is None:
        with connection.open() as client:
            yield client
        return
    # What a server is made of is loaded by those who want one.
    from fileroom.cli.embedded import embedded_settings, open_embedded

    refuse_server(connection)
    with open_embedded(embedded_settings(data, config)) as client:
        yield client


def refuse_server(connection: Connection) -> None:
    """Refuse to leave a server aside that was named."""
    if connection.server is not None:
        raise click.UsageError(
            f"this works in a data directory without a server, and {connection.server} was named:"
            " unset FILEROOM_SERVER, or give the commands of 'fileroom dicom-stores'"
        )


def _without_server(connection: Connection) -> Connection:
    """Give where short names lie for one who has no server, and so no project of a cloud either."""
    return replace(connection, project=connection.project or DEFAULT_PROJECT)


def store_without_server(
    connection: Connection, dicom_store: str | None, dataset: str | None
) -> DicomStoreName:
    """Give the DICOM store that is meant where there is no server."""
    return _without_server(connection).dicom_store(
        dicom_store or DEFAULT_STORE, dataset or DEFAULT_DATASET
    )


def operation_without_server(
    connection: Connection, operation: str, dataset: str | None
) -> OperationName:
    """Give the operation that is meant where there is no server."""
    return _without_server(connection).operation(operation, dataset or DEFAULT_DATASET)
