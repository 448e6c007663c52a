"""Look at one blob: what is wrong with the places in it that rows name, or that no row names."""

from __future__ import annotations

import hashlib
import time
from dataclasses import fields
from typing import TYPE_CHECKING, Final

from fileroom.archive.findings import Fault, Finding
from fileroom.archive.layout import is_pack
from fileroom.archive.packs import members, open_place
from fileroom.database.collection import KnownPlace
from fileroom.database.comparing import indexed_rows
from fileroom.database.instances import Place, PlaceKind
from fileroom.dicom.part10 import IndexedAttributes, scan
from fileroom.dicom.refusal import Refused
from fileroom.errors import Aborted, DataLoss, NotFound
from fileroom.objectstore.blobs.reading import HeldObject
from fileroom.objectstore.local import HEAD_BYTES, is_head

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from fileroom.archive.packs import Member
    from fileroom.database.engine import Readers
    from fileroom.objectstore.blobs.contract import BlobBucket
    from fileroom.objectstore.contract import ObjectEntry, StoredObject

ATTEMPTS_MAX: Final = 10
"""Times that a pack is looked at from which others erase meanwhile."""
PAUSE_SECONDS: Final = 0.05
_PIECE_BYTES: Final = 8 << 20
_CAPITALS: Final = {"sop", "uid", "id", "utc"}

Look = Fault | IndexedAttributes | Refused | None
"""What the bytes of a place show: a fault, what they say of themselves, that they are no instance;
None where no more was looked at than that they are there."""


def look_at_pack(
    database: Readers,
    bucket: BlobBucket,
    places: Sequence[KnownPlace],
    entry: ObjectEntry,
    *,
    deep: bool,
    remote: bool,
    writer_has_ended: bool,
) -> Iterator[Finding]:
    """Compare a pack with the places in it that the database knows, and its footer with both."""
    for attempt in range(1, ATTEMPTS_MAX + 1):
        found: list[Finding] = []
        try:
            with bucket.open(entry.key) as opened:
                # Each look at a pack in a cloud is a request: all of it is one.
                pack = HeldObject(opened, opened.read_at(0, opened.size)) if remote else opened
                looks = look_at_places(database, bucket, places, entry, deep=deep, pack=pack)
                found += looks
                found += _look_at_footer(entry.key, places, pack, writer_has_ended=writer_has_ended)
        except DataLoss:
            # All of it is read at one go, and is not what was written: of none is known which byte.
            fault = Fault.DIFFERING_CHECKSUM
            found = [
                Finding(key=entry.key, fault=fault, place=place)
                for place in places
                if place.size is not None
            ]
        except Aborted:  # some of it is erased just now
            if attempt < ATTEMPTS_MAX:
                time.sleep(PAUSE_SECONDS * attempt)
                continue
            # One by one they can be read all the while.
            found = list(look_at_places(database, bucket, places, entry, deep=True))
        except NotFound:
            # Its last member was erased since it was listed, or it is missing.
            found = [
                Finding(key=entry.key, fault=Fault.MISSING, place=place)
                for place in places
                if place.size is not None
            ]
        yield from found
        return


def _look_at_footer(
    key: str,
    places: Sequence[KnownPlace],
    pack: StoredObject,
    *,
    writer_has_ended: bool,
) -> Iterator[Finding]:
    """See that the footer is whole, and what stands of which it tells and no row."""
    try:
        listed = members(pack)
    except DataLoss:
        yield Finding(key=key, fault=Fault.DAMAGED_FOOTER)
        return
    is_queued = any(place.kind is PlaceKind.OWN_BLOB for place in places)
    if is_queued or not writer_has_ended:
        return
    known = {place.offset for place in places}
    for member in listed:
        if member.extent.offset not in known and _stands(pack, member.extent.offset):
            left = _known_place(key, member)
            yield Finding(key=key, fault=Fault.ORPHANED, place=left)


def stands_still(bucket: BlobBucket, key: str, place: KnownPlace | None) -> bool:
    """Whether a blob, or the place in it, is there now."""
    if place is None:
        return bucket.find(key) is not None
    try:
        with open_place(bucket, place_of(place)):
            return True
    except (Aborted, DataLoss, NotFound):
        return False


