"""Rows go first, then bytes: what no row names any more is collected.

An object outside the archive is never touched, whatever becomes of the rows that name it.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from fileroom.archive.check import queue_orphans
from fileroom.archive.layout import blob_bucket
from fileroom.database import collection, operations
from fileroom.database.instances import PlaceKind
from fileroom.errors import FileroomError
from fileroom.objectstore.local import LocalBucket

if TYPE_CHECKING:
    from pathlib import Path

    from fileroom.database.collection import StoreArea
    from fileroom.database.engine import Connection, Database

logger = logging.getLogger(__name__)

EXPIRED_MAX = 100


class Collector:
    """A thread that drops due blobs, purges deleted stores and forgets old operations."""

    def __init__(
        self, database: Database, blobs: Path, *, interval_seconds: float, after_crash: bool
    ) -> None:
        self._database = database
        self._blobs = blobs
        self._interval_seconds = interval_seconds
        self._unscanned: dict[StoreArea, frozenset[int]] | None = None if after_crash else {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="collector", daemon=True)

    def start(self) -> None:
        """Begin to collect."""
        self._thread.start()

    def stop(self) -> None:
        """Stop at the next slice."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._stopping.wait(self._interval_seconds):
            try:
                self.collect()
            except FileroomError as error:
                logger.warning("collection put off", extra={"cause": str(error)})

    def collect(self) -> None:
        """Collect all that is due; what a crash left half done is done again."""
        while not self._stopping.is_set() and self._drop_some():
            pass
        with self._database.read() as connection:
            deleted = collection.deleted_stores(connection)
        for store in deleted:
            self._purge(store)
        self._scan_for_orphans()
        self._database.write(collection.forget_spent_tombstones)
        while not self._stopping.is_set() and self._database.write(_forget_operations):
            pass

    def _drop_some(self) -> bool:
        drops = self._database.write(collection.take_due_drops)
        for drop in drops:
            if drop.place is PlaceKind.OWN_BLOB:
                blob_bucket(self._blobs, drop.blob_prefix).delete(drop.place_key)
        self._database.write(
            lambda transaction: collection.forget_drops(transaction, [drop.id for drop in drops])
        )
        return bool(drops)

    def _scan_for_orphans(self) -> None:
        """After a crash: queue what died uncommitted, once those who may yet commit it have ended.

        Operations that a crash interrupted write the same blobs again under the same names, so
        little is found; what is, belongs to objects that had changed or gone meanwhile.
        """
        with self._database.read() as connection:
            if self._unscanned is None:
                self._unscanned = {
                    store: collection.unfinished_writers(connection, store.id)
                    for store in collection.living_stores(connection)
                }
            ready = [
                store
                for store, writers in self._unscanned.items()
                if writers.isdisjoint(collection.unfinished_writers(connection, store.id))
            ]
        for store in ready:
            orphans = queue_orphans(self._database, self._blobs, store)
            del self._unscanned[store]
            logger.info("blobs compared with rows", extra={"orphans": orphans})

    def _purge(self, store: StoreArea) -> None:
        """Delete a store's rows slice by slice, then its blobs, then the store."""
        while self._database.write(lambda transaction: collection.purge_rows(transaction, store)):
            if self._stopping.is_set():
                return
        LocalBucket(self._blobs).delete_prefix(f"{store.blob_prefix}/")
        self._database.write(lambda transaction: collection.forget_store(transaction, store))
        logger.info("purged a deleted DICOM store", extra={"storeId": store.id})


def _forget_operations(transaction: Connection) -> int:
    return operations.delete_expired_operations(transaction, EXPIRED_MAX)
