"""The same attributes of all instances of a study or series are replaced, slice by slice.

The files of a slice are made durable, then get their rows in one transaction with the progress they
mean. They are written by the server itself: piece by piece, so that memory does not grow with
them, and beside requests, as those do that store instances.
"""

from __future__ import annotations

import itertools
import logging
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final

from fileroom.archive.layout import check_blob_bucket
from fileroom.archive.patching import ATTEMPTS_MAX, PatchedFiles
from fileroom.archive.retrieve import StoreContent, find_instance
from fileroom.archive.storing import SLICE_BYTES, SLICE_PARTS
from fileroom.database import content_metrics, operations, stores
from fileroom.database.instances import Moved, current_change_seq, replace_rewritten
from fileroom.database.instances.deleting import count_below
from fileroom.database.operations import Counters, Kind
from fileroom.database.stored import find_stored_instances
from fileroom.database.values.operations import PATCH
from fileroom.dicom.patching import check_patch_of_many, parse_patch
from fileroom.dicom.refusal import Refused
from fileroom.errors import (
    Aborted,
    Code,
    DataLoss,
    InvalidArgument,
    NotFound,
    ObjectFailure,
    Reason,
    ResourceExhausted,
    Unavailable,
    Unimplemented,
)
from fileroom.names import OperationName, parse_instance_path
from fileroom.objectstore.local import DurabilityLost
from fileroom.transfer.selection import read_selection

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fileroom.database.engine import Connection
    from fileroom.database.instances import Rewritten
    from fileroom.database.operations import Operation
    from fileroom.database.values.stored import StoredInstance
    from fileroom.names import DicomStoreName, InstancePath
    from fileroom.operations.runner import Run
    from fileroom.transfer.facilities import Facilities
    from fileroom.transfer.selection import Cursor

logger = logging.getLogger(__name__)

PATCH_BYTES_MAX: Final = 64 << 10
"""It stays in the operation's row, which every look at the operation reads."""
_STUDY_INSTANCE_UID: Final = 0x0020000D
_SERIES_INSTANCE_UID: Final = 0x0020000E
_CHANGED: Final = "others changed the instance again and again while it was patched; patch it again"


