"""A batch of an import in a worker process: objects are read, scanned, stored as durable blobs.

Three kinds of answer come back as values: records, failures, deferred objects. A fault of the
archive's own disk is raised instead: the batch is then never committed, the operation pauses.
"""

from __future__ import annotations

import logging
import time
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

from fileroom.archive.ingest import (
    Content,
    SpooledHeaders,
    spool_headers,
    store_contents,
    store_object,
)
from fileroom.archive.references import describe_reference, hash_object, look_at
from fileroom.database.values.instances import KnownBytes
from fileroom.database.values.operations import DeferredObject
from fileroom.dicom.part10 import Refused
from fileroom.errors import (
    Aborted,
    Code,
    DataLoss,
    FailedPrecondition,
    FileroomError,
    NotFound,
    ObjectFailure,
    PermissionDenied,
    Reason,
    Unavailable,
)
from fileroom.objectstore.archives.member import BadArchive
from fileroom.objectstore.archives.naming import MARKER, find_archive_format
from fileroom.objectstore.contract import BUCKET_SETTINGS
from fileroom.transfer.executors import begin_item
from fileroom.transfer.importing.reading import (
    ListedObject,
    ReadAhead,
    Watched,
    open_source,
    read_object,
    read_sparsely,
)
from fileroom.transfer.importing.tasks import ImportOutcome, ImportTask
from fileroom.transfer.pipeline import LARGE_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from fileroom.archive.references import SparseObject
    from fileroom.database.values.instances import InstanceRecord, Place
    from fileroom.transfer.importing.reading import ReadObject

logger = logging.getLogger(__name__)

READ_ERRORS: Final = (
    NotFound,
    Aborted,
    PermissionDenied,
    FailedPrecondition,
    Unavailable,
    DataLoss,
    BadArchive,
)
PATIENCE_SECONDS: Final = 120.0
"""How long an object of a cloud may keep a batch waiting."""
BYTES_A_SECOND_MIN: Final = 16 << 10
"""A large object that comes more slowly is given up."""
MESSAGE_BYTES_MAX: Final = 4 << 20
"""Headers and tables of frames over this go to the coordinator by the name of an object."""


def _without_header(record: InstanceRecord) -> InstanceRecord:
    return replace(record, header=None, frame_table=())


def import_batch(task: ImportTask) -> ImportOutcome:
    """Read objects, store those that are DICOM as durable blobs.

    A fault of an object is a value; a fault of the archive's own disk is raised.
    """
    return _Worker(task).work()


