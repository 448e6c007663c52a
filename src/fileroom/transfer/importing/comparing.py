"""Objects that may be identical to what is stored, where the bytes of one were never read.

Nothing known tells it then, so the object leaves the line; a worker reads both whole, and the
commit of what it found decides. Only what is imported twice costs that.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from fileroom.database import exports
from fileroom.database.instances import (
    PlaceKind,
    RecordResult,
    Result,
    find_foreseen,
    record_key,
)
from fileroom.database.values.operations import DeferredObject
from fileroom.errors import Code, Reason
from fileroom.names import parse_instance_path
from fileroom.transfer.importing.tasks import Comparison

if TYPE_CHECKING:
    from fileroom.database.engine import Connection
    from fileroom.database.instances import InstanceRecord, Place, StoreWrite
    from fileroom.names import InstancePath
    from fileroom.transfer.facilities import Facilities

IDENTITY: Final = "IDENTITY"
"""Why such an object is put off."""
_COMPARED_WITH: Final = "comparedWith"


def to_compare(record: InstanceRecord, attempts: int) -> DeferredObject:
    """Put an object off until its bytes are compared with those of the stored instance."""
    study, series, instance = record_key(record)
    return DeferredObject(
        ordinal=record.ordinal,
        source=record.source,
        version=record.version,
        size=record.place.size,
        why=IDENTITY,
        attempts=attempts,
        state={_COMPARED_WITH: f"studies/{study}/series/{series}/instances/{instance}"},
    )


def find_comparison(
    facilities: Facilities, write: StoreWrite, deferred: DeferredObject, *, validate_only: bool
) -> Comparison | None:
    """Give what a deferred object is to be compared with; None if that is not why it waits."""
    path = (deferred.state or {}).get(_COMPARED_WITH)
    if not isinstance(path, str):
        return None
    instance = parse_instance_path(path)
    with facilities.database.read() as connection:
        if validate_only and (earlier := _find_earlier(connection, write, instance)):
            place = earlier if earlier.sha256 is None else None
            return Comparison(buckets=facilities.buckets, stored=place, is_earlier=True)
        stored = exports.find_instance(connection, write.store_id, instance)
    place = None if stored is None else stored.place
    if place is not None and (
        place.kind is not PlaceKind.REFERENCE
        or (place.sha256 is not None and place.key != deferred.source)
    ):
        place = None  # it need not be read
    return Comparison(buckets=facilities.buckets, stored=place)


def _find_earlier(connection: Connection, write: StoreWrite, path: InstancePath) -> Place | None:
    """Give an object of the same import that would be stored by now as this instance."""
    study, series, instance = (
        path.study_instance_uid,
        path.series_instance_uid,
        path.sop_instance_uid,
    )
    assert write.operation_id is not None
    assert series is not None
    assert instance is not None
    return find_foreseen(connection, write.operation_id, (study, series, instance))


def changed_again(result: RecordResult) -> RecordResult:
    """Give up on an object of which others changed the stored instance each time."""
    if result.result is not Result.UNDECIDED:
        return result
    return replace(
        result,
        result=Result.FAILED,
        reason=Reason.SOURCE_CHANGED,
        code=Code.ABORTED,
        message="others changed the instance each time it was compared; import it again",
    )
