"""What a scan keeps, what it indexes, and what it refuses."""

from __future__ import annotations

import pickle
import struct
import zlib
from typing import Any

import pytest

from fileroom.dicom.header import elements, find_elements
from fileroom.dicom.part10 import Limits, Refused, scan
from fileroom.errors import Code, Reason
from tests.corpus import (
    BIG_ENDIAN,
    CT_IMAGE,
    DEFLATED,
    EXPLICIT,
    IMPLICIT,
    UID_ROOT,
    Row,
    ct_series,
    encapsulated_instance,
    encode,
    instance_rows,
    minimal_instance,
    mr_instance,
    multi_frame_instance,
    part10,
    sr_instance,
)
from tests.scanning import original, restored, small_instances

SYNTAXES = (EXPLICIT, IMPLICIT, BIG_ENDIAN, DEFLATED)


def refusal(data: bytes, limits: Limits | None = None) -> Refused:
    with pytest.raises(Refused) as caught:
        scan(data, limits=limits or Limits())
    return caught.value


# What is indexed


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_the_same_attributes_are_read_in_every_encoding(syntax: str) -> None:
    data = minimal_instance(
        transfer_syntax_uid=syntax,
        specific_character_set="ISO_IR 192",
        patient_name="Müller^Jörg",
        study_description="Schädel ",
        rows=512,
        columns=256,
        bits_allocated=16,
        number_of_frames="3 ",
        instance_number="-7",
        timezone_offset_from_utc="+0100",
    )

    found = scan(data).attributes

    assert found.transfer_syntax_uid == syntax
    assert found.patient_name == "Müller^Jörg"
    assert found.study_description == "Schädel"
    assert (found.rows, found.columns, found.bits_allocated) == (512, 256, 16)
    assert (found.number_of_frames, found.instance_number) == (3, -7)
    assert found.study_instance_uid == f"{UID_ROOT}.2.1"
    assert found.specific_character_set == "ISO_IR 192"
    assert found.timezone_offset_from_utc == "+0100"


def test_absent_and_empty_attributes_are_none() -> None:
    found = scan(
        minimal_instance(patient_name="", accession_number=None, study_date="  ")
    ).attributes

    assert found.patient_name is None
    assert found.accession_number is None
    assert found.study_date is None
    assert found.rows is None


def test_of_a_repeated_element_the_last_counts_as_in_pydicom() -> None:
    rows = [*instance_rows(), (0x00100020, "LO", "SECOND")]

    scanned = scan(part10(rows))

    assert scanned.attributes.patient_id == "SECOND"
    assert find_elements(scanned.header, {0x00100020})[0x00100020].value == b"SECOND"


def test_attributes_of_sequence_items_are_not_indexed() -> None:
    nested: Row = (0x00081110, "SQ", [[(0x00100020, "LO", "INNER")]])
    data = minimal_instance(patient_id=None, extra=[nested])

    assert scan(data).attributes.patient_id is None


@pytest.mark.parametrize(
    ("vr", "value", "number"),
    [
        ("US", 5, 5),
        ("UL", 5, 5),
        ("IS", "5", 5),
        ("SS", -1, None),
        ("UL", 70_000, None),
        ("OB", b"\5\0", None),
        ("UN", b"\5\0", 5),
        ("US", b"", None),
        ("US", b"\5", None),
    ],
)
@pytest.mark.parametrize("syntax", [EXPLICIT, BIG_ENDIAN])
def test_rows_are_read_by_the_vr_that_is_written(
    vr: str, value: int | str | bytes, number: int | None, syntax: str
) -> None:
    if syntax == BIG_ENDIAN and isinstance(value, bytes):
        value = value[::-1]
    data = minimal_instance(transfer_syntax_uid=syntax, extra=[(0x00280010, vr, value)])

    assert scan(data).attributes.rows == number


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("12", 12),
        (" +12 ", 12),
        ("-3", -3),
        ("4.0", 4),
        ("4.5", None),
        ("1\\2", 1),
        ("1A", None),
        ("", None),
        ("9" * 19, None),
        ("9" * 4000, None),
    ],
)
def test_integer_strings_are_numbers_or_nothing(text: str, number: int | None) -> None:
    assert scan(minimal_instance(instance_number=text)).attributes.instance_number == number


