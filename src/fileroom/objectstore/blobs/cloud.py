"""Blobs in a bucket of a cloud.

An object is durable once the cloud has answered, so nothing is synced; what comes piece by piece
lies in a scratch directory of this machine until it is whole. An extent is erased by writing the
whole object again on condition that nobody else has: a reader that finds another version looks
whether its own extent still stands there, whose bytes are then the same as before.
"""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Final

from fileroom.closing import Aborting, Closing
from fileroom.errors import Aborted, NotFound, Unavailable
from fileroom.objectstore.blobs.reading import FIRST_BYTES, CloudExtent, HeldObject
from fileroom.objectstore.blobs.windows import Windows
from fileroom.objectstore.cloud import CloudBucket
from fileroom.objectstore.cloud.bucket import waited_for
from fileroom.objectstore.contract import BUCKET_SETTINGS, ObjectEntry
from fileroom.objectstore.local import LocalBucket, is_head
from fileroom.objectstore.local.durable import translating

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from fileroom.objectstore.cloud import CloudAddress
    from fileroom.objectstore.cloud.writing import CloudWriting
    from fileroom.objectstore.contract import StoredObject
    from fileroom.objectstore.local import Extent
    from fileroom.objectstore.local.draft import Draft
    from fileroom.objectstore.local.drafts import Drafts
    from fileroom.objectstore.local.parts import Hear, Part

SENDERS: Final = 16
"""Of one process; each holds a piece of 8 MB some three times."""
_PIECE_BYTES: Final = 8 << 20
_ATTEMPTS_MAX: Final = 10
_KNOWN_VERSIONS_MAX: Final = 10_000
_DELETED_AT_A_TIME: Final = 1000


@dataclass(frozen=True, slots=True)
class CloudBlobs:
    """The blobs below a prefix of a bucket; see ``Blobs``."""

    address: CloudAddress
    prefix: str
    """Empty, or ends in a slash."""
    scratch: Path

    @property
    def is_remote(self) -> bool:
        """Whether each read is a request over a network."""
        return True

    def bucket(self, blob_prefix: str) -> CloudBlobBucket:
        """Give the blobs of one store, one bucket for each process."""
        return _bucket_of(self, blob_prefix)

    def list_prefixes(self) -> Iterator[str]:
        """Yield the prefixes below which there are objects, in order."""
        for found in _open_own(self.address).list_directory(self.prefix):
            if isinstance(found, str):
                yield found.removeprefix(self.prefix).removesuffix("/")

    def make(self, blob_prefix: str, directories: Iterable[str]) -> None:
        """Make nothing: a cloud has no directories; raises where the bucket does not answer."""
        del directories
        self.bucket(blob_prefix).is_directory("")

    def delete(self, blob_prefix: str, *, sparing: str = "") -> None:
        """Delete all of a store's blobs, or all but one; what is absent already is no error."""
        bucket = self.bucket(blob_prefix)
        with ThreadPoolExecutor(bucket.at_once) as threads:
            keys = (entry.key for entry in bucket.list() if entry.key != sparing)
            while some := list(islice(keys, _DELETED_AT_A_TIME)):
                list(threads.map(bucket.delete, some))
        shutil.rmtree(self.scratch / blob_prefix, ignore_errors=True)

    def name_of(self, path: str) -> str:
        """Give the URI that has this path."""
        return f"{self.address.name}/{self.prefix}{path}"


@lru_cache(maxsize=1000)
def _bucket_of(blobs: CloudBlobs, blob_prefix: str) -> CloudBlobBucket:
    return CloudBlobBucket(blobs, blob_prefix)


@lru_cache(maxsize=1000)
def _open_own(address: CloudAddress) -> CloudBucket:
    return CloudBucket(address, is_own=True)


@lru_cache(maxsize=1000)
def _senders_of(address: CloudAddress) -> ThreadPoolExecutor:
    """Give the threads that send, however many requests store at a time: each holds pieces."""
    del address
    return ThreadPoolExecutor(SENDERS, thread_name_prefix="blob-sender")


@lru_cache(maxsize=1000)
def _windows_of(address: CloudAddress) -> Windows:
    del address
    return Windows()


