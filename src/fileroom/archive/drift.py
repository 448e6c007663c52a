"""Compare references with their sources: which objects are gone, or are not what was imported.

Nothing of an object is read but its size and version, unless its checksum is known and asked for.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Final

from fileroom.archive.check import Fault
from fileroom.archive.references import check_bucket_of, find_reference, look_at
from fileroom.database import collection
from fileroom.errors import (
    Aborted,
    DataLoss,
    FailedPrecondition,
    NotFound,
    PermissionDenied,
    Unavailable,
)
from fileroom.objectstore.uri import split_uri

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fileroom.database.collection import StoreArea
    from fileroom.database.engine import Database
    from fileroom.database.instances import Place
    from fileroom.names import InstancePath
    from fileroom.objectstore.buckets import Buckets

AT_ONCE: Final = 16
"""Objects that are asked for at a time: the way to a cloud is long."""
_SOME: Final = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """An instance whose source is not what was imported."""

    uri: str
    """Of the object; of its bucket, if that is out of reach."""
    fault: Fault
    instance: InstancePath | None
    """None where the bucket is out of reach: then all of it is."""
    cause: str = ""
    """Why it is out of reach."""


def check_references(
    database: Database, buckets: Buckets, store: StoreArea, *, deep: bool = False
) -> Iterator[Drift]:
    """Yield the references of a store that do not hold; ``deep`` reads those of known checksum."""
    with database.read() as connection, ThreadPoolExecutor(AT_ONCE) as threads:
        references = collection.references(connection, store.id)
        unreachable: set[str] = set()
        while some := list(islice(references, _SOME)):
            reachable = [
                one for one in some if split_uri(one[1].key, buckets.roots)[0] not in unreachable
            ]
            for drift in threads.map(partial(_check, buckets, deep), reachable):
                if drift is None or drift.uri in unreachable:
                    continue
                if drift.instance is None:
                    unreachable.add(drift.uri)
                yield drift


def _check(buckets: Buckets, deep: bool, reference: tuple[InstancePath, Place]) -> Drift | None:
    path, place = reference
    try:
        fault = _fault(buckets, place, deep=deep)
    except PermissionDenied as error:
        return Drift(
            uri=place.key, fault=Fault.SOURCE_UNREACHABLE, instance=path, cause=error.message
        )
    except (FailedPrecondition, Unavailable) as error:
        name, _ = split_uri(place.key, buckets.roots)
        return Drift(uri=name, fault=Fault.SOURCE_UNREACHABLE, instance=None, cause=error.message)
    return None if fault is None else Drift(uri=place.key, fault=fault, instance=path)


def _fault(buckets: Buckets, place: Place, *, deep: bool) -> Fault | None:
    bucket, key = find_reference(buckets, place.key)
    entry = bucket.find(key)
    if entry is None or (entry.version, entry.size) != (place.version, place.size):
        try:
            # A bucket that keeps versions still has the former one.
            with bucket.open(key, place.version, size=place.size) as source:
                source.read_at(0, 1)
        except (Aborted, NotFound) as error:
            check_bucket_of(buckets, place, error)
            return Fault.SOURCE_GONE if entry is None else Fault.SOURCE_CHANGED
    if not deep or place.sha256 is None:
        return None
    try:
        known = look_at(buckets, place, lambda: None)
    except DataLoss:
        return Fault.DIFFERING_CHECKSUM
    if known.sha256 is None:
        return Fault.SOURCE_CHANGED
    return None if known.sha256 == place.sha256 else Fault.DIFFERING_CHECKSUM
