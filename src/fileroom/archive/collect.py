"""Rows go first, then bytes: what no row names any more is collected.

An object outside the archive is never touched, whatever becomes of the rows that name it.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Final

from fileroom.archive.check import queue_orphans
from fileroom.archive.layout import STORE_ID_FILE, check_blob_bucket, mark_deleted_store
from fileroom.archive.marks import forget_marks, mark_if_possible
from fileroom.archive.packs import delete_members
from fileroom.archive.storing import StoringRequests
from fileroom.database import collection, operations
from fileroom.database.instances import PlaceKind
from fileroom.errors import DataLoss, FileroomError, PermissionDenied, Unavailable
from fileroom.objectstore.local import DurabilityLost, Extent

if TYPE_CHECKING:
    from fileroom.database.collection import Drop, StoreArea
    from fileroom.database.engine import Connection, Database
    from fileroom.objectstore.blobs.contract import Blobs

logger = logging.getLogger(__name__)

EXPIRED_MAX: Final = 100
STOP_SECONDS: Final = 5.0
"""How long the end of the server waits for a slice; one that is cut off is done again."""
PUT_OFF_SECONDS: Final = 3600.0
"""After what time a blob is tried again that could not be deleted."""
SWEEP_SECONDS: Final = 3600.0
"""How often, and after what rest, temporary files count as those of a lost worker."""


@dataclass(slots=True)
class Reclaimed:
    """What a collector has collected."""

    places: int = 0
    bytes: int = 0


class Collector:
    """A thread that drops due blobs, purges deleted stores and forgets old operations."""

    def __init__(
        self,
        database: Database,
        blobs: Blobs,
        *,
        interval_seconds: float,
        after_crash: bool,
        requests: StoringRequests | None = None,
    ) -> None:
        self._database = database
        self._blobs = blobs
        self._requests = requests or StoringRequests()
        self._interval_seconds = interval_seconds
        self._after_crash = after_crash
        self._suspected: dict[int, frozenset[int]] = {}
        self._scanned: dict[int, frozenset[int]] = {}
        """What of it is looked into now."""
        self._is_scanning = False
        self._suspecting = threading.Lock()
        self._swept_at: float | None = None
        self.reclaimed = Reclaimed()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="collector", daemon=True)

    def start(self) -> None:
        """Begin to collect."""
        self._thread.start()

    def stop(self) -> None:
        """Stop at the next slice."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(STOP_SECONDS)

    def suspect(self, store_id: int, writer: int) -> None:
        """Compare a store's blobs with its rows once an operation has ended.

        For one that did not run straight through: a batch that a fault or a cancellation met half
        way has blobs that nobody commits.
        """
        self._suspect(store_id, frozenset({writer}))

    def suspect_request(self, store_id: int) -> None:
        """Compare a store's blobs with its rows: a request to store ended before its commit."""
        self._suspect(store_id, frozenset())

    def suspect_all(self) -> None:
        """Compare the blobs of all stores with their rows: another server has died."""
        with self._suspecting:
            self._after_crash = True

    def is_settled(self) -> bool:
        """Tell whether no store is left whose blobs are to be compared with its rows."""
        with self._suspecting:
            return not (self._after_crash or self._suspected or self._is_scanning)

    def _suspect(self, store_id: int, writers: frozenset[int]) -> None:
        with self._suspecting:
            self._suspected[store_id] = self._suspected.get(store_id, frozenset()) | writers

    def _run(self) -> None:
        while not self._stopping.wait(self._interval_seconds):
            try:
                self.collect()
            except FileroomError as error:
                logger.warning("collection put off", extra={"cause": str(error)})
            except Exception:  # the one thread that collects must outlive whatever it meets
                logger.exception("collection put off, by a fault of Fileroom's own")

    def collect(self) -> None:
        """Collect all that is due; what a crash left half done is done again."""
        mark_if_possible(self._database, self._blobs, None)
        while not self._stopping.is_set() and self._drop_some():
            pass
        with self._database.read() as connection:
            deleted = collection.deleted_stores(connection)
        for store in deleted:
            try:
                self._purge(store)
            except (PermissionDenied, Unavailable) as error:
                logger.warning("a deleted store cannot be purged", extra={"cause": str(error)})
        self._database.write(collection.forget_spent_tombstones)
        while not self._stopping.is_set() and self._database.write(_forget_operations):
            pass
        self._scan_for_orphans()
        self._sweep_temporaries()

    def _drop_some(self) -> bool:
        drops = self._database.write(collection.take_due_drops)
        dropped: list[int] = []
        later: list[int] = []

        def settle(transaction: Connection) -> None:
            collection.forget_drops(transaction, dropped)
            collection.put_off_drops(transaction, later, seconds=PUT_OFF_SECONDS)

        try:
            for _, group in groupby(sorted(drops, key=_blob), key=_blob):
                of_blob = list(group)
                done = dropped if self._drop(of_blob) else later
                done += [drop.id for drop in of_blob]
                if done is dropped and of_blob[0].place is not PlaceKind.REFERENCE:
                    self.reclaimed.places += len(of_blob)
                    self.reclaimed.bytes += sum(drop.size for drop in of_blob)
        finally:
            self._database.write(settle)
        done_with = set(dropped)
        spent = ((drop.blob_prefix, drop.mark) for drop in drops if drop.id in done_with)
        forget_marks(self._database, self._blobs, spent)
        return bool(drops)

    def _drop(self, drops: list[Drop]) -> bool:
        """Delete a blob, or members of a pack; one that cannot be keeps nobody else's waiting.

        Raises
        ------
        Unavailable
            If the directory of all of them is gone.
        DurabilityLost
            If the disk did not keep what was written.
        """
        blob = drops[0]
        if blob.place is PlaceKind.REFERENCE:
            return True
        bucket = self._blobs.bucket(blob.blob_prefix)
        try:
            if blob.place is PlaceKind.PACK:
                extents = [Extent(drop.offset, drop.size) for drop in drops]
                delete_members(bucket, blob.place_key, extents)
            else:
                # Of an orphan nobody noted the size.
                entry = None if blob.size else bucket.find(blob.place_key)
                self.reclaimed.bytes += 0 if entry is None else entry.size
                bucket.delete(blob.place_key)
        except DurabilityLost:
            raise
        except DataLoss as error:
            # Erased, but nobody can tell what else the pack holds: the scan asks the rows.
            logger.warning("a pack is damaged", extra={"cause": str(error)})
            self._suspect(blob.store_id, frozenset())
        except FileroomError as error:
            bucket.is_directory("")
            logger.warning("a blob cannot be deleted", extra={"cause": str(error)})
            return False
        return True

    def _scan_for_orphans(self) -> None:
        """Queue what died uncommitted, once those who might yet have committed it have ended.

        That is what a worker or a server had written when it was lost, which is then written
        again under another name, and what an operation had in hand when it was cancelled.
        """
        # Who is suspected from here on is looked for the next time.
        with self._suspecting:
            self._scanned, self._suspected = self._suspected, {}
            after_crash, self._after_crash = self._after_crash, False
            self._is_scanning = True
        try:
            self._scan(after_crash=after_crash)
            after_crash = False
        finally:
            with self._suspecting:
                left, self._scanned = self._scanned, {}
                self._after_crash |= after_crash
            for store_id, writers in left.items():
                self._suspect(store_id, writers)
            self._is_scanning = False

    def _scan(self, *, after_crash: bool) -> None:
        """Scan the stores of ``_scanned``, which then holds those that are to be scanned later."""
        # Before the rows are read: who commits later than that is among the living.
        living = self._requests.living()
        with self._database.read() as connection:
            stores = {store.id: store for store in collection.living_stores(connection)}
            unfinished = {
                store_id: collection.unfinished_writers(connection, store_id)
                for store_id in (stores if after_crash else self._scanned)
            }
        if after_crash:
            for store_id in stores:
                self._scanned[store_id] = (
                    self._scanned.get(store_id, frozenset()) | unfinished[store_id]
                )
        for store_id, writers in list(self._scanned.items()):
            if store_id in stores:
                if not writers.isdisjoint(unfinished[store_id]):
                    continue
                orphans = queue_orphans(self._database, self._blobs, stores[store_id], living)
                logger.info("blobs compared with rows", extra={"orphans": orphans})
            del self._scanned[store_id]

    def _sweep_temporaries(self) -> None:
        """Delete what workers that were lost had begun to write; a new server does it at once."""
        now = time.monotonic()
        if self._swept_at is not None and now - self._swept_at < SWEEP_SECONDS:
            return
        with self._database.read() as connection:
            stores = collection.living_stores(connection)
        for store in stores:
            self._blobs.bucket(store.blob_prefix).sweep_temporaries()
        self._swept_at = now

    def _purge(self, store: StoreArea) -> None:
        """Delete a store's rows slice by slice, then its blobs, then the store.

        The mark of whose the blobs are goes last: without it this is not where they lie, and to
        forget the store would keep them for ever.
        """
        check_blob_bucket(self._blobs, store.blob_prefix)
        mark_deleted_store(self._blobs, store.blob_prefix)
        while self._database.write(lambda transaction: collection.purge_rows(transaction, store)):
            if self._stopping.is_set():
                return
        self._blobs.delete(store.blob_prefix, sparing=STORE_ID_FILE)
        self._database.write(lambda transaction: collection.forget_store(transaction, store))
        self._blobs.delete(store.blob_prefix)
        logger.info("purged a deleted DICOM store", extra={"storeId": store.id})


def _blob(drop: Drop) -> tuple[bool, str, str, PlaceKind]:
    """Whole blobs first: on a full disk they make room for what erasing takes."""
    return drop.place is PlaceKind.PACK, drop.blob_prefix, drop.place_key, drop.place


def _forget_operations(transaction: Connection) -> int:
    return operations.delete_expired_operations(transaction, EXPIRED_MAX)