class CloudBlobBucket:
    """The blobs of one store; see ``BlobBucket``."""

    def __init__(self, blobs: CloudBlobs, blob_prefix: str) -> None:
        self._blobs = blobs
        self._blob_prefix = blob_prefix
        self._prefix = f"{blobs.prefix}{blob_prefix}/"
        self._bucket = _open_own(blobs.address)
        self.windows = _windows_of(blobs.address)
        self._versions: dict[str, ObjectEntry] = {}
        self._seen: set[str] = set()

    def __reduce__(self) -> tuple[object, ...]:
        return _bucket_of, (self._blobs, self._blob_prefix)

    def __repr__(self) -> str:
        return f"CloudBlobBucket({self._blobs!r}, {self._blob_prefix!r})"

    @property
    def scratch(self) -> Path:
        """A directory of this machine for what is being made."""
        return self._spool.scratch

    @cached_property
    def _spool(self) -> LocalBucket:
        spool = LocalBucket(self._blobs.scratch / self._blob_prefix, managed=True)
        with translating(str(spool.root)):
            spool.scratch.mkdir(mode=0o700, parents=True, exist_ok=True)
        return spool

    @property
    def at_once(self) -> int:
        """How many requests the cloud bears at a time."""
        return self._bucket.at_once

    def list(self, *, start_after: str = "") -> Iterator[ObjectEntry]:
        """Yield all objects in strictly rising key order, or those whose key comes after one."""
        after = self._prefix + start_after if start_after else ""
        for entry in self._bucket.list(self._prefix, after):
            yield self._own(entry)

    def find(self, key: str) -> ObjectEntry | None:
        """Give the object of this key, or None."""
        entry = self._bucket.find(self._prefix + key)
        return None if entry is None else self._own(entry)

    def has(self, key: str) -> bool:
        """Whether there is this object; a bucket that had it cannot be unmounted."""
        if key not in self._seen:
            if self.find(key) is None:
                self.is_directory("")
                return False
            self._seen.add(key)
        return True

    def is_directory(self, key: str) -> bool:
        """Whether objects lie below a key; an empty one asks whether the bucket answers."""
        with _being_there(self._blobs.address.name):
            self._bucket.is_directory("")
        return not key or self._bucket.is_directory(self._prefix + key)

    def open(self, key: str) -> StoredObject:
        """Open one object for reading, a small one by reading it; NotFound without one."""
        try:
            opened = self._bucket.open(self._prefix + key)
            if opened.size > FIRST_BYTES:
                return opened
            return HeldObject(opened, opened.read_at(0, opened.size))
        except NotFound:
            self.is_directory("")
            raise

    def open_extent(self, key: str, extent: Extent) -> CloudExtent:
        """Open an extent of a pack; see ``BlobBucket.open_extent``."""
        return CloudExtent(self, key, extent)

    def open_version(self, key: str, *, known: bool) -> StoredObject:
        """Open a pack at the version that was ``known`` last, or else at the one that it has."""
        entry = self._versions.get(key) if known else None
        if entry is None:
            entry = self.find(key)
            if entry is None:
                self._versions.pop(key, None)
                self.is_directory("")
                raise NotFound(f"blob {key!r} does not exist")
            if len(self._versions) >= _KNOWN_VERSIONS_MAX:
                self._versions.clear()
            self._versions[key] = entry
        return self._bucket.open(self._prefix + key, entry.version, size=entry.size)

    def erase_extents(self, key: str, extents: Iterable[Extent]) -> None:
        """Make extents of a pack zeros, durably; NotFound without it. May be repeated."""
        wanted = list(extents)
        for attempt in range(1, _ATTEMPTS_MAX + 1):
            try:
                with self.open(key) as pack:
                    content = bytearray(pack.read_at(0, pack.size))
                    for extent in wanted:
                        end = min(extent.end, len(content))
                        content[extent.offset : end] = bytes(max(0, end - extent.offset))
                    self._bucket.replace(self._prefix + key, pack.version, bytes(content))
                    self.windows.forget(self._prefix + key)
            except Aborted:
                if attempt == _ATTEMPTS_MAX:
                    raise
            else:
                return

    def is_blank(self, key: str, extents: Iterable[Extent]) -> bool:
        """Whether nothing but zeros is in some extents of a pack; NotFound without it."""
        wanted = list(extents)
        with self.open(key) as pack:
            # It is written whole, and so an extent is all zeros where its head is.
            content = memoryview(pack.read_at(0, pack.size)) if wanted else memoryview(b"")
        return not any(
            is_head(bytes(content[extent.offset : extent.offset + extent.head_bytes]))
            for extent in wanted
        )

    def write(self, key: str, pieces: Iterable[bytes]) -> ObjectEntry:
        """Write one object, in place of one that has the key; it is durable on return."""
        with self.writer(key) as writing:
            for piece in pieces:
                writing.write(piece)
            return writing.commit()

    def writer(self, key: str) -> BlobWriting:
        """Begin an object whose bytes come piece by piece; raises as ``write`` does."""
        return BlobWriting(self._bucket.writer(self._prefix + key), self._blobs.address.name)

    def drafts(self) -> CloudDrafts:
        """Begin a number of objects that are to be published together."""
        return CloudDrafts(self, self._spool.drafts(), self._blobs.address)

    def delete(self, key: str) -> bool:
        """Delete one object; False if there is none."""
        self._versions.pop(key, None)
        self.windows.forget(self._prefix + key)
        if self._bucket.delete(self._prefix + key):
            return True
        self.is_directory("")  # raises if it is the bucket that is not there
        return False

    def sweep_temporaries(self, *, older_than_seconds: float = 3600) -> int:
        """Delete what dead writers of this machine left in ``scratch``; give how many."""
        return self._spool.sweep_temporaries(older_than_seconds=older_than_seconds)

    def _own(self, entry: ObjectEntry) -> ObjectEntry:
        return ObjectEntry(
            key=entry.key.removeprefix(self._prefix),
            size=entry.size,
            version=entry.version,
            changed=entry.changed,
        )


