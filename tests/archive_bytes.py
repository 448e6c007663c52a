"""Archives in memory: as objects to read, and zips that no program would write."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fileroom.closing import Closing

if TYPE_CHECKING:
    from collections.abc import Sequence


class HeldObject(Closing):
    """An object that is held in memory, and counts how often it is read."""

    def __init__(self, data: bytes, key: str = "d/study.zip") -> None:
        self._data = data
        self.key = key
        self.size = len(data)
        self.version = "7"
        self.reads = 0

    def read_at(self, offset: int, length: int) -> bytes:
        assert offset >= 0
        assert length >= 0
        self.reads += 1
        return self._data[offset : offset + length]

    def close(self) -> None:
        pass


@dataclass(frozen=True, kw_only=True)
class ZipEntry:
    """A member of a zip, and what its headers say of it where that is not so."""

    name: bytes = b"a"
    data: bytes = b"content"
    method: int = 0
    flags: int = 1 << 11
    size: int | None = None
    crc32: int | None = None
    disk: int = 0
    system: int = 3
    mode: int = 0
    extra: bytes = b""
    offset: int | None = None
    local_name: bytes | None = None
    local_size: int | None = None
    local_method: int | None = None
    local_extra: bytes = b""
    compressed: bytes | None = None


def deflated(data: bytes) -> bytes:
    deflater = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return deflater.compress(data) + deflater.flush()


def zip_of(
    entries: Sequence[ZipEntry],
    *,
    prefix: bytes = b"",
    comment: bytes = b"",
    count: int | None = None,
    disk: int = 0,
    directory_size: int | None = None,
    zip64_disks: int = 0,
) -> bytes:
    """Give a zip archive with these members, as APPNOTE 6.3.10 lays it out."""
    content = bytearray()
    directory = bytearray()
    for entry in entries:
        stored = entry.compressed
        if stored is None:
            stored = deflated(entry.data) if entry.method == 8 else entry.data
        size = len(entry.data) if entry.size is None else entry.size
        crc32 = zlib.crc32(entry.data) if entry.crc32 is None else entry.crc32
        offset = len(content) if entry.offset is None else entry.offset
        local_name = entry.name if entry.local_name is None else entry.local_name
        content += struct.pack(
            "<4s5H3I2H",
            b"PK\x03\x04",
            20,
            entry.flags,
            entry.method if entry.local_method is None else entry.local_method,
            0,
            0,
            crc32,
            len(stored),
            size if entry.local_size is None else entry.local_size,
            len(local_name),
            len(entry.local_extra),
        )
        content += local_name + entry.local_extra + stored
        directory += struct.pack(
            "<4s4B4H3I5H2I",
            b"PK\x01\x02",
            *(20, entry.system, 20, 0, entry.flags, entry.method, 0, 0),
            *(crc32, len(stored), size, len(entry.name), len(entry.extra), 0, entry.disk, 0),
            *(entry.mode << 16, offset),
        )
        directory += entry.name + entry.extra
    counted = len(entries) if count is None else count
    end = _zip64_end(counted, len(directory), len(content), zip64_disks) if zip64_disks else b""
    if zip64_disks:
        counted = 0xFFFF
    end += struct.pack(
        "<4s4H2IH",
        b"PK\x05\x06",
        *(disk, disk, counted, counted),
        *(len(directory) if directory_size is None else directory_size, len(content)),
        len(comment),
    )
    return prefix + bytes(content + directory) + end + comment


def _zip64_end(count: int, directory_bytes: int, offset: int, disks: int) -> bytes:
    record = struct.pack(
        "<4sQ2H2I4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, count, count, directory_bytes, offset
    )
    return record + struct.pack("<4sIQI", b"PK\x06\x07", 0, offset + directory_bytes, disks)
