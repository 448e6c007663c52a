"""Headers: their elements, and the way to the database and back."""

from __future__ import annotations

import hashlib
import struct
from concurrent.futures import ThreadPoolExecutor

import pytest
import zstandard

from fileroom.dicom.header import (
    CURRENT_DICTIONARY_ID,
    Cut,
    Header,
    big_endian,
    decode_header,
    elements,
    encode_header,
    file_meta,
    find_elements,
    header_dictionary,
    serialize_header,
)
from fileroom.dicom.part10 import scan
from fileroom.errors import DataLoss
from tests.corpus import (
    BIG_ENDIAN,
    DEFLATED,
    EXPLICIT,
    IMPLICIT,
    Row,
    ct_series,
    encapsulated_instance,
    encode,
    instance_rows,
    minimal_instance,
    mr_instance,
    part10,
    sr_instance,
)
from tests.scanning import small_instances

DICTIONARY_1 = "c03b8e81e58b4eabe459e1c38e6ebe4906f6324ffa37eab61dbe0eb32a475f85"
PATIENT_NAME = 0x00100010
CONTENT = 0x0040A730


def header_of(data: bytes) -> Header:
    return scan(data).header


# Elements


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG_ENDIAN, DEFLATED])
def test_elements_come_in_the_order_of_the_file_with_vr_and_bytes(syntax: str) -> None:
    header = header_of(minimal_instance(transfer_syntax_uid=syntax, rows=7))

    found = {element.tag: element for element in elements(header)}

    assert list(found) == sorted(found)
    assert found[PATIENT_NAME].vr == "PN"
    assert found[PATIENT_NAME].value == b"Sample^Sam"
    assert found[0x00280010].vr == "US"
    assert found[0x00280010].value == struct.pack(">H" if big_endian(header) else "<H", 7)
    assert big_endian(header) is (syntax == BIG_ENDIAN)


@pytest.mark.parametrize("undefined_lengths", [False, True])
@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG_ENDIAN])
def test_a_sequence_gives_its_items(syntax: str, undefined_lengths: bool) -> None:
    header = header_of(
        sr_instance(findings=2, transfer_syntax_uid=syntax, undefined_lengths=undefined_lengths)
    )

    content = find_elements(header, {CONTENT})[CONTENT]

    assert content.items is not None
    texts = [item[-1].value for item in content.items]
    assert texts == [b"Finding number 0: nothing of note.", b"Finding number 1: nothing of note."]
    name = content.items[1][2]
    assert name.items is not None
    assert name.items[0][0].value == b"121071"


def test_the_length_of_a_sequence_counts_what_is_cut_out_of_it() -> None:
    item: list[Row] = [(0x00880140, "UI", "1.2.3"), (0x7FE00010, "OW", b"i" * 300)]
    plain = encode([(0x00880200, "SQ", [item])])
    header = header_of(minimal_instance(extra=[(0x00880200, "SQ", [item])]))

    element = find_elements(header, {0x00880200})[0x00880200]

    assert element.length == len(plain) - 12
    assert element.items is not None
    cut = element.items[0][1].cut
    assert cut is not None
    assert cut.length == 300


def test_cut_values_after_a_skipped_sequence_are_still_found() -> None:
    item: list[Row] = [(0x7FE00010, "OW", b"i" * 300)]
    extra: list[Row] = [(0x00880200, "SQ", [item, item]), (0x00991001, "OB", b"o" * 200)]
    for undefined_lengths in (False, True):
        data = minimal_instance(
            extra=extra, pixel_data=b"p" * 400, undefined_lengths=undefined_lengths
        )
        found = find_elements(header_of(data), {0x00991001, 0x7FE00010})
        values = []
        for element in found.values():
            assert element.cut is not None
            values.append(data[element.cut.offset : element.cut.offset + element.cut.length])
        assert values == [b"o" * 200, b"p" * 400]


def test_a_long_sequence_is_given_without_items_when_asked() -> None:
    for undefined_lengths in (False, True):
        header = header_of(sr_instance(findings=9, undefined_lengths=undefined_lengths))
        whole = {element.tag: element for element in elements(header)}
        short = {element.tag: element for element in elements(header, sequence_bytes_max=200)}

        assert list(short) == list(whole)
        assert short[CONTENT].items == ()
        assert short[CONTENT].length == whole[CONTENT].length
        assert short[0x0040A043] == whole[0x0040A043]


def test_elements_stop_after_the_group_of_the_last_wanted_tag() -> None:
    header = header_of(minimal_instance())

    found = [element.tag for element in elements(header, stop_after=PATIENT_NAME)]

    assert PATIENT_NAME in found
    assert max(found) >> 16 == PATIENT_NAME >> 16


def test_out_of_order_elements_are_found_all_the_same() -> None:
    rows = [*instance_rows(), (0x00080070, "LO", "LATE")]
    header = header_of(part10(rows))

    assert not header.in_order
    assert find_elements(header, {0x00080070})[0x00080070].value == b"LATE"
    assert 0x00080070 in [element.tag for element in elements(header, stop_after=PATIENT_NAME)]


