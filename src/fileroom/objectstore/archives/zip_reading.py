"""One member of a zip, read as an object."""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING, Final

from fileroom.closing import Closing
from fileroom.errors import Reason
from fileroom.objectstore.archives.central_directory import (
    LOCAL_BYTES,
    MASKED_OR_ENCRYPTED,
    SIZE_ELSEWHERE,
    possible_names,
    zip64_values,
)
from fileroom.objectstore.archives.member import DEFLATED, BadArchive
from fileroom.objectstore.archives.ranges import (
    PIECE_BYTES,
    RangeReader,
    ReadAhead,
    checksum_differs,
    member_key,
    member_version,
    read_exactly,
)

if TYPE_CHECKING:
    from fileroom.objectstore.archives.member import Member
    from fileroom.objectstore.contract import StoredObject

_LOCAL: Final = struct.Struct("<4s5H3I2H")
_LOCAL_SIGNATURE: Final = b"PK\x03\x04"
_HEADER_BYTES: Final = 4096
"""Of a local header with its name and extra field, as most are; others take a second read."""
_SIZES_FOLLOW: Final = 1 << 3
_RAW_DEFLATE: Final = -zlib.MAX_WBITS


def open_zip_member(source: StoredObject, member: Member) -> StoredObject:
    """Open one member of a zip for reading; closing it leaves the archive open.

    A stored member is read by ranges of the archive, a deflated one forward: a read that goes back
    inflates it again from its start. Neither gives more than the declared size, and the read that
    reaches the end of a member read in order checks its CRC-32.

    Raises
    ------
    BadArchive
        If the member is unusable, or its local header is not what the central directory says. Its
        reads raise it too, where its bytes are not what is declared.

    References
    ----------
    APPNOTE 6.3.10, 4.3.7, 4.4.4, 4.4.7 to 4.4.9, 4.5.3
    """
    if member.unusable:
        raise BadArchive(f"member {member.name!r} cannot be read: {member.unusable}")
    start = _check_local_header(source, member)
    if member.method == DEFLATED:
        return _InflatingReader(source, member, start)
    return RangeReader(source, member, start)


def _check_local_header(source: StoredObject, member: Member) -> int:
    """Give where the member's bytes begin."""
    what = f"the header of member {member.name!r}"
    ahead = ReadAhead(source, _HEADER_BYTES)
    header = read_exactly(ahead, member.offset, LOCAL_BYTES, what)
    signature, _, flags, method, _, _, crc32, compressed_size, size, name_bytes, extra_bytes = (
        _LOCAL.unpack(header)
    )
    texts = read_exactly(ahead, member.offset + LOCAL_BYTES, name_bytes + extra_bytes, what)
    start = member.offset + LOCAL_BYTES + len(texts)
    is_same = (
        signature == _LOCAL_SIGNATURE
        and not flags & MASKED_OR_ENCRYPTED
        and method == member.method
        and member.name in possible_names(texts[:name_bytes])
        and start + member.compressed_size <= member.end
    )
    if is_same and not flags & _SIZES_FOLLOW:
        if SIZE_ELSEWHERE in {size, compressed_size}:
            size, compressed_size = zip64_values(texts[name_bytes:], 2, member.name)
        is_same = (size, compressed_size, crc32) == (
            member.size,
            member.compressed_size,
            member.crc32,
        )
    if not is_same:
        raise BadArchive(
            f"{what} is not what the central directory says; the archive is damaged, or made to "
            "show one thing and hold another"
        )
    return start


class _InflatingReader(Closing):
    """A deflated member, inflated as far as it is read."""

    def __init__(self, source: StoredObject, member: Member, start: int) -> None:
        self._source = source
        self._member = member
        self._start = start
        self.key = member_key(source, member)
        self.size = member.size
        self.version = member_version(source, member)
        self._begin()

    def read_at(self, offset: int, length: int) -> bytes:
        """Give bytes; see ``StoredObject.read_at``.

        Raises
        ------
        BadArchive
            If the archive ends before, the bytes differ from the member's CRC-32, or it inflates to
            more or less than it declares.
        """
        wanted = max(0, min(length, self.size - offset))
        if not wanted and (self.size or offset):
            return b""
        if offset < self._position:
            self._begin()
        try:
            while self._position < offset:
                self._inflate(min(PIECE_BYTES, offset - self._position))
            pieces: list[bytes] = []
            while wanted:
                pieces.append(self._inflate(min(PIECE_BYTES, wanted)))
                wanted -= len(pieces[-1])
            if self._position == self.size:
                self._check_end()
        except zlib.error as error:
            raise self._damaged("its deflated bytes make no sense") from error
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def close(self) -> None:
        """Leave the archive open: it belongs to who opened it."""

    def _begin(self) -> None:
        self._inflater = zlib.decompressobj(_RAW_DEFLATE)
        self._sum = 0
        self._position = 0
        self._taken = 0

    def _inflate(self, at_most: int) -> bytes:
        """Give the next bytes, at least one."""
        while not self._inflater.eof:
            piece = self._step(at_most)
            if piece:
                self._sum = zlib.crc32(piece, self._sum)
                self._position += len(piece)
                return piece
        raise self._damaged("it inflates to less than it declares")

    def _step(self, at_most: int) -> bytes:
        data = self._inflater.unconsumed_tail or self._next_input()
        piece = self._inflater.decompress(data, at_most)
        if not piece and not data and not self._inflater.eof:
            raise self._damaged("its deflated bytes have no end")
        return piece

    def _next_input(self) -> bytes:
        length = min(PIECE_BYTES, self._member.compressed_size - self._taken)
        what = f"member {self._member.name!r}"
        data = read_exactly(self._source, self._start + self._taken, length, what)
        self._taken += length
        return data

    def _check_end(self) -> None:
        while not self._inflater.eof:
            if self._step(1):
                raise self._damaged("it inflates to more than it declares")
        if self._inflater.unused_data or self._taken < self._member.compressed_size:
            raise self._damaged("other bytes follow its deflated ones")
        if self._sum != self._member.crc32:
            self._begin()
            raise checksum_differs(self._member)

    def _damaged(self, why: str) -> BadArchive:
        self._begin()
        return BadArchive(f"member {self._member.name!r} is damaged: {why}", Reason.MALFORMED)
