from __future__ import annotations

import io
import itertools
import pickle
import random
import stat
import struct
import tracemalloc
import zipfile
import zlib
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fileroom.errors import FileroomError, Reason
from fileroom.objectstore.archives import central_directory
from fileroom.objectstore.archives.central_directory import zip_members
from fileroom.objectstore.archives.member import BadArchive
from fileroom.objectstore.archives.naming import (
    ArchiveFormat,
    find_archive_format,
    split_archive_key,
)
from fileroom.objectstore.archives.ranges import ReadAhead
from fileroom.objectstore.archives.zip_reading import open_zip_member
from fileroom.objectstore.local import LocalBucket
from tests.archive_bytes import HeldObject, ZipEntry, deflated, zip_of

if TYPE_CHECKING:
    from pathlib import Path

    from fileroom.objectstore.archives.member import Member
    from fileroom.objectstore.contract import StoredObject

_SEGMENTS = st.text(
    st.characters(exclude_characters="\0/\\\n\r:", exclude_categories=["Cs"]),
    min_size=1,
    max_size=8,
).filter(lambda segment: segment not in {".", ".."})
_NAMES = st.lists(_SEGMENTS, min_size=1, max_size=3).map("/".join)
_CONTENTS = st.one_of(
    st.binary(max_size=300), st.binary(min_size=1, max_size=4).map(lambda block: block * 3000)
)


def _members(data: bytes) -> list[Member]:
    return list(zip_members(HeldObject(data)))


def _read(source: StoredObject, member: Member, piece_bytes: int = 1 << 16) -> bytes:
    with open_zip_member(source, member) as reader:
        offsets = range(0, max(1, reader.size), piece_bytes)
        return b"".join(reader.read_at(offset, piece_bytes) for offset in offsets)


def _read_only(data: bytes) -> bytes:
    (member,) = _members(data)
    return _read(HeldObject(data), member)


# Keys


@pytest.mark.parametrize(
    ("key", "parts"),
    [
        ("dir/study.zip!/**", ("dir/study.zip", "**")),
        ("dir/study.tar.gz!/series1/*.dcm", ("dir/study.tar.gz", "series1/*.dcm")),
        ("study.TGZ!/1.dcm", ("study.TGZ", "1.dcm")),
        ("a.tar!/b.zip!/c", ("a.tar", "b.zip!/c")),
        ("*.zip!/**.dcm", ("*.zip", "**.dcm")),
        ("a.zip!/", ("a.zip", "")),
        ("a.zip", None),
        ("a.zip/b", None),
        ("a.7z!/b", None),
        ("study!/b", None),
        ("a.zip!", None),
    ],
)
def test_a_marker_after_the_extension_of_an_archive_divides_a_key(
    key: str, parts: tuple[str, str] | None
) -> None:
    assert split_archive_key(key) == parts


def test_the_extension_tells_the_format() -> None:
    keys = ["a.zip", "a.ZIP", "a.tar", "a.tar.gz", "a.tgz", "a.gz", "zip", "a.zip!/b"]
    assert [find_archive_format(key) for key in keys] == [
        *(ArchiveFormat.ZIP, ArchiveFormat.ZIP, ArchiveFormat.TAR),
        *(ArchiveFormat.TAR_GZIP, ArchiveFormat.TAR_GZIP, None, None, None),
    ]


# What zipfile writes


