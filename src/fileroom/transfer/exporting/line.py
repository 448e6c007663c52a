"""One export operation as its coordinator sees it: what to list, to submit, to commit."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from fileroom.archive.layout import check_blob_bucket
from fileroom.archive.references import lost_reference
from fileroom.database import exports, operations, stores
from fileroom.database.instances import current_change_seq, note_damage
from fileroom.database.stored import find_stored_instances
from fileroom.database.values.instances import PlaceKind
from fileroom.database.values.operations import DeferredObject
from fileroom.errors import (
    Code,
    FileroomError,
    NotFound,
    ObjectFailure,
    Reason,
)
from fileroom.names import parse_instance_path
from fileroom.objectstore.buckets import open_bucket
from fileroom.objectstore.uri import parse_uri_prefix
from fileroom.transfer import commits
from fileroom.transfer.executors import WorkerLost
from fileroom.transfer.exporting.continuing import check_same_filter, filter_of, find_earlier
from fileroom.transfer.exporting.forms import parse_form
from fileroom.transfer.exporting.outcomes import UNREADABLE, ExportOutcome, InstanceToExport
from fileroom.transfer.exporting.transcoding import TranscodeTask, transcode_batch
from fileroom.transfer.exporting.worker import ExportTask, export_batch
from fileroom.transfer.ledger import LedgerLine, failure_line
from fileroom.transfer.options import ExportOptions, read_options
from fileroom.transfer.pipeline import BATCH_OBJECTS_MAX, NO_BLAME, Batch, Blame, cut_batches
from fileroom.transfer.selection import read_selection

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from concurrent.futures import Future

    from fileroom.database.engine import Connection
    from fileroom.database.exports import StoredInstance
    from fileroom.database.operations import Operation
    from fileroom.database.values.operations import DeferredObject
    from fileroom.database.values.stored import StoredInstance as StoredRow
    from fileroom.operations.runner import Run
    from fileroom.transfer.facilities import Facilities
    from fileroom.transfer.selection import Cursor

logger = logging.getLogger(__name__)

HANDED_HEADER_BYTES: Final = 32 << 10
"""A longer compressed header is not handed to a worker: hundreds wait for their turn."""
TRANSCODED_OBJECTS_MAX: Final = 16
"""Objects of a batch that is decoded and encoded: about a second of work for CT slices, so that
progress shows and a cancellation is soon heard."""
TRANSCODED_BYTES_MAX: Final = 8 << 20
"""Stored bytes of such a batch; decoded they may be ten times as many."""


class Export:
    """The work that the pipeline moves for an export."""

    def __init__(self, facilities: Facilities, run: Run) -> None:
        self._facilities = facilities
        self._run = run
        self._progress = progress = run.read()
        self._options = read_options(progress.request, ExportOptions)
        name, request = progress.dicom_store_name, progress.request["gcsDestination"]
        assert name is not None
        assert isinstance(request, dict)
        prefix = parse_uri_prefix(str(request["uriPrefix"]), facilities.buckets.roots)
        self._form = parse_form(str(request.get("mimeType", "")), prefix.key)
        pixels, copying = facilities.pixel_turns, facilities.turns
        self._turns = copying if self._form.is_as_stored else pixels
        self._destination = facilities.bucket(progress, prefix.bucket_name, "write")
        earlier = None
        with facilities.database.read() as connection:
            store = stores.get_dicom_store(connection, name)
            if since := self._options.since:
                filter_config = filter_of(progress.request)
                earlier = find_earlier(connection, store, since, filter_config)
        if store.id != progress.store_id:
            raise NotFound(f"DICOM store {name} was deleted while the operation waited")
        check_blob_bucket(facilities.blobs, store.blob_prefix)
        self._store_id = store.id
        self._writer = (progress.name.operation_id, run.operation.fence)
        self._has_abandoned = self._is_closed = False
        self._blob_prefix = store.blob_prefix
        self._blobs = facilities.blobs.bucket(store.blob_prefix)
        self._selection = read_selection(facilities, progress)
        if earlier is not None:
            self._continue(earlier)
        self._horizon = self._begin()
        if progress.total is None:
            self._count()
        if progress.start_seq is not None:
            self._sweep(below=run.operation.fence)

    def _continue(self, earlier: Operation) -> None:
        """Take what changed since an earlier export began."""
        check_same_filter(earlier, self._selection.start.filter_sha256)
        self._facilities.database.write(lambda tx: operations.keep_longer(tx, earlier))
        assert earlier.start_seq is not None
        self._selection = replace(self._selection, changed_after=earlier.start_seq)

    def _begin(self) -> int:
        """Give the store's last change when the operation first began: its horizon."""
        if self._progress.start_seq is not None:
            return self._progress.start_seq

        def begin(transaction: Connection) -> int:
            horizon = current_change_seq(transaction, self._store_id)
            operations.begin_operation(
                transaction, self._run.operation, start_seq=horizon, total=None
            )
            return horizon

        return self._facilities.database.write(begin)

    def _count(self) -> None:
        """Note how many instances there are to export, so that progress has an end."""
        with self._facilities.database.read() as connection:
            total = self._selection.count(connection, self._store_id, horizon=self._horizon)
        self._facilities.database.write(
            lambda transaction: operations.set_total(transaction, self._run.operation, total)
        )

    def _sweep(self, below: int) -> None:
        """Delete what workers left unfinished, of claims ``below`` one."""
        name, _ = self._writer
        open_bucket(self._destination).sweep_writers(self._form.prefix, name, below)

    @property
    def workers(self) -> int:
        """How many workers it is shared out to."""
        return self._turns.workers

    # ------------------------------------------------------------------ listing

    def batches(self) -> Iterator[Batch[InstanceToExport]]:
        """List from the cursor on."""
        first_ordinal = self._progress.next_ordinal
        items = (
            (self._to_export(ordinal, stored), cursor)
            for ordinal, (stored, cursor) in enumerate(self._listed(), first_ordinal)
        )
        if self._form.is_as_stored:
            return cut_batches(items, first_ordinal=first_ordinal)
        return cut_batches(
            items,
            first_ordinal=first_ordinal,
            objects_max=TRANSCODED_OBJECTS_MAX,
            bytes_max=TRANSCODED_BYTES_MAX,
        )

    def _listed(self) -> Iterator[tuple[StoredInstance, str]]:
        cursor = self._selection.start
        while page := self._page(cursor):
            for stored, after in page:
                yield stored, after.encode()
                cursor = after

    def _page(self, after: Cursor) -> Sequence[tuple[StoredInstance, Cursor]]:
        with self._facilities.database.read() as connection:
            return self._selection.page(
                connection,
                self._store_id,
                horizon=self._horizon,
                after=after,
                at_most=BATCH_OBJECTS_MAX,
            )

    def _to_export(self, ordinal: int, stored: StoredInstance) -> InstanceToExport:
        uids = (stored.study_instance_uid, stored.series_instance_uid, stored.sop_instance_uid)
        return InstanceToExport(
            ordinal=ordinal,
            id=stored.id,
            instance=uids,
            place=stored.place,
            key=self._form.key(uids),
        )

    # ------------------------------------------------------------------ the line

    def submit(
        self, batch: Batch[InstanceToExport], blame: Blame, slow_seconds: float
    ) -> Future[ExportOutcome]:
        """Give a batch to a worker."""
        return self._submit(batch.items, blame, alone=False)

    def _submit(
        self, instances: tuple[InstanceToExport, ...], blame: Blame, *, alone: bool
    ) -> Future[ExportOutcome]:
        weight = self._options.weight
        if self._form.is_as_stored:
            task = ExportTask(
                blobs=self._blobs,
                buckets=self._facilities.buckets,
                destination=self._destination,
                writer=self._writer,
                instances=instances,
                if_exists=self._options.if_exists,
                begun_at=self._progress.created_at,
                blame=blame,
                alone=alone,
            )
            return self._turns.submit(self._progress.id, export_batch, task, weight=weight)
        with self._facilities.database.read() as connection:
            rows = find_stored_instances(connection, [instance.id for instance in instances])
        other = TranscodeTask(
            blobs=self._facilities.blobs,
            blob_prefix=self._blob_prefix,
            buckets=self._facilities.buckets,
            destination=self._destination,
            writer=self._writer,
            form=self._form,
            instances=instances,
            rows=tuple(map(_handed, rows)),
            if_exists=self._options.if_exists,
            begun_at=self._progress.created_at,
            blame=blame,
            alone=alone,
        )
        return self._turns.submit(self._progress.id, transcode_batch, other, weight=weight)

    def commit(self, batch: Batch[InstanceToExport], outcome: ExportOutcome) -> None:
        """Count what was written, and move the cursor, in one transaction."""
        missing = outcome.missing
        commits.commit_batch(self._run, batch, missing, lambda tx: self._settle(tx, outcome))

    def _settle(self, transaction: Connection, outcome: ExportOutcome) -> list[LedgerLine]:
        operations.insert_failures(transaction, self._run.operation, outcome.failures)
        self._note_damage(transaction, outcome)
        lines = [
            LedgerLine(
                ordinal=each.instance.ordinal,
                source=each.instance.source,
                result="unchanged" if each.is_unchanged else "exported",
                size=each.size,
                sha256=each.sha256,
                instance=each.instance.instance,
                destination=f"{self._destination.name}/{each.key}",
            )
            for each in outcome.exported
        ]
        return lines + [failure_line(ordinal, failure) for ordinal, failure in outcome.failures]

    def _note_damage(self, transaction: Connection, outcome: ExportOutcome) -> None:
        """Have the same files heal what could not be exported, when they are stored again."""
        for _, failure in outcome.failures:
            if failure.reason is Reason.DATA_LOSS:
                path = parse_instance_path(failure.source)
                stored = exports.find_instance(transaction, self._store_id, path)
                if stored is not None:
                    note_damage(transaction, self._store_id, [stored.place])

    def discard(self, outcome: ExportOutcome) -> None:
        """Leave what was written: objects of a cancelled export are whole, and the user's."""

    def release(self, outcome: ExportOutcome) -> None:
        """Leave it as ``discard`` does: it is written again, to the same names."""

    def abandoned(self) -> None:
        """Have what a lost worker was at deleted, at the end: others of this export write yet."""
        self._has_abandoned = True
        if self._is_closed:
            self.close()

    def close(self) -> None:
        """Delete what lost workers left unfinished; whole objects stay."""
        self._is_closed = True
        if not self._has_abandoned:
            return
        try:
            self._sweep(below=self._run.operation.fence + 1)
        except FileroomError as error:
            logger.warning("unfinished files stay for now", extra={"cause": str(error)})

    # ------------------------------------------------------------------ the deferred lane

    def has_deferred(self) -> bool:
        """Whether any deferred instance is left."""
        return commits.has_deferred(self._run)

    def due_deferred(self, at_most: int, without: Iterable[int]) -> list[DeferredObject]:
        """Give deferred instances whose time has come."""
        return commits.due_deferred(self._run, at_most, without)

    def submit_deferred(self, deferred: DeferredObject) -> Future[ExportOutcome]:
        """Look an instance up again and give it to a worker; one that is gone comes back so."""
        path = parse_instance_path(deferred.source)
        with self._facilities.database.read() as connection:
            stored = exports.find_instance(connection, self._store_id, path)
        instances = () if stored is None else (self._to_export(deferred.ordinal, stored),)
        return self._submit(instances, NO_BLAME, alone=True)

    def commit_deferred(
        self, deferred: DeferredObject, outcome: ExportOutcome | WorkerLost
    ) -> None:
        """Finish a deferred instance, or put it off again."""
        if isinstance(outcome, WorkerLost):
            outcome = _lost(deferred, outcome)
        elif outcome.missing:
            why = outcome.missing[0].why
            if why == UNREADABLE and commits.put_off(self._run, deferred, why):
                return
            message = self._explain(deferred, why)
            outcome = _failed(deferred, Code.DATA_LOSS, Reason.DATA_LOSS, message)
        elif not outcome.exported and not outcome.failures:
            message = "the instance was deleted while it was exported"
            outcome = _failed(deferred, Code.NOT_FOUND, Reason.SOURCE_NOT_FOUND, message)
        settled = outcome
        commits.commit_deferred(self._run, deferred, lambda tx: self._settle(tx, settled))

    def _explain(self, deferred: DeferredObject, why: str) -> str:
        """Tell why an instance cannot be had, and what would help."""
        path = parse_instance_path(deferred.source)
        with self._facilities.database.read() as connection:
            stored = exports.find_instance(connection, self._store_id, path)
        by_reference = stored is not None and stored.place.kind is PlaceKind.REFERENCE
        if why == UNREADABLE:
            what = f"could not be read in {commits.ATTEMPTS_MAX} attempts; check "
            if stored is not None and by_reference:
                return f"{stored.place.key} {what}whether its bucket gives it"
            return f"the stored bytes {what}the disk, restore the blob"
        if stored is not None and by_reference:
            return lost_reference(stored.place, path).message
        return "the stored bytes are not where the index says; restore the blob"


def _handed(row: StoredRow | None) -> StoredRow | None:
    """Give what a worker is told of an instance: of a long header it reads the blob instead."""
    if row is None or row.header is None or len(row.header) <= HANDED_HEADER_BYTES:
        return row
    return replace(row, header=None)


def _lost(deferred: DeferredObject, lost: WorkerLost) -> ExportOutcome:
    limit = {Reason.TIME_LIMIT: "time", Reason.MEMORY_LIMIT: "memory"}.get(lost.reason)
    if limit is not None:
        message = f"it took more {limit} than a worker may take for one object"
        return _failed(deferred, Code.RESOURCE_EXHAUSTED, lost.reason, message)
    message = "the worker process died over it, twice; please report the instance"
    return _failed(deferred, Code.INTERNAL, lost.reason, message)


def _failed(deferred: DeferredObject, code: Code, reason: Reason, message: str) -> ExportOutcome:
    failure = ObjectFailure(source=deferred.source, code=code, reason=reason, message=message)
    return ExportOutcome(
        exported=(), failures=((deferred.ordinal, failure),), missing=(), seconds=0.0
    )