# What is kept


@pytest.mark.parametrize("name", small_instances())
def test_header_and_cut_values_give_the_file_back(name: str) -> None:
    data = small_instances()[name]

    header = scan(data).header

    assert restored(header, data) == original(header, data)


@pytest.mark.parametrize(
    ("vr", "kept"),
    [
        ("OB", 64),
        ("OW", 64),
        ("UN", 64),
        ("OD", 2048),
        ("OF", 2048),
        ("OL", 2048),
        ("OV", 2048),
        ("UC", 65536),
        ("UT", 65536),
        ("UR", 65536),
        ("SV", 65536),
        ("UV", 65536),
    ],
)
def test_a_value_is_cut_above_the_bound_of_its_vr(vr: str, kept: int) -> None:
    at_bound = minimal_instance(extra=[(0x00991001, vr, b"A" * kept)])
    above = minimal_instance(extra=[(0x00991001, vr, b"A" * (kept + 2))])

    assert scan(at_bound).header.cuts == ()
    (cut,) = scan(above).header.cuts
    assert above[cut.offset : cut.offset + cut.length] == b"A" * (kept + 2)
    assert find_elements(scan(above).header, {0x00991001})[0x00991001].cut == cut


@pytest.mark.parametrize(
    ("tag", "kept"),
    [(0x7FE00010, 64), (0x00991001, 64), (0x00080119, 65536), (0x00660022, 2048)],
)
def test_in_implicit_vr_the_dictionary_says_what_is_cut(tag: int, kept: int) -> None:
    at_bound = minimal_instance(transfer_syntax_uid=IMPLICIT, extra=[(tag, "UN", b"A" * kept)])
    above = minimal_instance(transfer_syntax_uid=IMPLICIT, extra=[(tag, "UN", b"A" * (kept + 2))])

    assert scan(at_bound).header.cuts == ()
    assert [cut.length for cut in scan(above).header.cuts] == [kept + 2]


def test_elements_after_pixel_data_are_kept_and_values_in_sequences_cut() -> None:
    item: list[Row] = [(0x7FE00010, "OW", b"i" * 100), (0x7FE10001, "LO", "x")]
    icon: Row = (0x00880200, "SQ", [item])
    signature: Row = (0xFFFAFFFA, "SQ", [[(0x04000120, "OB", b"s" * 300)]])
    data = minimal_instance(pixel_data=b"p" * 1000, extra=[icon, signature])

    header = scan(data).header

    assert [cut.length for cut in header.cuts] == [100, 1000, 300]
    assert [element.tag for element in elements(header)][-2:] == [0x7FE00010, 0xFFFAFFFA]
    assert restored(header, data) == original(header, data)


@pytest.mark.parametrize("frames", [0, 1, 5])
def test_encapsulated_pixel_data_are_one_cut_up_to_their_delimiter(frames: int) -> None:
    data = encapsulated_instance(frames=frames, fragment_bytes=33)

    header = scan(data).header

    (cut,) = header.cuts
    assert data[cut.offset : cut.offset + 4] == b"\xfe\xff\x00\xe0"
    assert data[cut.offset + cut.length :] == struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
    pixels = find_elements(header, {0x7FE00010})[0x7FE00010]
    assert (pixels.vr, pixels.cut, pixels.length) == ("OB", cut, cut.length)


def test_a_deflated_data_set_counts_offsets_in_the_inflated_stream() -> None:
    header = scan(mr_instance(transfer_syntax_uid=DEFLATED)).header

    plain = scan(mr_instance()).header
    assert header.cuts[0].offset < header.cuts[0].position
    assert [cut.length for cut in header.cuts] == [cut.length for cut in plain.cuts]


