"""Compare rows with blobs: what is missing, what differs, what nobody names.

Two listings in the order of the keys are merged: the places that the database knows, and the files.
A file in which no row names a place is an orphan only when its writer has ended before the rows
were read, since then no commit can name it any more (never by its age alone). Nothing that a row
names is deleted.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import groupby
from typing import TYPE_CHECKING, Final

from fileroom.archive.layout import is_mark, is_pack, request_of, writer_of
from fileroom.archive.packs import members, open_place
from fileroom.database import collection
from fileroom.database.collection import KnownPlace
from fileroom.database.engine import now_microseconds
from fileroom.database.instances import Place, PlaceKind, queue_blob_drops, queue_drops
from fileroom.database.marks import needed_marks
from fileroom.database.servers import known_servers
from fileroom.errors import Aborted, DataLoss, NotFound
from fileroom.objectstore.blobs.reading import HeldObject
from fileroom.objectstore.local import HEAD_BYTES, is_head

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from fileroom.archive.packs import Member
    from fileroom.archive.storing import LivingRequests
    from fileroom.database.collection import StoreArea
    from fileroom.database.engine import Connection, Database
    from fileroom.database.instances import InstanceKey
    from fileroom.names import InstancePath
    from fileroom.objectstore.blobs.contract import BlobBucket, Blobs
    from fileroom.objectstore.contract import ObjectEntry, StoredObject

QUEUED_MAX: Final = 500
MARK_SECONDS: Final = 3600
"""After what time a mark that no row bears the name of is nobody's."""
_PIECE_BYTES: Final = 8 << 20
_NOBODY: Final[InstanceKey] = ("", "", "")


class Fault(StrEnum):
    """What is wrong with a blob; the words of dcm4chee's archive, where it has one."""

    MISSING = "MISSING_OBJECT"
    DIFFERING_SIZE = "DIFFERING_OBJECT_SIZE"
    DIFFERING_CHECKSUM = "DIFFERING_OBJECT_CHECKSUM"
    DAMAGED_FOOTER = "DAMAGED_FOOTER"
    """Of a pack: what is in it is whole, but cannot be told without the database."""
    ORPHANED = "ORPHANED"
    SOURCE_CHANGED = "SOURCE_CHANGED"
    """Of an object that is kept by reference: it is another version than was imported."""
    SOURCE_GONE = "SOURCE_GONE"
    SOURCE_UNREACHABLE = "SOURCE_UNREACHABLE"
    """It may not be read; or its bucket is not there or in the settings, so that nothing in it was
    compared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A place that is not as its row says, or what no row names."""

    path: str
    """How an operator finds the blob."""
    key: str
    """Its key in the store's bucket."""
    fault: Fault
    place: KnownPlace | None = None
    """The place, as its row or the pack's footer says; None of a whole blob."""
    instance: InstancePath | None = None
    """Whose row names the place, once ``name_instances`` has looked."""


def check_store(
    database: Database,
    blobs: Blobs,
    store: StoreArea,
    *,
    deep: bool = False,
    living: LivingRequests | None = None,
) -> Iterator[Finding]:
    """Yield what is wrong in a store's blobs; ``deep`` reads every byte and compares checksums.

    Packs in a cloud are only listed otherwise: looking into each takes requests by the million.

    ``living`` says which requests might yet commit blobs, before any row is read here; without it
    there are none, since no server runs.
    """
    bucket = blobs.bucket(store.blob_prefix)
    missing: list[KnownPlace] = []
    with database.read() as connection:
        writers = _Writers(
            newest=collection.newest_writer(connection),
            unfinished=collection.unfinished_writers(connection, store.id),
            living=living,
        )
        known = groupby(collection.known_places(connection, store.id), key=lambda one: one.key)
        for key, places, entry in _merged(known, bucket.list()):
            path = blobs.name_of(f"{store.blob_prefix}/{key}")
            if entry is None:
                missing += [place for place in places if place.size is not None]
            elif not places:
                if writers.have_ended(key) or _is_spent(database, entry):
                    yield Finding(path=path, key=key, fault=Fault.ORPHANED)
            elif is_pack(key) and (deep or not blobs.is_remote):
                yield from _pack_findings(
                    bucket, path, places, entry, writers, deep=deep, remote=blobs.is_remote
                )
            else:
                for place, fault in _faults(bucket, places, entry, deep=deep):
                    yield Finding(path=path, key=key, fault=fault, place=place)
    # A row that was deleted while the files were listed leaves nothing missing.
    for start in range(0, len(missing), QUEUED_MAX):
        some = missing[start : start + QUEUED_MAX]
        with database.read() as connection:
            named = collection.still_named(connection, store.id, {place.key for place in some})
        for place in some:
            if (place.key, place.offset) in named:
                path = blobs.name_of(f"{store.blob_prefix}/{place.key}")
                yield Finding(path=path, key=place.key, fault=Fault.MISSING, place=place)


