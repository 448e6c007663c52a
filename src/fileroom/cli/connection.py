"""Which server a command speaks to, as whom, and what its short names mean.

A flag given to the command itself goes before one given to ``fileroom``, and that before the
environment.
"""

from __future__ import annotations

import functools
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar

import click

from fileroom.errors import InvalidArgument
from fileroom.names import (
    DatasetName,
    DicomStoreName,
    LocationName,
    OperationName,
    ResourceName,
    parse_name,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from fileroom.client import Client

P = ParamSpec("P")
R = TypeVar("R")
Name = TypeVar("Name", DatasetName, DicomStoreName, OperationName)

# Equal to fileroom.client.client.DEFAULT_URL, which would load HTTP for the sake of help pages.
DEFAULT_SERVER = "http://127.0.0.1:8080"
DEFAULT_LOCATION = "us-central1"
_META = "fileroom.connection."
_KINDS = {DatasetName: "dataset", DicomStoreName: "DICOM store", OperationName: "operation"}


@dataclass(frozen=True, slots=True)
class _Flag:
    name: str
    environment: tuple[str, ...]
    help: str


_FLAGS = (
    _Flag("server", ("FILEROOM_SERVER",), f"URL of the server; {DEFAULT_SERVER} unless given."),
    _Flag(
        "token",
        ("FILEROOM_TOKEN",),
        "Access token; of a local server, else FILEROOM_DATA's.",
    ),
    _Flag("project", ("FILEROOM_PROJECT", "CLOUDSDK_CORE_PROJECT"), "Project of short names."),
    _Flag(
        "location",
        ("FILEROOM_LOCATION", "CLOUDSDK_HEALTHCARE_LOCATION"),
        f"Location of short names; {DEFAULT_LOCATION} unless given.",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """The flags that every command takes."""

    server: str | None
    """``None`` unless it was named: then it is one on this machine."""
    token: str | None
    project: str | None
    location: str
    quiet: bool

    def open(self) -> Client:
        """Give a client of the server."""
        from fileroom.client import Client

        server, token = self.server or DEFAULT_SERVER, self.token
        if token is None:
            from fileroom.cli.token_file import find_token

            token = find_token(server)
        return Client(server, token)

    def location_name(self) -> LocationName:
        """Give the location that short names lie in."""
        if self.project is None:
            raise click.UsageError(
                "no project: give --project=PROJECT, set FILEROOM_PROJECT, or use the full name "
                "projects/PROJECT/locations/…"
            )
        with _usage():
            return LocationName(self.project, self.location)

    def dataset(self, text: str | None) -> DatasetName:
        """Give the dataset that an id or a full name means."""
        with _usage():
            if text is None:
                raise click.UsageError("no dataset: give --dataset=DATASET or a full name")
            if "/" not in text:
                return DatasetName(self.location_name(), text)
            return _expect(parse_name(text), DatasetName)

    def dicom_store(self, text: str, dataset: str | None) -> DicomStoreName:
        """Give the DICOM store that an id in ``dataset``, or a full name, means."""
        with _usage():
            if "/" not in text:
                return DicomStoreName(self.dataset(dataset), text)
            return _expect(parse_name(text), DicomStoreName)

    def operation(self, text: str, dataset: str | None) -> OperationName:
        """Give the operation that an id in ``dataset``, or a full name, means."""
        with _usage():
            if "/" not in text:
                return OperationName(self.dataset(dataset), text)
            return _expect(parse_name(text), OperationName)


def connection_options(
    *, environment: bool, flags: Sequence[_Flag] = _FLAGS
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Add the flags of a connection; only ``fileroom`` itself reads the environment.

    A flag of the command would otherwise lose its place before the environment's value.
    """

    def add(command: Callable[P, R]) -> Callable[P, R]:
        for flag in reversed(flags):
            command = click.option(
                f"--{flag.name}",
                envvar=flag.environment if environment else None,
                show_envvar=environment,
                metavar=flag.name.upper(),
                expose_value=False,
                callback=_remember,
                help=flag.help,
            )(command)
        return click.option(
            "--quiet",
            "-q",
            is_flag=True,
            default=None,
            expose_value=False,
            callback=_remember,
            help="Ask nothing: yes to every question.",
        )(command)

    return add


def connected(command: Callable[Concatenate[Connection, P], R]) -> Callable[P, R]:
    """Add the flags of a connection and hand it to the command as its first argument."""
    return connection_options(environment=False)(_with_connection(command))


def located(command: Callable[Concatenate[Connection, P], R]) -> Callable[P, R]:
    """Do the same for a command that speaks to no server: its names lie somewhere too."""
    flags = [flag for flag in _FLAGS if flag.name in {"project", "location"}]
    return connection_options(environment=False, flags=flags)(_with_connection(command))


def _with_connection(command: Callable[Concatenate[Connection, P], R]) -> Callable[P, R]:
    @functools.wraps(command)
    def with_connection(*args: P.args, **kwargs: P.kwargs) -> R:
        return command(_current(click.get_current_context()), *args, **kwargs)

    return with_connection


dataset_option = click.option("--dataset", help="Dataset of a short name; id or full name.")


def confirm(connection: Connection, question: str) -> None:
    """Ask before something that cannot be taken back; ``--quiet`` is yes.

    Raises
    ------
    click.UsageError
        If there is nobody to ask.
    """
    if connection.quiet:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise click.UsageError(f"{question} Nobody is here to answer: say yes with --quiet")
    click.confirm(f"{question}\n\nDo you want to continue", abort=True, err=True)


def _remember(ctx: click.Context, option: click.Parameter, value: str | bool | None) -> None:
    if value is not None:
        ctx.meta[f"{_META}{option.name}"] = value


def _current(ctx: click.Context) -> Connection:
    given = {flag.name: ctx.meta.get(f"{_META}{flag.name}") for flag in _FLAGS}
    return Connection(
        server=given["server"] or None,
        token=given["token"],
        project=given["project"],
        location=given["location"] or DEFAULT_LOCATION,
        quiet=bool(ctx.meta.get(f"{_META}quiet")),
    )


def _expect(name: ResourceName, kind: type[Name]) -> Name:
    if not isinstance(name, kind):
        raise InvalidArgument(f"{str(name)!r} is not the name of a {_KINDS[kind]}")
    return name


@contextmanager
def _usage() -> Iterator[None]:
    """Take a name that cannot be one for a wrong command line."""
    try:
        yield
    except InvalidArgument as error:
        raise click.UsageError(str(error)) from error