def test_wrong_group_length_and_none_are_both_read() -> None:
    rows = instance_rows()
    plain = part10(rows)
    at = plain.index(struct.pack("<HH2sH", 2, 0, b"UL", 4)) + 8

    assert scan(part10(rows, group_length=False)).attributes == scan(plain).attributes
    for wrong in (0, 9, 0x7FFFFFFF, 0xFFFFFFFF):
        data = plain[:at] + struct.pack("<I", wrong) + plain[at + 4 :]
        assert scan(data).attributes == scan(plain).attributes


@pytest.mark.parametrize(("said", "is_implicit"), [(EXPLICIT, True), (IMPLICIT, False)])
def test_a_transfer_syntax_that_lies_about_its_vrs_is_not_believed(
    said: str, is_implicit: bool
) -> None:
    rows = instance_rows()
    meta = part10(rows, transfer_syntax_uid=said)[: -len(encode(rows, implicit=said == IMPLICIT))]

    scanned = scan(meta + encode(rows, implicit=is_implicit))

    assert scanned.attributes.patient_id == "P1"
    assert {element.tag: element.vr for element in elements(scanned.header)}[0x00100020] == "LO"


def test_implicit_items_in_an_explicit_data_set_are_read() -> None:
    inner = encode([(0x00080100, "SH", "CODE"), (0x7FE00010, "OW", b"x" * 80)], implicit=True)
    item = struct.pack("<HHI", 0xFFFE, 0xE000, len(inner)) + inner
    defined = struct.pack("<HH2sHI", 0x9999, 0x1001, b"SQ", 0, len(item)) + item
    delimiter = struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
    unknown = struct.pack("<HH2sHI", 0x9999, 0x1002, b"UN", 0, 0xFFFFFFFF) + item + delimiter

    header = scan(minimal_instance() + defined + unknown).header

    found = find_elements(header, {0x99991001, 0x99991002})
    for element in found.values():
        assert element.vr == "SQ"
        assert element.items is not None
        assert [(inner.tag, inner.vr) for inner in element.items[0]] == [
            (0x00080100, "SH"),
            (0x7FE00010, "OW"),
        ]
    assert [cut.length for cut in header.cuts] == [80, 80]


def test_a_blank_vr_has_a_length_of_two_bytes() -> None:
    blank = struct.pack("<HH2sH", 0x0028, 0x0120, b"  ", 2) + b"\1\0"
    data = minimal_instance() + blank + encode([(0x00281050, "DS", "40")])

    found = find_elements(scan(data).header, {0x00280120, 0x00281050})

    assert found[0x00280120].vr == "UN"
    assert found[0x00281050].value == b"40"


@pytest.mark.parametrize("padding", [b"\0", bytes(7), bytes(8), bytes(4096), bytes(300_000)])
@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG_ENDIAN])
def test_padding_after_the_last_element_is_passed_over(padding: bytes, syntax: str) -> None:
    data = minimal_instance(transfer_syntax_uid=syntax)

    assert scan(data + padding) == scan(data)


@pytest.mark.parametrize("element", [0xE00D, 0xE0DD])
def test_stray_delimiters_after_the_last_element_are_passed_over(element: int) -> None:
    data = minimal_instance()

    assert scan(data + struct.pack("<HHI", 0xFFFE, element, 0) * 2) == scan(data)


def test_padding_as_an_element_is_an_element() -> None:
    data = minimal_instance(extra=[(0xFFFCFFFC, "OB", bytes(1000))])

    assert [cut.length for cut in scan(data).header.cuts] == [1000]


@pytest.mark.parametrize("undefined_lengths", [False, True])
@pytest.mark.parametrize("syntax", SYNTAXES)
def test_sequences_nest_sixty_four_deep_and_no_deeper(syntax: str, undefined_lengths: bool) -> None:
    def nested(depth: int) -> bytes:
        item: list[Row] = [(0x00080100, "SH", "END")]
        for _ in range(depth):
            item = [(0x00081110, "SQ", [item])]
        return minimal_instance(
            extra=item, transfer_syntax_uid=syntax, undefined_lengths=undefined_lengths
        )

    deepest = find_elements(scan(nested(64)).header, {0x00081110})[0x00081110]
    for _ in range(63):
        assert deepest.items is not None
        ((deepest,),) = deepest.items
    assert deepest.items is not None
    assert deepest.items[0][0].value == b"END "
    assert refusal(nested(65)).reason is Reason.NESTING_LIMIT


