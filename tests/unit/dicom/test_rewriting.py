from __future__ import annotations

import struct
import warnings
from io import BytesIO
from typing import TYPE_CHECKING

import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fileroom.dicom.byte_order import swapped
from fileroom.dicom.encoding import DEFLATED as DEFLATED_SYNTAXES
from fileroom.dicom.inflate import Inflated
from fileroom.dicom.media_types import NATIVE_TRANSFER_SYNTAXES
from fileroom.dicom.part10 import Refused, scan
from fileroom.dicom.rewriting import PIECE_BYTES, explicit_little_endian, file_meta_bytes
from fileroom.errors import Unimplemented
from tests.corpus import (
    BIG_ENDIAN,
    DEFLATED,
    EXPLICIT,
    IMPLICIT,
    DataSet,
    encapsulated_instance,
    minimal_instance,
    mr_instance,
    sr_instance,
)
from tests.dicom_files import wheel_files

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydicom import Dataset

ENCODINGS = [EXPLICIT, IMPLICIT, BIG_ENDIAN, DEFLATED]


class Source:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self.size = len(data)

    def read_at(self, offset: int, length: int) -> bytes:
        return self._data[offset : offset + length]


def rewritten(data: bytes) -> bytes:
    """Rewrite a file as a retrieval does."""
    header = scan(data).header
    source = Source(data)
    read = source.read_at
    if header.transfer_syntax_uid in DEFLATED_SYNTAXES:
        read = Inflated(source, 132 + file_meta_bytes(header), 1 << 30).read_at
    rewriting = explicit_little_endian(header)
    pieces = list(rewriting.pieces(read))
    assert all(len(piece) <= PIECE_BYTES for piece in pieces)
    whole = b"".join(pieces)
    assert rewriting.size == len(whole)
    return whole


def parsed(data: bytes) -> pydicom.FileDataset:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pydicom.dcmread(BytesIO(data))


def flat(dataset: Dataset, path: str = "") -> Iterator[tuple[str, object]]:
    """Give each value with its path, binary ones little endian, group lengths left out."""
    for element in dataset:
        name = f"{path}/{element.tag}"
        if element.tag.element == 0:
            continue
        if element.VR == "SQ":
            for at, item in enumerate(element.value):
                yield from flat(item, f"{name}/{at}")
            yield name, len(element.value)
        elif element.VR == "OW" and not dataset.original_encoding[1] and element.value:
            yield name, swapped(element.value, 2)
        else:
            yield name, element.value if element.value != "" else None


@pytest.mark.parametrize("undefined_lengths", [True, False])
@pytest.mark.parametrize("transfer_syntax_uid", ENCODINGS)
def test_every_encoding_gives_one_and_the_same_data_set(
    transfer_syntax_uid: str, undefined_lengths: bool
) -> None:
    item: DataSet = [
        (0x00080100, "SH", "A"),
        (0x00189306, "FD", 0.5),
        (0x00081140, "SQ", [[(0x00081150, "UI", "1.2"), (0x00280009, "AT", [0x00181063])], []]),
    ]
    rows: DataSet = [
        (0x00080000, "UL", 4),
        (0x00081032, "SQ", [item, item]),
        (0x00281201, "OW", [*range(256)]),
        (0x00720076, "FL", [0.5, -1.0]),
        (0x00720078, "UL", [1, 2**32 - 1]),
        (0x00720082, "SV", [-5]),
        (0x0040A160, "UT", "x" * 100_001),
    ]
    numbers = [7, 1000, 65535, 0] * 300_000
    data = minimal_instance(
        transfer_syntax_uid=transfer_syntax_uid,
        undefined_lengths=undefined_lengths,
        extra=rows,
        rows=1000,
        columns=1200,
        bits_allocated=16,
        pixel_data=numbers,
    )
    result = parsed(rewritten(data))
    assert result.file_meta.TransferSyntaxUID == EXPLICIT
    expected = dict(
        flat(
            parsed(
                minimal_instance(
                    extra=rows, rows=1000, columns=1200, bits_allocated=16, pixel_data=numbers
                )
            )
        )
    )
    assert dict(flat(result)) == expected


def test_the_file_meta_information_is_kept_but_for_the_transfer_syntax() -> None:
    before, after = mr_instance(transfer_syntax_uid=IMPLICIT), None
    after = parsed(rewritten(before)).file_meta
    for element in parsed(before).file_meta:
        if element.keyword not in {"TransferSyntaxUID", "FileMetaInformationGroupLength"}:
            assert after[element.tag] == element
    header = rewritten(before)
    (length,) = struct.unpack_from("<I", header, 140)
    assert header[144 + length : 146 + length] == b"\x08\x00"


def test_a_preamble_of_another_format_does_not_outlive_its_offsets() -> None:
    data = b"II*\0" + mr_instance(transfer_syntax_uid=IMPLICIT)[4:]
    assert rewritten(data)[:132] == bytes(128) + b"DICM"


def test_a_value_too_long_for_its_explicit_vr_becomes_unknown() -> None:
    data = minimal_instance(
        transfer_syntax_uid=IMPLICIT, extra=[(0x00281050, "DS", "\\".join(["1.5"] * 20_000))]
    )
    element = parsed(rewritten(data))[0x00281050]
    values = element.value.decode().split("\\") if element.VR == "UN" else element.value
    assert len(values) == 20_000


def test_a_value_of_odd_length_is_padded() -> None:
    whole = minimal_instance(transfer_syntax_uid=IMPLICIT, extra=[(0x00081030, "LO", b"odd")])
    odd = whole.replace(struct.pack("<I", 4) + b"odd ", struct.pack("<I", 3) + b"odd")
    assert parsed(rewritten(odd)).StudyDescription == "odd"


def test_compressed_pixels_are_refused_by_name() -> None:
    with pytest.raises(Unimplemented, match=r"transfer-syntax=\*"):
        explicit_little_endian(scan(encapsulated_instance()).header)


@pytest.mark.parametrize("transfer_syntax_uid", [IMPLICIT, BIG_ENDIAN, DEFLATED])
def test_a_report_with_nested_sequences_stays_what_it_was(transfer_syntax_uid: str) -> None:
    data = sr_instance(findings=20, transfer_syntax_uid=transfer_syntax_uid)
    assert dict(flat(parsed(rewritten(data)))) == dict(flat(parsed(data)))


@pytest.mark.filterwarnings("ignore:Invalid value for VR", "ignore:Expected explicit VR")
def test_pydicoms_own_files_stay_what_they_were() -> None:
    count = 0
    for file in wheel_files():
        data = file.read_bytes()
        try:
            syntax = scan(data).header.transfer_syntax_uid
        except Refused:
            continue
        if syntax not in NATIVE_TRANSFER_SYNTAXES or syntax == EXPLICIT:
            continue
        assert dict(flat(parsed(rewritten(data)))) == dict(flat(parsed(data))), file.name
        count += 1
    assert count > 10


@settings(max_examples=50)
@given(st.binary(max_size=40), st.sampled_from([1, 2, 4, 8]))
def test_words_are_reversed_one_by_one_and_twice_is_once(value: bytes, word_bytes: int) -> None:
    once = swapped(value, word_bytes)
    assert swapped(once, word_bytes) == value
    end = len(value) // word_bytes * word_bytes
    words = [value[at : at + word_bytes][::-1] for at in range(0, end, word_bytes)]
    assert once == b"".join(words) + value[end:]
