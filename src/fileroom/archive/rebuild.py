"""The rows of a store are made again from its blobs alone, by the code that made them first.

The blobs are looked at in the order in which they were written, so that of two that hold one
instance, and of which no mark tells, the newer one is shown. What is being written lies elsewhere
and is not looked at. A place that has a row, or is queued to be dropped, is passed over, so that a
rebuild that was cut off goes on where it was and makes nothing twice.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from fileroom.archive.ingest import describe
from fileroom.archive.layout import STORE_ID_FILE, is_mark, is_pack, request_of, writer_of
from fileroom.archive.marks import read_mark
from fileroom.archive.packs import members
from fileroom.database import rebuild
from fileroom.database.instances import (
    DuplicatePolicy,
    Place,
    PlaceKind,
    Result,
    StoreWrite,
    record_key,
    store_records,
)
from fileroom.database.marks import insert_marked_drops
from fileroom.dicom.part10 import Refused, scan
from fileroom.errors import DataLoss, NotFound
from fileroom.names import InstancePath, Uid
from fileroom.objectstore.blobs.reading import HeldObject
from fileroom.objectstore.local import HEAD_BYTES, TEMPORARY_DIRECTORY, is_head

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fileroom.database.collection import StoreArea
    from fileroom.database.engine import Database
    from fileroom.database.instances import InstanceKey, InstanceRecord
    from fileroom.objectstore.blobs.contract import Blobs
    from fileroom.objectstore.contract import StoredObject

RECORDS_MAX: Final = 200
"""In one transaction."""
KEPT_BYTES_MAX: Final = 16 << 20
"""Of headers and tables in one transaction."""
_SHA256_DIGITS: Final = 64
_BEING_WRITTEN: Final = f"{TEMPORARY_DIRECTORY}/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreadable:
    """Bytes that got no row; they stay where they are."""

    path: str
    """How an operator finds the blob."""
    offset: int
    cause: str


@dataclass(slots=True, kw_only=True)
class Rebuilt:
    """What became of a store's blobs."""

    instances: int = 0
    """Rows that were made."""
    deleted: int = 0
    """Places that marks tell of: what was deleted or replaced."""
    known: int = 0
    """Places that were passed over: an earlier attempt looked at them."""
    copies: int = 0
    """Places with the bytes of another one; they are collected."""
    superseded: list[InstancePath] = field(default_factory=list)
    """Instances of which two different files were found and no mark told which is the older."""
    unreadable: list[Unreadable] = field(default_factory=list)
    strange: list[str] = field(default_factory=list)
    """Files that nothing of Fileroom has written."""
    newest_writer: int = 0


def rebuild_store(
    database: Database,
    blobs: Blobs,
    store: StoreArea,
    *,
    grace_seconds: float,
    resumed: bool,
    progress: Callable[[int], None] = lambda _: None,
) -> Rebuilt:
    """Make the rows of a store that has none, or not all; ``progress`` hears how many there are.

    What a newer file of the same instance supersedes is collected after the grace.
    """
    return _Rebuild(database, blobs, store, grace_seconds, resumed, progress).run()


