"""The storage class of a store's instances, or of those below a path or in a filter, is set.

It is kept and told; all bytes lie on the same disk whatever it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from fileroom.database import content_metrics, operations
from fileroom.database.instances import current_change_seq, next_change_seq
from fileroom.database.operations import Counters, Kind
from fileroom.transfer.asking import ask_for, filter_config
from fileroom.transfer.changing.slices import run_slices
from fileroom.transfer.selection import read_selection

if TYPE_CHECKING:
    from fileroom.database.engine import Connection
    from fileroom.database.operations import Json, Operation
    from fileroom.names import DicomStoreName, InstancePath, OperationName
    from fileroom.operations.runner import Run
    from fileroom.transfer.facilities import Facilities
    from fileroom.transfer.selection import Cursor, Selection

SLICE_MAX: Final = 500


def request_storage_class(
    facilities: Facilities,
    name: DicomStoreName,
    storage_class: str,
    *,
    path: InstancePath | None = None,
    filter_uri: str = "",
    api_version: str,
    principal: str = "",
    permission: str,
) -> OperationName:
    """Ask for another storage class: of a path, of what a filter names, or of the whole store.

    Raises
    ------
    InvalidArgument
        If the URI of the filter has another form.
    NotFound
        If there is nothing at the path.
    PermissionDenied
        If the filter's bucket is not one that this store may read.
    """
    details: Json = {
        "blobStorageSettings": {"blobStorageClass": storage_class},
        **filter_config(facilities, name, filter_uri),
    }
    return ask_for(
        facilities,
        name,
        Kind.SET_STORAGE_CLASS,
        details,
        path=path,
        api_version=api_version,
        principal=principal,
        permission=permission,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageClassJob:
    """The job that sets storage classes."""

    facilities: Facilities

    def __call__(self, run: Run) -> bool:
        """Set the class of the instances that were stored when the operation began."""
        database, progress = self.facilities.database, run.read()
        selection = read_selection(self.facilities, progress)
        if progress.start_seq is None:
            database.write(partial(_begin, operation=progress))
            progress = run.read()
        if progress.total is None:
            database.write(
                partial(operations.set_total, operation=progress, total=self._count(run, selection))
            )
        return run_slices(run, _Line(progress, selection).advance)

    def _count(self, run: Run, selection: Selection) -> int:
        """Give how many instances there are, so that progress has an end."""
        operation = run.read()
        assert operation.store_id is not None
        assert operation.start_seq is not None
        with self.facilities.database.read() as connection:
            return selection.count(connection, operation.store_id, horizon=operation.start_seq)


class _Line:
    """Goes from page to page."""

    def __init__(self, operation: Operation, selection: Selection) -> None:
        assert operation.store_id is not None
        assert operation.start_seq is not None
        settings = operation.request["blobStorageSettings"]
        assert isinstance(settings, dict)
        self._storage_class = str(settings["blobStorageClass"])
        self._operation, self._selection = operation, selection
        self._store_id, self._horizon = operation.store_id, operation.start_seq
        self._cursor: Cursor = selection.start
        self._next_ordinal = operation.next_ordinal

    def advance(self, transaction: Connection) -> bool:
        """Set the class of the next instances."""
        next_change_seq(transaction, self._store_id)  # the store must still be there
        page = self._selection.page(
            transaction,
            self._store_id,
            horizon=self._horizon,
            after=self._cursor,
            at_most=SLICE_MAX,
        )
        if not page:
            return False
        updated = content_metrics.set_storage_class(
            transaction, [stored.id for stored, _ in page], self._storage_class
        )
        self._cursor = page[-1][1]
        self._next_ordinal += len(page)
        operations.advance_operation(
            transaction,
            self._operation,
            Counters(listed=len(page), updated=updated, unchanged=len(page) - updated),
            cursor=self._cursor.encode(),
            next_ordinal=self._next_ordinal,
        )
        return True


def _begin(transaction: Connection, *, operation: Operation) -> None:
    assert operation.store_id is not None
    horizon = current_change_seq(transaction, operation.store_id)
    operations.begin_operation(transaction, operation, start_seq=horizon, total=None)
