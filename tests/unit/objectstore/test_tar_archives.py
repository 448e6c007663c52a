from __future__ import annotations

import gzip
import io
import random
import tarfile
import tracemalloc
import zlib
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fileroom.errors import FailedPrecondition, FileroomError, Reason
from fileroom.objectstore.archives import inflating, tar
from fileroom.objectstore.archives.member import BadArchive
from fileroom.objectstore.archives.naming import ArchiveFormat
from fileroom.objectstore.archives.tar import tar_members
from tests.archive_bytes import HeldObject

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fileroom.objectstore.archives.member import Member

TAR = ArchiveFormat.TAR
TAR_GZIP = ArchiveFormat.TAR_GZIP
_BLOCK = tarfile.BLOCKSIZE

_SEGMENTS = st.text(
    st.characters(exclude_characters="\0/\\\n\r:", exclude_categories=["Cs"]),
    min_size=1,
    max_size=60,
).filter(lambda segment: segment not in {".", ".."})
_NAMES = st.lists(_SEGMENTS, min_size=1, max_size=4).map("/".join)
_CONTENTS = st.one_of(
    st.binary(max_size=1500), st.binary(min_size=1, max_size=4).map(lambda block: block * 3000)
)


def _tar(
    contents: dict[str, bytes] | list[tuple[str, bytes]], form: int = tarfile.PAX_FORMAT
) -> bytes:
    items = contents.items() if isinstance(contents, dict) else contents
    return _tar_of(*((_information(name, len(data)), data) for name, data in items), form=form)


def _information(name: str, size: int = 0, kind: bytes = tarfile.REGTYPE) -> tarfile.TarInfo:
    information = tarfile.TarInfo(name)
    information.size = size
    information.type = kind
    return information


def _tar_of(*members: tuple[tarfile.TarInfo, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=form) as archive:
        for information, data in members:
            archive.addfile(information, io.BytesIO(data))
    return file.getvalue()


def _header(name: str, size: int = 0, kind: bytes = tarfile.REGTYPE) -> bytes:
    return _information(name, size, kind).tobuf(tarfile.GNU_FORMAT)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % _BLOCK)


def _pax(records: dict[bytes, bytes], kind: bytes = tarfile.XHDTYPE) -> bytes:
    body = b""
    for keyword, value in records.items():
        rest = b" " + keyword + b"=" + value + b"\n"
        length = len(rest) + 1
        while len(b"%d" % length) + len(rest) != length:
            length = len(b"%d" % length) + len(rest)
        body += b"%d" % length + rest
    return _header("pax", len(body), kind) + _padded(body)


_END = bytes(2 * _BLOCK)
_FILE = _header("a", 3) + _padded(b"abc")


def _read(
    data: bytes, archive_format: ArchiveFormat = TAR, piece_bytes: int = 1 << 16
) -> Iterator[tuple[Member, bytes]]:
    for member, reader in tar_members(HeldObject(data, "d/a.tar"), archive_format):
        offsets = range(0, reader.size, piece_bytes)
        yield member, b"".join(reader.read_at(offset, piece_bytes) for offset in offsets)


def _contents(data: bytes, archive_format: ArchiveFormat = TAR) -> list[tuple[str, bytes]]:
    return [(member.name, content) for member, content in _read(data, archive_format)]


# What tarfile writes


@settings(deadline=None)
@given(
    st.lists(st.tuples(_NAMES, _CONTENTS), max_size=6),
    st.sampled_from([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT]),
    st.sampled_from([TAR, TAR_GZIP]),
    st.data(),
)
def test_what_tarfile_writes_is_listed_and_read_in_its_order(
    contents: list[tuple[str, bytes]],
    form: int,
    archive_format: ArchiveFormat,
    data: st.DataObject,
) -> None:
    written = _tar(contents, form)
    if archive_format is TAR_GZIP:
        written = gzip.compress(written, mtime=0)
    read = list(_read(written, archive_format, data.draw(st.integers(300, 4000))))
    assert [(member.name, content) for member, content in read] == contents
    assert all(not member.unusable and member.crc32 is None for member, _ in read)


@settings(deadline=None)
@given(
    st.lists(st.binary(max_size=2000), min_size=1, max_size=4),
    st.lists(st.tuples(st.integers(0, 2500), st.integers(0, 2500)), max_size=4),
)
def test_members_are_read_at_any_offset_those_of_a_tar_gz_forward(
    contents: list[bytes], ranges: list[tuple[int, int]]
) -> None:
    data = _tar([(str(number), content) for number, content in enumerate(contents)])
    plain = tar_members(HeldObject(data), TAR)
    inflated = tar_members(HeldObject(gzip.compress(data)), TAR_GZIP)
    for content, (_, reader), (_, forward) in zip(contents, plain, inflated, strict=True):
        for offset, length in ranges:
            assert reader.read_at(offset, length) == content[offset : offset + length]
        position = 0
        for gap, length in ranges:
            position += gap
            piece = content[position : position + length]
            assert forward.read_at(position, length) == piece
            position += len(piece)