class BlobWriting(Aborting):
    """One blob written piece by piece; it appears whole at ``commit`` or never."""

    def __init__(self, writing: CloudWriting, bucket_name: str) -> None:
        self._writing = writing
        self._bucket_name = bucket_name

    def write(self, piece: bytes) -> None:
        """Append bytes."""
        with _being_there(self._bucket_name):
            self._writing.write(piece)

    def commit(self) -> ObjectEntry:
        """Make the blob durable under its key."""
        with _being_there(self._bucket_name):
            return self._writing.commit()

    def abort(self) -> None:
        """Throw away what is not committed; a second call does nothing."""
        self._writing.abort()


class CloudDrafts(Closing):
    """Objects that are files in the scratch directory until they are published."""

    def __init__(self, bucket: CloudBlobBucket, spooled: Drafts, address: CloudAddress) -> None:
        self._bucket = bucket
        self._address = address
        self._spooled = spooled

    def begin(self, directory: str) -> Draft:
        """Begin an object; a cloud has no directories."""
        del directory
        return self._spooled.begin("")

    def take_up(self, directory: str, name: str, of: str, hear: Hear) -> Part:
        """Begin a large object, or go on where its last writer on this machine ended."""
        del directory
        return self._spooled.take_up("", name, of, hear)

    def discard(self, draft: Draft) -> None:
        """Throw one away."""
        self._spooled.discard(draft)

    def forget(self, draft: Draft) -> None:
        """Throw one away, so that nobody takes it up again."""
        self._spooled.forget(draft)

    def publish(
        self, named: Sequence[tuple[Draft, str]], *, alive: Callable[[], None] = lambda: None
    ) -> None:
        """Send some of them; all are durable on return."""
        senders = _senders_of(self._address)
        sendings = [senders.submit(self._send, each) for each in named]
        try:
            for sending in sendings:
                waited_for(sending, alive)
        finally:
            for sending in sendings:
                sending.cancel()
            wait(sendings)  # they read files that are about to be deleted
        for draft, _ in named:
            self._spooled.forget(draft)

    def close(self) -> None:
        """Throw away what is not published; a second call does nothing."""
        self._spooled.close()

    def _send(self, named: tuple[Draft, str]) -> None:
        draft, key = named
        with draft.open() as content, self._bucket.writer(key) as writing:
            for offset in range(0, content.size, _PIECE_BYTES):
                writing.write(content.read_at(offset, _PIECE_BYTES))
            writing.commit()


@contextmanager
def _being_there(bucket_name: str) -> Iterator[None]:
    """Say of a bucket that is gone that it is, and blame no object."""
    try:
        yield
    except NotFound as error:
        raise Unavailable(
            f"the archive's own bucket {bucket_name} does not exist: bring it back, or name the"
            " right one in the settings, under blobs",
            BUCKET_SETTINGS,
        ) from error
