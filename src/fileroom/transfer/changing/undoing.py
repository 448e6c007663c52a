"""An import is undone: what it replaced comes back, what it created goes, nothing else changes.

Its ledger says what that is. An instance that somebody changed or deleted since stays as it is.
What was replaced is written anew from the bytes that are kept for the grace, into a place of its
own; instances are taken a chunk of the ledger at a time, first those to bring back.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final, cast

import msgspec
from msgspec import structs

from fileroom.archive.deletion import with_descriptions
from fileroom.archive.packs import open_place
from fileroom.database import operations, stores
from fileroom.database.instances import PlaceKind, current_change_seq
from fileroom.database.instances.undoing import Written, delete_written, find_replaced
from fileroom.database.operations import Counters, Kind, State
from fileroom.dicom.rewriting import PIECE_BYTES
from fileroom.errors import DataLoss, FailedPrecondition, NotFound
from fileroom.names import InstancePath, OperationName, Uid, parse_name
from fileroom.transfer.asking import ask_for
from fileroom.transfer.changing.rewriting import open_content, run_rewriting
from fileroom.transfer.ledger import decode_chunk
from fileroom.transfer.options import ImportOptions, read_options

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fileroom.archive.reading import InstanceReader
    from fileroom.archive.retrieve import StoreContent
    from fileroom.database.engine import Connection
    from fileroom.database.instances.describing import Descriptions
    from fileroom.database.operations import Operation
    from fileroom.database.values.stored import StoredInstance
    from fileroom.operations.runner import Run
    from fileroom.transfer.facilities import Facilities
    from fileroom.transfer.ledger import LedgerLine

UNDONE: Final = "undone"
"""What the request calls the import."""
_GONE: Final = "the bytes that the import replaced are kept no longer: the grace is over"
_REFERENCE: Final = "what the import replaced was kept by reference; import that again"


class _Cursor(msgspec.Struct, frozen=True, array_like=True):
    """How far an undoing is."""

    removing: bool = False
    """Whether all that was replaced is brought back already."""
    first_ordinal: int = -1
    lane: int = -1
    """Of the chunk of the ledger that is worked on, or done."""
    done: int = 0
    """Lines of the next chunk that are settled."""

    def encode(self) -> str:
        return msgspec.json.encode(self).decode()


def _cursor_of(text: str | None) -> _Cursor:
    return msgspec.json.decode(text, type=_Cursor) if text else _Cursor()


def request_undo(
    facilities: Facilities,
    name: OperationName,
    *,
    api_version: str,
    principal: str = "",
    permission: str,
) -> OperationName:
    """Ask for an import to be undone.

    Raises
    ------
    NotFound
        If there is no such operation, or it is no longer kept.
    FailedPrecondition
        If it is no import, has not ended, or stored nothing because it only validated.
    """
    with facilities.database.read() as connection:
        undone = operations.get_operation(connection, name)
        store = undone.dicom_store_name
        found = None if store is None else stores.find_dicom_store(connection, store)
    if undone.kind is not Kind.IMPORT or store is None:
        raise FailedPrecondition(f"{name} is no import: only imports can be undone", "name")
    if undone.state is not State.DONE:
        raise FailedPrecondition(f"{name} has not ended: cancel it, or wait for its end", "name")
    if read_options(undone.request, ImportOptions).validate_only:
        raise FailedPrecondition(f"{name} only validated: there is nothing to undo", "name")
    if found is None or found.id != undone.store_id:
        raise FailedPrecondition(f"the DICOM store of {name} was deleted since", "name")
    return ask_for(
        facilities,
        store,
        Kind.UNDO_IMPORT,
        {UNDONE: str(name)},
        builds_on=undone,
        api_version=api_version,
        principal=principal,
        permission=permission,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class UndoJob:
    """The job that undoes imports."""

    facilities: Facilities

    def __call__(self, run: Run) -> bool:
        """Bring back and remove what is left of it, from its cursor on."""
        progress = run.read()
        with self.facilities.database.read() as connection:
            name = cast("OperationName", parse_name(str(progress.request[UNDONE])))
            undone = operations.get_operation(connection, name)
        if undone.store_id != progress.store_id:
            raise NotFound("the DICOM store of the import was deleted")
        self.facilities.database.write(lambda tx: operations.keep_longer(tx, undone))
        if progress.start_seq is None:
            self.facilities.database.write(partial(_begin, operation=progress, undone=undone))
            progress = run.read()
        ledger = _Replaced(self.facilities, open_content(self.facilities, progress), undone)
        if not _cursor_of(progress.cursor).removing:
            restored = partial(ledger.restored_file, run=run)
            if not run_rewriting(self.facilities, run, restored, ledger):
                return False
        return _Removing(ledger, run).run_all()


def _begin(transaction: Connection, *, operation: Operation, undone: Operation) -> None:
    assert operation.store_id is not None
    operations.begin_operation(
        transaction,
        operation,
        start_seq=current_change_seq(transaction, operation.store_id),
        total=undone.counters.imported + undone.counters.replaced,
    )


@dataclass(slots=True)
class _Replaced:
    """The pages of a rewriting that brings back what an import replaced."""

    facilities: Facilities
    content: StoreContent
    undone: Operation
    lines: dict[InstancePath, LedgerLine] = field(default_factory=dict)
    """Of the present page."""

    def chunk(self, after: _Cursor) -> tuple[_Cursor, list[LedgerLine]] | None:
        """Give the next chunk of the import's ledger, and the cursor after it."""
        with self.content.database.read() as connection:
            chunks = operations.ledger_chunks(
                connection, self.undone.id, after=(after.first_ordinal, after.lane), at_most=1
            )
        if not chunks:
            return None
        first_ordinal, lane, chunk = chunks[0]
        return _Cursor(after.removing, first_ordinal, lane), decode_chunk(chunk)

    def page(
        self, after: str | None, at_most: int
    ) -> list[tuple[InstancePath, StoredInstance | None, str]]:
        """Give the next instances that were replaced, each with the cursor after it."""
        cursor = _cursor_of(after)
        while (found := self.chunk(cursor)) is not None:
            whole, lines = found
            replaced = [line for line in lines if line.result == "replaced"][cursor.done :]
            if replaced:
                self.lines = {_path_of(line): line for line in replaced[:at_most]}
                after_each = [
                    structs.replace(cursor, done=cursor.done + number)
                    for number in range(1, len(self.lines) + 1)
                ]
                if len(self.lines) == len(replaced):
                    after_each[-1] = whole
                return [
                    (path, None, each.encode())
                    for path, each in zip(self.lines, after_each, strict=True)
                ]
            cursor = whole
        return []

    def restored_file(self, reader: InstanceReader, run: Run) -> Iterator[bytes] | None:
        """Give the bytes that were replaced; None for an instance that somebody changed since.

        Raises
        ------
        DataLoss
            If they are kept no longer.
        """
        written = _written(self.lines[reader.stored.path])
        with self.content.database.read() as connection:
            place = find_replaced(
                connection, self.content.store_id, self.undone.id, reader.stored.path, written
            )
        if place is None:
            return None
        if not place.key:
            raise DataLoss(_GONE, "grace")
        if place.kind is PlaceKind.REFERENCE:
            raise DataLoss(_REFERENCE, "reference")
        try:
            source = open_place(self.content.blobs.bucket(self.content.blob_prefix), place)
        except NotFound as error:
            raise DataLoss(_GONE, "grace") from error

        def pieces() -> Iterator[bytes]:
            digest = hashlib.sha256()
            with source:
                for offset in range(0, place.size, PIECE_BYTES):
                    run.check()
                    piece = source.read_at(offset, PIECE_BYTES)
                    digest.update(piece)
                    yield piece
            if digest.digest() != place.sha256:
                raise DataLoss(_GONE, "grace")

        return pieces()


