"""Many instances in one blob: the files of a batch end to end, and behind them what they are.

::

    file, zeros up to a multiple of 4096 | file, zeros | … | footer: entries, number, CRC-32, magic

One file for a batch in place of one for each instance means one file made, one sync and one name,
which is most of what a small instance costs. What is collected is erased from the pack, and the
pack goes once nothing is left in it: the bytes themselves say so, nothing is counted. The footer
lets the rows be made again from blobs alone.
"""

from __future__ import annotations

import hashlib
import secrets
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from zlib import crc32

from fileroom.archive.layout import pack_key
from fileroom.closing import Aborting
from fileroom.database.values.instances import Place, PlaceKind
from fileroom.errors import Aborted, DataLoss, FailedPrecondition, Internal, NotFound
from fileroom.objectstore.local import BLOCK_BYTES, Extent, is_head

if TYPE_CHECKING:
    from collections.abc import Iterable
    from collections.abc import Set as AbstractSet

    from fileroom.objectstore.blobs.contract import BlobBucket, BlobExtent
    from fileroom.objectstore.contract import StoredObject

MEMBERS_MAX: Final = 1 << 16
"""Far more than the objects of a batch: what a footer claims is never believed further."""
_ENTRY: Final = struct.Struct("<QQ32s")
_END: Final = struct.Struct("<QI8s")
_MAGIC: Final = b"FRPACK\x00\x01"
_PADDING: Final = bytes(BLOCK_BYTES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One file in a pack, as its footer tells; it may have been erased since."""

    extent: Extent
    sha256: bytes


class PackWriter(Aborting):
    """A pack that is being written; it appears whole at ``commit`` or never."""

    def __init__(self, bucket: BlobBucket, writer: int, first_ordinal: int) -> None:
        # A batch that is tried again writes another pack: the name is never used twice.
        self._key = pack_key(writer, first_ordinal, secrets.token_hex(8))
        self._pack = bucket.writer(self._key)
        self._members: list[Member] = []
        self._size = 0

    def add(self, content: bytes) -> Place:
        """Append a file and give its place, which holds once the pack is committed."""
        assert is_head(content), "a Part 10 file never begins with 132 zero bytes"
        extent = Extent(self._size, len(content))
        member = Member(extent=extent, sha256=hashlib.sha256(content).digest())
        self._members.append(member)
        self._append(content)
        return Place(
            kind=PlaceKind.PACK,
            key=self._key,
            offset=extent.offset,
            size=extent.size,
            sha256=member.sha256,
        )

    def commit(self) -> None:
        """Make the pack durable and give it its name; raises as ``BlobBucket.write`` does."""
        entries = b"".join(
            _ENTRY.pack(member.extent.offset, member.extent.size, member.sha256)
            for member in self._members
        )
        self._pack.write(entries + _END.pack(len(self._members), crc32(entries), _MAGIC))
        self._pack.commit()

    def _append(self, content: bytes) -> None:
        padding = -len(content) % BLOCK_BYTES
        self._pack.write(content)
        self._pack.write(_PADDING[:padding])
        self._size += len(content) + padding

    def abort(self) -> None:
        """Throw away what is not committed; a second call does nothing."""
        self._pack.abort()


def members(pack: StoredObject) -> list[Member]:
    """Give what the footer of a pack tells, erased members among them.

    Raises
    ------
    DataLoss
        If the footer is damaged.
    """
    end = pack.read_at(max(0, pack.size - _END.size), _END.size)
    count, checksum, magic = _END.unpack(end) if len(end) == _END.size else (0, 0, b"")
    start = pack.size - _END.size - count * _ENTRY.size
    whole = magic == _MAGIC and start >= 0 and count <= MEMBERS_MAX
    entries = pack.read_at(start, count * _ENTRY.size) if whole else b""
    if not whole or crc32(entries) != checksum:
        raise DataLoss(f"the footer of pack {pack.key} is damaged; restore it from a backup")
    return [
        Member(extent=Extent(offset, size), sha256=sha256)
        for offset, size, sha256 in _ENTRY.iter_unpack(entries)
    ]


def delete_members(bucket: BlobBucket, key: str, extents: Iterable[Extent]) -> None:
    """Delete members of a pack; the last of them take it with them.

    May be repeated; a pack that is not there is no error. Another server may do the same beside.

    Raises
    ------
    DataLoss
        If the footer is damaged: nobody can tell what else the pack holds. They are erased then.
    FailedPrecondition
        If bytes of the pack are damaged where only all of it can be written: nothing is erased.
    Internal
        If the pack has no such members; nothing was done then.
    """
    doomed = set(extents)
    try:
        others = _others(bucket, key, doomed)
        if not bucket.is_blank(key, others):
            bucket.erase_extents(key, doomed)
            # Who erased beside us saw ours stand, perhaps: whoever looks last sees none.
            if not bucket.is_blank(key, others):
                return
        bucket.delete(key)
    except NotFound:
        return
    except DataLoss:
        try:
            bucket.erase_extents(key, doomed)
        except DataLoss as error:
            raise FailedPrecondition(
                f"nothing can be erased from pack {key}, whose bytes are not those that were"
                f" written ({error.message}); restore it from a backup",
                "blobs",
            ) from error
        raise


def _others(bucket: BlobBucket, key: str, doomed: AbstractSet[Extent]) -> AbstractSet[Extent]:
    """Give the members that are not to be deleted, whether they still stand or not."""
    for last_try in (False, False, True):
        try:
            with bucket.open(key) as pack:
                listed = {member.extent for member in members(pack)}
            break
        except Aborted:  # another server erases from it; its footer stays
            if last_try:
                raise
    if not doomed <= listed:
        raise Internal(f"pack {key} has not the members that were to be deleted")
    return listed - doomed


def open_place(bucket: BlobBucket, place: Place) -> StoredObject | BlobExtent:
    """Open the bytes of an instance that the archive itself holds.

    Raises
    ------
    NotFound
        If they are not there, or not any more.
    DataLoss
        If they are fewer or more than were stored.
    """
    if place.kind is PlaceKind.PACK:
        return bucket.open_extent(place.key, Extent(place.offset, place.size))
    blob = bucket.open(place.key)
    if blob.size != place.size:
        blob.close()
        raise DataLoss(
            f"blob {place.key} has {blob.size} bytes, not the {place.size} that were stored; "
            "restore it from a backup"
        )
    return blob