def name_instances(database: Database, findings: Iterable[Finding]) -> Iterator[Finding]:
    """Give the findings, with the UIDs of the instance whose place each is about."""
    for finding in findings:
        if finding.place is None or finding.place.instance_id is None:
            yield finding
            continue
        with database.read() as connection:
            instance = collection.find_instance(connection, finding.place.instance_id)
        yield replace(finding, instance=instance)


def queue_orphans(
    database: Database, blobs: Blobs, store: StoreArea, living: LivingRequests | None = None
) -> int:
    """Queue a store's orphans for collection; give how many there were."""
    orphans = [
        finding
        for finding in check_store(database, blobs, store, living=living)
        if finding.fault is Fault.ORPHANED
    ]
    if database.is_shared:
        orphans = _without_others(database, store, orphans, living)
    for start in range(0, len(orphans), QUEUED_MAX):
        some = orphans[start : start + QUEUED_MAX]
        keys = [one.key for one in some if one.place is None]
        members = [(_place(one.place), _NOBODY) for one in some if one.place is not None]

        def queue(
            transaction: Connection,
            keys: Sequence[str] = keys,
            members: Sequence[tuple[Place, InstanceKey]] = members,
        ) -> None:
            queue_blob_drops(transaction, store.id, keys)
            now = now_microseconds()
            queue_drops(transaction, store.id, members, not_before=now, had_rows=False)

        database.write(queue)
    return len(orphans)


