"""Compare references with their sources: which objects are gone, or are not what was imported.

Nothing of an object is read but its size and version, unless more is asked for.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from fileroom.archive.findings import Fault
from fileroom.archive.looking import differing_attributes
from fileroom.archive.reach import Reach
from fileroom.archive.references import (
    SparseObject,
    check_bucket_of,
    find_reference,
    hash_object,
    scan_reference,
)
from fileroom.database.comparing import KnownPlaces, find_references, indexed_rows
from fileroom.dicom.part10 import IndexedAttributes
from fileroom.dicom.refusal import Refused
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
    from collections.abc import Iterable, Iterator

    from fileroom.archive.looking import Look
    from fileroom.database.collection import KnownPlace, StoreArea
    from fileroom.database.engine import Readers
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
    """Why it is out of reach, or no instance to the code of today."""
    attributes: tuple[str, ...] = ()
    """The keywords of those of which the index says something else."""


def check_references(
    database: Readers,
    buckets: Buckets,
    store: StoreArea,
    *,
    deep: bool = False,
    reach: Reach | None = None,
) -> Iterator[Drift]:
    """Yield the references of a store that do not hold; ``deep`` reads their objects.

    Those of known checksum are read whole then; of the others what tells what they are.
    """
    reach = reach or Reach(deep=deep)
    unreachable: set[str] = set()
    with (
        KnownPlaces(database.read, store.id, references=True, after=reach.after) as places,
        ThreadPoolExecutor(AT_ONCE) as threads,
    ):
        for some in _pages(places):
            # As they are now: since they were listed, some may have been replaced or copied in.
            with database.read() as connection:
                found = find_references(connection, [place.instance_id or 0 for place in some])
            reachable = [
                Reference(instance_id=instance_id, path=path, place=place)
                for instance_id, (path, place) in found.items()
                if split_uri(place.key, buckets.roots)[0] not in unreachable
            ]
            drifts = threads.map(partial(_check, database, buckets, reach), reachable)
            for drift in _true(database, drifts):
                if drift.uri in unreachable:
                    continue
                if drift.instance is None:
                    unreachable.add(drift.uri)
                yield drift
            if reach.is_over(some[-1].key):
                return


def list_references(database: Readers, store: StoreArea) -> Iterator[Reference]:
    """Give every instance of a store that is kept by reference, in the order of their objects."""
    with KnownPlaces(database.read, store.id, references=True) as places:
        for some in _pages(places):
            listed = {place.instance_id or 0: place.key for place in some}
            with database.read() as connection:
                found = find_references(connection, list(listed))
            for instance_id, key in listed.items():
                path, place = found.get(instance_id, (None, None))
                # One that was replaced meanwhile comes with the object that it has now.
                if path is not None and place is not None and place.key == key:
                    yield Reference(instance_id=instance_id, path=path, place=place)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """An instance that is kept by reference."""

    instance_id: int
    path: InstancePath
    place: Place


def _pages(places: Iterable[KnownPlace]) -> Iterator[list[KnownPlace]]:
    """Give some at a time, all that name one object among them."""
    page: list[KnownPlace] = []
    for place in places:
        if len(page) >= _SOME and page[-1].key != place.key:
            yield page
            page = []
        page.append(place)
    if page:
        yield page


def _true(database: Readers, drifts: Iterable[tuple[Reference, Drift | None]]) -> Iterator[Drift]:
    """Leave out what was said of an object that its row does not name any more."""
    for reference, drift in drifts:
        if drift is None:
            continue
        with database.read() as connection:
            named = find_references(connection, [reference.instance_id])
        if named.get(reference.instance_id, (None, None))[1] == reference.place:
            yield drift


def _check(
    database: Readers, buckets: Buckets, reach: Reach, reference: Reference
) -> tuple[Reference, Drift | None]:
    path, place = reference.path, reference.place
    attributes: tuple[str, ...] = ()
    cause = ""
    try:
        fault = _fault(buckets, place)
        if fault is None and reach.reads(place.key):
            look = _read(buckets, place)
            fault = look if isinstance(look, Fault) else None
            if isinstance(look, Refused):
                fault, cause = Fault.DIFFERING_ATTRIBUTES, str(look.reason)
            elif isinstance(look, IndexedAttributes):
                attributes = _differing(database, reference, look)
                fault = Fault.DIFFERING_ATTRIBUTES if attributes else None
    except PermissionDenied as error:
        fault, cause = Fault.SOURCE_UNREACHABLE, error.message
    except (FailedPrecondition, Unavailable) as error:
        name, _ = split_uri(place.key, buckets.roots)
        fault = Fault.SOURCE_UNREACHABLE
        return reference, Drift(uri=name, fault=fault, instance=None, cause=error.message)
    if fault is None:
        return reference, None
    return reference, Drift(
        uri=place.key, fault=fault, instance=path, cause=cause, attributes=attributes
    )


def _fault(buckets: Buckets, place: Place) -> Fault | None:
    bucket, key = find_reference(buckets, place.key)
    entry = bucket.find(key)
    if entry is not None and (entry.version, entry.size) == (place.version, place.size):
        return None
    try:
        # A bucket that keeps versions still has the former one.
        with bucket.open(key, place.version, size=place.size) as source:
            source.read_at(0, 1)
    except (Aborted, NotFound) as error:
        check_bucket_of(buckets, place, error)
        return Fault.SOURCE_GONE if entry is None else Fault.SOURCE_CHANGED
    return None


def _read(buckets: Buckets, place: Place) -> Look:
    """Compare the checksum of an object, where it is known, and scan it."""
    bucket, key = find_reference(buckets, place.key)
    try:
        with bucket.open(key, place.version, size=place.size) as source:
            sha256 = place.sha256
            if sha256 is not None and hash_object(source, lambda: None) != sha256:
                return Fault.DIFFERING_CHECKSUM
            return scan_reference(SparseObject(source)).attributes
    except Refused as error:
        return error
    except DataLoss:
        return Fault.DIFFERING_CHECKSUM
    except (Aborted, NotFound) as error:
        check_bucket_of(buckets, place, error)
        return Fault.SOURCE_CHANGED


def _differing(
    database: Readers, reference: Reference, shown: IndexedAttributes
) -> tuple[str, ...]:
    with database.read() as connection:
        row = indexed_rows(connection, [reference.instance_id]).get(reference.instance_id)
    return () if row is None else differing_attributes(shown, row.values)
