"""A batch of an export in a worker process: blobs are read, checked, written as objects.

Bytes are hashed while they are copied: damage at rest becomes a failure of that instance, never an
exported file (I13). A full or failing disk is raised: the batch is never committed.
"""

from __future__ import annotations

import hashlib
import time
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

from fileroom.archive.references import find_reference
from fileroom.database.values.instances import PlaceKind
from fileroom.errors import (
    Aborted,
    AlreadyExists,
    DataLoss,
    FailedPrecondition,
    FileroomError,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    Reason,
)
from fileroom.objectstore.buckets import open_bucket
from fileroom.objectstore.cloud import CloudBucket, Copy
from fileroom.transfer.executors import begin_item
from fileroom.transfer.exporting.outcomes import (
    Outcomes,
    OutOfReach,
    Unreadable,
    as_stored,
    damaged,
)
from fileroom.transfer.exporting.reading import begun, stored_pieces
from fileroom.transfer.exporting.standing import Standing, Verdict
from fileroom.transfer.pipeline import BATCH_BYTES_MAX, NO_BLAME, Blame

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from fileroom.objectstore.blobs.contract import BlobBucket
    from fileroom.objectstore.buckets import Buckets, BucketSettings
    from fileroom.objectstore.contract import Bucket
    from fileroom.transfer.exporting.outcomes import ExportOutcome, InstanceToExport
    from fileroom.transfer.options import IfExists


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportTask:
    """Instances for a worker to write as objects."""

    blobs: BlobBucket
    buckets: Buckets
    """Where the objects are that are kept by reference."""
    destination: BucketSettings
    writer: tuple[str, int]
    """By which name and number what is left unfinished there is known."""
    instances: tuple[InstanceToExport, ...]
    blame: Blame = NO_BLAME
    if_exists: IfExists = ""
    begun_at: int = 0
    """When the export was asked for, in microseconds since 1970."""
    alone: bool = False
    """In the deferred lane: an instance of any size is finished or fails."""


def export_batch(task: ExportTask) -> ExportOutcome:
    """Write instances as objects, each whole and as it was stored, or not at all."""
    return _Worker(task).work()


def _alive() -> None:
    begin_item(None)


