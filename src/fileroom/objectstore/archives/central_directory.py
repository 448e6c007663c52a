"""The members of a zip, from its central directory.

Few requests and little memory: the directory is read in pieces, and a member takes its name and
some 130 bytes until it is given. ``zipfile`` holds all of the directory and an object of some
500 bytes for each member, ends at one whose name is not UTF-8, and takes members that overlap.

References
----------
APPNOTE 6.3.10
"""

from __future__ import annotations

import stat
import struct
from array import array
from typing import TYPE_CHECKING, Final, NamedTuple

from fileroom.errors import Reason
from fileroom.objectstore.archives.member import (
    DEFLATED,
    MEMBERS_MAX,
    RATIO_FREE_BYTES,
    RATIO_MAX,
    STORED,
    BadArchive,
    Member,
    fault_of_name,
    text_of,
)
from fileroom.objectstore.archives.ranges import PIECE_BYTES, ReadAhead, read_exactly

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fileroom.objectstore.contract import StoredObject

DIRECTORY_BYTES_MAX: Final = 256 << 20
LOCAL_BYTES: Final = 30
"""Of a local header without its name and extra field (4.3.7)."""
SIZE_ELSEWHERE: Final = 0xFFFFFFFF
"""In place of a size or offset that stands in the Zip64 extra field (4.5.3)."""
MASKED_OR_ENCRYPTED: Final = 1 | 1 << 6 | 1 << 13
"""Flags of members that are encrypted, or whose headers are (4.4.4)."""

_END: Final = struct.Struct("<4s4H2IH")
_END_SIGNATURE: Final = b"PK\x05\x06"
_COMMENT_BYTES_MAX: Final = 0xFFFF
_END64: Final = struct.Struct("<4sQ2H2I4Q")
_END64_SIGNATURE: Final = b"PK\x06\x06"
_LOCATOR: Final = struct.Struct("<4sIQI")
_LOCATOR_SIGNATURE: Final = b"PK\x06\x07"
_ENTRY: Final = struct.Struct("<4s4B4H3I5H2I")
_ENTRY_SIGNATURE: Final = b"PK\x01\x02"
_ZIP64: Final = 0x0001
_COUNT_ELSEWHERE: Final = 0xFFFF
_PATCH: Final = 1 << 5
_UTF8: Final = 1 << 11
_CODE_PAGE: Final = "cp437"
_UNIX: Final = frozenset({3, 19})
"""Systems whose members carry a mode: Unix and macOS (4.4.2)."""
_FILES: Final = frozenset({0, stat.S_IFREG, stat.S_IFIFO})
"""Info-ZIP marks what it was piped as a FIFO, and it is a file all the same."""
_METHODS: Final = {
    1: "shrunk",
    6: "imploded",
    9: "deflate64",
    12: "bzip2",
    14: "lzma",
    20: "zstd",
    93: "zstd",
    95: "xz",
    98: "ppmd",
    99: "AES-encrypted",
}
_RECORD: Final = struct.Struct("<QQQIH")
"""Size, compressed size, offset, CRC-32 and method of a member, while it waits for its turn."""
_SPLIT: Final = "the zip archive is split into several parts; join them with zip -s 0"
_TOO_MANY: Final = f"the zip archive has more than {MEMBERS_MAX:,} members; split it"


class _Directory(NamedTuple):
    """Where the central directory lies."""

    start: int
    size: int
    members: int
    count_bits: int
    shift: int
    """What stands before the archive, such as a program that unpacks it; offsets leave it out."""


class _Entry(NamedTuple):
    """One file header of the central directory (4.3.12)."""

    name: str
    size: int
    compressed_size: int
    offset: int
    crc32: int
    method: int
    room: int
    """What it takes at least, with its local header."""
    is_file: bool
    fault: str


