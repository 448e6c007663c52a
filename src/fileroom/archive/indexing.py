"""The attributes that a store's settings name are indexed in the background, from kept headers.

What is stored later is met by the same walk: an import never waits for it, and a search may lag
behind by the seconds between two rounds.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Final

from fileroom.archive.reading import InstanceReader
from fileroom.archive.retrieve import StoreContent
from fileroom.database import extra_attributes
from fileroom.database.stored import find_stored_instances
from fileroom.dicom import json_model
from fileroom.dicom.search_keys import search_keys
from fileroom.errors import (
    DataLoss,
    FailedPrecondition,
    FileroomError,
    NotFound,
    PermissionDenied,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fileroom.database.collection import StoreArea
    from fileroom.database.engine import Database
    from fileroom.database.extra_attributes import Keys, Slice
    from fileroom.database.values.stored import StoredInstance
    from fileroom.objectstore.blobs.contract import Blobs
    from fileroom.objectstore.buckets import Buckets

logger = logging.getLogger(__name__)

INTERVAL_SECONDS: Final = 2.0
STOP_SECONDS: Final = 5.0
"""How long the end of the server waits for a slice; one that is cut off is done again."""
KEYS_AT_A_TIME: Final = 100
"""Headers of a slice times the attributes read from each: some hundredths of a second."""
REST_SECONDS: Final = 0.01
"""Between two slices, so that a long fill leaves the processor to requests."""


class AttributeIndexer:
    """A thread that fills the indexes which stores ask for."""

    def __init__(self, database: Database, blobs: Blobs, buckets: Buckets) -> None:
        self._database = database
        self._blobs = blobs
        self._buckets = buckets
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="indexer", daemon=True)

    def start(self) -> None:
        """Begin to index."""
        self._thread.start()

    def stop(self) -> None:
        """Stop at the next slice."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(STOP_SECONDS)

    def index(self) -> None:
        """Index all that is not indexed yet, and take away what is no longer asked for."""
        with self._database.read() as connection:
            stores = extra_attributes.stores_with_indexes(connection)
        for store in stores:
            while self._index_some(store) and not self._stopping.wait(REST_SECONDS):
                pass

    def _run(self) -> None:
        while not self._stopping.wait(INTERVAL_SECONDS):
            try:
                self.index()
            except FileroomError as error:
                logger.warning("indexing put off", extra={"cause": str(error)})
            except Exception:  # the one thread that indexes must outlive whatever it meets
                logger.exception("indexing put off, by a fault of Fileroom's own")

    def _index_some(self, store: StoreArea) -> bool:
        """Do one slice; tell whether there may be more."""
        more = self._database.write(
            lambda transaction: extra_attributes.delete_leaving(transaction, store)
        )
        with self._database.read() as connection:
            part = extra_attributes.next_slice(connection, store, keys_at_a_time=KEYS_AT_A_TIME)
            if part is None:
                return more
            stored = find_stored_instances(connection, part.instance_ids)
        keys = self._keys(part, [each for each in stored if each is not None])
        self._database.write(
            lambda transaction: extra_attributes.write_slice(transaction, part, keys)
        )
        if part.is_last:
            logger.info("attributes indexed", extra={"storeId": store.id, "paths": part.paths})
        return more or not part.is_last

    def _keys(self, part: Slice, stored: list[StoredInstance]) -> Keys:
        content = StoreContent(
            database=self._database,
            blobs=self._blobs,
            buckets=self._buckets,
            store_id=part.store.id,
            blob_prefix=part.store.blob_prefix,
        )
        tags = {path: int(path, 16) for path in part.paths}
        return {each.id: _keys_of(content, each, tags) for each in stored}


def _keys_of(
    content: StoreContent, stored: StoredInstance, tags: Mapping[str, int]
) -> dict[str, tuple[str, ...]]:
    with InstanceReader(content, stored) as reader:
        try:
            told = json_model.attributes(
                reader.header, frozenset(tags.values()), bulk_data_uri="", read=reader.read
            )
        except NotFound:
            return {}
        except (DataLoss, FailedPrecondition, PermissionDenied) as error:
            # It must not keep all others waiting; ``check`` tells of it too.
            logger.warning("an instance cannot be indexed", extra={"cause": str(error)})
            return {}
    return {path: search_keys(told.get(path)) for path in tags}