class _Worker:
    """One batch in a worker process."""

    def __init__(self, task: ExportTask) -> None:
        self._task = task
        self._bucket: Bucket = open_bucket(task.destination).as_writer(*task.writer)
        self._standing = Standing(self._bucket, task.if_exists, task.begun_at)
        self._outcomes = Outcomes()
        self._index = 0
        self._copied: frozenset[str] = frozenset()

    def work(self) -> ExportOutcome:
        began = time.monotonic()
        self._copied = self._copied_by_the_cloud()
        try:
            self._bucket.write_many(
                self._contents(), if_absent=self._standing.if_absent, alive=_alive
            )
        except (AlreadyExists, FailedPrecondition, InvalidArgument, PermissionDenied):
            # Some object of the batch cannot be written; find out which, one by one.
            self._outcomes.clear()
            self._write_one_by_one()
        return self._outcomes.freeze(time.monotonic() - began)

    def _write_one_by_one(self) -> None:
        for instance in self._left():
            try:
                self._write_large(instance)
            except (FailedPrecondition, InvalidArgument, PermissionDenied) as error:
                self._outcomes.fail(instance, error.code, Reason.DESTINATION_DENIED, error.message)

    def _contents(self) -> Iterator[tuple[str, bytes]]:
        for instance in self._left():
            if instance.size > BATCH_BYTES_MAX:
                self._write_large(instance)
                continue
            content = self._read(instance)
            if content is not None and self._is_wanted(instance, (content,)):
                self._outcomes.export(as_stored(instance))
                yield instance.key, content

    def _is_wanted(self, instance: InstanceToExport, content: Iterable[bytes]) -> bool:
        """Whether a file is to be written; else what lies there already settles it."""
        match self._standing.judge(instance.key, instance.size, lambda: content):
            case Verdict.WRITE:
                return True
            case Verdict.TAKEN:
                self._outcomes.taken(instance, instance.key)
            case verdict:
                is_unchanged = verdict is Verdict.UNCHANGED
                self._outcomes.export(as_stored(instance, is_unchanged=is_unchanged))
        return False

    def _copied_by_the_cloud(self) -> frozenset[str]:
        """Have the cloud copy what it has already; give the keys that are done.

        Only objects whose checksum nobody knows: of the others it is compared as they pass.
        """
        task, copies = self._task, []
        if not isinstance(self._bucket, CloudBucket) or task.if_exists not in {"", "OVERWRITE"}:
            return frozenset()
        for index in begun(task, Outcomes()):
            instance = task.instances[index]
            place = instance.place
            if place.kind is PlaceKind.REFERENCE and place.sha256 is None and place.version:
                with suppress(FailedPrecondition):  # told when it is read
                    source, key = find_reference(task.buckets, place.key)
                    if isinstance(source, CloudBucket) and self._bucket.copies_from(source):
                        copies.append(
                            Copy(
                                source=source,
                                source_key=key,
                                version=place.version,
                                size=place.size,
                                key=instance.key,
                            )
                        )
        return frozenset(self._bucket.copy_many(copies, alive=_alive)) if copies else frozenset()

    def _left(self) -> Iterator[InstanceToExport]:
        """Give the instances that pass through here; the others are exported already."""
        for instance in self._begun():
            if instance.key in self._copied:
                self._outcomes.export(as_stored(instance))
            else:
                yield instance

    def _begun(self) -> Iterator[InstanceToExport]:
        task = self._task
        for index in begun(task, self._outcomes):
            self._index = index
            yield task.instances[index]

    def _stored(self, instance: InstanceToExport) -> Iterator[bytes]:
        return stored_pieces(self._task.blobs, instance.place, self._task.buckets)

    def _read(self, instance: InstanceToExport) -> bytes | None:
        try:
            content = b"".join(self._stored(instance))
        except (NotFound, Aborted, DataLoss, OutOfReach, Unreadable) as error:
            self._outcomes.unreadable(instance, error)
            return None
        sha256 = instance.place.sha256
        if sha256 is not None and hashlib.sha256(content).digest() != sha256:
            self._outcomes.unreadable(instance, damaged())
            return None
        return content

    def _write_large(self, instance: InstanceToExport) -> None:
        """Write one instance piece by piece; it is named once its hash has proved right."""
        digest = hashlib.sha256()
        pieces = _Pieces(self._stored(instance))
        try:
            if not self._is_wanted(instance, self._stored(instance)):
                return
            first = next(pieces, b"")  # before anything is made at the destination
            with self._bucket.writer(instance.key, if_absent=self._standing.if_absent) as written:
                for piece in chain((first,), pieces):
                    begin_item(self._index)  # the limits of time hold for each piece
                    digest.update(piece)
                    written.write(piece)
                if instance.place.sha256 not in {None, digest.digest()}:
                    self._outcomes.unreadable(instance, damaged())
                    return
                written.commit()
        except (NotFound, Aborted, DataLoss, OutOfReach, Unreadable) as error:
            if pieces.error is not error:
                raise  # of the destination, not of the instance
            self._outcomes.unreadable(instance, error)
            return
        except AlreadyExists:
            # Something came since it was looked for; a twin of this very batch may have made it.
            if self._is_wanted(instance, self._stored(instance)):
                self._outcomes.taken(instance, instance.key)
            return
        self._outcomes.export(as_stored(instance))


class _Pieces:
    """Pieces of an instance whose errors are told from those of what is written."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self.error: Exception | None = None

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            return next(self._pieces)
        except (FileroomError, Unreadable, OutOfReach) as error:
            self.error = error
            raise