class _Rebuild:
    def __init__(
        self,
        database: Database,
        blobs: Blobs,
        store: StoreArea,
        grace_seconds: float,
        resumed: bool,
        progress: Callable[[int], None],
    ) -> None:
        self._database = database
        self._blobs = blobs
        self._store = store
        self._bucket = blobs.bucket(store.blob_prefix)
        self._write = StoreWrite(
            store_id=store.id,
            policy=DuplicatePolicy.REPLACE,
            grace_microseconds=int(grace_seconds * 1_000_000),
        )
        self._resumed = resumed
        self._progress = progress
        self._told = Rebuilt()
        self._gone: set[tuple[str, int]] = set()
        self._batch: dict[InstanceKey, InstanceRecord] = {}
        self._kept_bytes = 0

    def run(self) -> Rebuilt:
        for key in self._keys():
            writer = writer_of(key)
            if writer is None and request_of(key) is None:
                self._told.strange.append(self._path(key))
                continue
            self._told.newest_writer = max(self._told.newest_writer, writer or 0)
            for record in self._records(key):
                self._add(record)
        self._flush()
        return self._told

    def _keys(self) -> list[str]:
        """Give the keys of the blobs, the oldest first, once all marks are read."""
        found: list[tuple[int, str]] = []
        for entry in self._bucket.list():
            if is_mark(entry.key):
                self._heed(entry.key)
            elif entry.key != STORE_ID_FILE and not entry.key.startswith(_BEING_WRITTEN):
                found.append((entry.changed or 0, entry.key))
        return [key for _, key in sorted(found)]

    def _heed(self, mark: str) -> None:
        """Keep what a mark tells of from coming back."""
        try:
            drops = read_mark(self._bucket, mark)
        except DataLoss as error:
            self._cannot_read(Place(key=mark, size=0, sha256=None), error)
            return
        self._gone.update((drop.place_key, drop.place_offset) for drop in drops)
        self._database.write(
            lambda transaction: insert_marked_drops(transaction, self._store.id, drops, mark)
        )

    def _records(self, key: str) -> Iterator[InstanceRecord]:
        """Give the records of what is in a blob and has no row yet."""
        known: set[int] = set()
        if self._resumed:
            with self._database.read() as connection:
                known = rebuild.known_offsets(connection, self._store.id, key)
        try:
            with self._bucket.open(key) as blob:
                for place, source in self._places(key, blob):
                    if (key, place.offset) in self._gone:
                        self._told.deleted += 1
                    elif place.offset in known:
                        self._told.known += 1
                    elif (record := self._describe(place, source)) is not None:
                        yield record
        except (DataLoss, NotFound) as error:
            self._cannot_read(Place(key=key, size=0, sha256=None), error)

    def _places(self, key: str, blob: StoredObject) -> Iterator[tuple[Place, _Part]]:
        """Give the places in a blob whose bytes are there."""
        if not is_pack(key):
            sha256 = bytes.fromhex(key.rpartition("/")[2][:_SHA256_DIGITS])
            place = Place(key=key, size=blob.size, sha256=sha256)
            yield place, _Part(blob, place)
            return
        pack = HeldObject(blob, blob.read_at(0, blob.size)) if self._blobs.is_remote else blob
        for member in members(pack):
            place = Place(
                kind=PlaceKind.PACK,
                key=key,
                offset=member.extent.offset,
                size=member.extent.size,
                sha256=member.sha256,
            )
            is_marked = (key, place.offset) in self._gone
            if is_marked or is_head(pack.read_at(place.offset, HEAD_BYTES)):
                yield place, _Part(pack, place)

    def _describe(self, place: Place, source: _Part) -> InstanceRecord | None:
        try:
            scanned = scan(source)
            # The number is of the batch, which the next one of it takes too.
            return describe(0, "", None, place, scanned, source.read_at)
        except (Refused, DataLoss) as error:
            self._cannot_read(place, error)
            return None

    def _cannot_read(self, place: Place, error: Refused | DataLoss | NotFound) -> None:
        cause = error.message
        self._told.unreadable.append(
            Unreadable(path=self._path(place.key), offset=place.offset, cause=cause)
        )
        self._database.write(
            lambda transaction: rebuild.hold_places(transaction, self._store.id, [place])
        )

    def _add(self, record: InstanceRecord) -> None:
        key = record_key(record)
        is_full = len(self._batch) >= RECORDS_MAX or self._kept_bytes >= KEPT_BYTES_MAX
        if is_full or key in self._batch:  # of one batch the first would stay
            self._flush()
        self._batch[key] = record
        self._kept_bytes += record.kept_bytes

    def _flush(self) -> None:
        if not self._batch:
            return
        records = [replace(record, ordinal=n) for n, record in enumerate(self._batch.values())]
        results = self._database.write(
            lambda transaction: store_records(transaction, self._write, records), lane="batch"
        )
        for result in results:
            match result.result:
                case Result.IMPORTED:
                    self._told.instances += 1
                case Result.REPLACED:
                    path = InstancePath(*map(Uid, record_key(result.record)))
                    self._told.superseded.append(path)
                case _:
                    self._told.copies += 1
        self._batch, self._kept_bytes = {}, 0
        self._progress(self._told.instances)

    def _path(self, key: str) -> str:
        return self._blobs.name_of(f"{self._store.blob_prefix}/{key}")


class _Part:
    """One file in a blob."""

    def __init__(self, blob: StoredObject, place: Place) -> None:
        self._blob = blob
        self._offset = place.offset
        self.size = place.size

    def read_at(self, offset: int, length: int) -> bytes:
        """Give bytes, fewer only at the end of the file."""
        return self._blob.read_at(self._offset + offset, min(length, max(0, self.size - offset)))