def test_file_meta_is_told_apart_from_the_data_set() -> None:
    meta = {element.tag: element.value for element in file_meta(header_of(minimal_instance()))}

    assert meta[0x00020010] == EXPLICIT.encode() + b"\0"
    assert {tag >> 16 for tag in meta} == {2}
    assert all(element.tag >> 16 > 2 for element in elements(header_of(minimal_instance())))


def test_encapsulated_pixels_are_one_element() -> None:
    last = list(elements(header_of(encapsulated_instance())))[-1]

    assert last.vr == "OB"
    assert last.items is None
    assert last.cut is not None


@pytest.mark.parametrize(("pixel_representation", "vr"), [(0, "US"), (1, "SS"), (None, "US")])
def test_pixel_representation_decides_between_us_and_ss(
    pixel_representation: int | None, vr: str
) -> None:
    lut: Row = (0x00283000, "SQ", [[(0x00283002, "US", [1, 2, 16])]])
    data = minimal_instance(
        transfer_syntax_uid=IMPLICIT,
        pixel_representation=pixel_representation,
        extra=[(0x00280106, "US", 5), lut],
    )

    found = find_elements(header_of(data), {0x00280106, 0x00283000})

    assert found[0x00280106].vr == vr
    items = found[0x00283000].items
    assert items is not None
    assert items[0][0].vr == vr


@pytest.mark.parametrize(
    ("tag", "vr"),
    [
        (0x00100010, "PN"),
        (0x00990010, "LO"),
        (0x00991001, "UN"),
        (0x00100000, "UL"),
        (0x60023000, "OW"),
        (0x50020010, "US"),
        (0x00189999, "UN"),
        (0x00283006, "OW"),
    ],
)
def test_implicit_elements_have_the_vr_of_the_dictionary(tag: int, vr: str) -> None:
    data = minimal_instance(transfer_syntax_uid=IMPLICIT, extra=[(tag, "LO", "12")])

    assert find_elements(header_of(data), {tag})[tag].vr == vr


# The database's form


@pytest.mark.parametrize("name", small_instances())
def test_a_header_comes_back_from_its_stored_form(name: str) -> None:
    header = header_of(small_instances()[name])

    z = encode_header(header, CURRENT_DICTIONARY_ID)

    assert decode_header(z, header_dictionary(CURRENT_DICTIONARY_ID)) == header
    assert zstandard.get_frame_parameters(z).dict_id == CURRENT_DICTIONARY_ID


def test_cuts_beyond_four_gigabytes_come_back() -> None:
    header = Header(EXPLICIT, b"x" * 100, (Cut(3, 1 << 40, 1 << 36), Cut(9, 1 << 41, 0)), False)

    assert decode_header(encode_header(header, 1), header_dictionary(1)) == header


def test_a_slice_takes_a_quarter_of_what_zstd_alone_needs() -> None:
    header = header_of(next(ct_series(1, rows=8, seed=4711)))
    alone = zstandard.ZstdCompressor(level=3).compress(serialize_header(header))

    assert len(encode_header(header, 1)) < len(alone) / 3


def test_a_damaged_header_is_data_loss() -> None:
    z = encode_header(header_of(mr_instance()), 1)
    dictionary = header_dictionary(1)

    for at in range(len(z)):
        damaged = bytearray(z)
        damaged[at] ^= 0x55
        with pytest.raises(DataLoss):
            decode_header(bytes(damaged), dictionary)
    for end in range(len(z)):
        with pytest.raises(DataLoss):
            decode_header(z[:end], dictionary)


def test_a_header_of_a_later_format_is_told_as_such() -> None:
    plain = bytearray(serialize_header(header_of(minimal_instance())))
    plain[0] = 9
    dictionary = zstandard.ZstdCompressionDict(header_dictionary(1))
    z = zstandard.ZstdCompressor(dict_data=dictionary).compress(bytes(plain))

    with pytest.raises(DataLoss, match="format 9"):
        decode_header(z, header_dictionary(1))


def test_threads_do_not_disturb_one_another() -> None:
    headers = [header_of(data) for data in small_instances().values()]

    def back(header: Header) -> Header:
        return decode_header(encode_header(header, 1), header_dictionary(1))

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(back, headers * 30)) == headers * 30


def test_the_shipped_dictionary_never_changes() -> None:
    assert hashlib.sha256(header_dictionary(1)).hexdigest() == DICTIONARY_1
    assert CURRENT_DICTIONARY_ID == 1


def test_the_shipped_dictionary_names_nobody_real() -> None:
    content = header_dictionary(1)
    header = header_of(next(ct_series(1, rows=4, seed=99)))
    found = find_elements(header, {PATIENT_NAME, 0x00100020, 0x0020000D, 0x00080050})

    assert all(element.value.strip() not in content for element in found.values())