def test_a_member_of_a_tar_gz_is_read_in_its_turn() -> None:
    data = gzip.compress(_tar({"a": b"abc", "b": b"def"}))
    members = tar_members(HeldObject(data), TAR_GZIP)
    _, first = next(members)
    assert first.read_at(0, 2) == b"ab"
    with pytest.raises(FailedPrecondition, match="forward"):
        first.read_at(0, 2)
    _, second = next(members)
    with pytest.raises(FailedPrecondition, match="its turn"):
        first.read_at(2, 1)
    assert second.read_at(0, 9) == b"def"
    assert second.version == f"7-{second.version.rpartition('-')[2]}"
    assert list(members) == []


def test_a_plain_tar_is_read_in_few_pieces_and_not_where_nobody_looks() -> None:
    small = HeldObject(_tar({f"{number:03}": bytes(3000) for number in range(300)}))
    assert all(reader.read_at(0, 3000) == bytes(3000) for _, reader in tar_members(small, TAR))
    assert small.reads <= 3
    large = HeldObject(_tar({"a": bytes(20 << 20), "b": b"b"}))
    assert [member.name for member, _ in tar_members(large, TAR)] == ["a", "b"]
    assert large.reads == 2


def test_several_gzip_streams_and_zeros_after_them_are_one_archive() -> None:
    data = _tar({"a": b"abc" * 1000, "b": b"def"})
    parts = [gzip.compress(data[start : start + 999]) for start in range(0, len(data), 999)]
    joined = b"".join([*parts, gzip.compress(b""), bytes(100_000)])
    assert _contents(joined, TAR_GZIP) == [("a", b"abc" * 1000), ("b", b"def")]


def test_links_devices_and_directories_are_passed_over() -> None:
    kinds = [
        *(tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE),
        *(tarfile.DIRTYPE, tarfile.FIFOTYPE),
    ]
    others = b"".join(_header("x", 5, kind) for kind in kinds)
    unknown = _header("label", 5, b"V") + _padded(b"12345")
    assert _contents(others + unknown + _FILE + _END) == [("a", b"abc")]


def test_a_name_that_begins_in_its_directory_is_without_it() -> None:
    assert _contents(_tar({"./d/a": b"abc"})) == [("d/a", b"abc")]


def test_the_last_of_several_headers_that_extend_one_counts() -> None:
    extensions = [
        *(_pax({b"comment": b"x"}, tarfile.XGLTYPE), _header("", 5, tarfile.GNUTYPE_LONGLINK)),
        *(_padded(b"link\0"), _header("", 6, tarfile.GNUTYPE_LONGNAME), _padded(b"first\0")),
        _pax({b"path": b"old", b"size": b"9", b"mtime": b"1.5"}),
        _pax({b"path": b"second", b"size": b"3"}, tarfile.SOLARIS_XHDTYPE),
    ]
    assert _contents(b"".join(extensions) + _FILE + _END) == [("second", b"abc")]


# Members that cannot be read


@pytest.mark.parametrize(
    ("name", "why"),
    [
        (b"/etc/passwd", "absolute"),
        (b"C:/a", "absolute"),
        (b"../a", "'..'"),
        (b"a/../b", "'..'"),
        (b"a/./b", "'.'"),
        (b"././a", "'.'"),
        (b"a//b", "empty part"),
        (b"a/", "empty part"),
        (b"a\\b", "backslash"),
        (b"a\0b", "NUL"),
        (b"./", "empty"),
        (b"a" * 1025, "1024 bytes"),
        (b"a\xff", "not UTF-8"),
    ],
)
def test_a_name_that_is_no_objects_is_told(name: bytes, why: str) -> None:
    (bad, _), (good, content) = _read(_pax({b"path": name}) + _FILE + _FILE + _END)
    assert why in bad.unusable
    assert (good.name, good.unusable, content) == ("a", "", b"abc")


def test_files_without_their_holes_are_told() -> None:
    old = bytearray(_header("s", 3, tarfile.GNUTYPE_SPARSE))
    old[482] = 1
    old[148:156] = b" " * 8
    old[148:156] = b"%06o\0 " % sum(old)
    more = bytearray(_BLOCK)
    more[504] = 1
    gnu = bytes(old + more) + bytes(_BLOCK) + _padded(b"abc")
    pax = _pax({b"GNU.sparse.major": b"1", b"GNU.sparse.name": b"t", b"GNU.sparse.map": b"9,9"})
    members = [member for member, _ in _read(gnu + pax + _FILE + _FILE + _END)]
    assert [member.name for member in members] == ["s", "t", "a"]
    assert ["--sparse" in member.unusable for member in members] == [True, True, False]


