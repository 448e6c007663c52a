"""A scan of damaged, hostile and huge objects: a reason or a header, in bounded time and memory."""

from __future__ import annotations

import random
import struct
import time
import tracemalloc
import zlib

import pytest

from fileroom.dicom.header import decode_header, elements, encode_header, header_dictionary
from fileroom.dicom.part10 import Limits, Refused, Scan, scan
from fileroom.errors import Reason
from tests.corpus import (
    DEFLATED,
    UID_ROOT,
    Row,
    ct_series,
    encode,
    instance_rows,
    minimal_instance,
    part10,
)
from tests.scanning import original, restored, small_instances

SMALL_WINDOWS = Limits(first_window_bytes=66_000, window_bytes=66_000)
ITEM = struct.pack("<HHI", 0xFFFE, 0xE000, 0)
ENDLESS_ITEM = struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)
ENDLESS_SEQUENCE = struct.pack("<HH2sHI", 0x0040, 0xA730, b"SQ", 0, 0xFFFFFFFF)
END_OF_SEQUENCE = struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)


class Source:
    """An object that counts what is read of it."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.size = len(data)
        self.read_bytes = 0
        self.longest_read = 0
        self.reads = 0

    def read_at(self, offset: int, length: int) -> bytes:
        assert 0 <= offset <= self.size
        assert length > 0
        data = self._data[offset : offset + length]
        self.reads += 1
        self.read_bytes += len(data)
        self.longest_read = max(self.longest_read, length)
        return data


class Sparse:
    """An object of any size: pieces of data with zeros between."""

    def __init__(self, size: int, pieces: dict[int, bytes]) -> None:
        self.size = size
        self._pieces = pieces
        self.read_bytes = 0

    def read_at(self, offset: int, length: int) -> bytes:
        length = min(length, self.size - offset)
        self.read_bytes += length
        window = bytearray(length)
        for start, data in self._pieces.items():
            low, high = max(start, offset), min(start + len(data), offset + length)
            if low < high:
                window[low - offset : high - offset] = data[low - start : high - start]
        return bytes(window)


def outcome(data: bytes) -> Scan | Reason:
    """Scan, and read what was taken in."""
    try:
        found = scan(data)
    except Refused as error:
        return error.reason
    for _ in elements(found.header):
        pass
    return found


# Damage


@pytest.mark.parametrize("name", small_instances())
def test_an_object_cut_off_anywhere_is_refused_or_ends_between_two_elements(name: str) -> None:
    data = small_instances()[name]
    whole_header = scan(data).header
    stream = original(whole_header, data)

    for end in range(len(data)):
        found = outcome(data[:end])
        if isinstance(found, Scan):
            assert stream.startswith(found.header.skeleton[:200])
            assert len(found.header.skeleton) < len(whole_header.skeleton)
        elif end >= 132:
            assert found in {Reason.TRUNCATED, Reason.MISSING_UID}, end
        else:
            assert found in {Reason.EMPTY, Reason.NOT_DICOM}


@pytest.mark.parametrize("name", small_instances())
def test_one_flipped_byte_gives_a_reason_or_a_header_that_can_be_read(name: str) -> None:
    data = small_instances()[name]
    draw = random.Random(name)

    for at in range(128, len(data)):
        damaged = bytearray(data)
        damaged[at] ^= draw.choice((0xFF, 1 << draw.randrange(8)))
        found = outcome(bytes(damaged))
        if isinstance(found, Scan) and name != "deflated":
            assert restored(found.header, bytes(damaged)) in bytes(damaged)


def test_noise_gives_a_reason_or_a_header_that_can_be_read() -> None:
    draw = random.Random(7)
    head = minimal_instance()

    for _ in range(200):
        data = bytearray(head + draw.randbytes(draw.randrange(200)))
        for _ in range(draw.randrange(4)):
            at = draw.randrange(300, len(data))
            data[at : at + 4] = draw.randbytes(4)
        outcome(bytes(data))


# Windows


@pytest.mark.parametrize("name", small_instances())
def test_a_source_gives_what_bytes_give(name: str) -> None:
    data = small_instances()[name]

    assert scan(Source(data)) == scan(data)


def test_small_windows_give_what_bytes_give_wherever_they_end() -> None:
    text: list[Row] = [
        (0x00990000 | n, "UT", "x" * (20_000 + 7 * n)) for n in range(0x1000, 0x1012)
    ]
    nested: list[Row] = [
        (0x00081140, "SQ", [[(0x00080100, "SH", f"C{n}"), *text[:2]] for n in range(9)]),
        (0x00880200, "SQ", [[(0x7FE00010, "OW", b"i" * 115_000)]]),
        (0x7FE00010, "OW", b"p" * 30_000),
        (0xFFFCFFFC, "OB", bytes(70)),
    ]
    for undefined_lengths in (False, True):
        for syntax in (DEFLATED, "1.2.840.10008.1.2", "1.2.840.10008.1.2.1"):
            data = minimal_instance(
                extra=[*text, *nested],
                undefined_lengths=undefined_lengths,
                transfer_syntax_uid=syntax,
            )
            source = Source(data)
            found = scan(source, limits=SMALL_WINDOWS)

            assert found == scan(data)
            assert source.longest_read <= 1 << 20


def test_a_slice_is_scanned_by_two_reads_of_its_header() -> None:
    source = Source(next(ct_series(1)))

    scan(source)

    assert source.reads <= 3
    assert source.read_bytes < 300_000


@pytest.mark.parametrize("lost", [1, 100_000])
def test_an_object_that_shrinks_while_it_is_read_is_truncated(lost: int) -> None:
    class Shrinking(Source):
        def __init__(self, data: bytes) -> None:
            super().__init__(data)
            self.size += lost

        def read_at(self, offset: int, length: int) -> bytes:
            return self._data[offset : offset + length]

    data = minimal_instance(pixel_data=bytes(400_000)) + encode([(0xFFFCFFFC, "OB", b"x")])[:-1]

    with pytest.raises(Refused) as caught:
        scan(Shrinking(data))
    assert caught.value.reason is Reason.TRUNCATED


def test_a_hundred_gigabytes_are_scanned_in_flat_memory() -> None:
    fragment = 1 << 30
    head = part10(
        [*instance_rows(), (0x7FE00010, "OB", b"")], transfer_syntax_uid="1.2.840.10008.1.2.4.90"
    )[:-4] + struct.pack("<I", 0xFFFFFFFF)
    pieces = {0: head + ITEM}
    at = len(head) + 8
    for _ in range(100):
        pieces[at] = struct.pack("<HHI", 0xFFFE, 0xE000, fragment)
        at += 8 + fragment
    pieces[at] = END_OF_SEQUENCE
    source = Sparse(at + 8, pieces)

    tracemalloc.start()
    found = scan(source)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    (cut,) = found.header.cuts
    assert cut.length == 8 + 100 * (8 + fragment)
    assert source.read_bytes < 2 << 20
    assert peak < 2 << 20


def test_a_single_value_of_four_gigabytes_is_passed_over() -> None:
    length = 0xFFFFFFFE
    head = minimal_instance() + struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OW", 0, length)
    tail = encode([(0xFFFAFFFA, "SQ", [])])
    source = Sparse(len(head) + length + len(tail), {0: head, len(head) + length: tail})

    found = scan(source)

    assert found.header.cuts[0].length == length
    assert [element.tag for element in elements(found.header)][-1] == 0xFFFAFFFA
    assert source.read_bytes < 1 << 20


# Poison


def bounded(data: bytes, limits: Limits | None = None, *, seconds: float = 5) -> Scan | Reason:
    """Scan, and check what it took."""
    tracemalloc.start()
    started = time.process_time()
    try:
        return scan(data, limits=limits or Limits())
    except Refused as refused:
        return refused.reason
    finally:
        took = time.process_time() - started
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert took < seconds
        assert peak < 3 * len(data) + (20 << 20)


def test_a_hundred_thousand_nested_sequences_are_refused() -> None:
    data = minimal_instance() + (ENDLESS_SEQUENCE + ENDLESS_ITEM) * 100_000

    assert bounded(data) is Reason.NESTING_LIMIT


def test_a_hundred_thousand_nested_items_are_refused() -> None:
    data = minimal_instance() + ENDLESS_SEQUENCE + ENDLESS_ITEM * 100_000

    assert bounded(data) is Reason.MALFORMED


def test_many_elements_are_read() -> None:
    element = struct.pack("<HH2sH", 0x0099, 0x1001, b"CS", 0)
    data = minimal_instance() + element * 30_000

    found = bounded(data)

    assert isinstance(found, Scan)
    assert len(found.header.skeleton) > 8 * 30_000


def test_many_empty_items_are_read() -> None:
    data = minimal_instance() + ENDLESS_SEQUENCE + ITEM * 15_000 + END_OF_SEQUENCE

    assert isinstance(bounded(data), Scan)


def test_more_header_than_the_bound_is_refused_from_bytes_and_from_a_source() -> None:
    element = struct.pack("<HH2sH", 0x0099, 0x1001, b"LO", 1000) + bytes(1000)
    data = minimal_instance() + element * 3000
    limits = Limits(kept_bytes=1 << 20, window_bytes=1 << 19)

    for source in (data, Source(data)):
        with pytest.raises(Refused) as caught:
            scan(source, limits=limits)
        assert caught.value.reason is Reason.HEADER_LIMIT


def test_many_cuts_count_as_header() -> None:
    element = struct.pack("<HH2sHI", 0x0099, 0x1001, b"OB", 0, 66) + bytes(66)
    data = minimal_instance() + element * 8_000

    assert bounded(data, Limits(kept_bytes=1 << 19)) is Reason.HEADER_LIMIT


def test_more_fragments_than_the_bound_are_refused() -> None:
    head = minimal_instance() + struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OB", 0, 0xFFFFFFFF)
    data = head + ITEM * 15_000 + END_OF_SEQUENCE

    assert isinstance(bounded(data), Scan)
    assert bounded(data, Limits(fragments=14_999)) is Reason.ELEMENT_LIMIT


def test_a_deflate_bomb_costs_little_memory_and_time() -> None:
    head = minimal_instance(transfer_syntax_uid=DEFLATED)
    start = head.index(b"FILEROOM_TEST") + 14
    rows = encode(instance_rows()) + struct.pack("<HH2sHI", 0x7FE0, 0x10, b"OW", 0, 0xFFFFFFFE)
    deflater = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    zeros = bytes(1 << 20)
    data = head[:start] + deflater.compress(rows)
    data += b"".join(deflater.compress(zeros) for _ in range(40)) + deflater.flush()

    tracemalloc.start()
    with pytest.raises(Refused) as caught:
        scan(data, limits=Limits(inflated_bytes=36 << 20))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert caught.value.reason is Reason.HEADER_LIMIT
    assert peak < 16 << 20


def test_a_deflated_flood_of_small_elements_ends_at_the_header_bound() -> None:
    head = minimal_instance(transfer_syntax_uid=DEFLATED)
    start = head.index(b"FILEROOM_TEST") + 14
    flood = (struct.pack("<HH2sH", 0x0099, 0x1001, b"LO", 60_000) + bytes(60_000)) * 400
    deflater = zlib.compressobj(1, wbits=-zlib.MAX_WBITS)
    data = head[:start] + deflater.compress(encode(instance_rows()) + flood) + deflater.flush()

    assert bounded(data, Limits(kept_bytes=8 << 20)) is Reason.HEADER_LIMIT


def test_text_of_the_index_is_bounded_and_the_header_keeps_all_of_it() -> None:
    scanned = scan(minimal_instance(patient_id="1" * 60_000, patient_name="é" * 30_000))

    assert scanned.attributes.patient_id == "1" * 1024
    assert len(scanned.attributes.patient_name or "") == 1024
    assert b"1" * 60_000 in scanned.header.skeleton


def test_a_header_of_every_small_file_survives_the_database() -> None:
    for data in small_instances().values():
        header = scan(data).header
        assert decode_header(encode_header(header, 1), header_dictionary(1)) == header


def test_uids_of_a_poison_file_are_bounded() -> None:
    data = minimal_instance(sop_instance_uid=UID_ROOT + ".1" * 30_000)

    assert bounded(data) is Reason.INVALID_UID
