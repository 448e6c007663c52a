"""What the rows say of what is stored, as frozen values that a worker may be given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fileroom.database.values.instances import Place
    from fileroom.names import InstancePath


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredInstance:
    """One instance of a DICOM store, as its rows have it."""

    id: int
    path: InstancePath
    transfer_syntax_uid: str
    place: Place
    series_id: int
    series_changed_seq: int
    """Moves with every change to an instance of the series."""
    header: bytes | None = None
    """The compressed skeleton; ``None`` where it is cut from the blob."""
    header_dictionary: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedInstance:
    """What is known of an instance before its rows are read."""

    id: int
    transfer_syntax_uid: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesVersion:
    """A series as it was after one change: the same numbers always mean the same instances."""

    store_id: int
    series_id: int
    changed_seq: int
    instance_count: int
