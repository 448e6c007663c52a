"""Compare rows with blobs: what is missing, what differs, what nobody names.

Two listings in the order of the keys are merged: the places that the database knows, and the files.
A file in which no row names a place is an orphan only when its writer has ended before the rows
were read, since then no commit can name it any more (never by its age alone). Nothing that a row
names is deleted.

Where others write meanwhile, what is found is held against the rows again before it is told: bytes
go only after the row that named them, and no place is used twice, so a place that a row still names
once its bytes were seen to be bad is bad.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING, Final, Protocol

from fileroom.archive.findings import Fault, Finding
from fileroom.archive.layout import is_mark, is_pack, request_of, writer_of
from fileroom.archive.looking import look_at_pack, look_at_places, place_of, stands_still
from fileroom.archive.reach import Reach
from fileroom.database import collection, comparing
from fileroom.database.engine import now_microseconds
from fileroom.database.instances import queue_blob_drops, queue_drops
from fileroom.database.marks import needed_marks
from fileroom.database.servers import known_servers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from fileroom.archive.layout import RequestWriter
    from fileroom.archive.storing import LivingRequests
    from fileroom.database.collection import KnownPlace, StoreArea
    from fileroom.database.engine import Connection, Database, Readers
    from fileroom.database.instances import InstanceKey, Place
    from fileroom.objectstore.blobs.contract import Blobs
    from fileroom.objectstore.contract import ObjectEntry

__all__ = ["Fault", "Finding", "check_store", "name_instances", "queue_orphans"]

QUEUED_MAX: Final = 500
SUSPECTS_MAX: Final = 10_000
"""Blobs without a row that are held against the rows at one go."""
MARK_SECONDS: Final = 3600
"""After what time a mark that no row bears the name of is nobody's."""
_NOBODY: Final[InstanceKey] = ("", "", "")


class Requests(Protocol):
    """Which requests might yet commit blobs."""

    def may_commit(self, writer: RequestWriter) -> bool:
        """Tell whether one of them might."""


def check_store(
    database: Readers,
    blobs: Blobs,
    store: StoreArea,
    *,
    deep: bool = False,
    reach: Reach | None = None,
    living: LivingRequests | None = None,
    others: Callable[[], Requests] | None = None,
) -> Iterator[Finding]:
    """Yield what is wrong in a store's blobs; ``deep`` reads every byte.

    It compares checksums then, and what the bytes say of themselves with the index; ``reach`` says
    it in more detail.

    Packs in a cloud are only listed otherwise: looking into each takes requests by the million.

    ``living`` says which requests might yet commit blobs, before any row is read here; without it
    there are none. Who does not know them, since they are another process's, gives ``others``:
    asked once blobs were seen, it tells whose they may be.
    """
    return _StoreCheck(
        database=database,
        blobs=blobs,
        store=store,
        reach=reach or Reach(deep=deep),
        living=living,
        others=others,
    ).run()


@dataclass(frozen=True, slots=True, kw_only=True)
class _StoreCheck:
    database: Readers
    blobs: Blobs
    store: StoreArea
    reach: Reach
    living: LivingRequests | None
    others: Callable[[], Requests] | None

    def run(self) -> Iterator[Finding]:
        with self.database.read() as connection:
            writers = _Writers(
                newest=collection.newest_writer(connection),
                unfinished=collection.unfinished_writers(connection, self.store.id),
                living=self.living,
            )
            if self.others is None:
                # No orphan is held against the rows again: they must be of one moment.
                places = self._known_places(lambda: nullcontext(connection))
        if self.others is not None:
            places = self._known_places(self.database.read)
        bucket = self.blobs.bucket(self.store.blob_prefix)
        suspects: list[Finding] = []
        with places:
            known = groupby(places, key=lambda one: one.key)
            entries = bucket.list(start_after=self.reach.after)
            for key, of_blob, entry in _merged(known, entries):
                for finding in self._true(list(self._look(key, of_blob, entry, writers))):
                    if finding.fault is Fault.ORPHANED and self.others is not None:
                        suspects.append(finding)
                    else:
                        yield finding
                if len(suspects) >= SUSPECTS_MAX:
                    yield from self._orphans(suspects)
                    suspects = []
                if _is_blob(key) and self.reach.is_over(key):
                    break
        yield from self._orphans(suspects)

    def _known_places(self, read: comparing.Read) -> comparing.KnownPlaces:
        return comparing.KnownPlaces(read, self.store.id, references=False, after=self.reach.after)

    def _look(
        self,
        key: str,
        places: Sequence[KnownPlace],
        entry: ObjectEntry | None,
        writers: _Writers,
    ) -> Iterator[Finding]:
        """Look at one blob."""
        bucket = self.blobs.bucket(self.store.blob_prefix)
        deep = self.reach.reads(key)
        if entry is None and any(place.size is not None for place in places):
            entry = bucket.find(key)
        if entry is None:
            for place in places:
                if place.size is not None:
                    yield Finding(key=key, fault=Fault.MISSING, place=place)
        elif not places:
            if writers.have_ended(key) or _is_spent(self.database, entry):
                yield Finding(key=key, fault=Fault.ORPHANED)
        elif is_pack(key) and (deep or not self.blobs.is_remote):
            yield from look_at_pack(
                self.database,
                bucket,
                places,
                entry,
                deep=deep,
                remote=self.blobs.is_remote,
                writer_has_ended=writers.have_ended(key),
            )
        else:
            yield from look_at_places(self.database, bucket, places, entry, deep=deep)

    def _true(self, findings: Sequence[Finding]) -> Iterator[Finding]:
        """Leave out what was said of a place that its row does not name any more."""
        if not findings:
            return
        named = {
            finding.place.instance_id
            for finding in findings
            if finding.place is not None and finding.place.instance_id is not None
        }
        if named:
            with self.database.read() as connection:
                lying = comparing.find_places(connection, sorted(named))
        for finding in findings:
            place = finding.place
            row = None if place is None else place.instance_id
            if place is None or row is None or lying.get(row) == (place.key, place.offset):
                path = self.blobs.name_of(f"{self.store.blob_prefix}/{finding.key}")
                yield replace(finding, path=path)

    def _orphans(self, suspects: Sequence[Finding]) -> Iterator[Finding]:
        """Leave out what may be committed yet, or was meanwhile, and what is not there any more."""
        if not suspects or self.others is None:
            return
        # In this order: whoever lives no more has committed what the rows are read for then.
        requests = self.others()
        keys = {finding.key for finding in suspects}
        known = comparing.find_known(self.database.read, self.store.id, keys)
        known_keys = {key for key, _ in known}
        with self.database.read() as connection:
            if not comparing.is_living(connection, self.store.id):
                return
        bucket = self.blobs.bucket(self.store.blob_prefix)
        for finding in suspects:
            request, place = request_of(finding.key), finding.place
            if request is not None and requests.may_commit(request):
                continue
            is_known = (
                finding.key in known_keys if place is None else (finding.key, place.offset) in known
            )
            if not is_known and stands_still(bucket, finding.key, place):
                yield finding


def name_instances(database: Readers, findings: Iterable[Finding]) -> Iterator[Finding]:
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


def _is_blob(key: str) -> bool:
    return writer_of(key) is not None or request_of(key) is not None


def _is_spent(database: Readers, entry: ObjectEntry) -> bool:
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
