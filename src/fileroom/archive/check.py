"""Compare rows with blobs: what is missing, what differs, what nobody names.

Two listings in the order of the keys are merged: the places that the database knows, and the files.
A file in which no row names a place is an orphan only when its writer has ended before the rows
were read, since then no commit can name it any more (never by its age alone). Nothing that a row
names is deleted.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING, Final

from fileroom.archive.findings import Fault, Finding
from fileroom.archive.layout import is_mark, is_pack, request_of, writer_of
from fileroom.archive.looking import look_at_pack, look_at_places, place_of
from fileroom.database import collection
from fileroom.database.engine import now_microseconds
from fileroom.database.instances import queue_blob_drops, queue_drops
from fileroom.database.marks import needed_marks
from fileroom.database.servers import known_servers

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from fileroom.archive.storing import LivingRequests
    from fileroom.database.collection import KnownPlace, StoreArea
    from fileroom.database.engine import Connection, Database
    from fileroom.database.instances import InstanceKey, Place
    from fileroom.objectstore.blobs.contract import Blobs
    from fileroom.objectstore.contract import ObjectEntry

__all__ = ["Fault", "Finding", "check_store", "name_instances", "queue_orphans"]

QUEUED_MAX: Final = 500
MARK_SECONDS: Final = 3600
"""After what time a mark that no row bears the name of is nobody's."""
_NOBODY: Final[InstanceKey] = ("", "", "")


def check_store(
    database: Database,
    blobs: Blobs,
    store: StoreArea,
    *,
    deep: bool = False,
    living: LivingRequests | None = None,
) -> Iterator[Finding]:
    """Yield what is wrong in a store's blobs; ``deep`` reads every byte.

    It compares checksums then, and what the bytes say of themselves with the index.

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
                yield from look_at_pack(
                    database,
                    bucket,
                    path,
                    places,
                    entry,
                    deep=deep,
                    remote=blobs.is_remote,
                    writer_has_ended=writers.have_ended(key),
                )
            else:
                yield from look_at_places(database, bucket, path, places, entry, deep=deep)
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
        members = [(place_of(one.place), _NOBODY) for one in some if one.place is not None]

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