# What is refused


def test_an_empty_object_is_refused_in_googles_words() -> None:
    refused = refusal(b"")

    assert refused.message == "empty DICOM instance found"
    assert (refused.reason, refused.code) == (Reason.EMPTY, Code.INVALID_ARGUMENT)


@pytest.mark.parametrize(
    "data",
    [
        b"\x89PNG\r\n\x1a\n" + bytes(500),
        b"x",
        bytes(132),
        b"DICM" + bytes(200),
        encode(instance_rows()),
        minimal_instance()[128:],
        minimal_instance()[132:],
        minimal_instance()[:131],
    ],
)
def test_what_lacks_the_prefix_is_not_dicom(data: bytes) -> None:
    assert refusal(data).reason is Reason.NOT_DICOM


def test_a_dicomdir_is_refused_as_such() -> None:
    directory = part10(
        [(0x00041130, "CS", "SET"), (0x00041220, "SQ", [])],
        media_storage_sop_class_uid="1.2.840.10008.1.3.10",
    )

    assert refusal(directory).reason is Reason.DICOMDIR


@pytest.mark.parametrize(
    ("name", "tag"),
    [
        ("study_instance_uid", "0020000D"),
        ("series_instance_uid", "0020000E"),
        ("sop_instance_uid", "00080018"),
        ("sop_class_uid", "00080016"),
    ],
)
@pytest.mark.parametrize("value", [None, "", b"\0\0"])
def test_an_instance_without_one_of_its_uids_is_refused(
    name: str, tag: str, value: str | bytes | None
) -> None:
    uids: dict[str, Any] = {name: value}

    refused = refusal(minimal_instance(**uids))

    assert (refused.reason, refused.tag) == (Reason.MISSING_UID, tag)


def test_a_file_without_transfer_syntax_is_refused() -> None:
    data = part10(instance_rows(), meta=[(0x00020002, "UI", CT_IMAGE)])

    refused = refusal(data)

    assert (refused.reason, refused.tag) == (Reason.MISSING_UID, "00020010")


@pytest.mark.parametrize(
    ("uid", "taken"),
    [
        ("1", True),
        ("1.02.003", True),
        ("1.2\0", True),
        ("1.2 \0", True),
        ("1" * 64, True),
        ("1" * 65, False),
        ("1..2", False),
        (".1", False),
        ("1.", False),
        ("1.2a", False),
        (" 1.2", False),
        ("1.2\\1.3", False),
        ("../../etc/passwd", False),
        ("１.２", False),
    ],
)
def test_uids_are_digits_with_single_dots(uid: str, taken: bool) -> None:
    data = minimal_instance(sop_instance_uid=uid)

    if taken:
        assert scan(data).attributes.sop_instance_uid == uid.rstrip("\0 ")
    else:
        refused = refusal(data)
        assert (refused.reason, refused.tag) == (Reason.INVALID_UID, "00080018")


_ITEM = struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)
_SEQUENCE = struct.pack("<HH2sHI", 0x0040, 0xA730, b"SQ", 0, 0xFFFFFFFF)


