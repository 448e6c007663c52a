"""The members of a tar, read once in its own order.

``tarfile`` decodes the header blocks. The walk from one to the next is here: ``tarfile``'s takes a
damaged header for the end of the archive, holds extended headers and maps of sparse files of any
size, and looks through them in time that grows with the square of it.

References
----------
POSIX.1-2017, pax: "pax Interchange Format", "ustar Interchange Format"
"""

from __future__ import annotations

import tarfile
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, NamedTuple

from fileroom.closing import Closing
from fileroom.errors import FailedPrecondition, Reason
from fileroom.objectstore.archives.inflating import INFLATED_BYTES_MAX, GzipStream, PlainStream
from fileroom.objectstore.archives.member import (
    MEMBERS_MAX,
    STORED,
    BadArchive,
    Member,
    fault_of_name,
    text_of,
)
from fileroom.objectstore.archives.naming import ArchiveFormat
from fileroom.objectstore.archives.ranges import (
    RangeReader,
    ReadAhead,
    member_key,
    member_version,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fileroom.objectstore.archives.inflating import Stream
    from fileroom.objectstore.contract import StoredObject

EXTENSION_BYTES_MAX: Final = 1 << 20
"""Of one header that extends another."""
EXTENSIONS_MAX: Final = 16
"""Headers that extend one and the same."""

_BLOCK: Final = tarfile.BLOCKSIZE
_END: Final = bytes(_BLOCK)
_PAX: Final = frozenset({tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE})
_EXTENSIONS: Final = _PAX | {tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK}
_WITHOUT_BYTES: Final = frozenset(
    {
        tarfile.LNKTYPE,
        tarfile.SYMTYPE,
        tarfile.CHRTYPE,
        tarfile.BLKTYPE,
        tarfile.DIRTYPE,
        tarfile.FIFOTYPE,
    }
)
_FILES: Final = frozenset(
    {tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE, tarfile.GNUTYPE_SPARSE}
)
_LENGTH_DIGITS_MAX: Final = 20
_SPARSE: Final = "it is stored with its holes left out; write the archive again without --sparse"


class _Header(NamedTuple):
    """A header with all that extends it."""

    name: str
    size: int
    kind: bytes
    fault: str


def tar_members(
    source: StoredObject, archive_format: ArchiveFormat
) -> Iterator[tuple[Member, StoredObject]]:
    """Give the files in a tar in its own order, each with its bytes to read.

    A member is read before the next one is asked for. One of a plain tar is read at any offset,
    one of a tar.gz forward only. Those that cannot be read are given too, with the reason;
    several may have one name. Directories, links and devices are passed over. A ``./`` that a name
    begins with is left out.

    A tar has no checksum of a member, only a tar.gz one of all: bytes that were changed may show
    after the last member only.

    Raises
    ------
    BadArchive
        As it is read: if it is damaged or cut short, after which member, or has more members than
        are read; of a tar.gz too, if it is larger than is read or inflates to more than it may.

    References
    ----------
    POSIX.1-2017, pax: "pax Header Block", "ustar Interchange Format"; the GNU tar manual for long
    names and sparse files
    """
    assert archive_format is not ArchiveFormat.ZIP
    ahead = ReadAhead(source)
    is_inflated = archive_format is ArchiveFormat.TAR_GZIP
    stream: Stream = GzipStream(source) if is_inflated else PlainStream(ahead)
    walk = _Walk(stream)
    while (header := walk.next_header()) is not None:
        start = stream.position
        end = start + header.size + -header.size % _BLOCK
        if not is_inflated and start + header.size > source.size:
            raise walk.cut_short()
        if header.kind in _FILES:
            member = _member(header, start, end)
            reader: StoredObject
            if is_inflated:
                with _ForwardReader(source, member, stream) as reader:
                    yield member, reader
            else:
                yield member, RangeReader(ahead, member, start)
        walk.skip_to(end)
    if is_inflated:
        walk.skip_to(INFLATED_BYTES_MAX)  # the checksum of a tar.gz stands at its end


def _member(header: _Header, start: int, end: int) -> Member:
    return Member(
        name=header.name,
        size=header.size,
        compressed_size=header.size,
        crc32=None,
        method=STORED,
        offset=start,
        end=end,
        unusable=header.fault or fault_of_name(header.name),
    )


class _Walk:
    """From one header to the next."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._count = 0
        self._place = "at its start"

    def next_header(self) -> _Header | None:
        """Give the header that stands here, or None at the end of the archive."""
        records: dict[bytes, bytes] = {}
        for _ in range(EXTENSIONS_MAX):
            block = self._read(_BLOCK)
            if block == _END:
                if records:
                    raise self._damaged("a header is missing")
                return None
            information = self._parse(block)
            if information.type not in _EXTENSIONS:
                return self._extended(information, block, records)
            records |= self._extension(information)
        raise self._damaged(f"one header is extended by more than {EXTENSIONS_MAX}")

    def _extended(
        self, information: tarfile.TarInfo, block: bytes, records: dict[bytes, bytes]
    ) -> _Header:
        self._count += 1
        if self._count > MEMBERS_MAX:
            raise BadArchive(f"the tar archive has more than {MEMBERS_MAX:,} members; split it")
        kind, size = information.type, information.size
        raw_name = records.get(b"path") or information.name.encode("utf-8", "surrogateescape")
        if kind in _WITHOUT_BYTES:
            size = 0
        elif records.get(b"size"):
            size = self._number(records[b"size"])
        if size < 0:
            raise self._damaged("a size is negative")
        is_sparse = kind == tarfile.GNUTYPE_SPARSE
        is_extended = is_sparse and bool(block[482])
        while is_extended:
            is_extended = bool(self._read(_BLOCK)[504])
        if any(keyword.startswith(b"GNU.sparse.") for keyword in records):
            is_sparse = True
            raw_name = records.get(b"GNU.sparse.name") or raw_name
        name, fault = text_of(raw_name.removeprefix(b"./"))
        self._place = f"in or after member {name[:200]!r}"
        return _Header(name=name, size=size, kind=kind, fault=_SPARSE if is_sparse else fault)

    def _extension(self, information: tarfile.TarInfo) -> dict[bytes, bytes]:
        """Give what an extending header says of the next one."""
        size = information.size
        if not 0 <= size <= EXTENSION_BYTES_MAX:
            raise self._damaged(f"an extended header has more than {EXTENSION_BYTES_MAX:,} bytes")
        body = self._read(size + -size % _BLOCK)[:size]
        if information.type == tarfile.GNUTYPE_LONGNAME:
            return {b"path": body.partition(b"\0")[0]}
        if information.type == tarfile.GNUTYPE_LONGLINK:
            return {}
        records = self._records(body)
        if information.type in _PAX:
            return records
        if b"path" in records or b"size" in records:
            raise self._damaged("a header gives all members one name or size")
        return {}

    def _records(self, body: bytes) -> dict[bytes, bytes]:
        """Give the records of a pax header that are of use here, of the form ``25 path=a/b``."""
        records: dict[bytes, bytes] = {}
        position = 0
        while position < len(body):
            space = body.find(b" ", position, position + _LENGTH_DIGITS_MAX + 1)
            length = self._number(body[position : max(space, position)])
            end = position + length
            if end <= space + 1 or body[end - 1 : end] != b"\n":
                raise self._damaged("an extended header makes no sense")
            keyword, equals, value = body[space + 1 : end - 1].partition(b"=")
            if not equals:
                raise self._damaged("an extended header makes no sense")
            if keyword in {b"path", b"size"} or keyword.startswith(b"GNU.sparse."):
                records[keyword] = value
            position = end
        return records

    def _number(self, text: bytes) -> int:
        if not text.isdigit() or len(text) > _LENGTH_DIGITS_MAX:
            raise self._damaged("a number in an extended header is none")
        return int(text)

    def _parse(self, block: bytes) -> tarfile.TarInfo:
        try:
            return tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        except (tarfile.HeaderError, ValueError) as error:
            raise self._damaged("there is no header where one should be") from error

    def skip_to(self, position: int) -> None:
        """Pass over what comes before a position."""
        with self._telling_where():
            self._stream.skip(position - self._stream.position)

    def cut_short(self) -> BadArchive:
        """Tell that the archive ends too early."""
        return BadArchive(
            f"the tar archive is cut short {self._place}; write it again", Reason.TRUNCATED
        )

    def _read(self, length: int) -> bytes:
        with self._telling_where():
            data = self._stream.read(length)
        if len(data) < length:
            raise self.cut_short()
        return data

    @contextmanager
    def _telling_where(self) -> Iterator[None]:
        try:
            yield
        except BadArchive as error:
            raise BadArchive(f"{error.message} ({self._place})", error.reason) from error

    def _damaged(self, why: str) -> BadArchive:
        return BadArchive(f"the tar archive is damaged {self._place}: {why}")


class _ForwardReader(Closing):
    """A member of a tar.gz, read forward until the next one is asked for."""

    def __init__(self, source: StoredObject, member: Member, stream: Stream) -> None:
        self._stream = stream
        self._member = member
        self._is_open = True
        self.key = member_key(source, member)
        self.size = member.size
        self.version = member_version(source, member)

    def read_at(self, offset: int, length: int) -> bytes:
        """Give bytes; see ``StoredObject.read_at``.

        Raises
        ------
        BadArchive
            If the archive is damaged or ends before.
        FailedPrecondition
            If it goes back, or the next member was asked for: a tar.gz is read once.
        """
        wanted = max(0, min(length, self.size - offset))
        ahead = self._member.offset + offset - self._stream.position
        if not wanted:
            return b""
        if ahead < 0 or not self._is_open:
            raise FailedPrecondition(
                f"member {self._member.name!r} of a tar.gz is read forward, once, in its turn"
            )
        self._stream.skip(ahead)
        data = self._stream.read(wanted)
        if len(data) < wanted:
            raise BadArchive(
                f"the archive ends within member {self._member.name!r}", Reason.TRUNCATED
            )
        return data

    def close(self) -> None:
        """End reading it; the archive stays open, for it belongs to who opened it."""
        self._is_open = False