def request_patch(
    facilities: Facilities,
    name: DicomStoreName,
    path: InstancePath,
    document: bytes,
    *,
    api_version: str,
    permission: str,
) -> OperationName:
    """Ask for attributes to be replaced in all instances that a study or series has now.

    Raises
    ------
    InvalidArgument
        If the document is no DICOM JSON, names what may not change, or is too large.
    NotFound
        If there is no such study or series.
    """
    if len(document) > PATCH_BYTES_MAX:
        raise InvalidArgument(
            f"a patch of a study or series has at most {PATCH_BYTES_MAX} bytes; patch its instances"
            " one by one",
            "body",
        )
    uids = {_STUDY_INSTANCE_UID: str(path.study_instance_uid)}
    if path.series_instance_uid is not None:
        uids[_SERIES_INSTANCE_UID] = str(path.series_instance_uid)
    check_patch_of_many(parse_patch(document), uids)

    def insert(transaction: Connection) -> str:
        store = stores.get_dicom_store(transaction, name, permission=permission)
        content_metrics.check_exists(transaction, store.id, path)
        of_study = path.series_instance_uid is None
        return operations.insert_operation(
            transaction,
            stores.get_dataset(transaction, name.parent).id,
            kind=Kind.UPDATE_STUDY if of_study else Kind.UPDATE_SERIES,
            api_version=api_version,
            store_id=store.id,
            request={"name": str(name), "path": str(path), PATCH: document.decode()},
        )

    operation_id = facilities.database.write(insert)
    facilities.wake()
    return OperationName(name.parent, operation_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchJob:
    """The job that patches studies and series."""

    facilities: Facilities

    def __call__(self, run: Run) -> bool:
        """Patch the instances that there were when the operation began, from its cursor on."""
        progress = run.read()
        if progress.start_seq is None:
            self.facilities.database.write(partial(_begin, operation=progress))
            progress = run.read()
        line = _Line(self.facilities, progress)
        while not run.stopping:
            run.check()
            if not line.advance():
                return True
        return False


@dataclass(slots=True)
class _Slice:
    """What became of some instances so far; those whose files were written are not settled yet."""

    first_ordinal: int
    cursor: str | None = None
    ordinals: dict[InstancePath, int] = field(default_factory=dict)
    unchanged: int = 0
    failures: list[tuple[int, ObjectFailure]] = field(default_factory=list)

    @property
    def next_ordinal(self) -> int:
        return self.first_ordinal + len(self.ordinals)

    def fail(self, path: InstancePath, failure: ObjectFailure) -> None:
        self.failures.append((self.ordinals[path], failure))


class _Line:
    """Goes from slice to slice."""

    def __init__(self, facilities: Facilities, operation: Operation) -> None:
        name = operation.dicom_store_name
        assert name is not None
        assert operation.start_seq is not None
        with facilities.database.read() as connection:
            store = stores.get_dicom_store(connection, name)
        if store.id != operation.store_id:
            raise NotFound(f"DICOM store {name} was deleted while the operation waited")
        check_blob_bucket(facilities.blobs, store.blob_prefix)
        self._facilities, self._operation = facilities, operation
        self._content = StoreContent(
            database=facilities.database,
            blobs=facilities.blobs,
            store_id=store.id,
            blob_prefix=store.blob_prefix,
        )
        self._model = parse_patch(str(operation.request[PATCH]).encode())
        self._selection = read_selection(facilities, operation)
        self._horizon = operation.start_seq
        self._cursor: Cursor = self._selection.start
        self._next_ordinal = operation.next_ordinal
        self._grace_microseconds = int(facilities.grace_seconds * 1_000_000)

    def advance(self) -> bool:
        """Patch the next instances; False if there are none."""
        page = self._page()
        if not page:
            return False
        files = PatchedFiles(self._facilities.requests, self._content, self._model)
        with closing(files):
            some = _Slice(self._next_ordinal)
            for path, stored, cursor in page:
                some.ordinals[path] = some.next_ordinal
                self._add(files, some, path, stored)
                self._cursor, some.cursor = cursor, cursor.encode()
                if files.size > SLICE_BYTES:
                    break
            self._commit(files, some)
        self._next_ordinal = some.next_ordinal
        return True

    def _page(self) -> list[tuple[InstancePath, StoredInstance | None, Cursor]]:
        with self._facilities.database.read() as connection:
            page = self._selection.page(
                connection,
                self._content.store_id,
                horizon=self._horizon,
                after=self._cursor,
                at_most=SLICE_PARTS,
            )
            rows = find_stored_instances(connection, [found.id for found, _ in page])
        return [
            (
                parse_instance_path(
                    f"studies/{found.study_instance_uid}/series/{found.series_instance_uid}"
                    f"/instances/{found.sop_instance_uid}"
                ),
                stored,
                cursor,
            )
            for (found, cursor), stored in zip(page, rows, strict=True)
        ]

    def _add(
        self, files: PatchedFiles, some: _Slice, path: InstancePath, stored: StoredInstance | None
    ) -> None:
        """Write the patched file of an instance, or note why not; what is gone needs none."""
        try:
            for _ in range(ATTEMPTS_MAX):
                try:
                    if not files.add(stored or find_instance(self._content, path)):
                        some.unchanged += 1
                except Aborted:
                    stored = None
                else:
                    return
            some.fail(path, _failure(path, Code.ABORTED, Reason.SOURCE_CHANGED, _CHANGED))
        except NotFound:
            return
        except (Unavailable, ResourceExhausted, DurabilityLost):
            raise
        except Exception as error:  # one instance's affair, whatever it is
            some.fail(path, _failure_of(path, error))

    def _commit(self, files: PatchedFiles, some: _Slice) -> None:
        # It ends: from some attempt on, each leaves out what it met changed.
        for attempt in itertools.count(1):
            try:
                files.commit(partial(self._settle, some=some), lane="batch")
            except Moved as error:
                for one in error.moved:
                    path = parse_instance_path(one.record.source)
                    if attempt < ATTEMPTS_MAX:
                        self._add(files, some, path, None)
                    else:
                        some.fail(
                            path, _failure(path, Code.ABORTED, Reason.SOURCE_CHANGED, _CHANGED)
                        )
            else:
                return

    def _settle(
        self, transaction: Connection, rewritten: Sequence[Rewritten], *, some: _Slice
    ) -> None:
        """Give the files their rows, count them and move the cursor, in one transaction."""
        operation = self._operation
        operations.lock_operation(transaction, operation, next_ordinal=some.first_ordinal)
        updated = replace_rewritten(
            transaction,
            self._content.store_id,
            rewritten,
            grace_microseconds=self._grace_microseconds,
        )
        operations.insert_failures(transaction, operation, some.failures)
        operations.advance_operation(
            transaction,
            operation,
            Counters(
                listed=len(updated) + some.unchanged + len(some.failures),
                updated=len(updated),
                unchanged=some.unchanged,
                failed=len(some.failures),
                bytes=sum(one.record.place.size for one in updated),
            ),
            cursor=some.cursor,
            next_ordinal=some.next_ordinal,
        )


def _begin(transaction: Connection, *, operation: Operation) -> None:
    """Note the horizon, and how many instances there are, so that progress has an end."""
    assert operation.store_id is not None
    path = parse_instance_path(str(operation.request["path"]))
    horizon = current_change_seq(transaction, operation.store_id)
    operations.begin_operation(
        transaction,
        operation,
        start_seq=horizon,
        total=count_below(transaction, operation.store_id, path),
    )


def _failure_of(path: InstancePath, error: Exception) -> ObjectFailure:
    match error:
        case Refused():
            return _failure(path, error.code, error.reason, error.message)
        case InvalidArgument():
            return _failure(path, error.code, Reason.INVALID_VALUE, error.message)
        case DataLoss():
            return _failure(path, error.code, Reason.DATA_LOSS, error.message)
        case Unimplemented():
            return _failure(path, error.code, Reason.UNSUPPORTED_REFERENCE, error.message)
    logger.error("an instance could not be patched, by a fault of Fileroom's own", exc_info=error)
    message = "the server met a fault over it; its log has more"
    return _failure(path, Code.INTERNAL, Reason.INTERNAL, message)


def _failure(path: InstancePath, code: Code, reason: Reason, message: str) -> ObjectFailure:
    return ObjectFailure(source=str(path), code=code, reason=reason, message=message)
