"""Ranges of an archive: read ahead, whole, and as objects of their own."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Final

from fileroom.closing import Closing
from fileroom.errors import Reason
from fileroom.objectstore.archives.member import BadArchive
from fileroom.objectstore.archives.naming import MARKER

if TYPE_CHECKING:
    from fileroom.objectstore.archives.member import Member
    from fileroom.objectstore.contract import StoredObject

PIECE_BYTES: Final = 1 << 20


class ReadAhead(Closing):
    """An object whose small reads, one behind the other, become few large ones.

    It closes the object it reads.
    """

    def __init__(self, source: StoredObject, piece_bytes: int = PIECE_BYTES) -> None:
        self._source = source
        self._piece_bytes = piece_bytes
        self._start = 0
        self._held = b""
        self.key = source.key
        self.size = source.size
        self.version = source.version

    def read_at(self, offset: int, length: int) -> bytes:
        """Give bytes; see ``StoredObject.read_at``."""
        wanted = max(0, min(length, self.size - offset))
        skipped = offset - self._start
        head = self._held[skipped : skipped + wanted] if skipped >= 0 else b""
        if len(head) == wanted:
            return head
        missing = wanted - len(head)
        piece = self._source.read_at(offset + len(head), max(missing, self._piece_bytes))
        read = head + piece
        self._start = offset
        self._held = read if missing <= self._piece_bytes else b""
        return read[:wanted]

    def close(self) -> None:
        """Close the object and forget what is held; a second call does nothing."""
        self._held = b""
        self._source.close()


def read_exactly(source: StoredObject, offset: int, length: int, what: str) -> bytes:
    """Give all bytes of a range.

    Raises
    ------
    BadArchive
        If the object ends before.
    """
    data = source.read_at(offset, length) if length else b""
    if len(data) != length:
        raise BadArchive(f"the archive ends within {what}", Reason.TRUNCATED)
    return data


def checksum_differs(member: Member) -> BadArchive:
    """Tell that a member's bytes are not what they were."""
    return BadArchive(
        f"the bytes of member {member.name!r} differ from its CRC-32; compare the archive with "
        "its source",
        Reason.CHECKSUM_MISMATCH,
    )


class _Checksum:
    """The CRC-32 of a member's bytes from the first on, as far as they were read in order."""

    def __init__(self, member: Member) -> None:
        self._member = member
        self._position = 0
        self._sum = 0

    def take(self, offset: int, data: bytes) -> None:
        """Take bytes that were read; those of another place end the check, the first begin it.

        Raises
        ------
        BadArchive
            If they are the last, and all of them differ from the checksum.
        """
        if offset == 0:
            self._position, self._sum = 0, 0
        if offset != self._position or self._member.crc32 is None:
            return
        self._position += len(data)
        self._sum = zlib.crc32(data, self._sum)
        if self._position == self._member.size and self._sum != self._member.crc32:
            raise checksum_differs(self._member)


class RangeReader(Closing):
    """A member that lies in the archive as it is, open for reading at any offset.

    Its CRC-32 is checked when all of it is read in order; a range alone has no checksum.
    """

    def __init__(self, source: StoredObject, member: Member, start: int) -> None:
        self._source = source
        self._member = member
        self._start = start
        self._checksum = _Checksum(member)
        self.key = member_key(source, member)
        self.size = member.size
        self.version = member_version(source, member)

    def read_at(self, offset: int, length: int) -> bytes:
        """Give bytes; see ``StoredObject.read_at``.

        Raises
        ------
        BadArchive
            If the archive ends before, or the bytes differ from the member's CRC-32.
        """
        wanted = max(0, min(length, self.size - offset))
        what = f"member {self._member.name!r}"
        data = read_exactly(self._source, self._start + offset, wanted, what)
        self._checksum.take(offset, data)
        return data

    def recall(self, offset: int, piece: bytes) -> None:
        """Count bytes into the checksum; see ``Resumable``."""
        self._checksum.take(offset, piece)

    def close(self) -> None:
        """Leave the archive open: it belongs to who opened it."""


def member_key(source: StoredObject, member: Member) -> str:
    """Give the key of a member: the archive's, and its name."""
    return f"{source.key}{MARKER}{member.name}"


def member_version(source: StoredObject, member: Member) -> str:
    """Give the version of a member; it changes with the archive's, and differs between members."""
    checksum = "" if member.crc32 is None else f"{member.crc32:08x}-"
    return f"{source.version}-{checksum}{member.offset}"