@pytest.mark.parametrize(
    ("tail", "reason", "tag"),
    [
        (struct.pack("<HH2sHI", 0x99, 0x10, b"UT", 0, 1 << 31), Reason.TRUNCATED, "00990010"),
        (struct.pack("<HH2sHI", 0x99, 0x10, b"OB", 0, 0xFFFFFFFE), Reason.TRUNCATED, "00990010"),
        (struct.pack("<HH2sH", 0x99, 0x10, b"LO", 10) + b"short", Reason.TRUNCATED, "00990010"),
        (struct.pack("<HH2sH", 0x99, 0x10, b"OB", 0), Reason.TRUNCATED, "00990010"),
        (b"\x99\0\x10\0", Reason.TRUNCATED, None),
        (_SEQUENCE, Reason.TRUNCATED, "0040A730"),
        (_SEQUENCE + _ITEM, Reason.TRUNCATED, None),
        (_SEQUENCE + b"\0" * 8, Reason.MALFORMED, "0040A730"),
        (struct.pack("<HH2sHI", 0x99, 0x10, b"SQ", 0, 1 << 31), Reason.TRUNCATED, "00990010"),
        (struct.pack("<HH2sH", 0x99, 0x10, b"ZZ", 0), Reason.MALFORMED, "00990010"),
        (struct.pack("<HH2sH", 0x99, 0x10, b"\0\0", 0), Reason.MALFORMED, "00990010"),
        (struct.pack("<HH2sHI", 0x99, 0x10, b"UT", 0, 0xFFFFFFFF), Reason.MALFORMED, "00990010"),
        (_ITEM + bytes(8), Reason.MALFORMED, "FFFEE000"),
        (struct.pack("<HHI", 0xFFFE, 0xE00D, 0) + b"junk", Reason.MALFORMED, "FFFEE00D"),
        (struct.pack("<HHI", 0, 0x0002, 4) + b"1.2\0", Reason.MALFORMED, "00000002"),
    ],
)
def test_a_refusal_names_reason_tag_and_place(tail: bytes, reason: Reason, tag: str | None) -> None:
    good = minimal_instance()

    refused = refusal(good + tail)

    assert (refused.reason, refused.tag) == (reason, tag)
    assert refused.byte_offset is not None
    assert len(good) <= refused.byte_offset <= len(good) + len(tail)


def test_an_element_longer_than_its_item_is_malformed() -> None:
    inner = struct.pack("<HH2sH", 0x0008, 0x0100, b"SH", 20) + b"CODE"
    item = struct.pack("<HHI", 0xFFFE, 0xE000, len(inner)) + inner
    sequence = struct.pack("<HH2sHI", 0x0099, 0x1001, b"SQ", 0, len(item)) + item
    good = minimal_instance()

    refused = refusal(good + sequence + encode([(0x01010010, "LO", "x" * 60)]))

    assert (refused.reason, refused.tag) == (Reason.MALFORMED, "00080100")
    assert refused.byte_offset == len(good) + 20


@pytest.mark.parametrize(
    ("item_length", "sequence_length"),
    [(20, 8), (0, 4), (0, 12), (1 << 30, 0xFFFFFFFF), (0xFFFFFFFF, 8)],
)
def test_an_item_must_end_inside_its_sequence(item_length: int, sequence_length: int) -> None:
    header = struct.pack("<HH2sHI", 0x0099, 0x1001, b"SQ", 0, sequence_length)
    data = (
        minimal_instance() + header + struct.pack("<HHI", 0xFFFE, 0xE000, item_length) + bytes(24)
    )

    assert refusal(data).reason in {Reason.MALFORMED, Reason.TRUNCATED}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ((b"UI", b"ZZ"), Reason.MALFORMED),
        ((b"UI", b"\0\0"), Reason.MALFORMED),
        ((b"UI", b"SQ"), Reason.MALFORMED),
    ],
)
def test_file_meta_elements_have_a_vr_they_may_have(
    change: tuple[bytes, bytes], reason: Reason
) -> None:
    before, after = change

    refused = refusal(minimal_instance().replace(b"\x02\0\x12\0" + before, b"\x02\0\x12\0" + after))

    assert (refused.reason, refused.tag) == (reason, "00020012")


def test_an_overlong_file_meta_element_is_refused() -> None:
    private: Row = (0x00020102, "OB", bytes(70_000))
    data = part10(instance_rows(), meta=[(0x00020010, "UI", EXPLICIT), private])

    assert refusal(data).reason is Reason.HEADER_LIMIT


