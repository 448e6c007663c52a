"""What the rows of operations mean, as frozen values."""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Final

from fileroom.names import DicomStoreName, OperationName, parse_name

Json = dict[str, "str | int | bool | list[Json] | Json | None"]


PATCH: Final = "patch"
"""The part of a request that holds attribute values, as JSON text."""
KEPT_MICROSECONDS: Final = 30 * 86_400 * 1_000_000
"""How long an operation is kept unless a setting says otherwise: as long as Google keeps them."""


class Kind(StrEnum):
    """What an operation does: the last part of Google's method name."""

    CREATE_DATASET = "CreateDataset"
    IMPORT = "ImportDicomData"
    EXPORT = "ExportDicomData"
    DELETE_STUDY = "DeleteStudy"
    DELETE_SERIES = "DeleteSeries"
    SET_STORAGE_CLASS = "SetBlobStorageSettings"
    UPDATE_STUDY = "UpdateStudyMetadata"
    UPDATE_SERIES = "UpdateSeriesMetadata"
    PROMOTE = "PromoteDicomData"
    UNDO_IMPORT = "UndoImportDicomData"
    """Fileroom's own, as the one before."""

    @property
    def can_be_cancelled(self) -> bool:
        """Whether a cancellation ends it; what a deletion hid is not shown again half deleted."""
        return self not in {Kind.DELETE_STUDY, Kind.DELETE_SERIES}


class State(StrEnum):
    """Where an operation stands."""

    QUEUED = "QUEUED"
    """Waiting to be claimed."""
    RUNNING = "RUNNING"
    PAUSED = "PAUSED"
    """Waiting for its environment (``paused_why``); it goes on by itself."""
    DONE = "DONE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Counters:
    """What became of the objects of an operation; ``deferred`` are those still to be finished."""

    listed: int = 0
    imported: int = 0
    identical: int = 0
    kept: int = 0
    replaced: int = 0
    exported: int = 0
    unchanged: int = 0
    deleted: int = 0
    updated: int = 0
    failed: int = 0
    deferred: int = 0
    bytes: int = 0

    @property
    def succeeded(self) -> int:
        """Objects that reached the state that was asked for."""
        return (
            self.imported
            + self.identical
            + self.kept
            + self.replaced
            + self.exported
            + self.unchanged
            + self.deleted
            + self.updated
        )


COUNTER_NAMES: Final = tuple(field.name for field in fields(Counters))


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How fast an operation went within the last minute."""

    objects_per_second: float
    bytes_per_second: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """A long-running operation as its row stands; times in microseconds since 1970."""

    id: int
    name: OperationName
    kind: Kind
    api_version: str
    principal: str
    """Who asked for it; empty where nobody had to prove who they are."""
    store_id: int | None
    request: Json
    state: State
    paused_why: str | None
    cancel_requested: bool
    pause_requested: bool
    start_seq: int | None
    fence: int
    cursor: str | None
    next_ordinal: int
    total: int | None
    """Objects that the source lists, once a counting pass has come to its end."""
    counters: Counters
    pace: Pace | None
    """None before it is known, and of one that nobody runs."""
    error: Json | None
    response: Json | None
    created_at: int
    ended_at: int | None

    @property
    def lasting_request(self) -> Json:
        """The request as it is kept after the end: without attribute values."""
        return {name: part for name, part in self.request.items() if name != PATCH}

    @property
    def dicom_store_name(self) -> DicomStoreName | None:
        """The DICOM store it works on, which may have been deleted since."""
        name = self.request.get("name")
        store = parse_name(name) if isinstance(name, str) else None
        return store if isinstance(store, DicomStoreName) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeferredObject:
    """An object that left the line, to be finished in the second lane."""

    ordinal: int
    source: str
    version: str | None
    size: int
    why: str
    attempts: int = 0
    not_before: int = 0
    state: Json | None = None
