"""What ``fileroom check`` may find of the archive's own bytes."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fileroom.database.collection import KnownPlace
    from fileroom.names import InstancePath


class Fault(StrEnum):
    """What is wrong with a blob; the words of dcm4chee's archive, where it has one."""

    MISSING = "MISSING_OBJECT"
    DIFFERING_SIZE = "DIFFERING_OBJECT_SIZE"
    DIFFERING_CHECKSUM = "DIFFERING_OBJECT_CHECKSUM"
    DIFFERING_ATTRIBUTES = "DIFFERING_ATTRIBUTES"
    """The bytes are those that were stored, and the index says something else of them."""
    DAMAGED_FOOTER = "DAMAGED_FOOTER"
    """Of a pack: what is in it is whole, but cannot be told without the database."""
    ORPHANED = "ORPHANED"
    SOURCE_CHANGED = "SOURCE_CHANGED"
    """Of an object that is kept by reference: it is another version than was imported."""
    SOURCE_GONE = "SOURCE_GONE"
    SOURCE_UNREACHABLE = "SOURCE_UNREACHABLE"
    """It may not be read; or its bucket is not there or in the settings, so that nothing in it was
    compared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A place that is not as its row says, or what no row names."""

    key: str
    """The blob's key in the store's bucket."""
    fault: Fault
    path: str = ""
    """How an operator finds the blob, as ``check_store`` tells."""
    place: KnownPlace | None = None
    """The place, as its row or the pack's footer says; None of a whole blob."""
    instance: InstancePath | None = None
    """Whose row names the place, once ``name_instances`` has looked."""
    attributes: tuple[str, ...] = ()
    """The keywords of those that differ; their values are the patient's."""
    cause: str = ""
    """Why the bytes are no instance to the code of today."""
