"""An import of what failed in an earlier one, and of nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import structs

from fileroom.database import operations
from fileroom.database.operations import Kind, State
from fileroom.errors import FailedPrecondition, InvalidArgument
from fileroom.names import OperationName, parse_name
from fileroom.transfer.options import ImportOptions, read_options

if TYPE_CHECKING:
    from fileroom.database.engine import Connection
    from fileroom.database.operations import Operation
    from fileroom.database.stores import DicomStore

_FIELD = "fileroom_options.retry_of"


def find_retried(connection: Connection, store: DicomStore, text: str) -> Operation:
    """Give the import whose failures are to be tried again.

    Raises
    ------
    InvalidArgument
        If it is no import of this DICOM store.
    NotFound
        If there is no such operation, or it is no longer kept.
    FailedPrecondition
        If it has not ended, or nothing failed in it.
    """
    name = parse_name(text)
    if not isinstance(name, OperationName):
        raise InvalidArgument(
            f"retry_of is {text[:200]!r}; write projects/…/datasets/…/operations/NUMBER", _FIELD
        )
    earlier = operations.get_operation(connection, name)
    if earlier.kind is not Kind.IMPORT or earlier.store_id != store.id:
        raise InvalidArgument(f"{name} is no import into {store.name}", _FIELD)
    if earlier.state is not State.DONE:
        raise FailedPrecondition(f"{name} has not ended: cancel it, or wait for its end", _FIELD)
    if not earlier.counters.failed:
        raise FailedPrecondition(f"nothing failed in {name}: there is nothing to retry", _FIELD)
    return earlier


def as_before(options: ImportOptions, earlier: Operation) -> ImportOptions:
    """Give options of which those that are left open are as in the earlier import."""
    before = read_options(earlier.request, ImportOptions)
    return structs.replace(
        options,
        mode=options.mode or before.mode,
        duplicate_policy=options.duplicate_policy or before.duplicate_policy,
        validate_only=options.validate_only or before.validate_only,
    )


def check_source(uri: str, earlier: Operation) -> str:
    """Give the source of the earlier import, which a retry need not name again.

    Raises
    ------
    InvalidArgument
        If it names another one.
    """
    source = earlier.request["gcsSource"]
    assert isinstance(source, dict)
    before = str(source["uri"])
    if uri not in {"", before}:
        raise InvalidArgument(
            f"the import to retry was from {before}, not from {uri}; leave gcs_source out",
            "gcs_source.uri",
        )
    return before
