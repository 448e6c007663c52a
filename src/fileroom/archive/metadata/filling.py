"""Keeps metadata of series that have come to rest, so that the first reader need not wait."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Final

from fileroom.archive.retrieve import StoreContent
from fileroom.database import collection
from fileroom.database.stored import find_series, list_changed_series
from fileroom.errors import FileroomError

if TYPE_CHECKING:
    from fileroom.archive.metadata.retrieval import Metadata
    from fileroom.database.collection import StoreArea
    from fileroom.database.engine import Database
    from fileroom.objectstore.blobs.contract import Blobs
    from fileroom.objectstore.buckets import Buckets

logger = logging.getLogger(__name__)

QUIET_SECONDS: Final = 30.0
LOOK_SECONDS: Final = 5.0
WAITING_MAX: Final = 10_000
"""Series that wait; the others are told when somebody asks for them."""
RESTS: Final = 9.0
"""How long it rests after a slice, in times of what the slice took: imports go first."""
SWEEP_SECONDS: Final = 600.0
"""How often files of series that are gone, or have changed, are deleted."""
_ROWS_MAX: Final = 5000
_STOP_SECONDS: Final = 5.0


class MetadataFiller:
    """A thread that keeps metadata of quiet series, one slice at a time."""

    def __init__(
        self,
        database: Database,
        blobs: Blobs,
        buckets: Buckets,
        metadata: Metadata,
        *,
        quiet_seconds: float = QUIET_SECONDS,
        look_seconds: float = LOOK_SECONDS,
    ) -> None:
        self._database = database
        self._blobs = blobs
        self._buckets = buckets
        self._metadata = metadata
        self._quiet_seconds = quiet_seconds
        self._look_seconds = look_seconds
        self._seen: dict[StoreArea, int] = {}
        self._changed: dict[tuple[StoreArea, int], float] = {}
        self._swept_at = time.monotonic()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="metadata", daemon=True)

    def start(self) -> None:
        """Begin to look; what was stored before is told when somebody asks for it."""
        with self._database.read() as connection:
            self._seen = collection.change_numbers(connection)
        self._thread.start()

    def stop(self) -> None:
        """Stop at the next slice."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(_STOP_SECONDS)

    def _run(self) -> None:
        while not self._stopping.wait(self._look_seconds):
            try:
                self.look()
            except FileroomError as error:
                logger.warning("metadata are not kept ahead", extra={"cause": str(error)})
            except Exception:  # the one thread that fills must outlive whatever it meets
                logger.exception("metadata are not kept ahead, by a fault of Fileroom's own")

    def look(self) -> None:
        """Note what has changed, and keep what has been quiet for long enough."""
        self._note_changes()
        quiet = time.monotonic() - self._quiet_seconds
        for series, changed in list(self._changed.items()):
            if changed > quiet or self._stopping.is_set():
                break  # the later ones changed later
            del self._changed[series]
            self._keep(*series)
        if time.monotonic() - self._swept_at > SWEEP_SECONDS:
            self.sweep()

    def sweep(self) -> None:
        """Delete files of series that are gone, or have changed since."""
        for store_id, series_id, changed_seq in self._metadata.cache.kept():
            if self._stopping.is_set():
                return
            with self._database.read() as connection:
                found = find_series(connection, store_id, series_id)
            if found is None or found.changed_seq != changed_seq:
                self._metadata.cache.forget_series(store_id, series_id)
        self._swept_at = time.monotonic()

    def _note_changes(self) -> None:
        with self._database.read() as connection:
            numbers = collection.change_numbers(connection)
            changed = [
                (store, series_id)
                for store, number in numbers.items()
                if number != (seen := self._seen.get(store, 0))
                for series_id in list_changed_series(connection, store.id, seen, _ROWS_MAX)
            ]
        self._seen = numbers
        now = time.monotonic()
        for series in changed:
            self._changed.pop(series, None)
            self._changed[series] = now
        while len(self._changed) > WAITING_MAX:
            del self._changed[next(iter(self._changed))]

    def _keep(self, store: StoreArea, series_id: int) -> None:
        content = StoreContent(
            database=self._database,
            blobs=self._blobs,
            buckets=self._buckets,
            store_id=store.id,
            blob_prefix=store.blob_prefix,
        )
        steps = self._metadata.keep(content, series_id)
        began = time.monotonic()
        for _ in steps:
            rest = RESTS * (time.monotonic() - began)
            if self._stopping.wait(rest):
                steps.close()
                return
            began = time.monotonic()