class _Listing:
    """What is kept of the entries: names beside packed records."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.records = bytearray()
        self.faults: dict[int, str] = {}
        self.offsets = array("Q")
        self.rooms = array("Q")
        self.passed_over = array("Q")
        """Indices of directories and links: they take room, and are not given."""

    def add(self, entry: _Entry) -> None:
        index = len(self.names)
        self.names.append(entry.name if entry.is_file else "")
        self.records += _RECORD.pack(
            entry.size, entry.compressed_size, entry.offset, entry.crc32, entry.method
        )
        self.offsets.append(entry.offset)
        self.rooms.append(entry.room)
        if entry.fault:
            self.faults[index] = entry.fault
        if not entry.is_file:
            self.passed_over.append(index)


def zip_members(source: StoredObject) -> Iterator[Member]:
    """Give the files in a zip in the order of their names' UTF-8 bytes.

    Those that cannot be read are given too, with the reason. Of several with one name the last in
    the directory counts, as it is what unpacking would leave; the others come before it, unusable.
    Directories, links and devices are passed over.

    Raises
    ------
    BadArchive
        At the first member: if there is no sound central directory, if members overlap each other
        or the directory, if the archive is in several parts, or has more members or a larger
        directory than is read.

    References
    ----------
    APPNOTE 6.3.10, 4.3.12, 4.3.14 to 4.3.16, 4.4, 4.5.3, 8.3 (split archives), D.1 (names)
    """
    ahead = ReadAhead(source)
    directory = _find_directory(ahead)
    listing = _Listing()
    for entry in _entries(ahead, directory):
        listing.add(entry)
    ends = _ends(listing, directory.start)
    passed_over = set(listing.passed_over)
    order = sorted(range(len(listing.names)), key=listing.names.__getitem__)
    for place, index in enumerate(order):
        if index in passed_over:
            continue
        name = listing.names[index]
        is_last = place + 1 == len(order) or listing.names[order[place + 1]] != name
        fault = listing.faults.get(index) or fault_of_name(name)
        if not fault and not is_last:
            fault = "another member of the same name comes after it, and takes its place"
        size, compressed_size, offset, crc32, method = _RECORD.unpack_from(
            listing.records, index * _RECORD.size
        )
        yield Member(
            name=name,
            size=size,
            compressed_size=compressed_size,
            crc32=crc32,
            method=method,
            offset=offset,
            end=ends[index],
            unusable=fault,
        )


def possible_names(name: bytes) -> tuple[str, str]:
    """Give what a name is as UTF-8 and in code page 437: writers err about which it is (D.1)."""
    return text_of(name)[0], name.decode(_CODE_PAGE)


def zip64_values(extra: bytes, count: int, name: str) -> tuple[int, ...]:
    """Give the first so many values of the Zip64 extra field (4.5.1, 4.5.3).

    Raises
    ------
    BadArchive
        If there are fewer.
    """
    position = 0
    while count and position + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, position)
        position += 4
        if kind == _ZIP64 and 8 * count <= min(length, len(extra) - position):
            return struct.unpack_from(f"<{count}Q", extra, position)
        position += length
    if count:
        raise BadArchive(f"member {name!r} lacks its Zip64 sizes")
    return ()


def _find_directory(ahead: ReadAhead) -> _Directory:
    position, disk, directory_disk, count_here, count, size, offset = _end_record(ahead)
    bits = 16
    values = _zip64_end_record(ahead, position)
    if values is not None:
        position -= _LOCATOR.size + _END64.size
        bits = 64
        disk, directory_disk, count_here, count, size, offset = values
    if disk or directory_disk or count_here != count:
        raise BadArchive(_SPLIT)
    if count > MEMBERS_MAX:
        raise BadArchive(_TOO_MANY)
    if size > DIRECTORY_BYTES_MAX:
        raise BadArchive(
            f"the central directory of the zip archive has more than {DIRECTORY_BYTES_MAX >> 20} "
            "MB; split the archive"
        )
    start = position - size
    if start < offset:
        raise BadArchive("the central directory of the zip archive is not where its end says")
    return _Directory(start=start, size=size, members=count, count_bits=bits, shift=start - offset)


def _end_record(ahead: ReadAhead) -> tuple[int, int, int, int, int, int, int]:
    """Give where the end record lies, its disks, counts, size and offset (4.3.16)."""
    # A piece of the end is asked for at once: it holds the directory of most archives.
    tail_start = max(0, ahead.size - PIECE_BYTES)
    tail = read_exactly(ahead, tail_start, ahead.size - tail_start, "its end")
    place = len(tail) - _END.size
    lowest = max(0, place - _COMMENT_BYTES_MAX)
    while place >= 0:
        place = tail.rfind(_END_SIGNATURE, lowest, place + len(_END_SIGNATURE))
        if place < 0:
            break
        _, *values, comment_bytes = _END.unpack_from(tail, place)
        if place + _END.size + comment_bytes == len(tail):
            disk, directory_disk, count_here, count, size, offset = values
            return tail_start + place, disk, directory_disk, count_here, count, size, offset
        place -= 1
    raise BadArchive(
        "it is no zip archive or was cut short: it does not end with the end of a central "
        "directory; write it again",
        Reason.TRUNCATED,
    )


def _zip64_end_record(
    ahead: ReadAhead, position: int
) -> tuple[int, int, int, int, int, int] | None:
    """Give disks, counts, size and offset of the Zip64 end record right before, if there is one."""
    start = position - _LOCATOR.size
    if start < 0:
        return None
    signature, disk, _, disks = _LOCATOR.unpack(
        read_exactly(ahead, start, _LOCATOR.size, "its end")
    )
    if signature != _LOCATOR_SIGNATURE:
        return None
    start -= _END64.size
    if start < 0:
        raise BadArchive("the Zip64 end of the central directory is missing")
    record = _END64.unpack(read_exactly(ahead, start, _END64.size, "its end"))
    if record[0] != _END64_SIGNATURE or record[1] != _END64.size - 12:
        raise BadArchive("the Zip64 end of the central directory is missing or of another version")
    if disk or disks > 1:
        raise BadArchive(_SPLIT)
    return record[4], record[5], record[6], record[7], record[8], record[9]


def _entries(ahead: ReadAhead, directory: _Directory) -> Iterator[_Entry]:
    position, end = directory.start, directory.start + directory.size
    count = 0
    while position < end:
        if position + _ENTRY.size > end:
            raise BadArchive("the central directory ends within a member", Reason.TRUNCATED)
        fields = _ENTRY.unpack(read_exactly(ahead, position, _ENTRY.size, "its directory"))
        name_bytes, extra_bytes, comment_bytes = fields[12:15]
        position += _ENTRY.size
        if fields[0] != _ENTRY_SIGNATURE or position + sum(fields[12:15]) > end:
            raise BadArchive(f"member {count + 1} of the central directory is damaged")
        texts = read_exactly(ahead, position, name_bytes + extra_bytes, "its directory")
        position += name_bytes + extra_bytes + comment_bytes
        count += 1
        if count > MEMBERS_MAX:
            raise BadArchive(_TOO_MANY)
        yield _entry(fields, texts[:name_bytes], texts[name_bytes:], directory.shift)
    # Writers without Zip64 let the count wrap around.
    if count & ((1 << directory.count_bits) - 1) != directory.members:
        raise BadArchive(
            f"the central directory has {count} members where its end says {directory.members}"
        )


def _entry(fields: tuple[int, ...], raw_name: bytes, extra: bytes, shift: int) -> _Entry:
    system, flags, method = fields[2], fields[5], fields[6]
    crc32, compressed_size, size, disk, attributes, offset = (
        *fields[9:12],
        fields[15],
        fields[17],
        fields[18],
    )
    name, name_fault = text_of(raw_name) if flags & _UTF8 else (raw_name.decode(_CODE_PAGE), "")
    elsewhere = [value == SIZE_ELSEWHERE for value in (size, compressed_size, offset)]
    found = iter(zip64_values(extra, sum(elsewhere), name))
    size, compressed_size, offset = (
        next(found) if moved else value
        for moved, value in zip(elsewhere, (size, compressed_size, offset), strict=True)
    )
    if disk and disk != _COUNT_ELSEWHERE:
        raise BadArchive(_SPLIT)
    if offset + shift + LOCAL_BYTES + len(raw_name) + compressed_size >= 1 << 63:
        raise BadArchive(f"member {name!r} lies beyond the end of the archive")
    return _Entry(
        name=name,
        size=size,
        compressed_size=compressed_size,
        offset=offset + shift,
        crc32=crc32,
        method=method,
        room=LOCAL_BYTES + len(raw_name) + compressed_size,
        is_file=_is_file(name, size, system, attributes >> 16),
        fault=name_fault or _fault(flags, method, size, compressed_size),
    )


def _is_file(name: str, size: int, system: int, mode: int) -> bool:
    if name.endswith("/") and size == 0:
        return False
    return system not in _UNIX or stat.S_IFMT(mode) in _FILES


def _fault(flags: int, method: int, size: int, compressed_size: int) -> str:
    if flags & MASKED_OR_ENCRYPTED:
        return "it is encrypted; write the archive again without a password"
    if flags & _PATCH or method not in {STORED, DEFLATED}:
        how = _METHODS.get(method, f"method {method}") if not flags & _PATCH else "a patch"
        return f"its compression is not read ({how}); write the archive again with deflate"
    if method == STORED and size != compressed_size:
        return "it is stored as it is, and yet declares two sizes"
    if size > RATIO_FREE_BYTES and size > RATIO_MAX * compressed_size:
        return (
            f"it would inflate to more than {RATIO_MAX} times its size; write the archive again "
            "without compressing it"
        )
    return ""


def _ends(listing: _Listing, directory_start: int) -> array[int]:
    """Give where each member ends at the latest.

    Raises
    ------
    BadArchive
        If two overlap: one run of bytes that counts as many members is how a small archive
        becomes a huge one.
    """
    order = sorted(range(len(listing.names)), key=listing.offsets.__getitem__)
    ends = array("Q", bytes(8 * len(order)))
    following = directory_start
    for index in reversed(order):
        if listing.offsets[index] + listing.rooms[index] > following:
            raise BadArchive(
                "members of the zip archive overlap each other or its directory; it is damaged, "
                "or made to do damage"
            )
        ends[index] = following
        following = listing.offsets[index]
    return ends
