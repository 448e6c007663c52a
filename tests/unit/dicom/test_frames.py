"""Where frames lie: against pydicom, against drawn encapsulations, and in the cases apart."""

from __future__ import annotations

import struct
from contextlib import suppress
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.encaps import generate_frames
from pydicom.pixels.utils import get_expected_length, get_nr_frames

from fileroom.dicom.frames import NativeFrames, NoPixelData, find_frames
from fileroom.dicom.frames.pieces import PIECE_BYTES
from fileroom.dicom.header import big_endian
from fileroom.dicom.media_types import NotAcceptable
from fileroom.dicom.part10 import Refused, scan
from fileroom.errors import DataLoss, FileroomError
from tests.against_pydicom import pydicom_files, quiet, read_by_pydicom
from tests.corpus import (
    BIG_ENDIAN,
    DEFLATED,
    EXPLICIT,
    IMPLICIT,
    JPEG_BASELINE,
    RLE,
    Fragments,
    Row,
    encapsulated_instance,
    minimal_instance,
    multi_frame_instance,
)
from tests.frames import encapsulated, frames_of
from tests.real_corpus import require_corpus
from tests.scanning import stream

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from pydicom.dataset import Dataset

JPEG_2000 = "1.2.840.10008.1.2.4.90"
JPEG_LS = "1.2.840.10008.1.2.4.80"
HTJ2K = "1.2.840.10008.1.2.4.201"
JPEG_XL = "1.2.840.10008.1.2.4.110"
VIDEOS = ["1.2.840.10008.1.2.4.100", "1.2.840.10008.1.2.4.102.1", "1.2.840.10008.1.2.4.108"]
PIXEL_DATA = 0x7FE00010
EOI = b"\xff\xd9"
NOT_COMPARED = {
    "badVR.dcm": "pydicom leaves Rows and Columns as text",
    "TC0309_": "PS3.5 8.1.1: pixels of 3 bits follow bit by bit, pydicom gives up",
    "TC0881_": "pydicom needs Photometric Interpretation",
}
"""How files are named whose frames pydicom does not tell, with the reason."""


# Against pydicom


def test_frames_of_pydicoms_own_files_are_those_pydicom_finds() -> None:
    count, lost = compared(pydicom_files())

    assert count > 80
    assert lost == []


def test_frames_of_the_corpus_are_those_pydicom_finds() -> None:
    count, lost = compared(path for path in sorted(require_corpus().rglob("*")) if path.is_file())

    assert count > 400
    # Made to have fewer pixels than they say, or no size.
    assert [name for name in lost if not name.startswith("TC")] == []


def compared(files: Iterable[Path]) -> tuple[int, list[str]]:
    """Compare all files that have frames; give how many those are, and which have lost some."""
    count = 0
    lost = []
    for path in files:
        data = path.read_bytes()
        try:
            ours = frames_of(data)
        except DataLoss:
            lost.append(path.name)
            continue
        except FileroomError:
            continue
        dataset = read_by_pydicom(data)
        if path.name.startswith(tuple(NOT_COMPARED)) or dataset.get("BitsAllocated") == 1:
            continue
        with quiet():
            assert ours == pydicom_frames(data, dataset), path
        count += 1
    return count, lost


def pydicom_frames(data: bytes, dataset: Dataset) -> list[bytes]:
    scanned = scan(data)
    if scanned.fragments is not None:
        count = int(dataset.get("NumberOfFrames") or 1)
        extended = None
        if "ExtendedOffsetTable" in dataset:
            extended = dataset.ExtendedOffsetTable, dataset.ExtendedOffsetTableLengths
        return list(
            generate_frames(dataset.PixelData, number_of_frames=count, extended_offsets=extended)
        )
    keywords = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
    value = bytearray(next(dataset[word].value for word in keywords if word in dataset))
    if big_endian(scanned.header) and dataset["PixelData"].VR == "OW":
        # PS3.5 6.2: words of 16 bits, whatever a pixel has.
        value[0::2], value[1::2] = value[1::2], value[0::2]
    count = get_nr_frames(dataset, warn=False)
    size = get_expected_length(dataset) // count
    return [bytes(value[at : at + size]) for at in range(0, count * size, size)]


# Encapsulated


