"""One import operation as its coordinator sees it: what to list, to submit, to commit."""

from __future__ import annotations

import logging
import sys
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from fileroom.archive.ingest import Writer, unspool_headers
from fileroom.archive.layout import check_blob_bucket
from fileroom.database import operations, stores
from fileroom.database.collection import named_blobs
from fileroom.database.engine import now_microseconds
from fileroom.database.instances import (
    PlaceKind,
    Result,
    StoreWrite,
    current_change_seq,
    foresee_and_note,
    foresee_records,
    queue_drops,
    record_key,
    store_records,
)
from fileroom.errors import Cancelled, Code, FileroomError, NotFound, ObjectFailure, Reason
from fileroom.objectstore.uri import parse_pattern
from fileroom.transfer import commits
from fileroom.transfer.executors import WorkerLost
from fileroom.transfer.importing.comparing import (
    changed_again,
    find_comparison,
    to_compare,
)
from fileroom.transfer.importing.listing import Failed, Listing, Matching
from fileroom.transfer.importing.reading import ListedObject, open_source
from fileroom.transfer.importing.retrying import find_retried
from fileroom.transfer.importing.tasks import ImportOutcome, ImportTask
from fileroom.transfer.importing.worker import import_batch
from fileroom.transfer.ledger import LedgerLine, failure_line
from fileroom.transfer.options import ImportOptions, find_storage_class, read_options
from fileroom.transfer.pipeline import BATCH_BYTES_MAX, LARGE_BYTES, Batch, Blame, cut_batches

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from concurrent.futures import Future

    from fileroom.database.engine import Connection
    from fileroom.database.instances import RecordResult
    from fileroom.database.stores import DicomStore
    from fileroom.database.values.operations import DeferredObject
    from fileroom.objectstore.contract import Source
    from fileroom.operations.runner import Run
    from fileroom.transfer.facilities import Facilities

logger = logging.getLogger(__name__)

_WANTED: Final = "wanted"


