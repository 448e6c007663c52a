"""A batch of an export in a worker process: blobs are read, checked, written as objects.

Bytes are hashed while they are copied: damage at rest becomes a failure of that instance, never an
exported file (I13). A full or failing disk is raised: the batch is never committed.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Final

from fileroom.archive.packs import open_place
from fileroom.errors import (
    Aborted,
    Code,
    DataLoss,
    FailedPrecondition,
    InvalidArgument,
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
    from collections.abc import Iterator

    from fileroom.database.values.instances import Place
    from fileroom.objectstore.buckets import BucketSettings
    from fileroom.objectstore.local import LocalBucket

PIECE_BYTES: Final = 8 << 20
MISSING: Final = "MISSING"
"""Why an instance is put off whose blob was not where its row said."""
UNREADABLE: Final = "UNREADABLE"
"""Why an instance is put off whose blob the disk does not give, though it gives others."""


class _Unreadable(Exception):
    """The disk does not give a blob's bytes; it may do so later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceToExport:
    """An instance, its place in the order of the export, and where its bytes go."""

    ordinal: int
    instance: tuple[str, str, str]
    """Study, Series and SOP Instance UID."""
    place: Place
    key: str

    @property
    def size(self) -> int:
        """Its length in bytes."""
        return self.place.size

    @property
    def source(self) -> str:
        """The DICOMweb path of the instance."""
        study, series, instance = self.instance
        return f"studies/{study}/series/{series}/instances/{instance}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportTask:
    """Instances for a worker to write as objects."""

    blobs: LocalBucket
    destination: BucketSettings
    instances: tuple[InstanceToExport, ...]
    blame: Blame = NO_BLAME
    alone: bool = False
    """In the deferred lane: an instance of any size is finished or fails."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportOutcome:
    """What became of the instances of a batch: each is in exactly one of the three."""

    exported: tuple[InstanceToExport, ...]
    failures: tuple[tuple[int, ObjectFailure], ...]
    missing: tuple[tuple[InstanceToExport, str], ...]
    """Instances that leave the line to be looked up again, and why."""
    seconds: float

    @property
    def weight_bytes(self) -> int:
        """About what it takes in memory."""
        return 1024 * len(self.exported)


def export_batch(task: ExportTask) -> ExportOutcome:
    """Write instances as objects, each whole and as it was stored, or not at all."""
    return _Worker(task).work()


class _Worker:
    """One batch in a worker process."""

    def __init__(self, task: ExportTask) -> None:
        self._task = task
        self._bucket: LocalBucket = open_bucket(task.destination)
        self._exported: list[InstanceToExport] = []
        self._failures: list[tuple[int, ObjectFailure]] = []
        self._missing: list[tuple[InstanceToExport, str]] = []
        self._index = 0

    def work(self) -> ExportOutcome:
        began = time.monotonic()
        try:
            self._bucket.write_many(self._contents())
        except (FailedPrecondition, InvalidArgument, PermissionDenied):
            # Some object of the batch cannot be written; find out which, one by one.
            self._exported.clear()
            self._failures.clear()
            self._missing.clear()
            self._write_one_by_one()
        return ExportOutcome(
            exported=tuple(self._exported),
            failures=tuple(self._failures),
            missing=tuple(self._missing),
            seconds=time.monotonic() - began,
        )

    def _write_one_by_one(self) -> None:
        for instance in self._begun():
            try:
                self._write_large(instance)
            except (FailedPrecondition, InvalidArgument, PermissionDenied) as error:
                self._fail(instance, error.code, Reason.DESTINATION_DENIED, error.message)

    def _contents(self) -> Iterator[tuple[str, bytes]]:
        for instance in self._begun():
            if instance.size > BATCH_BYTES_MAX:
                self._write_large(instance)
                continue
            content = self._read(instance)
            if content is not None:
                self._exported.append(instance)
                yield instance.key, content

    def _begun(self) -> Iterator[InstanceToExport]:
        blamed = dict(self._task.blame.reasons)
        for index, instance in enumerate(self._task.instances):
            if index in blamed:
                self._missing.append((instance, blamed[index]))
                continue
            if instance.size > LARGE_BYTES and not self._task.alone:
                self._missing.append((instance, "LARGE"))
                continue
            self._index = index
            begin_item(index)
            yield instance
        begin_item(None)  # what follows makes all of them durable together

    def _read(self, instance: InstanceToExport) -> bytes | None:
        try:
            content = b"".join(self._pieces(instance.place))
        except (NotFound, Aborted, DataLoss, _Unreadable) as error:
            self._unreadable(instance, error)
            return None
        sha256 = instance.place.sha256
        if sha256 is not None and hashlib.sha256(content).digest() != sha256:
            self._unreadable(instance, _damaged())
            return None
        return content

    def _write_large(self, instance: InstanceToExport) -> None:
        """Write one instance piece by piece; it is named once its hash has proved right."""
        digest = hashlib.sha256()
        pieces = self._pieces(instance.place)
        try:
            first = next(pieces, b"")  # before anything is made at the destination
            with self._bucket.writer(instance.key) as written:
                for piece in chain((first,), pieces):
                    begin_item(self._index)  # the limits of time hold for each piece
                    digest.update(piece)
                    written.write(piece)
                if instance.place.sha256 not in {None, digest.digest()}:
                    self._unreadable(instance, _damaged())
                    return
                written.commit()
        except (NotFound, Aborted, DataLoss, _Unreadable) as error:
            self._unreadable(instance, error)
            return
        self._exported.append(instance)

    def _pieces(self, place: Place) -> Iterator[bytes]:
        try:
            with open_place(self._task.blobs, place) as blob:
                for offset in range(0, place.size, PIECE_BYTES):
                    yield blob.read_at(offset, PIECE_BYTES)
        except (PermissionDenied, Unavailable) as error:
            self._task.blobs.is_directory("")  # raises if all of it is gone: no instance's fault
            raise _Unreadable from error

    def _unreadable(
        self, instance: InstanceToExport, error: Aborted | DataLoss | NotFound | _Unreadable
    ) -> None:
        match error:
            case NotFound() | Aborted():
                # Deleted or replaced, perhaps just while it was read: its row says which.
                self._missing.append((instance, MISSING))
            case _Unreadable():
                self._missing.append((instance, UNREADABLE))
            case _:
                self._fail(instance, Code.DATA_LOSS, Reason.DATA_LOSS, error.message)

    def _fail(self, instance: InstanceToExport, code: Code, reason: Reason, message: str) -> None:
        failure = ObjectFailure(source=instance.source, code=code, reason=reason, message=message)
        self._failures.append((instance.ordinal, failure))


def _damaged() -> DataLoss:
    return DataLoss("the stored bytes differ from their checksum; restore the blob")
