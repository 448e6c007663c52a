"""A batch of an import in a worker process: objects are read, scanned, stored as durable blobs.

Three kinds of answer come back as values: records, failures, deferred objects. A fault of the
archive's own disk is raised instead: the batch is then never committed, the operation pauses.
"""

from __future__ import annotations

import logging
import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from fileroom.archive.ingest import (
    PIECE_BYTES,
    Content,
    SpooledHeaders,
    Writer,
    spool_headers,
    store_contents,
    store_object,
)
from fileroom.database.values.operations import DeferredObject
from fileroom.dicom.part10 import Refused
from fileroom.errors import (
    Aborted,
    Code,
    FileroomError,
    NotFound,
    ObjectFailure,
    PermissionDenied,
    Reason,
    Unavailable,
)
from fileroom.objectstore.buckets import open_bucket
from fileroom.transfer.executors import begin_item
from fileroom.transfer.pipeline import BATCH_BYTES_MAX, LARGE_BYTES, NO_BLAME, Blame

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from fileroom.database.values.instances import InstanceRecord
    from fileroom.objectstore.buckets import BucketSettings
    from fileroom.objectstore.local import LocalBucket, LocalObject

logger = logging.getLogger(__name__)

MESSAGE_BYTES_MAX: Final = 4 << 20
"""Headers and tables of frames over this go to the coordinator by the name of a file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedObject:
    """An object as the bucket lists it, with its place in the listing."""

    ordinal: int
    key: str
    size: int
    version: str | None
    """None where it changed since it was listed, and is read as it stands."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportTask:
    """Objects for a worker to make blobs of."""

    source: BucketSettings
    writer: Writer
    objects: tuple[ListedObject, ...]
    slow_seconds: float
    blame: Blame = NO_BLAME
    spool_name: str = ""
    """Name of a temporary file for headers that are too large for a message."""
    alone: bool = False
    """In the deferred lane: an object is finished or fails, and may take its time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportOutcome:
    """What workers made of the objects of a batch: each is in exactly one of the three."""

    records: tuple[InstanceRecord, ...]
    failures: tuple[tuple[int, ObjectFailure], ...]
    deferred: tuple[DeferredObject, ...]
    seconds: float
    spooled: SpooledHeaders | None = None
    """Where the records' headers are, if not in the records."""

    @property
    def weight_bytes(self) -> int:
        """About what it takes in memory."""
        return sum(1024 + record.kept_bytes for record in self.records)


def import_batch(task: ImportTask) -> ImportOutcome:
    """Read objects, store those that are DICOM as durable blobs.

    A fault of an object is a value; a fault of the archive's own disk is raised.
    """
    return _Worker(task).work()


class _Worker:
    """One batch in a worker process."""

    def __init__(self, task: ImportTask) -> None:
        self._task = task
        self._bucket: LocalBucket = open_bucket(task.source)
        self._failures: list[tuple[int, ObjectFailure]] = []
        self._deferred: list[DeferredObject] = []
        self._large: list[InstanceRecord] = []
        self._index = 0

    def work(self) -> ImportOutcome:
        began = time.monotonic()
        packed = store_contents(self._task.writer, self._contents(), self._refuse)
        with ExitStack() as stack:
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
        )

    def _spooled(
        self, records: list[InstanceRecord]
    ) -> tuple[list[InstanceRecord], SpooledHeaders | None]:
        """Give the records, what weighs too much for a message left in a file."""
        if sum(record.kept_bytes for record in records) <= MESSAGE_BYTES_MAX:
            return records, None
        path = self._task.writer.bucket.root / "tmp" / self._task.spool_name
        spooled = spool_headers(records, path)
        return [replace(record, header=None, frame_table=()) for record in records], spooled

    def _delete_packs(self, records: Iterable[InstanceRecord]) -> None:
        for key in {record.place.key for record in records}:
            self._task.writer.bucket.delete(key)

    def _contents(self) -> Iterator[Content]:
        blamed = dict(self._task.blame.reasons)
        for index, listed in enumerate(self._task.objects):
            if index in blamed:
                self._defer(listed, blamed[index])
                continue
            if listed.size > LARGE_BYTES and not self._task.alone:
                self._defer(listed, "LARGE")
                continue
            self._index = index
            begin_item(index)
            content = self._read(listed)
            if content is not None:
                yield content
        begin_item(None)  # what follows makes all of them durable together

    def _read(self, listed: ListedObject) -> Content | None:
        try:
            source = self._bucket.open(listed.key, listed.version)
        except (NotFound, Aborted, PermissionDenied, Unavailable) as error:
            self._unreadable(listed, error)
            return None
        with source:
            if source.size > BATCH_BYTES_MAX:
                self._store_large(listed, source)
                return None
            return self._read_whole(listed, source)

    def _read_whole(self, listed: ListedObject, source: LocalObject) -> Content | None:
        deadline = time.monotonic() + self._task.slow_seconds
        pieces: list[bytes] = []
        try:
            for offset in range(0, source.size, PIECE_BYTES):
                pieces.append(source.read_at(offset, PIECE_BYTES))
                if time.monotonic() > deadline and not self._task.alone:
                    self._defer(listed, "SLOW")
                    return None
        except (Aborted, Unavailable) as error:
            self._unreadable(listed, error)
            return None
        return Content(
            ordinal=listed.ordinal,
            source=self._uri(listed),
            version=source.version,
            data=pieces[0] if len(pieces) == 1 else b"".join(pieces),
        )

    def _store_large(self, listed: ListedObject, source: LocalObject) -> None:
        watched = _Watched(source, self._index)
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
            self._unreadable(listed, error)
        else:
            self._large.append(record)

    def _refuse(self, content: Content, error: Exception) -> None:
        listed = next(one for one in self._task.objects if one.ordinal == content.ordinal)
        match error:
            case Refused():
                self._refuse_listed(listed, error)
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
            message=refused.message,
            tag=refused.tag,
            byte_offset=refused.byte_offset,
        )
        self._failures.append((listed.ordinal, failure))

    def _unreadable(self, listed: ListedObject, error: FileroomError) -> None:
        match error:
            case NotFound():
                message = "the object was deleted after it was listed"
                self._fail(listed, Code.NOT_FOUND, Reason.SOURCE_NOT_FOUND, message)
            case PermissionDenied():
                self._fail(listed, error.code, Reason.SOURCE_DENIED, error.message)
            case Aborted() if listed.version is None:
                message = "the object changes while it is read; import it again once it is still"
                self._fail(listed, Code.ABORTED, Reason.SOURCE_CHANGED, message)
            case Aborted():
                self._defer(listed, Reason.SOURCE_CHANGED)
            case _:
                self._bucket.is_directory("")  # raises if all of it is gone: no object's fault
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


class _Watched:
    """A source whose errors are told from those of the blob written, and whose reads are progress.

    The limits of time hold for each piece, so that an object may be of any size.
    """

    def __init__(self, source: LocalObject, index: int) -> None:
        self._source = source
        self._index = index
        self.size = source.size
        self.error: FileroomError | None = None

    def read_at(self, offset: int, length: int) -> bytes:
        """Give bytes as the source does."""
        begin_item(self._index)
        try:
            return self._source.read_at(offset, length)
        except FileroomError as error:
            self.error = error
            raise