@settings(deadline=None)
@given(
    st.dictionaries(_NAMES, _CONTENTS, max_size=8),
    st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]),
    st.booleans(),
    st.binary(max_size=40).filter(lambda comment: b"PK\x05\x06" not in comment),
    st.data(),
)
def test_what_zipfile_writes_is_listed_in_order_and_read_at_any_offset(
    contents: dict[str, bytes], method: int, zip64: bool, comment: bytes, data: st.DataObject
) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        archive.comment = comment
        for name, content in contents.items():
            with archive.open(name, "w", force_zip64=zip64) as written:
                written.write(content)
    source = HeldObject(file.getvalue())
    members = list(zip_members(source))

    assert [member.name for member in members] == sorted(contents, key=str.encode)
    assert [member.unusable for member in members] == [""] * len(members)
    for member in members:
        content = contents[member.name]
        with open_zip_member(source, member) as reader:
            assert (reader.size, reader.key) == (len(content), f"d/study.zip!/{member.name}")
            for offset, length in data.draw(
                st.lists(st.tuples(st.integers(0, 15000), st.integers(0, 15000)), max_size=4)
            ):
                assert reader.read_at(offset, length) == content[offset : offset + length]
            assert reader.read_at(0, len(content) + 1) == content
        assert _read(source, member, 7) == content


def test_a_zip_that_is_streamed_out_reads(tmp_path: Path) -> None:
    class _Pipe(io.RawIOBase):
        def __init__(self) -> None:
            self.data = b""

        def writable(self) -> bool:
            return True

        def write(self, data: object) -> int:
            assert isinstance(data, bytes | bytearray | memoryview)
            self.data += bytes(data)
            return len(data)

    pipe = _Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.dcm", b"x" * 5000)
    (tmp_path / "a.zip").write_bytes(pipe.data)
    with LocalBucket(tmp_path).open("a.zip") as source:
        (member,) = zip_members(source)
        assert _read(source, member) == b"x" * 5000


def test_small_members_one_behind_the_other_take_few_reads() -> None:
    data = zip_of([ZipEntry(name=b"%04d" % number, data=bytes(3001)) for number in range(3000)])
    source = HeldObject(data)
    ahead = ReadAhead(source)
    members = list(zip_members(source))
    assert source.reads == 1
    assert all(_read(ahead, member) == bytes(3001) for member in members)
    assert source.reads == 1 + 9
    assert ahead.read_at(len(data) - 5, 10) == data[-5:]
    assert ahead.read_at(10, 5 << 20) == data[10 : 10 + (5 << 20)]
    assert ahead.read_at(len(data) + 1, 10) == b""


def test_a_member_has_a_version_of_its_own_and_pickles() -> None:
    source = HeldObject(zip_of([ZipEntry(name=b"a"), ZipEntry(name=b"b")]))
    members = list(zip_members(source))
    assert pickle.loads(pickle.dumps(members)) == members
    versions = [open_zip_member(source, member).version for member in members]
    assert versions == [f"7-{zlib.crc32(b'content'):08x}-{offset}" for offset in (0, 38)]


def test_the_last_of_one_name_counts_and_the_others_are_told() -> None:
    data = zip_of([ZipEntry(data=b"old"), ZipEntry(name=b"b"), ZipEntry(data=b"new")])
    first, last, other = _members(data)
    assert "same name" in first.unusable
    assert _read(HeldObject(data), last) == b"new"
    assert other.name == "b"


def test_directories_links_and_devices_are_passed_over() -> None:
    modes = [stat.S_IFLNK, stat.S_IFSOCK, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFDIR]
    entries = [ZipEntry(name=b"%d" % mode, mode=mode | 0o600) for mode in modes]
    entries += [ZipEntry(name=b"d/", data=b""), ZipEntry(mode=stat.S_IFREG | 0o600)]
    entries += [ZipEntry(name=b"b", mode=stat.S_IFLNK, system=0)]
    entries += [ZipEntry(name=b"piped", mode=stat.S_IFIFO)]
    assert [member.name for member in _members(zip_of(entries))] == ["a", "b", "piped"]


def test_names_without_the_flag_are_of_code_page_437() -> None:
    data = zip_of([ZipEntry(name="é".encode("cp437"), flags=0)])
    assert [member.name for member in _members(data)] == ["é"]
    assert _read_only(data) == b"content"


