"""What a worker is given of an import, and what it gives back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fileroom.transfer.pipeline import NO_BLAME, Blame

if TYPE_CHECKING:
    from fileroom.archive.ingest import SpooledHeaders, Writer
    from fileroom.database.values.instances import InstanceRecord, KnownBytes, Place
    from fileroom.database.values.operations import DeferredObject
    from fileroom.errors import ObjectFailure
    from fileroom.objectstore.buckets import Buckets, BucketSettings
    from fileroom.transfer.importing.reading import ListedObject


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Whether an object is identical to what is stored is to be told by the bytes of both."""

    buckets: Buckets
    stored: Place | None
    """The reference that must be read for it; None where its checksum is known already."""
    is_earlier: bool = False
    """Whether that is an object of the same import, which would be stored by now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportTask:
    """Objects for a worker to make blobs of."""

    source: BucketSettings
    writer: Writer
    objects: tuple[ListedObject, ...]
    slow_seconds: float
    blame: Blame = NO_BLAME
    archive: str = ""
    """The key of the archive whose members the objects are; empty for those of the bucket."""
    alone: bool = False
    """In the deferred lane: an object is finished or fails, and may take its time."""
    by_reference: bool = False
    """Whether the objects stay where they lie, and only their headers are read."""
    is_kept_so: bool = False
    """Whether they are to stay there for good: what can only be read whole is refused then."""
    validate_only: bool = False
    """Whether only their headers are read, to learn what would become of them."""
    comparison: Comparison | None = None

    @property
    def only_headers(self) -> bool:
        """Whether only the headers of its objects are read, whatever their size."""
        return self.by_reference or self.validate_only


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportOutcome:
    """What workers made of the objects of a batch: each is in exactly one of the three."""

    records: tuple[InstanceRecord, ...]
    failures: tuple[tuple[int, ObjectFailure], ...]
    deferred: tuple[DeferredObject, ...]
    seconds: float
    spooled: SpooledHeaders | None = None
    """Where the records' headers are, if not in the records."""
    known: tuple[KnownBytes, ...] = ()

    @property
    def weight_bytes(self) -> int:
        """About what it takes in memory."""
        return sum(1024 + record.kept_bytes for record in self.records)
