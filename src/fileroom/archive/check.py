"""Compare rows with blobs: what is missing, what differs, what nobody names.

Two listings in the order of the keys are merged: the places that the database knows, and the files.
A file in which no row names a place is an orphan only when its writer has ended before the rows
were read, since then no commit can name it any more (never by its age alone). Nothing that a row
names is deleted.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Final

from fileroom.archive.layout import blob_bucket, request_of, writer_of
from fileroom.archive.packs import open_place
from fileroom.database import collection
from fileroom.database.instances import Place, PlaceKind, queue_blob_drops
from fileroom.errors import Aborted, DataLoss, NotFound

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from fileroom.archive.storing import LivingRequests
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
    """A place that is not as its row says, or a blob in which no row names a place."""

    path: str
    """The blob's file, below the directory of blobs."""
    fault: Fault
    place: KnownPlace | None = None
    """The place, as its row says; None of a blob that no row names."""


def check_store(
    database: Database,
    blobs: Path,
    store: StoreArea,
    *,
    deep: bool = False,
    living: LivingRequests | None = None,
) -> Iterator[Finding]:
    """Yield what is wrong in a store's blobs; ``deep`` reads every byte and compares checksums.

    ``living`` says which requests might yet commit blobs, before any row is read here; without it
    there are none, since no server runs.
    """
    bucket = blob_bucket(blobs, store.blob_prefix)
    missing: list[KnownPlace] = []
    with database.read() as connection:
        unfinished = collection.unfinished_writers(connection, store.id)
        newest = collection.newest_writer(connection)
        known = groupby(collection.known_places(connection, store.id), key=lambda one: one.key)
        for key, places, entry in _merged(known, bucket.list()):
            path = f"{store.blob_prefix}/{key}"
            if entry is None:
                missing += [place for place in places if place.size is not None]
            elif not places:
                request, writer = request_of(key), writer_of(key)
                if request is not None:
                    has_ended = living is None or not living.may_commit(request)
                else:
                    has_ended = writer is not None and writer <= newest and writer not in unfinished
                if has_ended:
                    yield Finding(path=path, fault=Fault.ORPHANED)
            else:
                for place, fault in _faults(bucket, places, entry, deep=deep):
                    yield Finding(path=path, fault=fault, place=place)
    # A row that was deleted while the files were listed leaves nothing missing.
    for start in range(0, len(missing), QUEUED_MAX):
        some = missing[start : start + QUEUED_MAX]
        with database.read() as connection:
            named = collection.still_named(connection, store.id, {place.key for place in some})
        for place in some:
            if (place.key, place.offset) in named:
                path = f"{store.blob_prefix}/{place.key}"
                yield Finding(path=path, fault=Fault.MISSING, place=place)


def queue_orphans(
    database: Database, blobs: Path, store: StoreArea, living: LivingRequests | None = None
) -> int:
    """Queue a store's orphans for collection; give how many there were."""
    keys = [
        finding.path.removeprefix(f"{store.blob_prefix}/")
        for finding in check_store(database, blobs, store, living=living)
        if finding.fault is Fault.ORPHANED
    ]
    for start in range(0, len(keys), QUEUED_MAX):
        some = keys[start : start + QUEUED_MAX]
        database.write(partial(queue_blob_drops, store_id=store.id, keys=some))
    return len(keys)


def _merged(
    known: Iterator[tuple[str, Iterator[KnownPlace]]], entries: Iterator[ObjectEntry]
) -> Iterator[tuple[str, list[KnownPlace], ObjectEntry | None]]:
    """Give each blob's key, the places that the database knows in it, and its file."""
    place, entry = next(known, None), next(entries, None)
    while place is not None or entry is not None:
        if entry is None or (place is not None and place[0] < entry.key):
            assert place is not None
            yield place[0], list(place[1]), None
            place = next(known, None)
        elif place is None or entry.key < place[0]:
            yield entry.key, [], entry
            entry = next(entries, None)
        else:
            yield place[0], list(place[1]), entry
            place, entry = next(known, None), next(entries, None)


def _faults(
    bucket: LocalBucket, places: Sequence[KnownPlace], entry: ObjectEntry, *, deep: bool
) -> Iterator[tuple[KnownPlace, Fault]]:
    """Find what is wrong with the places of one blob that rows name."""
    for place in places:
        if place.size is None:
            continue
        if place.kind is PlaceKind.PACK:
            whole = place.offset + place.size <= entry.size
        else:
            whole = place.size == entry.size
        if not whole:
            yield place, Fault.DIFFERING_SIZE
        elif deep and place.sha256 is not None:
            fault = _read_fault(bucket, place, place.size, place.sha256)
            if fault is not None:
                yield place, fault


def _read_fault(bucket: LocalBucket, place: KnownPlace, size: int, sha256: bytes) -> Fault | None:
    digest = hashlib.sha256()
    kept = Place(kind=place.kind, key=place.key, offset=place.offset, size=size, sha256=sha256)
    try:
        with open_place(bucket, kept) as content:
            for offset in range(0, size, _PIECE_BYTES):
                digest.update(content.read_at(offset, _PIECE_BYTES))
    except (Aborted, NotFound):
        return Fault.MISSING
    except DataLoss:
        return Fault.DIFFERING_SIZE
    return None if digest.digest() == sha256 else Fault.DIFFERING_CHECKSUM