# Archives that are not read


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "cut short at its start"),
        (b"x" * 600, "at its start: there is no header"),
        (_FILE, "cut short in or after member 'a'"),
        (_FILE[:-1], "cut short in or after member 'a'"),
        (_FILE[:513], "cut short in or after member 'a'"),
        (_FILE + b"x" * 512 + _END, "after member 'a': there is no header"),
        (_FILE + _header("p", 2 << 20, tarfile.XHDTYPE) + _END, "more than 1,048,576 bytes"),
        (_header("p", 2 << 20, tarfile.GNUTYPE_LONGNAME) + _END, "more than 1,048,576 bytes"),
        (_pax({b"path": b"b"}) + _END, "a header is missing"),
        (_pax({b"path": b"b"}) * 16 + _FILE + _END, "more than 16"),
        (_pax({b"size": b"4e2"}) + _FILE + _END, "a number"),
        (_pax({b"size": b"9" * 21}) + _FILE + _END, "a number"),
        (_pax({b"size": b"9" * 20}) + _FILE + _END, "cut short"),
        (_pax({b"size": b"3"}, tarfile.XGLTYPE) + _FILE + _END, "all members"),
        (_header("", 9, tarfile.XHDTYPE) + _padded(b"9 path=ab") + _FILE + _END, "no sense"),
        (_header("", 9, tarfile.XHDTYPE) + _padded(b"9 path-a\n") + _FILE + _END, "no sense"),
        (_header("", 9, tarfile.XHDTYPE) + _padded(b"0 path=a\n") + _FILE + _END, "no sense"),
        (_header("", 9, tarfile.XHDTYPE) + _padded(b"99 path=a") + _FILE + _END, "no sense"),
        (_header("", 9, tarfile.XHDTYPE) + _padded(b"path=abcd") + _FILE + _END, "a number"),
    ],
)
@pytest.mark.parametrize("archive_format", [TAR, TAR_GZIP])
def test_an_archive_that_is_not_sound_is_refused_where_it_is_not(
    data: bytes, why: str, archive_format: ArchiveFormat
) -> None:
    if archive_format is TAR_GZIP:
        data = gzip.compress(data)
    with pytest.raises(BadArchive, match=why):
        _pass_over(HeldObject(data), archive_format)


def test_a_negative_size_is_refused() -> None:
    header = bytearray(_header("a"))
    header[124:136] = b"\xff" * 12
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    with pytest.raises(BadArchive, match="negative"):
        _contents(bytes(header) + _END)


def test_a_member_that_is_cut_short_says_so_and_so_does_the_archive() -> None:
    data = gzip.compress(_header("a", 5000) + b"abc")
    members = tar_members(HeldObject(data), TAR_GZIP)
    _, reader = next(members)
    with pytest.raises(BadArchive, match="within member 'a'") as caught:
        reader.read_at(0, 5000)
    assert caught.value.reason is Reason.TRUNCATED
    with pytest.raises(BadArchive, match="cut short in or after member 'a'"):
        next(members)


def test_a_tar_gz_that_was_changed_says_so_at_its_end() -> None:
    data = bytearray(gzip.compress(_tar({"a": b"abc"})))
    data[-8] ^= 1
    members = tar_members(HeldObject(bytes(data)), TAR_GZIP)
    assert next(members)[0].name == "a"
    with pytest.raises(BadArchive, match="CRC-32") as caught:
        next(members)
    assert caught.value.reason is Reason.CHECKSUM_MISMATCH


def test_what_follows_gzip_and_is_not_is_refused() -> None:
    data = gzip.compress(_tar({"a": b"abc"})) + b"garbage"
    with pytest.raises(BadArchive, match="not gzip's"):
        _contents(data, TAR_GZIP)


def test_a_tar_gz_over_the_limit_is_refused_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = HeldObject(b"")
    source.size = inflating.GZIP_BYTES_MAX + 1
    with pytest.raises(BadArchive, match=r"16 GB .* write it as \.tar or \.zip"):
        next(tar_members(source, TAR_GZIP))
    monkeypatch.setattr(inflating, "INFLATED_BYTES_MAX", 5000)
    with pytest.raises(BadArchive, match="split it"):
        _contents(gzip.compress(_tar({"a": bytes(9000)})), TAR_GZIP)
    monkeypatch.setattr(inflating, "GZIP_PARTS_MAX", 9)
    with pytest.raises(BadArchive, match="more than 9 gzip streams"):
        _contents(gzip.compress(b"") * 10, TAR_GZIP)


