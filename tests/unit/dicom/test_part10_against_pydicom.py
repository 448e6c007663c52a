"""Data sets that Hypothesis draws and pydicom writes, and the files of pydicom's wheel."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Any

import pydicom
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID

from fileroom.dicom.part10 import Refused, scan
from tests.against_pydicom import (
    READ_OTHERWISE,
    attribute_differences,
    decided,
    element_differences,
    pydicom_files,
    quiet,
    read_by_pydicom,
)
from tests.corpus import BIG_ENDIAN, CT_IMAGE, DEFLATED, EXPLICIT, IMPLICIT
from tests.scanning import original, restored

if TYPE_CHECKING:
    from collections.abc import Callable

LETTERS = {
    "ISO_IR 100": "abcXYZ 09-äöüßéÅ",
    "ISO_IR 192": "abcXYZ 09-äß小東김Ωя",
    "ISO_IR 144": "abcXYZ 09-Люкcебург",
    "ISO_IR 126": "abcXYZ 09-Διονυσιος",
    "ISO_IR 13": "abcXYZ 09-ﾔﾏﾀﾞ",
    "GB18030": "abcXYZ 09-王小东€",
    "ISO 2022 IR 6\\ISO 2022 IR 87": "abcXYZ09山田太郎",
    "ISO 2022 IR 6\\ISO 2022 IR 149": "abcXYZ09洪吉洞홍길동",
    "": "abcXYZ 09-",
}
TEXTS = {
    "PatientID": 64,
    "StudyDescription": 64,
    "SeriesDescription": 64,
    "AccessionNumber": 16,
    "StudyID": 16,
    "InstitutionName": 64,
    "PatientComments": 3000,
}
UIDS = st.from_regex(r"1\.2(\.[1-9][0-9]{0,8}){1,5}", fullmatch=True)


def names(letters: str) -> st.SearchStrategy[str]:
    part = st.text(letters.replace(" ", ""), max_size=6)
    group = st.lists(part, min_size=1, max_size=5).map("^".join)
    return st.lists(group, min_size=1, max_size=3).map("=".join)


@st.composite
def inner_data_sets(draw: Callable[..., Any], depth: int = 2) -> Dataset:
    dataset = Dataset()
    dataset.CodeValue = draw(st.text("ABC123", max_size=8))
    if draw(st.booleans()):
        dataset.ReferencedSOPInstanceUID = draw(UIDS)
    if draw(st.booleans()):
        dataset.add_new(0x00990010, "LO", "FILEROOM")
        dataset.add_new(0x00991001, "OB", bytes(draw(st.integers(0, 50)) * 2))
    if depth and draw(st.booleans()):
        dataset.ConceptNameCodeSequence = draw(st.lists(inner_data_sets(depth - 1), max_size=2))
    dataset.is_undefined_length_sequence_item = draw(st.booleans())
    return dataset


@st.composite
def files(draw: Callable[..., Any]) -> bytes:
    charset = draw(st.sampled_from(sorted(LETTERS)))
    letters = LETTERS[charset]
    dataset = Dataset()
    if charset:
        dataset.SpecificCharacterSet = charset.split("\\")
    dataset.SOPClassUID = CT_IMAGE
    for keyword in ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"):
        setattr(dataset, keyword, draw(UIDS))
    for keyword, longest in TEXTS.items():
        if draw(st.booleans()):
            setattr(dataset, keyword, draw(st.text(letters, max_size=min(longest, 16))))
    for keyword in ("PatientName", "ReferringPhysicianName"):
        if draw(st.booleans()):
            setattr(dataset, keyword, draw(names(letters)))
    if draw(st.booleans()):
        dataset.StudyDate = draw(st.dates()).strftime("%Y%m%d").rjust(8, "0")
        dataset.StudyTime = draw(st.sampled_from(["", "10", "101112", "101112.123456"]))
    for keyword in ("SeriesNumber", "InstanceNumber", "NumberOfFrames"):
        if draw(st.booleans()):
            setattr(dataset, keyword, draw(st.integers(-(2**31), 2**31 - 1)))
    for keyword in ("Rows", "Columns", "BitsAllocated"):
        if draw(st.booleans()):
            setattr(dataset, keyword, draw(st.integers(0, 65535)))
    dataset.ContentSequence = draw(st.lists(inner_data_sets(), max_size=3))
    dataset["ContentSequence"].is_undefined_length = draw(st.booleans())
    if draw(st.booleans()):
        dataset.add_new(0x7FE00010, "OW", bytes(draw(st.integers(0, 80)) * 2))
    return _written(dataset, draw(st.sampled_from([EXPLICIT, IMPLICIT, BIG_ENDIAN, DEFLATED])))


def _written(dataset: Dataset, transfer_syntax_uid: str) -> bytes:
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = UID(transfer_syntax_uid)
    dataset.preamble = bytes(128)
    buffer = BytesIO()
    with quiet():
        pydicom.dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(files())
def test_what_pydicom_writes_is_read_as_pydicom_reads_it(data: bytes) -> None:
    scanned = scan(data)
    dataset = read_by_pydicom(data)

    assert element_differences(scanned, data, dataset) == []
    assert attribute_differences(scanned, dataset) == []
    assert restored(scanned.header, data) == original(scanned.header, data)


def test_files_of_pydicoms_wheel_are_read_as_pydicom_reads_them_or_the_clause_is_known() -> None:
    compared = 0
    unknown: list[object] = []
    for file in pydicom_files():
        data = file.read_bytes()
        try:
            scanned = scan(data)
        except Refused:
            continue
        dataset = read_by_pydicom(data)
        compared += 1
        if file.name not in READ_OTHERWISE:
            unknown += element_differences(scanned, data, dataset)
        unknown += [
            (file.name, difference)
            for difference in attribute_differences(scanned, dataset)
            if decided(difference) is None
        ]

    assert unknown == []
    assert compared > 80
