"""The objects of a batch, read before their turn: the way to a cloud is long, but wide."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from fileroom.archive.ingest import PIECE_BYTES
from fileroom.archive.references import SparseObject
from fileroom.closing import Closing
from fileroom.errors import FileroomError
from fileroom.objectstore.archives.bucket import open_archive
from fileroom.objectstore.buckets import open_bucket
from fileroom.objectstore.contract import Resumable
from fileroom.transfer.executors import begin_item
from fileroom.transfer.pipeline import BATCH_BYTES_MAX

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from concurrent.futures import Future
    from pathlib import Path

    from fileroom.objectstore.buckets import BucketSettings
    from fileroom.objectstore.contract import Source, StoredObject

_LOOK_SECONDS: Final = 1.0
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedObject:
    """An object as the bucket lists it, with its place in the listing."""

    ordinal: int
    key: str
    size: int
    version: str | None
    """None where it changed since it was listed, and is read as it stands."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadObject:
    """The bytes of one version of an object."""

    version: str
    data: bytes | None
    """None where they are too many to be held."""


def open_source(
    settings: BucketSettings,
    archive: str,
    scratch: Path,
    *,
    check: Callable[[], None] = lambda: None,
) -> Source:
    """Give what a pattern's objects are read from: a bucket, or an archive in it.

    ``scratch`` is the directory in which archives are inflated; what ``check`` raises ends that.

    Raises
    ------
    NotFound
        If there is no such archive.
    """
    bucket = open_bucket(settings)
    if not archive:
        return bucket
    return open_archive(bucket, archive, scratch, check=check)


class ReadAhead(Closing, Generic[T]):
    """Reads the objects of a batch in their order, some at a time where the bucket bears it."""

    def __init__(
        self,
        bucket: Source,
        objects: Sequence[ListedObject],
        read: Callable[[Source, ListedObject, float | None], T | None],
    ) -> None:
        self._bucket = bucket
        self._read = read
        self._next = iter(objects)
        self._threads = ThreadPoolExecutor(bucket.at_once) if bucket.at_once > 1 else None
        self._ahead: dict[int, Future[T | None]] = {}

    def take(
        self, listed: ListedObject, patience_seconds: float, alive: Callable[[], None]
    ) -> T | None:
        """Give an object, the next of those that are left; None if that takes too long.

        ``alive`` is called while it waits for a cloud, which may be busy without being at fault.

        Raises
        ------
        NotFound, Aborted, PermissionDenied, Unavailable, DataLoss
            As the bucket does.
        """
        deadline = time.monotonic() + patience_seconds
        if self._threads is None:
            return self._read(self._bucket, listed, deadline)
        self._read_on(self._threads)
        future = self._ahead.pop(listed.ordinal)
        while True:
            try:
                return future.result(_LOOK_SECONDS)
            except TimeoutError:
                if time.monotonic() > deadline:
                    return None
                alive()

    def close(self) -> None:
        """Read no further; what is under way ends by itself."""
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)

    def _read_on(self, threads: ThreadPoolExecutor) -> None:
        for listed in _at_most(2 * self._bucket.at_once - len(self._ahead), self._next):
            future = threads.submit(self._read, self._bucket, listed, None)
            self._ahead[listed.ordinal] = future


def read_object(bucket: Source, listed: ListedObject, deadline: float | None) -> ReadObject | None:
    """Read an object whole; None if ``deadline``, a time of ``time.monotonic``, comes first."""
    size = None if listed.version is None else listed.size
    with bucket.open(listed.key, listed.version, size=size) as source:
        if source.size > BATCH_BYTES_MAX:
            return ReadObject(version=source.version, data=None)
        pieces: list[bytes] = []
        for offset in range(0, source.size, PIECE_BYTES):
            pieces.append(source.read_at(offset, PIECE_BYTES))
            if deadline is not None and time.monotonic() > deadline:
                return None
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        return ReadObject(version=source.version, data=data)


def read_sparsely(bucket: Source, listed: ListedObject, deadline: float | None) -> SparseObject:
    """Open an object of which only the header is read; the caller closes it."""
    del deadline  # that much is read at one go
    with ExitStack() as stack:
        size = None if listed.version is None else listed.size
        source = stack.enter_context(bucket.open(listed.key, listed.version, size=size))
        sparse = SparseObject(source)
        stack.pop_all()
        return sparse


def _at_most(number: int, objects: Iterator[ListedObject]) -> Iterator[ListedObject]:
    for _ in range(number):
        listed = next(objects, None)
        if listed is None:
            return
        yield listed


class Watched:
    """A source whose errors are told from those of the blob written, and whose reads are progress.

    The limits of time hold for each piece, so that an object may be of any size.
    """

    def __init__(self, source: StoredObject, index: int) -> None:
        self._source = source
        self._index = index
        self.size = source.size
        self.error: FileroomError | None = None

    def recall(self, offset: int, piece: bytes) -> None:
        """Have the source count bytes that were read before, if it compares a checksum."""
        self.alive()
        if isinstance(self._source, Resumable):
            self._source.recall(offset, piece)

    def watch(self, copied: StoredObject) -> Watched:
        """Give the copy of it, whose reads are progress too."""
        return Watched(copied, self._index)

    def alive(self) -> None:
        """Tell that the object makes progress."""
        begin_item(self._index)

    def read_at(self, offset: int, length: int) -> bytes:
        """Give bytes as the source does."""
        self.alive()
        try:
            return self._source.read_at(offset, length)
        except FileroomError as error:
            self.error = error
            raise
