"""Rows of studies, series and instances: one batch of records in one transaction."""

from fileroom.database.instances.changes import (
    current_change_seq,
    next_change_seq,
    queue_blob_drops,
    queue_drops,
)
from fileroom.database.instances.damage import forget_damage, note_damage
from fileroom.database.instances.duplicates import CONFLICT_MESSAGE
from fileroom.database.instances.foreseeing import (
    find_foreseen,
    foresee_and_note,
    foresee_records,
    forget_foreseen,
)
from fileroom.database.instances.rewriting import (
    Moved,
    Rewritten,
    forget_rewritten,
    replace_rewritten,
)
from fileroom.database.instances.storing import store_records
from fileroom.database.values.instances import (
    DuplicatePolicy,
    FramesKnown,
    InstanceKey,
    InstanceRecord,
    KnownBytes,
    Place,
    PlaceKind,
    RecordResult,
    Result,
    StoreWrite,
    record_key,
)

__all__ = [
    "CONFLICT_MESSAGE",
    "DuplicatePolicy",
    "FramesKnown",
    "InstanceKey",
    "InstanceRecord",
    "KnownBytes",
    "Moved",
    "Place",
    "PlaceKind",
    "RecordResult",
    "Result",
    "Rewritten",
    "StoreWrite",
    "current_change_seq",
    "find_foreseen",
    "foresee_and_note",
    "foresee_records",
    "forget_damage",
    "forget_foreseen",
    "forget_rewritten",
    "next_change_seq",
    "note_damage",
    "queue_blob_drops",
    "queue_drops",
    "record_key",
    "replace_rewritten",
    "store_records",
]
