"""Records that are to get rows, and what became of them, as frozen values."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import TYPE_CHECKING, Literal

from fileroom.errors import Code, Reason

if TYPE_CHECKING:
    from fileroom.dicom.part10 import IndexedAttributes

FramesKnown = Literal["NATIVE", "TABLE", "UNKNOWN"]
"""How the frames are found: by arithmetic; by the table that is kept, where one that has no chunk
means a single frame of all fragments; or by a walk over the fragments, which makes the table."""


class PlaceKind(IntEnum):
    """What a place is: the column ``place``."""

    OWN_BLOB = 0
    PACK = 1
    """A part of a blob that holds many instances."""
    REFERENCE = 2
    """An object outside the archive, which nothing ever deletes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the bytes of an instance lie; nothing computes it, the row says it (I2)."""

    key: str
    size: int
    sha256: bytes | None
    kind: PlaceKind = PlaceKind.OWN_BLOB
    offset: int = 0
    version: str | None = None
    """Of a reference: the version of the object whose bytes they are."""

    def is_at(self, other: Place) -> bool:
        """Whether the bytes lie at the same place as another's, and so are the same."""
        return (self.key, self.offset, self.version) == (other.key, other.offset, other.version)


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceRecord:
    """An instance whose bytes are durable and that is to get its rows."""

    ordinal: int
    source: str
    version: str | None
    attributes: IndexedAttributes
    place: Place
    frames_known: FramesKnown
    header: bytes | None
    """The compressed skeleton; None where it is too large to keep and is cut from the blob."""
    header_dictionary: int
    frame_table: tuple[bytes, ...] = ()
    """The chunks of the table of frames."""

    @property
    def kept_bytes(self) -> int:
        """What is kept of the instance beside its bytes and its attributes."""
        return len(self.header or b"") + sum(map(len, self.frame_table))


class DuplicatePolicy(StrEnum):
    """What happens to an instance that is stored already with other bytes."""

    FAIL_IF_DIFFERENT = "FAIL_IF_DIFFERENT"
    KEEP_FIRST = "KEEP_FIRST"
    REPLACE = "REPLACE"


class Result(StrEnum):
    """What became of a record."""

    IMPORTED = "imported"
    IDENTICAL = "identical"
    KEPT = "kept"
    REPLACED = "replaced"
    FAILED = "failed"
    UNDECIDED = "undecided"
    """Nothing was done: whether it is identical shows once ``KnownBytes`` tell of both."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordResult:
    """What became of one record, and why."""

    record: InstanceRecord
    result: Result
    reason: Reason | None = None
    code: Code = Code.OK
    message: str = ""
    stored: Place | None = None
    """Of an undecided one: what it is to be compared with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownBytes:
    """What a look at a source told that a row names by reference."""

    place: Place
    sha256: bytes | None
    """None where it is gone, or not that version any more: nobody ever has these bytes again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreWrite:
    """Who stores records, and by which rules."""

    store_id: int
    operation_id: int | None = None
    start_seq: int | None = None
    """Deletions after this change of the store win over the records (I12)."""
    policy: DuplicatePolicy = DuplicatePolicy.FAIL_IF_DIFFERENT
    storage_class: str = "STANDARD"
    grace_microseconds: int = 0
    """How long the bytes of a replaced instance stay."""
    known: tuple[KnownBytes, ...] = ()
    """Of instances that are stored already."""


InstanceKey = tuple[str, str, str]
"""Study, Series and SOP Instance UID."""


def record_key(record: InstanceRecord) -> InstanceKey:
    """Give Study, Series and SOP Instance UID: what an instance is known by."""
    attributes = record.attributes
    return (
        attributes.study_instance_uid,
        attributes.series_instance_uid,
        attributes.sop_instance_uid,
    )
