"""``fileroom serve``: one server on one data directory, from start to the last drained request."""

from __future__ import annotations

import errno
import socket
import stat
from contextlib import contextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING

import click

from fileroom.api.server import run_server
from fileroom.auth.token_file import TOKEN_FILE
from fileroom.cli.groups import Command
from fileroom.cli.process import prepare_process
from fileroom.cli.settings_options import read_settings, server_options
from fileroom.console import load_files
from fileroom.deployment import open_deployment
from fileroom.errors import FailedPrecondition
from fileroom.objectstore.checking import State, check_bucket

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fileroom.deployment import Deployment
    from fileroom.settings import Settings


@click.command("serve", cls=Command, example="fileroom serve --bucket demo=/srv/dicom")
@server_options
def serve(config: Path | None, **flags: object) -> None:
    """Run the server until SIGTERM or Ctrl-C, which let running work come to a safe point."""
    settings = read_settings(config, **flags)
    prepare_process(settings)
    with _listener(settings) as listener:
        settings = settings.with_port(listener.getsockname()[1])
        with open_deployment(settings) as deployment:
            _warn_of_open_directory(settings.data)
            _warn_of_open_key(settings)
            _warn_of_blobs(settings)
            run_server(deployment, listener, lambda: click.echo(_welcome(deployment)), load_files())


@contextmanager
def _listener(settings: Settings) -> Iterator[socket.socket]:
    """Take the address before anything else is opened, so that its refusal costs nothing."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((settings.host, settings.port))
        except OSError as error:
            where = f"{settings.host} port {settings.port}"
            if error.errno == errno.EADDRINUSE:
                raise FailedPrecondition(
                    f"{where} is in use, perhaps by a Fileroom that runs already; end that one or"
                    " choose another with --port",
                    "port",
                ) from error
            raise FailedPrecondition(
                f"cannot listen on {where}: {error.strerror}", "host"
            ) from error
        yield listener


def _warn_of_open_directory(data: Path) -> None:
    """Speak up about a directory somebody else made; its owner may have reasons for its mode."""
    mode = stat.S_IMODE(data.stat().st_mode)
    if mode & 0o077:
        click.echo(
            f"WARNING: other users of this machine can enter {data} (mode {mode:04o});"
            f" chmod 700 {data} keeps them out",
            err=True,
        )


def _warn_of_open_key(settings: Settings) -> None:
    """Speak up about a key that others can read; its owner may have reasons for its mode."""
    if settings.tls_key is not None and stat.S_IMODE(settings.tls_key.stat().st_mode) & 0o044:
        click.echo(
            f"WARNING: other users of this machine can read {settings.tls_key}, with which they"
            " can pass for this server; chmod 600 keeps them out",
            err=True,
        )


def _warn_of_blobs(settings: Settings) -> None:
    """Speak up about a bucket for the archive's own bytes that does not do what it must.

    The server starts all the same: what is wrong may pass, and no request is answered wrongly.
    """
    if settings.blobs_directory is not None:
        return
    for finding in check_bucket(settings.blobs_bucket):
        if finding.state is State.FAILS:
            click.echo(
                f"WARNING: the archive's own bytes cannot be kept in {settings.blobs}:"
                f" {finding.message}; {finding.remedy}",
                err=True,
            )
            return


def _welcome(deployment: Deployment) -> str:
    """Give what the terminal shows once the server answers; the token only at its first start."""
    settings, token = deployment.settings, deployment.access_token
    url, data, place = settings.public_url, settings.data, settings.locations[0]
    show = f"fileroom auth print-access-token --data {data}"
    buckets = ", ".join(deployment.buckets.names()) or f"none yet: mkdir {data}/buckets/NAME"
    if token is None:
        access = ["open to everybody on this machine (--auth none)"]
        header, gcloud = "", "CLOUDSDK_AUTH_DISABLE_CREDENTIALS=true"
    else:
        access = [token.text or "", f"shown this once; {show}"] if token.is_new else [show]
        header = f'-H "Authorization: Bearer $({show})" '
        gcloud = f"CLOUDSDK_AUTH_ACCESS_TOKEN_FILE={data / TOKEN_FILE}"
    return "\n".join(
        [
            f"Fileroom {version('fileroom')} answers at {url}",
            f"  console  {url}/console",
            f"  data     {data}",
            *([f"  blobs    {settings.blobs}"] if settings.blobs is not None else []),
            f"  buckets  {buckets}",
            *(
                f"           {bucket.name} is missing: {bucket.path} is no directory"
                for bucket in settings.named_buckets
                if bucket.path is not None and not bucket.path.is_dir()
            ),
            f"  token    {access[0]}",
            *(f"           {line}" for line in access[1:]),
            "",
            f"  curl {header}{url}/v1/projects/my-project/locations/{place}/datasets",
            "",
            f"  export CLOUDSDK_API_ENDPOINT_OVERRIDES_HEALTHCARE={url}/ {gcloud}",
            f"  gcloud healthcare datasets list --project=my-project --location={place}",
        ]
    )