def _without_others(
    database: Database,
    store: StoreArea,
    orphans: Sequence[Finding],
    own: LivingRequests | None,
) -> list[Finding]:
    """Leave out what a request of another server wrote that lives, or had committed by its death.

    Whoever is not known in this snapshot commits nothing after it.
    """
    requests = {one.key: request_of(one.key) for one in orphans}
    keys = {key for key, request in requests.items() if request is not None}
    if not keys:
        return list(orphans)
    with database.read() as connection:
        others = known_servers(connection) - {own.boot if own is not None else ""}
        named = {key for key, _ in collection.still_named(connection, store.id, keys)}
    return [
        one
        for one in orphans
        if (request := requests[one.key]) is None
        or (request.boot not in others and one.key not in named)
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Writers:
    """Who might yet commit a blob, by what was known before any row was read."""

    newest: int
    unfinished: frozenset[int]
    living: LivingRequests | None

    def have_ended(self, key: str) -> bool:
        """Whether nobody commits the blob of this key any more."""
        request, writer = request_of(key), writer_of(key)
        if request is not None:
            return self.living is None or not self.living.may_commit(request)
        return writer is not None and writer <= self.newest and writer not in self.unfinished


def _is_spent(database: Database, entry: ObjectEntry) -> bool:
    """Whether this is a mark that a crash left: a row bears its name soon after it is written."""
    if not is_mark(entry.key):
        return False
    age = now_microseconds() - (entry.changed or now_microseconds())
    if age < MARK_SECONDS * 1_000_000:
        return False
    with database.read() as connection:
        return not needed_marks(connection, [entry.key])


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


def _pack_findings(
    bucket: BlobBucket,
    path: str,
    places: Sequence[KnownPlace],
    entry: ObjectEntry,
    writers: _Writers,
    *,
    deep: bool,
    remote: bool,
) -> Iterator[Finding]:
    """Compare a pack with the places in it that the database knows, and its footer with both."""
    try:
        with bucket.open(entry.key) as opened:
            # Each look at a pack in a cloud is a request: all of it is one.
            pack = HeldObject(opened, opened.read_at(0, opened.size)) if remote else opened
            listed: list[Member] = []
            try:
                listed = members(pack)
            except DataLoss:
                yield Finding(path=path, key=entry.key, fault=Fault.DAMAGED_FOOTER)
            for place, fault in _faults(bucket, places, entry, deep=deep, pack=pack):
                yield Finding(path=path, key=entry.key, fault=fault, place=place)
            is_queued = any(place.kind is PlaceKind.OWN_BLOB for place in places)
            if not is_queued and writers.have_ended(entry.key):
                known = {place.offset for place in places}
                for member in listed:
                    if member.extent.offset not in known and _stands(pack, member.extent.offset):
                        left = _known_place(entry.key, member)
                        yield Finding(path=path, key=entry.key, fault=Fault.ORPHANED, place=left)
    except DataLoss:
        # All of it is read at one go, and is not what was written: of none is known which byte.
        for place in places:
            if place.size is not None:
                fault = Fault.DIFFERING_CHECKSUM
                yield Finding(path=path, key=entry.key, fault=fault, place=place)
    except (Aborted, NotFound):
        # Another server erases from it just now: it is looked at the next time.
        return


def _faults(
    bucket: BlobBucket,
    places: Sequence[KnownPlace],
    entry: ObjectEntry,
    *,
    deep: bool,
    pack: StoredObject | None = None,
) -> Iterator[tuple[KnownPlace, Fault]]:
    """Find what is wrong with the places of one blob that rows name."""
    for place in places:
        if place.size is None:
            continue
        end = place.offset + place.size
        if end > entry.size or (not is_pack(entry.key) and end != entry.size):
            yield place, Fault.DIFFERING_SIZE
        elif pack is not None and not _stands(pack, place.offset):
            yield place, Fault.MISSING
        elif deep and place.sha256 is not None:
            fault = _read_fault(bucket, place, place.sha256, pack)
            if fault is not None:
                yield place, fault


def _read_fault(
    bucket: BlobBucket, place: KnownPlace, sha256: bytes, pack: StoredObject | None
) -> Fault | None:
    """Compare the checksum of a place, read from its pack where all of that is held."""
    digest = hashlib.sha256()
    if isinstance(pack, HeldObject):
        digest.update(pack.read_at(place.offset, place.size or 0))
        return None if digest.digest() == sha256 else Fault.DIFFERING_CHECKSUM
    try:
        with open_place(bucket, _place(place)) as content:
            for offset in range(0, content.size, _PIECE_BYTES):
                digest.update(content.read_at(offset, _PIECE_BYTES))
    except (Aborted, NotFound):
        return Fault.MISSING
    except DataLoss:  # its size was compared before
        return Fault.DIFFERING_CHECKSUM
    return None if digest.digest() == sha256 else Fault.DIFFERING_CHECKSUM


def _stands(pack: StoredObject, offset: int) -> bool:
    return is_head(pack.read_at(offset, HEAD_BYTES))


def _known_place(key: str, member: Member) -> KnownPlace:
    return KnownPlace(
        kind=PlaceKind.PACK,
        key=key,
        offset=member.extent.offset,
        size=member.extent.size,
        sha256=member.sha256,
    )


def _place(known: KnownPlace) -> Place:
    return Place(
        kind=known.kind,
        key=known.key,
        offset=known.offset,
        size=known.size or 0,
        sha256=known.sha256,
    )