@dataclass(slots=True)
class _Removing:
    """Removes what an import created, a chunk of its ledger in each transaction."""

    ledger: _Replaced
    run: Run

    def run_all(self) -> bool:
        """Remove what is left; False if the server stops before."""
        cursor = _cursor_of(self.run.read().cursor)
        if not cursor.removing:
            cursor = _Cursor(removing=True)
        while (found := self.ledger.chunk(cursor)) is not None:
            if self.run.stopping:
                return False
            self.run.check()
            cursor, lines = found
            created = [_written(line) for line in lines if line.result == "imported"]
            if created:
                with_descriptions(
                    self.ledger.content, partial(self._remove, created=created, cursor=cursor)
                )
        self._check_whole()
        return True

    def _check_whole(self) -> None:
        """See that the ledger told of all that the import stored."""
        told, undone = self.run.read().counters.listed, self.ledger.undone
        if told != undone.counters.imported + undone.counters.replaced:
            raise DataLoss(
                f"the ledger of {undone.name} is not whole any more: only {told} of what it stored"
                " could be undone; delete the others by hand",
                "name",
            )

    def _remove(
        self,
        transaction: Connection,
        known: Descriptions,
        *,
        created: list[Written],
        cursor: _Cursor,
    ) -> None:
        operation = self.run.operation
        operations.lock_operation(transaction, operation)
        deleted, size = delete_written(
            transaction,
            self.ledger.content.store_id,
            self.ledger.undone.id,
            created,
            grace_microseconds=int(self.ledger.facilities.grace_seconds * 1_000_000),
            known=known,
        )
        before = operations.read_progress(transaction, operation)
        operations.advance_operation(
            transaction,
            operation,
            Counters(
                listed=len(created),
                deleted=deleted,
                unchanged=len(created) - deleted,
                bytes=size,
            ),
            cursor=cursor.encode(),
            next_ordinal=before.next_ordinal + len(created),
        )


def _path_of(line: LedgerLine) -> InstancePath:
    assert line.instance is not None
    return InstancePath(*map(Uid, line.instance))


def _written(line: LedgerLine) -> Written:
    assert line.instance is not None
    return Written(
        instance=line.instance, source=line.source, version=line.version, sha256=line.sha256
    )
