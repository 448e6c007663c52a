"""Instances get new files slice by slice, in the order of their keys.

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
from typing import TYPE_CHECKING, Final, Protocol

from fileroom.archive.layout import check_blob_bucket
from fileroom.archive.retrieve import StoreContent, find_instance
from fileroom.archive.rewriting import ATTEMPTS_MAX, RewrittenFiles
from fileroom.archive.storing import SLICE_BYTES, SLICE_PARTS
from fileroom.database import operations, stores
from fileroom.database.instances import Moved, replace_rewritten
from fileroom.database.operations import Counters
from fileroom.database.stored import find_stored_instances
from fileroom.dicom.refusal import Refused
from fileroom.errors import (
    Aborted,
    Cancelled,
    Code,
    DataLoss,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    ObjectFailure,
    PermissionDenied,
    Reason,
    ResourceExhausted,
    Unavailable,
)
from fileroom.names import parse_instance_path
from fileroom.objectstore.local import DurabilityLost
from fileroom.transfer.selection import parse_cursor, read_selection

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fileroom.archive.rewriting import Rewrite
    from fileroom.database.engine import Connection
    from fileroom.database.instances import Rewritten
    from fileroom.database.operations import Operation
    from fileroom.database.values.stored import StoredInstance
    from fileroom.names import InstancePath
    from fileroom.operations.runner import Run
    from fileroom.transfer.facilities import Facilities

logger = logging.getLogger(__name__)

_CHANGED: Final = "others changed the instance again and again meanwhile; do it again"


class Pages(Protocol):
    """The instances that are rewritten, in an order of their own."""

    def page(
        self, after: str | None, at_most: int
    ) -> list[tuple[InstancePath, StoredInstance | None, str]]:
        """Give the next ones after a cursor, each with what is known of it and the cursor after."""


def run_rewriting(
    facilities: Facilities, run: Run, rewrite: Rewrite, pages: Pages | None = None
) -> bool:
    """Rewrite the instances of an operation from its cursor on; False if the server stops before.

    They are those that its request is about, unless ``pages`` gives others.

    Raises
    ------
    Aborted
        If another coordinator took over.
    Cancelled
        If somebody asked for it.
    """
    line = Rewriting(facilities, run.read(), rewrite, pages)
    while not run.stopping:
        run.check()
        if not line.advance():
            return True
    return False


def open_content(facilities: Facilities, operation: Operation) -> StoreContent:
    """Give the content of an operation's DICOM store.

    Raises
    ------
    NotFound
        If the store was deleted meanwhile.
    """
    name = operation.dicom_store_name
    assert name is not None
    with facilities.database.read() as connection:
        store = stores.get_dicom_store(connection, name)
    if store.id != operation.store_id:
        raise NotFound(f"DICOM store {name} was deleted while the operation waited")
    check_blob_bucket(facilities.blobs, store.blob_prefix)
    return facilities.content(store)


class _Selected:
    """The instances that the request of an operation is about."""

    def __init__(self, facilities: Facilities, operation: Operation, store_id: int) -> None:
        assert operation.start_seq is not None
        self._database = facilities.database
        self._selection = read_selection(facilities, operation)
        self._store_id, self._horizon = store_id, operation.start_seq

    def page(
        self, after: str | None, at_most: int
    ) -> list[tuple[InstancePath, StoredInstance | None, str]]:
        with self._database.read() as connection:
            page = self._selection.page(
                connection,
                self._store_id,
                horizon=self._horizon,
                after=parse_cursor(after) if after else self._selection.start,
                at_most=at_most,
            )
            rows = find_stored_instances(connection, [found.id for found, _ in page])
        return [
            (
                parse_instance_path(
                    f"studies/{found.study_instance_uid}/series/{found.series_instance_uid}"
                    f"/instances/{found.sop_instance_uid}"
                ),
                stored,
                cursor.encode(),
            )
            for (found, cursor), stored in zip(page, rows, strict=True)
        ]


@dataclass(slots=True)
class _Slice:
    """What became of some instances so far; those whose files were written are not settled yet."""

    first_ordinal: int
    cursor: str | None = None
    ordinals: dict[InstancePath, int] = field(default_factory=dict)
    failures: list[tuple[int, ObjectFailure]] = field(default_factory=list)

    @property
    def next_ordinal(self) -> int:
        return self.first_ordinal + len(self.ordinals)

    def fail(self, path: InstancePath, failure: ObjectFailure) -> None:
        self.failures.append((self.ordinals[path], failure))


class Rewriting:
    """Goes from slice to slice of the instances that an operation is about."""

    def __init__(
        self,
        facilities: Facilities,
        operation: Operation,
        rewrite: Rewrite,
        pages: Pages | None = None,
    ) -> None:
        self._facilities, self._operation = facilities, operation
        self._content = open_content(facilities, operation)
        self._rewrite = rewrite
        self._pages = pages or _Selected(facilities, operation, self._content.store_id)
        self._cursor = operation.cursor
        self._next_ordinal = operation.next_ordinal
        self._grace_microseconds = int(facilities.grace_seconds * 1_000_000)

    def advance(self) -> bool:
        """Write the files of the next instances; False if there are none."""
        page = self._pages.page(self._cursor, SLICE_PARTS)
        if not page:
            return False
        files = RewrittenFiles(self._facilities.requests, self._content, self._rewrite)
        with closing(files):
            some = _Slice(self._next_ordinal)
            for path, stored, cursor in page:
                some.ordinals[path] = some.next_ordinal
                self._add(files, some, path, stored)
                self._cursor = some.cursor = cursor
                if files.size > SLICE_BYTES:
                    break
            self._commit(files, some)
        self._next_ordinal = some.next_ordinal
        return True

    def _add(
        self, files: RewrittenFiles, some: _Slice, path: InstancePath, stored: StoredInstance | None
    ) -> None:
        """Write the new file of an instance, or note why not; what is gone needs none."""
        try:
            for _ in range(ATTEMPTS_MAX):
                try:
                    files.add(stored or find_instance(self._content, path))
                except Aborted:
                    stored = None
                else:
                    return
            some.fail(path, _failure(path, Code.ABORTED, Reason.SOURCE_CHANGED, _CHANGED))
        except NotFound:
            return
        except (Cancelled, Unavailable, ResourceExhausted, DurabilityLost):
            raise
        except Exception as error:  # one instance's affair, whatever it is
            some.fail(path, _failure_of(path, error))

    def _commit(self, files: RewrittenFiles, some: _Slice) -> None:
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
                listed=len(some.ordinals),
                updated=len(updated),
                # It is as it is to be already, or gone.
                unchanged=len(some.ordinals) - len(updated) - len(some.failures),
                failed=len(some.failures),
                bytes=sum(one.record.place.size for one in updated),
            ),
            cursor=some.cursor,
            next_ordinal=some.next_ordinal,
        )


def _failure_of(path: InstancePath, error: Exception) -> ObjectFailure:
    match error:
        case Refused():
            return _failure(path, error.code, error.reason, error.message)
        case InvalidArgument():
            return _failure(path, error.code, Reason.INVALID_VALUE, error.message)
        case DataLoss():
            return _failure(path, error.code, Reason.DATA_LOSS, error.message)
        case FailedPrecondition() | PermissionDenied():
            return _failure(path, error.code, Reason.SOURCE_DENIED, error.message)
    logger.error("an instance could not be rewritten, by a fault of Fileroom's own", exc_info=error)
    message = "the server met a fault over it; its log has more"
    return _failure(path, Code.INTERNAL, Reason.INTERNAL, message)


def _failure(path: InstancePath, code: Code, reason: Reason, message: str) -> ObjectFailure:
    return ObjectFailure(source=str(path), code=code, reason=reason, message=message)
