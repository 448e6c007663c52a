"""What an import or an export works with; made once by the deployment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fileroom.archive.retrieve import StoreContent
from fileroom.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from fileroom.archive.metadata.telling import Teller
    from fileroom.archive.storing import StoringRequests
    from fileroom.database.engine import Database
    from fileroom.database.operations import Operation
    from fileroom.database.stores import DicomStore
    from fileroom.objectstore.blobs.contract import Blobs
    from fileroom.objectstore.buckets import Buckets, BucketSettings
    from fileroom.objectstore.contract import Right
    from fileroom.transfer.pipeline import Turns


@dataclass(frozen=True, slots=True, kw_only=True)
class Facilities:
    """The parts of a deployment that move objects."""

    database: Database
    buckets: Buckets
    blobs: Blobs
    """The archive's own bytes."""
    requests: StoringRequests
    """Whose names the blobs bear that this process itself writes."""
    turns: Turns
    """The workers, shared between the running operations."""
    pixel_turns: Turns
    """The workers that decode and encode pixels, shared in the same way."""
    teller: Teller
    """Tells the metadata of instances in those workers."""
    wake: Callable[[], None]
    """Have the runner look for new operations now."""
    grace_seconds: float
    """How long the bytes of what was replaced or deleted stay."""
    unfinished_max: int
    """Operations of a DICOM store that may wait or run."""
    booted_at: float
    """When this server began, as ``time.time()`` gives it."""
    suspect: Callable[[int, int], None]
    """Have a store's blobs compared with its rows once an operation has ended."""

    def content(self, store: DicomStore) -> StoreContent:
        """Give where the rows and the blobs of a DICOM store are."""
        return StoreContent(
            database=self.database,
            blobs=self.blobs,
            buckets=self.buckets,
            store_id=store.id,
            blob_prefix=store.blob_prefix,
        )

    def bucket(self, operation: Operation, bucket_name: str, right: Right) -> BucketSettings:
        """Give the bucket that an operation reads or writes.

        Raises
        ------
        PermissionDenied
            If the operation's store may not use it.
        Unavailable
            If it is gone since the operation began: its volume may be back soon.
        """
        if operation.start_seq is not None and self.buckets.find(bucket_name) is None:
            raise Unavailable(f"bucket {bucket_name} is gone; is its volume mounted?", "buckets")
        store = str(operation.dicom_store_name)
        return self.buckets.resolve(bucket_name, right=right, dicom_store=store)
