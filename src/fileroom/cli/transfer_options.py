"""The flags that imports and exports share, with a server and without."""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, TypeVar, cast

import click

from fileroom.client.bodies import ExportOptions, ImportOptions
from fileroom.dicom.media_types import export_mime_types

if TYPE_CHECKING:
    from collections.abc import Callable

    from fileroom.cli.connection import Connection
    from fileroom.names import DatasetName

    Command = Callable[..., None]

OptionsT = TypeVar("OptionsT", ImportOptions, ExportOptions)
STORAGE_CLASS = click.Choice(["STANDARD", "NEARLINE", "COLDLINE", "ARCHIVE"])

storage_class_option = click.option(
    "--storage-class",
    type=STORAGE_CLASS,
    help="Kept with each instance; STANDARD unless given.",
)
filter_option = click.option(
    "--filter-config-gcs-uri",
    default="",
    help="gs:// file of lines /studies/UID[/series/UID[/instances/UID]]; everything unless given.",
)
mime_type_option = click.option(
    "--mime-type",
    default="",
    shell_complete=lambda _context, _option, begun: [
        text for text in export_mime_types() if text.startswith(begun)
    ],
    help="image/png, image/jpeg, application/octet-stream or application/dicom, the last two with"
    " '; transfer-syntax=UID' too; as stored unless given.",
)


def _choice(name: str, *values: str, help: str) -> Callable[[Command], Command]:
    """Give a flag of which the API spells the values as it spells constants."""
    return click.option(
        name,
        type=click.Choice(values, case_sensitive=False),
        callback=lambda _context, _option, value: (value or "").upper().replace("-", "_"),
        help=help,
    )


_TRANSFER_OPTIONS = (
    _choice(
        "--priority",
        *("low", "normal", "high"),
        help="What begins first, and is given more of the workers; normal unless given.",
    ),
    click.option(
        "--manifest-uri-prefix",
        default="",
        metavar="URI",
        help="gs://, s3://, az:// or file:/// directory below which the ledger is written.",
    ),
    _choice(
        "--manifest-format",
        *("ndjson", "csv", "parquet"),
        help="How the ledger is written; ndjson unless given.",
    ),
)
_IMPORT_OPTIONS = (
    _choice(
        "--mode",
        *("copy", "reference"),
        help="reference leaves the objects where they lie and reads only their headers; copy"
        " unless given.",
    ),
    _choice(
        "--duplicate-policy",
        *("fail-if-different", "keep-first", "replace"),
        help="What becomes of an instance that is stored with other bytes; it fails unless given.",
    ),
    click.option(
        "--retry-of",
        default="",
        metavar="OPERATION",
        help="Import only what failed in that operation; id or full name.",
    ),
    click.option(
        "--validate-only",
        is_flag=True,
        help="Read headers and tell what would become of each object; nothing is stored.",
    ),
    *_TRANSFER_OPTIONS,
)
_EXPORT_OPTIONS = (
    click.option(
        "--since",
        default="",
        metavar="OPERATION",
        help="Export only what changed since that export, which went well; id or full name.",
    ),
    _choice(
        "--if-exists",
        *("overwrite", "skip-identical", "fail"),
        help="What becomes of an object that has the name of a file; overwritten unless given.",
    ),
    _choice(
        "--verify",
        *("size", "content"),
        help="What is verified before _SUCCESS is written: that each object is there with its"
        " size, or all its bytes as well; size unless given.",
    ),
    click.option(
        "--write-metadata",
        is_flag=True,
        help="Write the metadata of all that was exported beside the ledger, as Parquet.",
    ),
    *_TRANSFER_OPTIONS,
)


def import_options(command: Command) -> Command:
    """Give an import its flags beyond Google's, as its parameter ``options``."""
    return _with_options(command, _IMPORT_OPTIONS, ImportOptions.__optional_keys__)


def export_options(command: Command) -> Command:
    """Give an export its flags beyond Google's, as its parameter ``options``."""
    return _with_options(command, _EXPORT_OPTIONS, ExportOptions.__optional_keys__)


def in_full(options: OptionsT, connection: Connection, dataset: DatasetName) -> OptionsT:
    """Give the options with the full name of the operation that they name."""
    named = {
        key: str(connection.operation(text, str(dataset)))
        for key in ("retry_of", "since")
        if (text := str(options.get(key, "")))
    }
    return cast("OptionsT", {**options, **named})


def _with_options(
    command: Command,
    options: tuple[Callable[[Command], Command], ...],
    names: frozenset[str],
) -> Command:
    @wraps(command)
    def gather(*args: object, **given: object) -> None:
        command(*args, options={name: given.pop(name) for name in sorted(names)}, **given)

    gathered: Command = gather
    for option in reversed(options):
        gathered = option(gathered)
    return gathered