class Import:
    """The work that the pipeline moves for an import."""

    def __init__(self, facilities: Facilities, run: Run) -> None:
        self._facilities = facilities
        self._run = run
        self._progress = progress = run.read()
        self._options = read_options(progress.request, ImportOptions)
        name, request = progress.dicom_store_name, progress.request["gcsSource"]
        assert name is not None
        assert isinstance(request, dict)
        self._pattern = parse_pattern(str(request["uri"]), facilities.buckets.roots)
        self._source = facilities.bucket(progress, self._pattern.bucket_name, "read")
        with facilities.database.read() as connection:
            store = stores.get_dicom_store(connection, name)
        if store.id != progress.store_id:
            raise NotFound(f"DICOM store {name} was deleted while the operation waited")
        self._listing = self._find_listing(store)
        check_blob_bucket(facilities.blobs, store.blob_prefix)
        self._writer = Writer(bucket=facilities.blobs.bucket(store.blob_prefix), number=progress.id)
        self._write = StoreWrite(
            store_id=store.id,
            operation_id=progress.id,
            start_seq=self._begin(store.id),
            policy=self._options.policy,
            storage_class=find_storage_class(progress.request) or "STANDARD",
            grace_microseconds=int(facilities.grace_seconds * 1_000_000),
        )
        self._counting_stopped = threading.Event()

    def _begin(self, store_id: int) -> int:
        """Give the change of the store at which the operation first began."""
        if self._progress.start_seq is not None:
            return self._progress.start_seq

        def begin(transaction: Connection) -> int:
            seq = current_change_seq(transaction, store_id)
            operations.begin_operation(transaction, self._run.operation, start_seq=seq, total=None)
            return seq

        return self._facilities.database.write(begin)

    @property
    def workers(self) -> int:
        """How many workers it is shared out to."""
        return self._facilities.turns.workers

    # ------------------------------------------------------------------ listing

    def _find_listing(self, store: DicomStore) -> Listing:
        if not self._options.retry_of:
            return Matching(self._pattern, self._source.name)
        database = self._facilities.database
        with database.read() as connection:
            retried = find_retried(connection, store, self._options.retry_of)
        database.write(lambda transaction: operations.keep_longer(transaction, retried))
        return Failed(database, retried, self._source.name)

    def count(self) -> None:
        """Count what the pattern matches, beside the work, so that progress has an end."""
        if self._progress.total is not None:
            return
        try:
            source = self._opened(self._check_counting)
            total = self._listing.count(source, lambda: not self._counting_stopped.is_set())
            if total is None:
                return
            self._facilities.database.write(
                lambda transaction: operations.set_total(transaction, self._run.operation, total)
            )
        except FileroomError as error:
            logger.info("the objects were not counted", extra={"cause": str(error)})

    def stop_counting(self) -> None:
        """Have ``count`` come to its end."""
        self._counting_stopped.set()

    def _check_counting(self) -> None:
        if self._counting_stopped.is_set():
            raise Cancelled("nobody waits for the number any more")
        self._run.check()

    def batches(self) -> Iterator[Batch[ListedObject]]:
        """List from the cursor on; raises as ``Listing.objects`` does."""
        first_ordinal = self._progress.next_ordinal
        source = self._opened(self._run.check)
        items = self._listing.objects(source, self._progress.cursor or "", first_ordinal)
        # Of an object that stays where it is, only a header is read, whatever its size.
        bytes_max = sys.maxsize if self._options.only_headers else BATCH_BYTES_MAX
        return cut_batches(items, first_ordinal=first_ordinal, bytes_max=bytes_max)

    def _key(self, uri: str) -> str:
        return uri.removeprefix(f"{self._source.name}/")

    def _opened(self, check: Callable[[], None]) -> Source:
        scratch = self._writer.bucket.scratch
        return open_source(self._source, self._pattern.archive, scratch, check=check)

    # ------------------------------------------------------------------ the line

    def submit(
        self, batch: Batch[ListedObject], blame: Blame, slow_seconds: float
    ) -> Future[ImportOutcome]:
        """Give a batch to a worker."""
        task = ImportTask(
            source=self._source,
            archive=self._pattern.archive,
            writer=self._writer,
            objects=batch.items,
            slow_seconds=slow_seconds,
            blame=blame,
            by_reference=self._options.by_reference,
            is_kept_so=self._options.by_reference,
            validate_only=self._options.validate_only,
        )
        return self._submit(task)

    def _submit(self, task: ImportTask) -> Future[ImportOutcome]:
        weight = self._options.weight
        return self._facilities.turns.submit(self._progress.id, import_batch, task, weight=weight)

    def commit(self, batch: Batch[ListedObject], outcome: ImportOutcome) -> None:
        """Give the batch's instances their rows, and count them, in one transaction."""
        whole = self._with_headers(outcome)
        commits.commit_batch(self._run, batch, outcome.deferred, lambda tx: self._settle(tx, whole))
        self._forget_spool(outcome)

    def _settle(
        self, transaction: Connection, outcome: ImportOutcome, attempts: int = 0
    ) -> list[LedgerLine | DeferredObject]:
        """Store what was made and note what failed; give the lines of both.

        What may be identical to something stored, and neither was ever read, is put off.
        """
        write = replace(self._write, known=outcome.known)
        store = foresee_and_note if self._options.validate_only else store_records
        results = [
            changed_again(result) if attempts >= commits.ATTEMPTS_MAX else result
            for result in store(transaction, write, outcome.records)
        ]
        failures = [*outcome.failures, *_conflicts(results)]
        operations.insert_failures(transaction, self._run.operation, failures)
        lines = [
            to_compare(result.record, attempts)
            if result.result is Result.UNDECIDED
            else _record_line(result)
            for result in results
        ]
        return lines + [failure_line(ordinal, failure) for ordinal, failure in outcome.failures]

    def discard(self, outcome: ImportOutcome) -> None:
        """Queue the blobs of a cancelled operation that nobody will commit for collection."""
        drops = [(record.place, record_key(record)) for record in outcome.records]

        def queue(transaction: Connection) -> None:
            # Another coordinator might commit the same blobs yet; whoever claims after this one
            # sees the cancellation before it commits any.
            operations.lock_operation(transaction, self._run.operation)
            now = now_microseconds()
            queue_drops(transaction, self._write.store_id, drops, not_before=now, had_rows=False)

        self._facilities.database.write(queue)
        self._forget_spool(outcome)

    def release(self, outcome: ImportOutcome) -> None:
        """Delete the packs of what was not committed: it is made again, into other packs.

        Only this coordinator knows their names, so nobody else commits them; a commit of its own
        whose end it did not hear of shows in the rows.
        """
        packed = [one for one in outcome.records if one.place.kind is PlaceKind.PACK]
        with self._facilities.database.read() as connection:
            named = named_blobs(connection, self._write.store_id, packed)
        for key in {record.place.key for record in packed} - named:
            self._writer.bucket.delete(key)
        self._forget_spool(outcome)

    def abandoned(self) -> None:
        """Have the blobs found that a worker may have made, since nobody will commit them."""
        self._facilities.suspect(self._write.store_id, self._progress.id)

    def _with_headers(self, outcome: ImportOutcome) -> ImportOutcome:
        if outcome.spooled is None:
            return outcome
        records = unspool_headers(self._writer, outcome.records, outcome.spooled)
        return replace(outcome, records=tuple(records))

    def _forget_spool(self, outcome: ImportOutcome) -> None:
        if outcome.spooled is None:
            return
        try:
            self._writer.bucket.delete(outcome.spooled.key)
        except FileroomError as error:  # what it is about is committed, or given up
            logger.warning("headers stay for now", extra={"cause": str(error)})
            self.abandoned()

    # ------------------------------------------------------------------ the deferred lane

    def has_deferred(self) -> bool:
        """Whether any deferred object is left."""
        return commits.has_deferred(self._run)

    def due_deferred(self, at_most: int, without: Iterable[int]) -> list[DeferredObject]:
        """Give deferred objects whose time has come."""
        return commits.due_deferred(self._run, at_most, without)

    def submit_deferred(self, deferred: DeferredObject) -> Future[ImportOutcome]:
        """Give one deferred object to a worker, alone."""
        listed = ListedObject(
            ordinal=deferred.ordinal,
            key=self._key(deferred.source),
            size=deferred.size,
            # What changed since it was listed is read once more, as it stands.
            version=None if deferred.why == Reason.SOURCE_CHANGED else deferred.version,
        )
        task = ImportTask(
            source=self._source,
            archive=self._pattern.archive,
            writer=self._writer,
            objects=(listed,),
            slow_seconds=0.0,
            alone=True,
            by_reference=self._options.by_reference or self._is_looked_at(deferred),
            is_kept_so=self._options.by_reference,
            validate_only=self._options.validate_only,
            comparison=find_comparison(
                self._facilities,
                self._write,
                deferred,
                validate_only=self._options.validate_only,
            ),
        )
        return self._submit(task)

    def commit_deferred(
        self, deferred: DeferredObject, outcome: ImportOutcome | WorkerLost
    ) -> None:
        """Finish a deferred object, or put it off again."""
        if isinstance(outcome, WorkerLost):
            outcome = _lost(deferred, outcome)
        elif outcome.deferred:
            if commits.put_off(self._run, deferred, outcome.deferred[0].why):
                return
            outcome = _given_up(deferred, outcome.deferred[0].why)
        whole = self._with_headers(outcome)

        def settle(transaction: Connection) -> list[LedgerLine | DeferredObject]:
            if self._is_looked_at(deferred) and (
                again := self._wanted(transaction, deferred, whole)
            ):
                return again
            return self._settle(transaction, whole, deferred.attempts + 1)

        commits.commit_deferred(self._run, deferred, settle)
        self._forget_spool(outcome)

    def _is_looked_at(self, deferred: DeferredObject) -> bool:
        """Whether only the header of an object is read yet, to learn whether it is wanted."""
        is_known = self._options.only_headers or bool(deferred.state)
        return deferred.size > LARGE_BYTES and not self._pattern.archive and not is_known

    def _wanted(
        self, transaction: Connection, deferred: DeferredObject, outcome: ImportOutcome
    ) -> list[LedgerLine | DeferredObject]:
        """Put an object off whose header was read, if its bytes would be stored or decide it."""
        for result in foresee_records(transaction, self._write, outcome.records):
            match result.result:
                case Result.IDENTICAL | Result.KEPT | Result.FAILED:
                    continue
                case Result.UNDECIDED:
                    return [to_compare(result.record, deferred.attempts)]
                case _:
                    return [replace(deferred, state={_WANTED: True})]
        return []


