"""An export of what changed since an earlier one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fileroom.database import operations
from fileroom.database.operations import Kind, State
from fileroom.errors import FailedPrecondition, InvalidArgument
from fileroom.names import OperationName, parse_name
from fileroom.transfer.selection import parse_cursor

if TYPE_CHECKING:
    from fileroom.database.engine import Connection
    from fileroom.database.operations import Json, Operation
    from fileroom.database.stores import DicomStore

_FIELD = "fileroom_options.since"


def filter_of(request: Json) -> Json | None:
    """Give what narrows the export of a request."""
    narrowed = request.get("filterConfig")
    return narrowed if isinstance(narrowed, dict) else None


def find_earlier(
    connection: Connection, store: DicomStore, text: str, filter_config: Json | None
) -> Operation:
    """Give the earlier export, which gave everything up to the change at which it began.

    One that left anything out is no ground to stand on: what it lacks would be missed for ever.

    Raises
    ------
    InvalidArgument
        If it is no export of this DICOM store.
    NotFound
        If there is no such operation, or it is no longer kept.
    FailedPrecondition
        If it did not export everything, or not of all that is asked for now.
    """
    name = parse_name(text)
    if not isinstance(name, OperationName):
        raise InvalidArgument(
            f"since is {text[:200]!r}; write projects/…/datasets/…/operations/NUMBER", _FIELD
        )
    earlier = operations.get_operation(connection, name)
    if earlier.kind is not Kind.EXPORT or earlier.store_id != store.id:
        raise InvalidArgument(f"{name} is no export of {store.name}", _FIELD)
    if earlier.state is not State.DONE or earlier.error is not None or earlier.start_seq is None:
        raise FailedPrecondition(
            f"{name} did not export everything: name one that ended without an error, or leave"
            " since out",
            _FIELD,
        )
    narrowed = filter_of(earlier.request)
    if narrowed is not None and narrowed != filter_config:
        raise FailedPrecondition(
            f"{name} exported only what its filter names: name the same filter, or leave since out",
            _FIELD,
        )
    return earlier


def check_same_filter(earlier: Operation, filter_sha256: str) -> None:
    """Refuse a filter that says something else than when the earlier export read it.

    Raises
    ------
    FailedPrecondition
        If it does, or nobody knows: what it names now, and has not changed since, would be missed.
    """
    if filter_of(earlier.request) is None:
        return
    before = parse_cursor(earlier.cursor).filter_sha256 if earlier.cursor else ""
    if before != filter_sha256:
        why = (
            f"the filter is not what it was when {earlier.name} read it"
            if before
            else f"{earlier.name} exported nothing, so that nobody knows what its filter named"
        )
        raise FailedPrecondition(f"{why}: leave since out", _FIELD)