class _Worker:
    """One batch in a worker process."""

    def __init__(self, task: ImportTask) -> None:
        self._task = task
        self._source = open_source(task.source, task.archive, task.writer.bucket.scratch)
        self._failures: list[tuple[int, ObjectFailure]] = []
        self._deferred: list[DeferredObject] = []
        self._large: list[InstanceRecord] = []
        self._index = 0

    def work(self) -> ImportOutcome:
        began = time.monotonic()
        known = tuple(self._compared())
        with ExitStack() as stack:
            if self._task.validate_only:
                records, spooled = list(map(_without_header, self._references())), None
            elif self._task.by_reference:
                records, spooled = self._spooled(list(self._references()))
            else:
                packed = store_contents(self._task.writer, self._contents(), self._refuse)
                # Nobody else knows the pack's name.
                stack.callback(self._delete_packs, packed)
                records, spooled = self._spooled([*packed, *self._large])
            stack.pop_all()
        return ImportOutcome(
            records=tuple(records),
            spooled=spooled,
            failures=tuple(self._failures),
            deferred=tuple(self._deferred),
            seconds=time.monotonic() - began,
            known=known,
        )

    def _spooled(
        self, records: list[InstanceRecord]
    ) -> tuple[list[InstanceRecord], SpooledHeaders | None]:
        """Give the records, what weighs too much for a message left beside the blobs."""
        if sum(record.kept_bytes for record in records) <= MESSAGE_BYTES_MAX:
            return records, None
        spooled = spool_headers(self._task.writer, records)
        return [replace(record, header=None, frame_table=()) for record in records], spooled

    def _delete_packs(self, records: Iterable[InstanceRecord]) -> None:
        for key in {record.place.key for record in records}:
            self._task.writer.bucket.delete(key)

    def _compared(self) -> Iterator[KnownBytes]:
        """Read the reference that the only object is to be compared with."""
        comparison = self._task.comparison
        if comparison is None or comparison.stored is None:
            return
        self._alive()
        try:
            if comparison.is_earlier:
                yield self._look_at_earlier(comparison.stored)
            else:
                yield look_at(comparison.buckets, comparison.stored, self._alive)
        except (PermissionDenied, FailedPrecondition, Unavailable, DataLoss) as error:
            self._unreadable(self._task.objects[0], error)

    def _look_at_earlier(self, place: Place) -> KnownBytes:
        """Read an object of the same import; a member of an archive has a version of its own."""
        key = place.key.removeprefix(f"{self._task.source.name}/")
        try:
            with self._source.open(key) as source:
                is_same = source.version == place.version
                sha256 = hash_object(source, self._alive) if is_same else None
        except (Aborted, NotFound):
            sha256 = None
        return KnownBytes(place=place, sha256=sha256)

    def _wanted(self) -> list[ListedObject]:
        """Give the objects to work on; others are put off, or have failed already."""
        task, blamed = self._task, dict(self._task.blame.reasons)
        if self._failures or self._deferred:
            return []
        wanted: list[ListedObject] = []
        for index, listed in enumerate(task.objects):
            if index in blamed:
                self._defer(listed, blamed[index])
            elif task.by_reference and task.archive:
                message = "a member of an archive is not kept by reference; import it by copy"
                self._fail(listed, Code.INVALID_ARGUMENT, Reason.UNSUPPORTED_REFERENCE, message)
            elif listed.size > LARGE_BYTES and not task.alone and not task.only_headers:
                self._defer(listed, "LARGE")
            else:
                wanted.append(listed)
        return wanted

    def _begun(self, wanted: Iterable[ListedObject]) -> Iterator[ListedObject]:
        indices = {listed.ordinal: index for index, listed in enumerate(self._task.objects)}
        for listed in wanted:
            self._index = indices[listed.ordinal]
            begin_item(self._index)
            yield listed
        begin_item(None)  # what follows makes all of them durable together

    def _references(self) -> Iterator[InstanceRecord]:
        wanted = self._wanted()
        with ReadAhead(self._source, wanted, read_sparsely) as reads:
            for listed in self._begun(wanted):
                try:
                    source = reads.take(listed, self._patience(listed), self._alive)
                    record = None if source is None else self._refer(listed, source)
                except READ_ERRORS as error:
                    self._unreadable(listed, error)
                    continue
                except Exception as error:  # one object's affair, whatever it is
                    self._refuse(listed, error)
                    continue
                if record is None:
                    self._defer(listed, "SLOW")
                else:
                    yield record

    def _refer(self, listed: ListedObject, source: SparseObject) -> InstanceRecord:
        with source:
            compared = self._task.comparison is not None
            describe = partial(
                describe_reference,
                source,
                ordinal=listed.ordinal,
                uri=self._uri(listed),
                sha256=hash_object(source, self._alive) if compared else None,
            )
            try:
                return describe()
            except Refused as error:
                if self._task.is_kept_so or error.reason is not Reason.UNSUPPORTED_REFERENCE:
                    raise
                return describe(is_read_whole=True)

    def _contents(self) -> Iterator[Content]:
        wanted = self._wanted()
        with ReadAhead(self._source, wanted, read_object) as reads:
            for listed in self._begun(wanted):
                content = self._read(listed, reads)
                if content is not None:
                    yield content

    def _read(self, listed: ListedObject, reads: ReadAhead[ReadObject]) -> Content | None:
        try:
            read = reads.take(listed, self._patience(listed), self._alive)
        except READ_ERRORS as error:
            self._unreadable(listed, error)
            return None
        if read is None:
            self._defer(listed, "SLOW")
            return None
        if read.data is None:
            self._store_large(listed)
            return None
        return Content(
            ordinal=listed.ordinal,
            source=self._uri(listed),
            version=read.version,
            data=read.data,
        )

    def _alive(self) -> None:
        begin_item(self._index)

    def _patience(self, listed: ListedObject) -> float:
        """Give how long to wait for an object, in seconds.

        A cloud may be slow for all objects alike, and the deferred lane would make it no faster.
        """
        if self._task.alone:
            return PATIENCE_SECONDS + listed.size / BYTES_A_SECOND_MIN
        if self._source.at_once > 1:
            return max(self._task.slow_seconds, PATIENCE_SECONDS)
        return self._task.slow_seconds

    def _store_large(self, listed: ListedObject) -> None:
        """Store an object piece by piece; what differs from its checksum is read once more."""
        for attempt in range(2):
            try:
                opened = self._source.open(listed.key, listed.version)
            except READ_ERRORS as error:
                self._unreadable(listed, error)
                return
            with opened as source:
                watched = Watched(source, self._index)
                try:
                    record = store_object(
                        self._task.writer,
                        watched,
                        ordinal=listed.ordinal,
                        source=self._uri(listed),
                        version=source.version,
                    )
                except Refused as error:
                    self._refuse_listed(listed, error)
                except FileroomError as error:
                    if watched.error is not error:
                        raise  # of the blob, not of the object
                    if isinstance(error, DataLoss) and attempt == 0:
                        continue
                    self._unreadable(listed, error)
                else:
                    self._large.append(record)
                return

    def _refuse(self, content: Content | ListedObject, error: Exception) -> None:
        listed = next(one for one in self._task.objects if one.ordinal == content.ordinal)
        match error:
            case Refused():
                self._refuse_listed(listed, error)
            case MemoryError() if self._task.alone:
                raise error  # too much for a worker by itself, and it would be again
            case MemoryError():
                self._defer(listed, Reason.MEMORY_LIMIT)
            case _:
                logger.error("an object met a fault of the scanner", exc_info=error)
                message = f"the scanner failed ({type(error).__name__}); please report it"
                self._fail(listed, Code.INTERNAL, Reason.INTERNAL, message)

    def _refuse_listed(self, listed: ListedObject, refused: Refused) -> None:
        failure = ObjectFailure(
            source=self._uri(listed),
            code=refused.code,
            reason=refused.reason,
            message=refused.message + self._of_archive(listed, refused),
            tag=refused.tag,
            byte_offset=refused.byte_offset,
        )
        self._failures.append((listed.ordinal, failure))

    def _of_archive(self, listed: ListedObject, refused: Refused) -> str:
        """Tell who imports an archive as if it were an instance how to import what is in it."""
        is_archive = find_archive_format(listed.key) is not None and not self._task.archive
        if refused.reason is not Reason.NOT_DICOM or not is_archive:
            return ""
        return f"; for what is in this archive, import {self._uri(listed)}{MARKER}**"

    def _unreadable(self, listed: ListedObject, error: FileroomError) -> None:
        self._alive()  # what follows may wait for a cloud once more
        match error:
            case Unavailable(detail=detail) if detail == BUCKET_SETTINGS:
                raise error
            case NotFound():
                self._source.is_directory("")  # raises if all of it is gone
                message = "the object was deleted after it was listed"
                self._fail(listed, Code.NOT_FOUND, Reason.SOURCE_NOT_FOUND, message)
            case PermissionDenied():
                self._fail(listed, error.code, Reason.SOURCE_DENIED, error.message)
            case DataLoss():
                self._fail(listed, error.code, Reason.CHECKSUM_MISMATCH, error.message)
            case BadArchive():
                self._fail(listed, error.code, error.reason, error.message)
            case FailedPrecondition():
                self._fail(listed, error.code, Reason.SOURCE_DENIED, error.message)
            case Aborted() if listed.version is None:
                message = "the object changes while it is read; import it again once it is still"
                self._fail(listed, Code.ABORTED, Reason.SOURCE_CHANGED, message)
            case Aborted():
                self._defer(listed, Reason.SOURCE_CHANGED)
            case _:
                self._source.is_directory("")  # raises if all of it is gone: no object's fault
                self._defer(listed, "UNREADABLE")

    def _fail(self, listed: ListedObject, code: Code, reason: Reason, message: str) -> None:
        failure = ObjectFailure(source=self._uri(listed), code=code, reason=reason, message=message)
        self._failures.append((listed.ordinal, failure))

    def _defer(self, listed: ListedObject, why: str) -> None:
        self._deferred.append(
            DeferredObject(
                ordinal=listed.ordinal,
                source=self._uri(listed),
                version=listed.version,
                size=listed.size,
                why=why,
            )
        )

    def _uri(self, listed: ListedObject) -> str:
        return f"{self._task.source.name}/{listed.key}"