def _conflicts(results: Iterable[RecordResult]) -> list[tuple[int, ObjectFailure]]:
    return [
        (
            result.record.ordinal,
            ObjectFailure(
                source=result.record.source,
                code=result.code,
                reason=result.reason,
                message=result.message,
            ),
        )
        for result in results
        if result.result is Result.FAILED and result.reason is not None
    ]


def _record_line(result: RecordResult) -> LedgerLine:
    record = result.record
    return LedgerLine(
        ordinal=record.ordinal,
        source=record.source,
        result=result.result,
        version=record.version,
        size=record.place.size,
        sha256=record.place.sha256,
        instance=record_key(record),
        reason=result.reason,
    )


def _lost(deferred: DeferredObject, lost: WorkerLost) -> ImportOutcome:
    message = {
        Reason.TIME_LIMIT: "reading it took longer than one object may take",
        Reason.MEMORY_LIMIT: "reading it took more memory than one object may take",
    }.get(lost.reason, "the worker process died over it, twice; please report the file")
    return _failed(deferred, Code.RESOURCE_EXHAUSTED, lost.reason, message)


def _given_up(deferred: DeferredObject, why: str) -> ImportOutcome:
    reason = Reason.MEMORY_LIMIT if why == Reason.MEMORY_LIMIT else Reason.SOURCE_DENIED
    message = f"it could not be read in {commits.ATTEMPTS_MAX} attempts; check where it lies"
    return _failed(deferred, Code.UNAVAILABLE, reason, message)


def _failed(deferred: DeferredObject, code: Code, reason: Reason, message: str) -> ImportOutcome:
    failure = ObjectFailure(source=deferred.source, code=code, reason=reason, message=message)
    return ImportOutcome(
        records=(), failures=((deferred.ordinal, failure),), deferred=(), seconds=0.0
    )