def look_at_places(
    database: Readers,
    bucket: BlobBucket,
    places: Sequence[KnownPlace],
    entry: ObjectEntry,
    *,
    deep: bool,
    pack: StoredObject | None = None,
) -> Iterator[Finding]:
    """Compare the places of one blob that rows name with its bytes, and these with the index."""
    shown: dict[int, tuple[KnownPlace, IndexedAttributes | Refused]] = {}
    for place, look in _looks(bucket, places, entry, deep=deep, pack=pack):
        if isinstance(look, Fault):
            yield Finding(key=entry.key, fault=look, place=place)
        elif look is not None and place.instance_id is not None:
            shown[place.instance_id] = place, look
    if not shown:
        return
    with database.read() as connection:
        rows = indexed_rows(connection, list(shown))
    for instance_id, row in rows.items():
        place, look = shown[instance_id]
        if (row.place_key, row.place_offset) != (place.key, place.offset):
            continue  # it has other bytes since
        fault = Fault.DIFFERING_ATTRIBUTES
        if isinstance(look, Refused):
            cause = str(look.reason)
            yield Finding(key=entry.key, fault=fault, place=place, cause=cause)
        elif differing := differing_attributes(look, row.values):
            yield Finding(key=entry.key, fault=fault, place=place, attributes=differing)


def differing_attributes(shown: IndexedAttributes, values: Mapping[str, object]) -> tuple[str, ...]:
    """Give the keywords of the attributes of which the index says something else."""
    return tuple(
        _keyword(field.name)
        for field in fields(shown)
        if field.name in values and values[field.name] != getattr(shown, field.name)
    )


def _keyword(name: str) -> str:
    """Give the keyword of an attribute, as PS3.6 writes it."""
    parts = name.split("_")
    return "".join(part.upper() if part in _CAPITALS else part.capitalize() for part in parts)


def _looks(
    bucket: BlobBucket,
    places: Sequence[KnownPlace],
    entry: ObjectEntry,
    *,
    deep: bool,
    pack: StoredObject | None = None,
) -> Iterator[tuple[KnownPlace, Look]]:
    """Look at the places of one blob that rows name."""
    for place in places:
        if place.size is None:
            continue
        end = place.offset + place.size
        if end > entry.size or (not is_pack(entry.key) and end != entry.size):
            yield place, Fault.DIFFERING_SIZE
        elif pack is not None and not _stands(pack, place.offset):
            yield place, Fault.MISSING
        elif deep:
            yield place, _read(bucket, place, pack)


def _read(bucket: BlobBucket, place: KnownPlace, pack: StoredObject | None) -> Look:
    """Compare the checksum of a place, read from its pack where all of that is held, and scan it.

    Bytes that are not those that were stored are not scanned: what they say is worth nothing.
    """
    try:
        if isinstance(pack, HeldObject):
            data = pack.read_at(place.offset, place.size or 0)
            is_whole = place.sha256 in {None, hashlib.sha256(data).digest()}
            return scan(data).attributes if is_whole else Fault.DIFFERING_CHECKSUM
        with open_place(bucket, place_of(place)) as content:
            digest = hashlib.sha256()
            piece = b""
            for offset in range(0, content.size, _PIECE_BYTES):
                piece = content.read_at(offset, _PIECE_BYTES)
                digest.update(piece)
            if place.sha256 not in {None, digest.digest()}:
                return Fault.DIFFERING_CHECKSUM
            return scan(piece if content.size <= _PIECE_BYTES else content).attributes
    except Refused as error:
        return error
    except (Aborted, NotFound):
        return Fault.MISSING
    except DataLoss:  # its size was compared before
        return Fault.DIFFERING_CHECKSUM


def _stands(pack: StoredObject, offset: int) -> bool:
    return is_head(pack.read_at(offset, HEAD_BYTES))


def _known_place(key: str, member: Member) -> KnownPlace:
    return KnownPlace(
        kind=PlaceKind.PACK,
        key=key,
        offset=member.extent.offset,
        size=member.extent.size,
        sha256=member.sha256,
    )


def place_of(known: KnownPlace) -> Place:
    """Give a place as it is opened."""
    return Place(
        kind=known.kind,
        key=known.key,
        offset=known.offset,
        size=known.size or 0,
        sha256=known.sha256,
    )