def test_more_members_than_are_read_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tar, "MEMBERS_MAX", 2)
    with pytest.raises(BadArchive, match="has more than"):
        _contents(_tar({"a": b"", "b": b"", "c": b""}))


# Bombs, cuts and flips


def _deflated_zeros(size: int, head: bytes = b"") -> bytes:
    deflater = zlib.compressobj(9, zlib.DEFLATED, 31)
    pieces = [deflater.compress(head)]
    pieces += [deflater.compress(bytes(1 << 20)) for _ in range(size >> 20)]
    return b"".join([*pieces, deflater.flush()])


@pytest.mark.parametrize(
    ("head", "why"),
    [
        (_header("a", 200 << 20), "1000 times .*'a'"),
        (_header("a", 200 << 20, b"V"), "1000 times .*'a'"),
        (_FILE + _END, "1000 times .*'a'"),
        (_header("p", 200 << 20, tarfile.XHDTYPE), "more than 1,048,576 bytes"),
    ],
)
@pytest.mark.parametrize("is_read", [True, False])
def test_a_bomb_of_200_mb_is_stopped_and_takes_little_memory(
    head: bytes, why: str, is_read: bool
) -> None:
    source = HeldObject(_deflated_zeros(200 << 20, head))
    tracemalloc.start()
    try:
        with pytest.raises(BadArchive, match=why):
            _pass_over(source, is_read=is_read)
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


def _pass_over(
    source: HeldObject, archive_format: ArchiveFormat = TAR_GZIP, is_read: bool = False
) -> None:
    for _, reader in tar_members(source, archive_format):
        try:
            for offset in range(0, reader.size if is_read else 0, 1 << 20):
                reader.read_at(offset, 1 << 20)
        except BadArchive:
            continue  # the archive says so too, and where


def test_a_pax_header_of_digits_takes_no_time() -> None:
    data = _pax({b"comment": b"1" * 1_000_000}) + _FILE + _END
    assert _contents(data) == [("a", b"abc")]


_WRITTEN = _tar({"a": b"first content", "b" * 120: b"abc" * 400, "d/c": b""})


def _some_or_refused(data: bytes, archive_format: ArchiveFormat) -> list[bytes]:
    """Give what is read before the archive shows that it is damaged."""
    contents = []
    try:
        for _, content in _read(data, archive_format):
            contents.append(content)
    except FileroomError:
        pass
    return contents


def test_a_tar_cut_at_any_byte_says_so() -> None:
    end = _WRITTEN.rindex(_header("d/c")[:3]) + _BLOCK
    whole = [content for _, content in _contents(_WRITTEN)]
    for length in range(0, end + _BLOCK, 7):
        with pytest.raises(BadArchive, match="cut short"):
            _contents(_WRITTEN[:length])
        contents = _some_or_refused(_WRITTEN[:length], TAR)
        assert contents == whole[: len(contents)]


def test_a_tar_gz_cut_at_any_byte_says_so() -> None:
    data = gzip.compress(_WRITTEN)
    whole = [content for _, content in _contents(_WRITTEN)]
    for length in range(len(data)):
        with pytest.raises(BadArchive):
            _contents(data[:length], TAR_GZIP)
        contents = _some_or_refused(data[:length], TAR_GZIP)
        assert contents == whole[: len(contents)]


def test_a_tar_gz_with_any_bit_flipped_says_so_or_is_as_it_was() -> None:
    data = gzip.compress(_WRITTEN)
    whole = _contents(_WRITTEN)
    for place in range(len(data)):
        for bit in range(8):
            flipped = bytearray(data)
            flipped[place] ^= 1 << bit
            try:
                contents = _contents(bytes(flipped), TAR_GZIP)
            except FileroomError:
                continue
            assert contents == whole


@settings(deadline=None, max_examples=500)
@given(st.integers(0, 2**32), st.integers(1, 30), st.sampled_from([TAR, TAR_GZIP]))
def test_a_tar_with_bytes_changed_raises_nothing_else(
    seed: int, changes: int, archive_format: ArchiveFormat
) -> None:
    noise = random.Random(seed)
    data = bytearray(_WRITTEN if archive_format is TAR else gzip.compress(_WRITTEN))
    for _ in range(changes):
        place = noise.randrange(len(data))
        data[place] = noise.choice([0, 0x30, 0x37, 0x80, 0xFF, *b"xgLKS", noise.randrange(256)])
        start = place - place % _BLOCK
        if archive_format is TAR and noise.random() < 0.7:  # the header is sound to look at
            data[start + 148 : start + 156] = b" " * 8
            block = data[start : start + _BLOCK]
            data[start + 148 : start + 156] = b"%06o\0 " % sum(block)
    _some_or_refused(bytes(data), archive_format)
