"""A study or series is hidden when its deletion is asked for; a job then deletes what it held."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from fileroom.archive.deletion import with_descriptions
from fileroom.database import operations, stores
from fileroom.database.instances import current_change_seq
from fileroom.database.instances.deleting import begin_deletion, count_below, delete_slice
from fileroom.database.operations import Counters, Kind
from fileroom.names import OperationName, parse_instance_path
from fileroom.transfer.changing.slices import run_slices

if TYPE_CHECKING:
    from fileroom.database.engine import Connection
    from fileroom.database.instances.describing import Descriptions
    from fileroom.names import DicomStoreName, InstancePath
    from fileroom.operations.runner import Run
    from fileroom.transfer.facilities import Facilities

PERMISSION: Final = "healthcare.dicomStores.dicomWebDelete"
_ENDED: Final = "ended"
"""The cursor once the study or series is gone: one of the same UID may be stored from then on."""


def request_delete(
    facilities: Facilities,
    name: DicomStoreName,
    path: InstancePath,
    *,
    api_version: str,
    principal: str = "",
) -> OperationName:
    """Hide a study or series at once, and have all it holds deleted.

    From here on nothing is stored into it, and imports under way bring nothing of it back.

    Raises
    ------
    NotFound
        If there is none.
    """
    with facilities.database.read() as connection:
        store = stores.get_dicom_store(connection, name, permission=PERMISSION)
    content = facilities.content(store)
    of_study = path.series_instance_uid is None

    def begin(transaction: Connection, known: Descriptions) -> str:
        dataset = stores.get_dataset(transaction, name.parent, permission=PERMISSION)
        begin_deletion(transaction, store.id, path, known=known)
        return operations.insert_operation(
            transaction,
            dataset.id,
            kind=Kind.DELETE_STUDY if of_study else Kind.DELETE_SERIES,
            api_version=api_version,
            principal=principal,
            store_id=store.id,
            request={"name": str(name), "path": str(path)},
            unfinished_max=facilities.unfinished_max,
        )

    operation_id = with_descriptions(content, begin)
    facilities.wake()
    return OperationName(name.parent, operation_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteJob:
    """The job of deletions; a cancellation does not end it."""

    facilities: Facilities

    def __call__(self, run: Run) -> bool:
        """Delete what is left of the study or series."""
        progress = run.read()
        if progress.cursor == _ENDED:
            return True
        path = parse_instance_path(str(progress.request["path"]))
        if progress.start_seq is None:
            self.facilities.database.write(partial(_begin, run=run, path=path))
        grace = int(self.facilities.grace_seconds * 1_000_000)
        return run_slices(run, partial(_advance, run=run, path=path, grace_microseconds=grace))


def _begin(transaction: Connection, *, run: Run, path: InstancePath) -> None:
    """Note how many instances there are to delete, so that progress has an end."""
    store_id = run.operation.store_id
    assert store_id is not None
    operations.begin_operation(
        transaction,
        run.operation,
        start_seq=current_change_seq(transaction, store_id),
        total=count_below(transaction, store_id, path),
    )


def _advance(
    transaction: Connection, *, run: Run, path: InstancePath, grace_microseconds: int
) -> bool:
    store_id = run.operation.store_id
    assert store_id is not None
    done = delete_slice(transaction, store_id, path, grace_microseconds=grace_microseconds)
    before = operations.read_progress(transaction, run.operation)
    operations.advance_operation(
        transaction,
        run.operation,
        Counters(listed=done.deleted, deleted=done.deleted, bytes=done.bytes),
        cursor=_ENDED if done.is_last else None,
        next_ordinal=before.next_ordinal + done.deleted,
    )
    return not done.is_last
