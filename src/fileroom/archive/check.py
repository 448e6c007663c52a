"""Compare rows with blobs: what is missing, what differs, what nobody names.

Two listings in the order of the keys are merged: the places that the database knows, and the files.
A file without a row is an orphan only when its writer has ended before the rows were read, since
then no commit can name it any more (never by its age alone). Nothing that a row names is deleted.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Final

from fileroom.archive.layout import blob_bucket, writer_of
from fileroom.database import collection
from fileroom.errors import NotFound

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fileroom.database.collection import KnownPlace, StoreArea
    from fileroom.database.engine import Database
    from fileroom.objectstore.local import LocalBucket, ObjectEntry

QUEUED_MAX: Final = 500
_PIECE_BYTES: Final = 8 << 20


class Fault(StrEnum):
    """What is wrong with a blob; the words of dcm4chee's archive, where it has one."""

    MISSING = "MISSING_OBJECT"
    DIFFERING_SIZE = "DIFFERING_OBJECT_SIZE"
    DIFFERING_CHECKSUM = "DIFFERING_OBJECT_CHECKSUM"
    ORPHANED = "ORPHANED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One blob that is not as its row says, or that no row names."""

    path: str
    """The blob's file, below the directory of blobs."""
    fault: Fault


def check_store(
    database: Database, blobs: Path, store: StoreArea, *, deep: bool = False
) -> Iterator[Finding]:
    """Yield what is wrong in a store's blobs; ``deep`` reads every byte and compares checksums."""
    bucket = blob_bucket(blobs, store.blob_prefix)
    missing: list[str] = []
    with database.read() as connection:
        unfinished = collection.unfinished_writers(connection, store.id)
        newest = collection.newest_writer(connection)
        known = collection.known_places(connection, store.id)
        for place, entry in _merged(known, bucket.list()):
            if entry is None:
                if place is not None and place.size is not None:
                    missing.append(place.key)
            elif place is None:
                writer = writer_of(entry.key)
                if writer is not None and writer <= newest and writer not in unfinished:
                    yield Finding(path=f"{store.blob_prefix}/{entry.key}", fault=Fault.ORPHANED)
            else:
                fault = _fault(bucket, place, entry, deep=deep)
                if fault is not None:
                    yield Finding(path=f"{store.blob_prefix}/{entry.key}", fault=fault)
    # A row that was deleted while the files were listed leaves nothing missing.
    for start in range(0, len(missing), QUEUED_MAX):
        some = missing[start : start + QUEUED_MAX]
        with database.read() as connection:
            named = collection.still_named(connection, store.id, some)
        for key in sorted(named):
            yield Finding(path=f"{store.blob_prefix}/{key}", fault=Fault.MISSING)


def queue_orphans(database: Database, blobs: Path, store: StoreArea) -> int:
    """Queue a store's orphans for collection; give how many there were."""
    keys = [
        finding.path.removeprefix(f"{store.blob_prefix}/")
        for finding in check_store(database, blobs, store)
        if finding.fault is Fault.ORPHANED
    ]
    for start in range(0, len(keys), QUEUED_MAX):
        some = keys[start : start + QUEUED_MAX]
        database.write(partial(collection.queue_orphans, store_id=store.id, keys=some))
    return len(keys)


def _merged(
    known: Iterator[KnownPlace], entries: Iterator[ObjectEntry]
) -> Iterator[tuple[KnownPlace | None, ObjectEntry | None]]:
    place, entry = next(known, None), next(entries, None)
    while place is not None or entry is not None:
        if entry is None or (place is not None and place.key < entry.key):
            yield place, None
            place = next(known, None)
        elif place is None or entry.key < place.key:
            yield None, entry
            entry = next(entries, None)
        else:
            yield place, entry
            place, entry = next(known, None), next(entries, None)


def _fault(
    bucket: LocalBucket, place: KnownPlace, entry: ObjectEntry, *, deep: bool
) -> Fault | None:
    if place.size is None:
        return None
    if place.size != entry.size:
        return Fault.DIFFERING_SIZE
    if deep and place.sha256 is not None and _sha256(bucket, entry) != place.sha256:
        return Fault.DIFFERING_CHECKSUM
    return None


def _sha256(bucket: LocalBucket, entry: ObjectEntry) -> bytes:
    digest = hashlib.sha256()
    try:
        with bucket.open(entry.key) as blob:
            for offset in range(0, blob.size, _PIECE_BYTES):
                digest.update(blob.read_at(offset, _PIECE_BYTES))
    except NotFound:
        return b""
    return digest.digest()