def test_what_stands_before_an_archive_is_passed_over() -> None:
    assert _read_only(zip_of([ZipEntry()], prefix=b"#!/bin/sh\n")) == b"content"


def test_sizes_offsets_and_counts_that_stand_in_zip64_fields_are_read() -> None:
    entry = ZipEntry(
        size=0xFFFFFFFF,
        offset=0xFFFFFFFF,
        extra=struct.pack("<2HI2H2Q", 0x5455, 4, 0, 1, 16, 7, 39),
        local_extra=struct.pack("<2H2Q", 1, 16, 7, 7),
    )
    data = zip_of([ZipEntry(name=b"bb"), entry], zip64_disks=1, prefix=b"#!")
    member, _ = _members(data)
    assert (member.name, member.size, member.offset) == ("a", 7, 41)
    assert _read(HeldObject(data), member) == b"content"


# Members that cannot be read


@pytest.mark.parametrize(
    ("name", "why"),
    [
        (b"", "empty"),
        (b"a\0b", "NUL"),
        (b"a\nb", "a line feed"),
        (b"/etc/passwd", "absolute"),
        (b"C:/a", "absolute"),
        (b"c:a", "absolute"),
        (b"../a", "'..'"),
        (b"a/../b", "'..'"),
        (b"./a", "'.'"),
        (b"a//b", "empty part"),
        (b"a\\b", "backslash"),
        (b"a/" + b"b" * 1023, "1024 bytes"),
        (b"a\xff", "not UTF-8"),
        (b"d/", "empty part"),
    ],
)
def test_a_name_that_is_no_objects_is_told(name: bytes, why: str) -> None:
    data = zip_of([ZipEntry(name=b"good"), ZipEntry(name=name)])
    (member,) = (one for one in _members(data) if one.name != "good")
    assert why in member.unusable
    with pytest.raises(BadArchive, match="cannot be read"):
        open_zip_member(HeldObject(data), member)


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        (ZipEntry(flags=1), "encrypted"),
        (ZipEntry(flags=1 << 6 | 1), "encrypted"),
        (ZipEntry(flags=1 << 13), "encrypted"),
        (ZipEntry(flags=1 << 5), "patch"),
        (ZipEntry(method=9), "deflate64"),
        (ZipEntry(method=12), "bzip2"),
        (ZipEntry(method=14), "lzma"),
        (ZipEntry(method=93), "zstd"),
        (ZipEntry(method=77), "method 77"),
        (ZipEntry(size=9), "two sizes"),
        (ZipEntry(method=8, size=100 << 20), "1000 times"),
    ],
)
def test_a_member_that_is_not_read_is_told_and_the_others_are_given(
    entry: ZipEntry, why: str
) -> None:
    member, other = _members(zip_of([entry, ZipEntry(name=b"b")]))
    assert why in member.unusable
    assert not other.unusable


@pytest.mark.parametrize(
    "entry",
    [
        ZipEntry(local_name=b"b"),
        ZipEntry(local_size=3),
        ZipEntry(local_method=8),
        ZipEntry(offset=1),
    ],
)
def test_a_local_header_that_says_something_else_is_refused(entry: ZipEntry) -> None:
    with pytest.raises(BadArchive, match=r"central directory says|overlap"):
        _read_only(zip_of([entry]))


def test_a_local_header_that_reaches_into_the_next_member_is_refused() -> None:
    data = zip_of([ZipEntry(local_extra=bytes(100)), ZipEntry(name=b"b", offset=130)])
    with pytest.raises(BadArchive, match="central directory says"):
        _read(HeldObject(data), _members(data)[0])


@pytest.mark.parametrize("method", [0, 8])
def test_bytes_that_differ_from_the_checksum_are_not_given(method: int) -> None:
    data = zip_of([ZipEntry(method=method, crc32=1)])
    (member,) = _members(data)
    with open_zip_member(HeldObject(data), member) as reader:
        assert reader.read_at(0, 3) == b"con"
        with pytest.raises(BadArchive, match="CRC-32") as caught:
            reader.read_at(3, 100)
        assert caught.value.reason is Reason.CHECKSUM_MISMATCH
        with pytest.raises(BadArchive):
            reader.read_at(0, 100)