@st.composite
def encapsulations(draw: st.DrawFn) -> tuple[list[list[bytes]], str, str]:
    """Draw the fragments of each frame, a syntax and a kind of offset table."""
    syntax = draw(st.sampled_from([JPEG_BASELINE, JPEG_LS, JPEG_2000, HTJ2K]))
    table = draw(st.sampled_from(["basic", "extended", "none"]))
    frames = []
    for content in draw(st.lists(st.binary(min_size=1, max_size=60), min_size=1, max_size=9)):
        # Inside a code stream no marker ends it.
        whole = content.replace(b"\xff", b"\xfe") + EOI
        ends = draw(st.lists(st.integers(1, (len(whole) - 1) // 2 or 1), max_size=3, unique=True))
        cuts = [0, *(2 * end for end in sorted(ends) if 2 * end < len(whole)), len(whole)]
        frames.append([whole[a:b] for a, b in pairwise(cuts)])
    return frames, syntax, table


@pytest.mark.clause("PS3.5 A.4", "frames are found with and without offset tables")
@settings(max_examples=150, deadline=None)
@given(encapsulations())
def test_frames_come_back_however_they_are_fragmented(
    drawn: tuple[list[list[bytes]], str, str],
) -> None:
    frames, syntax, table = drawn
    expected = [b"".join(map(padded, frame)) for frame in frames]

    assert frames_of(encapsulated(frames, syntax, table)) == expected


def padded(fragment: bytes) -> bytes:
    return fragment + b"\0" * (len(fragment) % 2)


THREE = [[b"aaaa"], [b"bb"], [b"cccccc"]]


@pytest.mark.parametrize(
    "offsets",
    [
        [0, 12, 9999],
        [0, 11, 22],
        [0, 22, 12],
        [0, 12, 12],
        [12, 22, 30],
        [0, 12],
        [0, 12, 22, 36],
        [0xFFFFFFFF, 0, 0],
    ],
    ids=["outside", "no item", "falling", "twice", "not 0", "few", "many", "huge"],
)
@pytest.mark.parametrize("table", ["basic", "extended"])
def test_an_offset_table_that_lies_is_ignored_for_what_the_walk_finds(
    offsets: list[int], table: str
) -> None:
    data = encapsulated(THREE, RLE, table, offsets=offsets)

    assert frames_of(data) == [b"aaaa", b"bb", b"cccccc"]


def test_an_offset_table_that_lies_about_fragments_that_are_no_frames_is_told() -> None:
    data = encapsulated([[b"aa", b"bb"], [b"cc"]], RLE, "basic", offsets=[0, 11])

    with pytest.raises(DataLoss, match=r"3 fragments.* 2 frames"):
        frames_of(data)


@pytest.mark.clause("PS3.3 C.7.6.3.1.8", "the Extended Offset Table is read, also where it is long")
def test_an_extended_offset_table_over_2048_bytes_is_read_from_the_file() -> None:
    frames = [[b"%04d" % number, b"xy"] for number in range(300)]
    data = encapsulated(frames, RLE, "extended")

    assert frames_of(data) == [b"%04dxy" % number for number in range(300)]


def test_offset_tables_are_believed_where_number_of_frames_is_absent() -> None:
    data = encapsulated(THREE, JPEG_BASELINE, "basic", number_of_frames=None)

    assert frames_of(data) == [b"aaaa", b"bb", b"cccccc"]


def test_without_any_number_all_fragments_are_one_frame() -> None:
    data = encapsulated(THREE, JPEG_BASELINE, "none", number_of_frames=None)

    assert frames_of(data) == [b"aaaabbcccccc"]


def test_the_end_of_a_code_stream_is_found_also_between_two_fragments() -> None:
    frames = [[b"a\xff", b"\xd9\0"], [b"bb", b"b\xff\xd9"]]
    data = encapsulated(frames, JPEG_BASELINE, "none")

    assert frames_of(data) == [b"a\xff\xd9\0", b"bbb\xff\xd9\0"]


@pytest.mark.parametrize("syntax", [RLE, JPEG_XL], ids=["RLE", "JPEG XL"])
def test_code_streams_without_a_marker_at_their_end_are_not_guessed(syntax: str) -> None:
    data = encapsulated([[b"aa", b"b" + EOI], [b"cc", b"d" + EOI]], syntax, "none")

    with pytest.raises(DataLoss, match=r"4 fragments.* 2 frames"):
        frames_of(data)


@pytest.mark.parametrize("claimed", ["4", "5000000000"])
def test_fewer_fragments_than_frames_are_told_with_both_numbers(claimed: str) -> None:
    data = encapsulated(THREE, JPEG_BASELINE, "basic", number_of_frames=claimed)

    with pytest.raises(DataLoss, match=rf"3 fragments.* {claimed} frames"):
        frames_of(data)


def test_the_fragments_of_an_icon_are_not_those_of_the_instance() -> None:
    icon: Row = (0x00880200, "SQ", [[(PIXEL_DATA, "OB", Fragments((b"icon",)))]])

    with pytest.raises(NoPixelData):
        frames_of(minimal_instance(transfer_syntax_uid=JPEG_BASELINE, extra=[icon]))
    both: list[Row] = [icon, (PIXEL_DATA, "OB", Fragments((b"frame!",)))]
    assert frames_of(minimal_instance(transfer_syntax_uid=JPEG_BASELINE, extra=both)) == [b"frame!"]


def test_a_large_frame_comes_in_pieces_of_bounded_size() -> None:
    # The header of the second fragment is divided between two pieces.
    fragments = [bytes(PIECE_BYTES - 12), b"x" * 100, b"", b"y" * PIECE_BYTES]
    data = encapsulated([fragments, [b"next"]], JPEG_2000, "basic")
    longest = 0

    def read(offset: int, length: int) -> bytes:
        nonlocal longest
        longest = max(longest, length)
        return data[offset : offset + length]

    assert frames_of(data, read) == [b"".join(fragments), b"next"]
    assert longest == PIECE_BYTES


# Native


SIZES: dict[str, Any] = {"samples_per_pixel": 1, "rows": 5, "columns": 3}
"""Of frames that are no whole word."""
PIXELS: dict[str, Any] = {"bits_allocated": 8, "pixel_data": bytes(16)}


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, DEFLATED])
def test_native_frames_follow_one_another(syntax: str) -> None:
    data = native(syntax, frames=7, bits_allocated=8, pixel_data=bytes(range(105)))

    assert frames_of(data) == [bytes(range(at, at + 15)) for at in range(0, 105, 15)]


@pytest.mark.parametrize("length", [15, 200], ids=["in the header", "cut out of it"])
@pytest.mark.clause("PS3.5 8.1.1", "frames of pixels of one bit are shifted out, the rest zero")
def test_frames_of_single_bits_begin_inside_a_byte(length: int) -> None:
    value = bytes((37 * number + 11) % 256 for number in range(length))
    count = 8 * length // 15
    data = native(EXPLICIT, frames=count, bits_allocated=1, pixel_data=value + b"\0" * (length % 2))
    bits = [value[at // 8] >> at % 8 & 1 for at in range(15 * count)]

    assert frames_of(data) == [
        sum(bit << at for at, bit in enumerate(bits[start : start + 15])).to_bytes(2, "little")
        for start in range(0, 15 * count, 15)
    ]


@pytest.mark.parametrize("bits", [1, 8, 16])
@pytest.mark.clause("PS3.5 A.3", "big endian words are given in little endian")
def test_big_endian_frames_are_those_of_little_endian(bits: int) -> None:
    words = [(n * 257 + 3) % 65536 for n in range(60 * bits // 8 + 1)]
    little, big = (
        native(syntax, frames=8, bits_allocated=bits, pixel_data=words)
        for syntax in (EXPLICIT, BIG_ENDIAN)
    )

    assert frames_of(big) == frames_of(little)


@pytest.mark.parametrize(("tag", "vr", "bits"), [(0x7FE00008, "OF", 32), (0x7FE00009, "OD", 64)])
def test_float_pixels_have_frames_too(tag: int, vr: str, bits: int) -> None:
    numbers = [float(number) for number in range(30)]
    little, big = (
        native(syntax, frames=2, bits_allocated=bits, pixel_data=None, extra=[(tag, vr, numbers)])
        for syntax in (EXPLICIT, BIG_ENDIAN)
    )

    expected = struct.pack(f"<30{vr[1].lower()}", *numbers)
    size = 15 * bits // 8
    assert frames_of(little) == frames_of(big) == [expected[:size], expected[size:]]


@pytest.mark.parametrize("samples", [2, 3], ids=["halved", "kept whole"])
def test_frames_of_4_2_2_have_two_samples_a_pixel_unless_all_are_there(samples: int) -> None:
    value = bytes(range(4 * 2 * 4 * samples))
    data = native(
        EXPLICIT, frames=4, bits_allocated=8, rows=2, columns=4, samples_per_pixel=3,
        photometric_interpretation="YBR_FULL_422", pixel_data=value,
    )  # fmt: skip
    size = 8 * samples

    assert frames_of(data) == [value[at : at + size] for at in range(0, 4 * size, size)]


@pytest.mark.parametrize("claimed", ["6", "9223372036854775807"])
def test_frames_past_the_end_of_native_pixels_are_lost_and_the_others_are_not(claimed: str) -> None:
    data = multi_frame_instance(frames=5, number_of_frames=claimed)
    found = find_frames(scan(data).header)
    assert isinstance(found, NativeFrames)

    assert b"".join(found.frame(5).pieces(lambda at, n: data[at : at + n])) == data[-256:]
    for number in (6, int(claimed)):
        with pytest.raises(DataLoss, match=f"hold 5 of the {claimed} frames"):
            found.frame(number)


def test_a_large_native_frame_comes_in_pieces_of_bounded_size() -> None:
    value = bytes(range(256)) * 80_000
    data = native(EXPLICIT, frames=1, bits_allocated=16, rows=5000, columns=2048, pixel_data=value)
    found = find_frames(scan(data).header)
    assert isinstance(found, NativeFrames)

    pieces = list(found.frame(1).pieces(lambda at, n: data[at : at + n]))
    assert b"".join(pieces) == value
    assert [len(piece) for piece in pieces] == [PIECE_BYTES, PIECE_BYTES, len(value) % PIECE_BYTES]


def native(syntax: str, *, frames: int, **values: Any) -> bytes:
    values = SIZES | {"number_of_frames": str(frames)} | values
    return minimal_instance(transfer_syntax_uid=syntax, **values)


# Without frames


@pytest.mark.parametrize(
    "data",
    [
        minimal_instance(),
        minimal_instance(pixel_data=b""),
        minimal_instance(
            transfer_syntax_uid=JPEG_BASELINE, extra=[(PIXEL_DATA, "OB", Fragments(()))]
        ),
        minimal_instance(extra=[(PIXEL_DATA, "SQ", [[(0x00080060, "CS", "CT")]])]),
    ],
    ids=["absent", "empty", "no fragment", "a sequence"],
)
def test_an_instance_without_pixels_has_no_frames(data: bytes) -> None:
    with pytest.raises(NoPixelData, match="missing pixel data"):
        frames_of(data)


@pytest.mark.parametrize("syntax", VIDEOS)
def test_a_video_has_no_frames_to_be_given(syntax: str) -> None:
    with pytest.raises(NotAcceptable, match="video"):
        frames_of(encapsulated_instance(transfer_syntax_uid=syntax))


def test_pixels_that_contradict_their_transfer_syntax_are_not_guessed() -> None:
    with pytest.raises(DataLoss, match="not encapsulated"):
        frames_of(native(JPEG_BASELINE, frames=1, **PIXELS))
    with pytest.raises(DataLoss, match="encapsulated, which"):
        frames_of(encapsulated_instance(transfer_syntax_uid=EXPLICIT))


@pytest.mark.parametrize("missing", ["rows", "columns", "bits_allocated"])
def test_native_pixels_without_a_size_are_not_guessed(missing: str) -> None:
    for value in (None, 0):
        with pytest.raises(DataLoss, match="retrieve the whole instance"):
            frames_of(native(EXPLICIT, frames=1, **PIXELS | {missing: value}))


# Damage


DAMAGED = {
    "basic": encapsulated([[b"aa", b"b" + EOI], [b"c" + EOI], [EOI]], JPEG_BASELINE, "basic"),
    "extended": encapsulated([[b"aa"], [b"bb"], [b"cc"]], JPEG_LS, "extended"),
    "none": encapsulated([[b"aa", EOI], [b"bbb" + EOI]], JPEG_2000, "none"),
    "bits": native(EXPLICIT, frames=9, bits_allocated=1, pixel_data=bytes(range(200, 218))),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_pixels_give_frames_or_a_reason(name: str) -> None:
    data = DAMAGED[name]
    whole = scan(data).header
    start = len(data) - 400

    for at in range(max(start, 132), len(data)):
        assert_frames_or_reason(data[:at])
        for flip in (0x01, 0x10, 0x80, 0xFF):
            damaged = bytearray(data)
            damaged[at] ^= flip
            assert_frames_or_reason(bytes(damaged))
    assert stream(whole, data) == data


@pytest.mark.parametrize("name", DAMAGED)
def test_a_file_that_changed_after_its_scan_gives_frames_or_data_loss(name: str) -> None:
    data = DAMAGED[name]
    for at in range(len(data) - 100, len(data)):
        damaged = bytearray(data)
        damaged[at] ^= 0xFF
        for other in (bytes(damaged), data[:at]):
            with suppress(DataLoss):
                frames_of(data, partial(read_of, other))


def read_of(data: bytes, offset: int, length: int) -> bytes:
    return data[offset : offset + length]


def assert_frames_or_reason(data: bytes) -> None:
    try:
        frames = frames_of(data)
    except (Refused, DataLoss, NoPixelData, NotAcceptable):
        return
    assert frames
