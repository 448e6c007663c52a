"""A server within the command itself: the same deployment, for as long as the command runs."""

from __future__ import annotations

import socket
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import click

from fileroom.api.server import serving
from fileroom.auth.token_file import read_access_token
from fileroom.cli.process import prepare_process
from fileroom.cli.settings_options import read_settings
from fileroom.client import Client
from fileroom.deployment import open_deployment
from fileroom.settings.parsing import merge_buckets

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from fileroom.objectstore.buckets import BucketSettings
    from fileroom.settings import Settings

_FLAGS: Final = {"host": "127.0.0.1", "port": 0, "auth": "token", "log_level": "ERROR"}
"""Only the command itself may ask; what it does not tell is worth a line only if it is an error."""


def embedded_settings(
    data: Path | None,
    config: Path | None,
    buckets: Sequence[str] = (),
    *,
    must_exist: bool = True,
) -> Settings:
    """Give the settings of a command without a server, whose data directory holds data already."""
    flags = {**_FLAGS, "data": data, "buckets": tuple(buckets)}
    settings = read_settings(config, **flags)
    if must_exist and settings.database is None and not settings.database_path.exists():
        raise click.UsageError(
            f"{settings.data} is no data directory of Fileroom; name another with --data"
        )
    return settings


@contextmanager
def open_embedded(settings: Settings, buckets: Sequence[BucketSettings] = ()) -> Iterator[Client]:
    """Give a client of a server on these settings, and ``buckets`` beside theirs, in this process.

    Raises
    ------
    FailedPrecondition
        If a server runs on the data directory.
    """
    settings = replace(
        settings,
        buckets=merge_buckets(settings.buckets, tuple(buckets)),
        # This process alone calls it, as the owner that it is.
        host="127.0.0.1",
        tls_cert=None,
        tls_key=None,
        auth=("token",),
        access_token_file=None,
        oidc=(),
    )
    prepare_process(settings)
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server((settings.host, 0)))
        settings = settings.with_port(listener.getsockname()[1])
        deployment = stack.enter_context(open_deployment(settings))
        stack.enter_context(serving(deployment, listener))
        url = f"http://{settings.host}:{settings.port}"
        yield stack.enter_context(Client(url, read_access_token(settings.data)))
