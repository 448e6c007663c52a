"""Instances whose bytes stay where they lie: an object of a bucket, pinned to one version.

Nothing here writes to an object or deletes one. Of an object only what tells of it is read; its
bytes are read when they are asked for, at the version that was imported or not at all.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Final

from fileroom.archive.ingest import PIECE_BYTES, describe
from fileroom.archive.packs import open_place
from fileroom.closing import Closing
from fileroom.database.values.instances import KnownBytes, Place, PlaceKind
from fileroom.dicom.part10 import Limits, scan
from fileroom.errors import Aborted, DataLoss, FailedPrecondition, NotFound
from fileroom.objectstore.buckets import open_bucket
from fileroom.objectstore.uri import FILE_PREFIX, split_uri

if TYPE_CHECKING:
    from collections.abc import Callable

    from fileroom.database.values.instances import InstanceRecord
    from fileroom.dicom.header import ByteSource
    from fileroom.dicom.part10 import Scan
    from fileroom.names import InstancePath
    from fileroom.objectstore.blobs.contract import BlobBucket, BlobExtent
    from fileroom.objectstore.buckets import Buckets
    from fileroom.objectstore.contract import Bucket, StoredObject

HEAD_BYTES: Final = 96 << 10
"""Read of every object at one go: headers of 30 KB are whole in it (measured: CT has 2 to 10)."""
TAIL_BYTES: Final = 4 << 10
"""Read of the end where pixel data are encapsulated: it shows whether they are what ends there."""
_DELIMITER: Final = b"\xfe\xff\xdd\xe0\0\0\0\0"
"""Ends encapsulated pixel data (PS3.5 A.4), and as well a sequence of undefined length."""
_LIMITS: Final = Limits(first_window_bytes=HEAD_BYTES, window_bytes=1 << 20)
_NATIVE: Final = re.compile(
    rb"\x02\0\x10\0UI..1\.2\.840\.10008\.1\.2(?:\.[12])?(?![.0-9])", re.DOTALL
)
"""A transfer syntax whose pixel data are not encapsulated."""


class SparseObject(Closing):
    """An object of which little is read: its beginning, its end, and then what is asked for."""

    def __init__(self, source: StoredObject) -> None:
        self._source = source
        self.size = source.size
        self.version = source.version
        self._head = source.read_at(0, HEAD_BYTES)
        self._tail = b""
        self._tail_at = self.size
        self.bytes_read = len(self._head)
        if len(self._head) < self.size and not _NATIVE.search(self._head, 0, 1024):
            self._tail_at = self.size - TAIL_BYTES
            self._tail = self._read(self._tail_at, TAIL_BYTES)

    def read_at(self, offset: int, length: int) -> bytes:
        """Give bytes; raises as ``StoredObject.read_at`` does."""
        end = min(offset + length, self.size)
        if end <= len(self._head):
            return self._head[offset:end]
        if offset >= self._tail_at:
            return self._tail[offset - self._tail_at : end - self._tail_at]
        held = self._head[offset:]
        return held + self._read(offset + len(held), end - offset - len(held))

    def close(self) -> None:
        """Close the object; a second call does nothing."""
        self._source.close()

    def _read(self, offset: int, length: int) -> bytes:
        self.bytes_read += length
        return self._source.read_at(offset, length)


class InPieces:
    """An object that is read forward in pieces of 8 MB, however little is asked for at a time."""

    def __init__(self, source: ByteSource) -> None:
        self._source = source
        self.size = source.size
        self._held = b""
        self._held_at = 0

    def read_at(self, offset: int, length: int) -> bytes:
        """Give bytes; raises as the object does."""
        end = min(offset + length, self.size)
        if offset < self._held_at or end > self._held_at + len(self._held):
            self._held = self._source.read_at(offset, max(length, PIECE_BYTES))
            self._held_at = offset
        return self._held[offset - self._held_at : end - self._held_at]


def describe_reference(
    source: SparseObject,
    *,
    ordinal: int,
    uri: str,
    sha256: bytes | None = None,
    is_read_whole: bool = False,
) -> InstanceRecord:
    """Give the record of an object that stays where it lies, as far as it is known yet.

    Raises
    ------
    Refused
        If it is no instance that can be kept so.
    """
    place = Place(
        kind=PlaceKind.REFERENCE,
        key=uri,
        size=source.size,
        sha256=sha256,
        version=source.version,
    )
    scanned = scan(InPieces(source)) if is_read_whole else scan_reference(source)
    return describe(ordinal, uri, source.version, place, scanned, source.read_at)


def scan_reference(source: ByteSource) -> Scan:
    """Scan an object in as few bytes and reads as its header takes; raises as ``scan`` does.

    A delimiter before the one that ends the object tells of a sequence behind the pixel data, and
    that only a walk over the fragments finds its beginning.
    """
    scanned = scan(source, limits=_LIMITS, sparse=True)
    if scanned.fragments is None or scanned.fragments.end is None:
        return scanned  # nothing was passed over
    tail = source.read_at(max(0, source.size - TAIL_BYTES), TAIL_BYTES)
    is_first = tail.find(_DELIMITER) == len(tail) - len(_DELIMITER)
    return scanned if is_first else scan(source, limits=_LIMITS)


def hash_object(source: ByteSource, progress: Callable[[], None]) -> bytes:
    """Give the SHA-256 of an object, of which all is read, with a call before each piece."""
    digest = hashlib.sha256()
    for offset in range(0, source.size, PIECE_BYTES):
        progress()
        digest.update(source.read_at(offset, PIECE_BYTES))
    return digest.digest()


def look_at(buckets: Buckets, place: Place, progress: Callable[[], None]) -> KnownBytes:
    """Read a source whole that a row names by reference, and give what that tells.

    Raises
    ------
    FailedPrecondition, PermissionDenied, Unavailable, DataLoss
        If its bucket does not give it; it may do so later.
    """
    bucket, key = find_reference(buckets, place.key)
    try:
        with bucket.open(key, place.version, size=place.size) as source:
            return KnownBytes(place=place, sha256=hash_object(source, progress))
    except (Aborted, NotFound) as error:
        check_bucket_of(buckets, place, error)
        return KnownBytes(place=place, sha256=None)


def open_bytes(blobs: BlobBucket, place: Place, buckets: Buckets) -> StoredObject | BlobExtent:
    """Open the bytes of an instance, wherever they lie.

    Raises
    ------
    NotFound
        If they are not there, or not any more.
    Aborted
        If they are those of another version; perhaps only once they are read.
    DataLoss
        If they are fewer or more than were stored.
    FailedPrecondition
        If the bucket of a reference is not in the settings any more.
    Unavailable, PermissionDenied
        If it does not answer, or not to this server.
    """
    if place.kind is not PlaceKind.REFERENCE:
        return open_place(blobs, place)
    bucket, key = find_reference(buckets, place.key)
    return bucket.open(key, place.version, size=place.size)


def find_reference(buckets: Buckets, uri: str) -> tuple[Bucket, str]:
    """Give the bucket of a reference, and the key in it.

    Raises
    ------
    FailedPrecondition
        If the bucket is not in the settings any more.
    """
    name, key = split_uri(uri, buckets.roots)
    settings = buckets.find(name)
    if settings is None:
        where = f'under [buckets."{name}"]'
        if name == FILE_PREFIX:
            name, where = "that holds it", "under file_roots"
        raise FailedPrecondition(
            f"{uri} is kept by reference, and this server has no bucket {name}: name it again in"
            f" the settings {where}, where it was when {uri} was imported",
            "buckets",
        )
    return open_bucket(settings), key


def check_bucket_of(buckets: Buckets, place: Place, error: Aborted | NotFound) -> None:
    """See that the bucket of a reference is there, where its object was not found.

    Raises
    ------
    FailedPrecondition
        If it is not: nothing is known of the object then.
    Unavailable
        If it does not answer.
    """
    if not isinstance(error, NotFound):
        return
    bucket, _ = find_reference(buckets, place.key)
    try:
        bucket.is_directory("")
    except NotFound as missing:
        raise FailedPrecondition(
            f"{place.key} is kept by reference, and {missing.message}: bring the bucket back, or"
            " name the right one in the settings",
            "buckets",
        ) from error


def lost_reference(
    place: Place, path: InstancePath, error: Aborted | NotFound | None = None
) -> DataLoss:
    """Give the error that says a source is not, or no longer, what was imported."""
    match error:
        case NotFound():
            what = "is gone"
        case Aborted():
            what = "was changed since it was imported"
        case None:
            what = "is gone or was changed since it was imported"
    return DataLoss(
        f"{place.key}, which holds {path} by reference, {what}: restore it as it was, import it"
        " again, or delete the instance",
        "reference",
    )
