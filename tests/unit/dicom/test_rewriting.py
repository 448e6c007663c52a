from __future__ import annotations

import re
import struct
import subprocess
from io import BytesIO
from typing import TYPE_CHECKING

import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataelem import RawDataElement

from fileroom.dicom.byte_order import swapped
from fileroom.dicom.media_types import NATIVE_TRANSFER_SYNTAXES
from fileroom.dicom.part10 import scan
from fileroom.dicom.pixels.failure import PixelError
from fileroom.dicom.rewriting import (
    PIECE_BYTES,
    Rewriting,
    explicit_little_endian,
    native_rewriting,
)
from fileroom.errors import Reason, Unimplemented
from tests.against_pydicom import READ_OTHERWISE, flat, quiet
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
from tests.data_sets import data_sets
from tests.stored import real_instances, stored
from tests.tools import require_tool

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pydicom import Dataset

ENCODINGS = [EXPLICIT, IMPLICIT, BIG_ENDIAN, DEFLATED]
TARGETS = [EXPLICIT, IMPLICIT, DEFLATED]


def rewritten(data: bytes, transfer_syntax_uid: str = EXPLICIT) -> bytes:
    """Rewrite a file as a retrieval does."""
    instance = stored(data)
    rewriting = native_rewriting(instance.header, transfer_syntax_uid)
    pieces = list(rewriting.pieces(instance.reader()))
    assert all(len(piece) <= PIECE_BYTES for piece in pieces)
    whole = b"".join(pieces)
    assert rewriting.size == (None if transfer_syntax_uid == DEFLATED else len(whole))
    return whole


def raw_values(dataset: Dataset, path: str = "") -> Iterator[tuple[str, bytes]]:
    """Give the bytes of each value with its path, group lengths left out.

    pydicom forgets the bytes of a value once it is asked for.
    """
    for tag, element in list(dataset._dict.items()):
        name = f"{path}/{tag:08X}"
        if tag.element == 0:
            continue
        is_raw = isinstance(element, RawDataElement)
        if not is_raw or element.VR in {None, "SQ"}:
            items = dataset[tag].value if dataset[tag].VR == "SQ" else None
            if items is not None:
                yield name, b"%d items" % len(items)
                for at, item in enumerate(items):
                    yield from raw_values(item, f"{name}/{at}")
                continue
        # What pydicom has looked at for its own purposes is no longer raw.
        yield name, (element.value or b"") if is_raw else str(element.value).encode()


def unpadded(dataset: Dataset) -> dict[str, bytes]:
    with quiet():
        return {path: value.rstrip(b"\0 ") for path, value in raw_values(dataset)}


def parsed(data: bytes) -> pydicom.FileDataset:
    with quiet():
        return pydicom.dcmread(BytesIO(data))


@pytest.mark.parametrize("undefined_lengths", [True, False])
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("transfer_syntax_uid", ENCODINGS)
def test_every_encoding_gives_one_and_the_same_data_set(
    transfer_syntax_uid: str, target: str, undefined_lengths: bool
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
    result = parsed(rewritten(data, target))
    assert result.file_meta.TransferSyntaxUID == target
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


@pytest.mark.clause(
    "PS3.5 A.1, A.2, A.5", "every native real file keeps every value in every native encoding"
)
@pytest.mark.parametrize("target", TARGETS)
def test_real_files_keep_every_value(target: str) -> None:
    count = 0
    for instance in real_instances():
        syntax = instance.header.transfer_syntax_uid
        if syntax not in NATIVE_TRANSFER_SYNTAXES or instance.name in READ_OTHERWISE:
            continue
        before, after = parsed(instance.data), parsed(rewritten(instance.data, target))
        if syntax == BIG_ENDIAN:
            with quiet():
                assert public(after) == public(before), instance.name
        else:
            assert unpadded(after) == unpadded(before), instance.name
        count += 1
    assert count > 20


def public(dataset: Dataset) -> dict[str, object]:
    """Give the values whose VR is known also where it is not written."""
    return {
        path: value
        for path, value in flat(dataset)
        if not any(int(group, 16) % 2 for group in re.findall(r"\((\w{4}),", path))
    }


@settings(max_examples=60)
@given(data_sets(), st.sampled_from(ENCODINGS), st.sampled_from(TARGETS), st.booleans())
def test_any_data_set_keeps_every_value(
    rows: DataSet, source: str, target: str, undefined_lengths: bool
) -> None:
    data = minimal_instance(
        transfer_syntax_uid=source, extra=rows, undefined_lengths=undefined_lengths
    )
    # Big endian values come out as those of the same rows in little endian.
    syntax = EXPLICIT if source == BIG_ENDIAN else source
    expected = minimal_instance(
        transfer_syntax_uid=syntax, extra=rows, undefined_lengths=undefined_lengths
    )
    assert unpadded(parsed(rewritten(data, target))) == unpadded(parsed(expected))


@pytest.mark.parametrize("target", TARGETS)
def test_dcmtk_reads_what_is_written_without_complaint(target: str, tmp_path: Path) -> None:
    dcmftest, dcmdump = require_tool("dcmftest"), require_tool("dcmdump")
    file = tmp_path / "written.dcm"
    sources = [sr_instance(findings=5, transfer_syntax_uid=each) for each in ENCODINGS]
    for data in [*sources, mr_instance(transfer_syntax_uid=BIG_ENDIAN)]:
        file.write_bytes(rewritten(data, target))
        told = subprocess.run([dcmftest, file], capture_output=True, check=True, text=True)
        assert told.stdout.startswith("yes")
        told = subprocess.run([dcmdump, "+W", tmp_path, file], capture_output=True, text=True)
        assert (told.returncode, told.stderr) == (0, "")


@settings(max_examples=50)
@given(st.binary(max_size=40), st.sampled_from([1, 2, 4, 8]))
def test_words_are_reversed_one_by_one_and_twice_is_once(value: bytes, word_bytes: int) -> None:
    once = swapped(value, word_bytes)
    assert swapped(once, word_bytes) == value
    end = len(value) // word_bytes * word_bytes
    words = [value[at : at + word_bytes][::-1] for at in range(0, end, word_bytes)]
    assert once == b"".join(words) + value[end:]


@pytest.mark.parametrize("syntax", [EXPLICIT, BIG_ENDIAN, DEFLATED])
@given(draw=st.data())
@settings(max_examples=40, deadline=None)
def test_a_span_of_a_rewriting_is_what_stands_there(syntax: str, draw: st.DataObject) -> None:
    """Also one that begins and ends inside the words of a big endian value."""
    instance = stored(
        minimal_instance(transfer_syntax_uid=syntax, rows=9, columns=9, pixel_data=list(range(81)))
    )
    rewriting = native_rewriting(instance.header, IMPLICIT)
    whole = b"".join(rewriting.pieces(instance.reader()))
    assert isinstance(rewriting, Rewriting)
    start = draw.draw(st.integers(0, len(whole)))
    stop = draw.draw(st.integers(start, len(whole)))
    assert b"".join(rewriting.pieces(instance.reader(), start, stop)) == whole[start:stop]


def test_header_of_millions_of_elements_is_not_taken_apart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("fileroom.dicom.rewriting.HEADER_BYTES_MAX", 100)
    header = scan(mr_instance(transfer_syntax_uid=IMPLICIT)).header
    with pytest.raises(PixelError, match="transfer-syntax=\\*") as caught:
        explicit_little_endian(header)
    assert caught.value.reason is Reason.UNSUPPORTED_TRANSCODING