@pytest.mark.parametrize(
    ("compressed", "size", "why"),
    [
        (deflated(b"content"), 6, "more than it declares"),
        (deflated(b"content"), 0, "more than it declares"),
        (deflated(b"content"), 8, "less than it declares"),
        (deflated(b"content")[:-1], 7, "no end"),
        (deflated(b"content") + b"x", 7, "other bytes"),
        (b"\xff" * 20, 7, "no sense"),
        (b"", 7, "no end"),
        (b"", 0, "no end"),
    ],
)
def test_what_is_not_deflated_as_declared_is_not_given(
    compressed: bytes, size: int, why: str
) -> None:
    crc32 = zlib.crc32(b"content"[:size])
    entry = ZipEntry(method=8, compressed=compressed, size=size, crc32=crc32)
    data = zip_of([entry])
    (member,) = _members(data)
    with open_zip_member(HeldObject(data), member) as reader:
        for _ in range(2):
            with pytest.raises(BadArchive, match=why):
                reader.read_at(0, 100)


# Archives that are not read


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "cut short"),
        (b"PK\x05\x06", "cut short"),
        (bytes(100_000), "cut short"),
        (zip_of([ZipEntry()]) + b"x", "cut short"),
        (zip_of([ZipEntry()], disk=1), "several parts"),
        (zip_of([ZipEntry(disk=1)]), "several parts"),
        (zip_of([ZipEntry()], zip64_disks=2), "several parts"),
        (zip_of([ZipEntry()], zip64_disks=1).replace(b"PK\x06\x06", b"PK\x06\x05"), "Zip64"),
        (zip_of([ZipEntry()], count=2), "1 members where"),
        (zip_of([ZipEntry()], count=65537, zip64_disks=1), "1 members where"),
        (zip_of([ZipEntry()], directory_size=1 << 30), "256 MB"),
        (zip_of([ZipEntry()], directory_size=90), "not where"),
        (zip_of([ZipEntry(), ZipEntry(offset=0)]), "overlap"),
        (zip_of([ZipEntry(), ZipEntry(offset=20)]), "overlap"),
        (zip_of([ZipEntry(offset=60)]), "overlap"),
        (zip_of([ZipEntry(offset=0xFFFFFFFF)]), "Zip64"),
        (
            zip_of([ZipEntry(offset=0xFFFFFFFF, extra=struct.pack("<2HQ", 1, 8, 1 << 63))]),
            "beyond",
        ),
    ],
)
def test_an_archive_that_is_not_sound_is_refused(data: bytes, why: str) -> None:
    with pytest.raises(BadArchive, match=why):
        _members(data)


def test_a_quoted_zip_bomb_is_refused() -> None:
    # Each member holds the local header of the next one and all that follows, as stored bytes.
    kernel = zip_of([ZipEntry(name=b"z", method=8, data=bytes(1 << 20))])
    inner = kernel[: kernel.index(b"PK\x01\x02")]
    data = zip_of([ZipEntry(name=b"a", data=inner), ZipEntry(name=b"z", offset=31)])
    with pytest.raises(BadArchive, match="overlap"):
        _members(data)


def test_more_members_than_are_read_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(central_directory, "MEMBERS_MAX", 2)
    entries = [ZipEntry(name=b"%d" % number) for number in range(3)]
    for count in (3, 2):
        with pytest.raises(BadArchive, match="has more than"):
            _members(zip_of(entries, count=count))


# Bombs, cuts and flips