def test_no_refusal_tells_an_attribute_value() -> None:
    good = minimal_instance(patient_name="ZZPHI^ZZPHI", patient_id="ZZPHI", study_id="ZZPHI")
    bad = [
        minimal_instance(patient_name="ZZPHI", sop_instance_uid="ZZPHI"),
        good + b"ZZPHI",
        good.replace(b"PN", b"ZZ"),
        good[:-15],
        good.replace(EXPLICIT.encode(), b"ZZPHI0.10008.1.2.1\0"),
    ]

    for data in bad:
        refused = refusal(data)
        assert "ZZPHI" not in str(refused)
        assert "ZZPHI" not in repr(refused.args)


def test_a_refusal_crosses_a_process_border() -> None:
    refused = refusal(minimal_instance(study_instance_uid=None))

    copy = pickle.loads(pickle.dumps(refused))

    assert (copy.message, copy.reason, copy.tag, copy.byte_offset, copy.code) == (
        refused.message,
        refused.reason,
        refused.tag,
        refused.byte_offset,
        refused.code,
    )


# Deflated data sets


def deflated(data_set: bytes) -> bytes:
    head = minimal_instance(transfer_syntax_uid=DEFLATED)
    start = head.index(b"FILEROOM_TEST") + 14
    deflater = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    return head[:start] + deflater.compress(data_set) + deflater.flush()


def test_a_deflated_data_set_that_ends_early_is_truncated() -> None:
    data = mr_instance(transfer_syntax_uid=DEFLATED)

    for end in (len(data) - 1, len(data) - 100, len(data) // 2):
        assert refusal(data[:end]).reason is Reason.TRUNCATED


def test_a_damaged_deflated_data_set_is_malformed() -> None:
    data = bytearray(sr_instance(transfer_syntax_uid=DEFLATED, findings=50))
    start = data.index(b"FILEROOM_TEST") + 14
    data[start : start + 1] = b"\xff"

    refused = refusal(bytes(data))

    assert refused.reason is Reason.MALFORMED
    assert refused.byte_offset == start


def test_bytes_after_the_deflated_stream_do_not_matter() -> None:
    data = sr_instance(transfer_syntax_uid=DEFLATED)

    assert scan(data + b"\0") == scan(data)


def test_an_inflated_stream_is_walked_to_a_bound_and_no_further() -> None:
    rows = encode(instance_rows()) + struct.pack("<HH2sHI", 0x7FE0, 0x10, b"OW", 0, 20 << 20)
    data = deflated(rows + bytes(20 << 20))

    assert scan(data).header.cuts[0].length == 20 << 20
    assert refusal(data, Limits(inflated_bytes=10 << 20)).reason is Reason.HEADER_LIMIT


def test_a_small_object_is_not_inflated_without_end() -> None:
    limits = Limits()

    assert limits.inflated_bytes_max(1000) < 300 << 20
    assert limits.inflated_bytes_max(100 << 20) == limits.inflated_bytes


@pytest.mark.parametrize("more", [0, 1, 2, 100, 255, 256, 257, 258, 259, 1000])
def test_an_inflated_stream_may_end_anywhere(more: int) -> None:
    length = (1 << 20) + more - len(encode(instance_rows())) - 12
    pixels = struct.pack("<HH2sHI", 0x7FE0, 0x10, b"OW", 0, length) + bytes(length)

    (cut,) = scan(deflated(encode(instance_rows()) + pixels)).header.cuts

    assert cut.length == length


def test_a_value_longer_than_the_inflated_stream_is_truncated() -> None:
    rows = encode(instance_rows()) + struct.pack("<HH2sHI", 0x7FE0, 0x10, b"OW", 0, 1 << 30)

    refused = refusal(deflated(rows + bytes(100_000)))

    assert (refused.reason, refused.tag) == (Reason.TRUNCATED, "7FE00010")
    assert refused.byte_offset == len(encode(instance_rows()))


def test_multi_frame_and_slices_are_read() -> None:
    assert scan(multi_frame_instance(frames=5)).attributes.number_of_frames == 5
    numbers = [scan(data).attributes.instance_number for data in ct_series(3, rows=8)]
    assert numbers == [1, 2, 3]
