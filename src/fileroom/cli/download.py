"""``fileroom download``: the files of a study, series or instance."""

from __future__ import annotations

import os
import secrets
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.termui import progressbar

from fileroom.cli.connection import Connection, connected, dataset_option
from fileroom.cli.following import EXIT_PARTLY_FAILED
from fileroom.cli.groups import Command
from fileroom.cli.output.printable import printable
from fileroom.cli.reaching import reach, reaching_options, store_without_server
from fileroom.client.values import child
from fileroom.errors import (
    Aborted,
    DataLoss,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    Unimplemented,
)
from fileroom.names import InstancePath, parse_instance_path, parse_uid

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fileroom.client import Client, JsonObject
    from fileroom.names import DicomStoreName, Uid

_STUDY, _SERIES, _INSTANCE = "0020000D", "0020000E", "00080018"
_FAILURES_TOLD = 10
_OF_ONE_INSTANCE = (NotFound, InvalidArgument, Aborted, DataLoss, Unimplemented)
"""What the server may say of an instance alone: the others are tried too."""


@dataclass(slots=True)
class _Account:
    """What became of the instances so far."""

    written: int = 0
    kept: int = 0
    failures: list[str] = field(default_factory=list)
    missing: int = 0
    """Counted at first, and not found when it was their turn."""

    def line(self) -> str:
        """Tell it in words."""
        told = [f"{self.written:,} written"]
        if self.kept:
            told.append(f"{self.kept:,} there already")
        if self.failures:
            told.append(f"{len(self.failures):,} failed")
        if self.missing:
            told.append(f"{self.missing:,} deleted meanwhile")
        total = self.written + self.kept + len(self.failures)
        return f"{total:,} instance{'' if total == 1 else 's'}: {', '.join(told)}"


def _parse(_ctx: click.Context, _param: click.Parameter, text: str) -> InstancePath | Uid:
    try:
        return parse_instance_path(text) if "/" in text else parse_uid(text)
    except InvalidArgument as error:
        raise click.BadParameter(error.message) from error


@click.command(
    "download", cls=Command, example="fileroom download 1.2.3 --dicom-store=trial --dataset=ct"
)
@click.argument("uid", callback=_parse)
@click.option(
    "--dicom-store", help="DICOM store; id or full name. Needed unless --data or --config is given."
)
@dataset_option
@click.option(
    "--to",
    "directory",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(),
    metavar="DIR",
    help="Directory to write STUDY/SERIES/INSTANCE.dcm below; this one unless given.",
)
@click.option(
    "--transfer-syntax",
    default="*",
    metavar="UID",
    help="Transfer syntax to have the files in; as stored unless given.",
)
@click.option("--overwrite", is_flag=True, help="Write files anew that are there already.")
@reaching_options
@connected
def download(
    connection: Connection,
    uid: InstancePath | Uid,
    dicom_store: str | None,
    dataset: str | None,
    directory: Path,
    transfer_syntax: str,
    overwrite: bool,
    data: Path | None,
    config: Path | None,
) -> None:
    """Write the DICOM files of a study, series or instance.

    UID is that of a study, series or instance, or studies/UID[/series/UID[/instances/UID]]. A file
    is there whole or not at all, and one that is there is not written again. Exit codes: 0 all were
    written, 1 it failed, 3 some could not be had.
    """
    if data is not None or config is not None:
        name = store_without_server(connection, dicom_store, dataset)
    elif dicom_store is not None:
        name = connection.dicom_store(dicom_store, dataset)
    else:
        raise click.UsageError(
            "no DICOM store: give --dicom-store=STORE, or --data=DIR of one's own"
        )
    with reach(connection, data, config) as client:
        account = _download(
            client, name, _find(client, name, uid), directory, transfer_syntax, overwrite=overwrite
        )
    click.echo(account.line())
    for failure in account.failures[:_FAILURES_TOLD]:
        click.echo(f"  {printable(failure)}")
    if account.failures[_FAILURES_TOLD:]:
        click.echo(f"  and {len(account.failures) - _FAILURES_TOLD:,} more")
    if account.failures or account.missing:
        click.get_current_context().exit(EXIT_PARTLY_FAILED)


def _download(
    client: Client,
    name: DicomStoreName,
    path: InstancePath,
    directory: Path,
    transfer_syntax: str,
    *,
    overwrite: bool,
) -> _Account:
    """Write each file, and tell what became of all."""
    account, expected = _Account(), _count(client, name, path)
    with progressbar(
        _instances(client, name, path),
        length=expected,
        label="Writing",
        file=sys.stderr,
    ) as instances:
        for instance in instances:
            target = directory / _file_of(instance)
            if target.exists() and not overwrite:
                account.kept += 1
                continue
            try:
                _write(client, name, instance, target, transfer_syntax)
            except _OF_ONE_INSTANCE as error:
                account.failures.append(f"{instance}: {error.message}")
            else:
                account.written += 1
    told = account.written + account.kept + len(account.failures)
    account.missing = max(0, expected - told)
    return account


def _find(client: Client, name: DicomStoreName, uid: InstancePath | Uid) -> InstancePath:
    """Give the path of what was asked for."""
    if isinstance(uid, InstancePath):
        return uid
    for search, keyword in (
        (client.search_studies, "StudyInstanceUID"),
        (client.search_series, "SeriesInstanceUID"),
        (client.search_instances, "SOPInstanceUID"),
    ):
        for found in search(name, {keyword: uid}, limit=1):
            return _path(found)
    raise NotFound(f"{name} has no study, series or instance {uid}", "uid")


def _instances(client: Client, name: DicomStoreName, path: InstancePath) -> Iterator[InstancePath]:
    if path.sop_instance_uid is not None:
        yield path
        return
    for found in client.search_instances(name, within=path):
        yield _path(found, path)


def _count(client: Client, name: DicomStoreName, path: InstancePath) -> int:
    if path.sop_instance_uid is not None:
        return 1
    if path.series_instance_uid is not None:
        return client.get_series_metrics(name, path).instance_count
    return client.get_study_metrics(name, path).instance_count


def _path(found: JsonObject, within: InstancePath | None = None) -> InstancePath:
    """Give the path of a search's match; it does not tell again what was searched within."""
    known: dict[str, str | None] = {}
    if within is not None:
        known = {_STUDY: within.study_instance_uid, _SERIES: within.series_instance_uid}
    uids = [known.get(tag) or _find_uid(found, tag) for tag in (_STUDY, _SERIES, _INSTANCE)]
    # The server's word is checked, since it becomes the name of a file.
    return InstancePath(*(parse_uid(uid) for uid in uids if uid is not None))


def _find_uid(found: JsonObject, tag: str) -> str | None:
    values = child(found, tag).get("Value")
    return str(values[0]) if isinstance(values, list) and values else None


def _file_of(instance: InstancePath) -> Path:
    study, series = instance.study_instance_uid, instance.series_instance_uid
    return Path(study, str(series), f"{instance.sop_instance_uid}.dcm")


def _write(
    client: Client,
    name: DicomStoreName,
    instance: InstancePath,
    target: Path,
    transfer_syntax: str,
) -> None:
    """Write one file, which has its name once it is whole."""
    draft = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    try:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            client.retrieve_instance_to(file, name, instance, transfer_syntax=transfer_syntax)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(target)
    except OSError as error:
        raise FailedPrecondition(
            f"{target} cannot be written: {error.strerror}; make room, or choose another directory"
            " with --to"
        ) from error
    finally:
        draft.unlink(missing_ok=True)