def _peak_bytes(data: bytes, piece_bytes: int) -> tuple[int, int]:
    source = HeldObject(data)
    tracemalloc.start()
    try:
        (member,) = zip_members(source)
        with open_zip_member(source, member) as reader:
            offsets = range(0, reader.size, piece_bytes)
            length = sum(len(reader.read_at(offset, piece_bytes)) for offset in offsets)
        return length, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def _sparse_content(size: int) -> tuple[bytes, int]:
    """Give zeros with some noise, deflated, and their CRC-32."""
    deflater = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    block = random.Random(1).randbytes(4096) + bytes((1 << 20) - 4096)
    crc32, pieces = 0, []
    for _ in range(size >> 20):
        pieces.append(deflater.compress(block))
        crc32 = zlib.crc32(block, crc32)
    return b"".join([*pieces, deflater.flush()]), crc32


def test_a_sparse_member_of_200_mb_takes_little_memory() -> None:
    size = 200 << 20
    compressed, crc32 = _sparse_content(size)
    entry = ZipEntry(method=8, compressed=compressed, size=size, crc32=crc32, data=b"")
    length, peak = _peak_bytes(zip_of([entry]), 1 << 20)
    assert length == size
    assert peak < 8 << 20


def test_a_bomb_that_declares_little_is_stopped_there() -> None:
    compressed, _ = _sparse_content(200 << 20)
    data = zip_of([ZipEntry(method=8, compressed=compressed, size=1000, data=b"")])
    with pytest.raises(BadArchive, match="more than it declares"):
        _peak_bytes(data, 1 << 20)


def test_a_size_that_is_declared_and_not_there_takes_no_memory() -> None:
    compressed = deflated(random.Random(1).randbytes(60_000))
    entry = ZipEntry(method=8, compressed=compressed, size=60 << 20, data=b"")
    tracemalloc.start()
    try:
        with pytest.raises(BadArchive, match="less than it declares"):
            _read_only(zip_of([entry]))
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


def _whole_or_refused(data: bytes, contents: dict[str, bytes]) -> None:
    """Read all there is; what is given must be what was written, under whatever name."""
    source = HeldObject(data)
    try:
        members = list(zip_members(source))
    except FileroomError:
        return
    for member in members:
        try:
            content = _read(source, member)
        except FileroomError:
            continue
        assert content in contents.values()


def _small_zip(contents: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for number, (name, content) in enumerate(contents.items()):
            method = zipfile.ZIP_DEFLATED if number % 2 else zipfile.ZIP_STORED
            with archive.open(zipfile.ZipInfo(name), "w", force_zip64=number == 2) as written:
                written.write(content)
            archive.writestr(zipfile.ZipInfo(f"{name}-"), content, method)
    return file.getvalue()


_CONTENT = {"a": b"first content", "b": b"abc" * 50, "d/c": b""}


def test_an_archive_cut_at_any_byte_gives_no_wrong_bytes() -> None:
    data = _small_zip(_CONTENT)
    _whole_or_refused(data, _CONTENT)
    for length in range(len(data)):
        _whole_or_refused(data[:length], _CONTENT)
        _whole_or_refused(data[length:], _CONTENT)


def test_an_archive_with_any_bit_flipped_gives_no_wrong_bytes() -> None:
    data = _small_zip(_CONTENT)
    for place, bit in itertools.product(range(len(data)), range(8)):
        flipped = bytearray(data)
        flipped[place] ^= 1 << bit
        _whole_or_refused(bytes(flipped), _CONTENT)


@settings(deadline=None, max_examples=300)
@given(st.integers(0, 2**32), st.integers(1, 30))
def test_an_archive_with_many_bytes_changed_gives_no_wrong_bytes(seed: int, changes: int) -> None:
    noise = random.Random(seed)
    data = bytearray(_small_zip(_CONTENT))
    for _ in range(changes):
        data[noise.randrange(len(data))] = noise.choice([0, 1, 0x50, 0xFF, noise.randrange(256)])
    _whole_or_refused(bytes(data), _CONTENT)
