"""The scanner beside pydicom: indexed values and every element, with the differences decided."""

from __future__ import annotations

import logging
import warnings
import zlib
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import pydicom
from pydicom.data import get_testdata_files
from pydicom.dataelem import RawDataElement
from pydicom.multival import MultiValue

from fileroom.dicom.byte_order import swapped
from fileroom.dicom.encoding import DEFLATED
from fileroom.dicom.header import elements
from fileroom.dicom.rewriting import file_meta_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pydicom.dataset import Dataset

    from fileroom.dicom.header import Element
    from fileroom.dicom.part10 import Scan

INDEXED = {
    "specific_character_set": "SpecificCharacterSet",
    "timezone_offset_from_utc": "TimezoneOffsetFromUTC",
    "study_instance_uid": "StudyInstanceUID",
    "series_instance_uid": "SeriesInstanceUID",
    "sop_instance_uid": "SOPInstanceUID",
    "sop_class_uid": "SOPClassUID",
    "patient_id": "PatientID",
    "patient_name": "PatientName",
    "patient_birth_date": "PatientBirthDate",
    "patient_sex": "PatientSex",
    "study_date": "StudyDate",
    "study_time": "StudyTime",
    "accession_number": "AccessionNumber",
    "referring_physician_name": "ReferringPhysicianName",
    "study_id": "StudyID",
    "study_description": "StudyDescription",
    "modality": "Modality",
    "series_number": "SeriesNumber",
    "series_description": "SeriesDescription",
    "series_date": "SeriesDate",
    "series_time": "SeriesTime",
    "instance_number": "InstanceNumber",
    "rows": "Rows",
    "columns": "Columns",
    "bits_allocated": "BitsAllocated",
    "number_of_frames": "NumberOfFrames",
}

READ_OTHERWISE = {
    "GH179A.dcm": "pydicom stops at the element with the blank VR",
    "SC_rgb_jpeg.dcm": "implicit VR with encapsulated pixels: OB by PS3.5 A.4, open in pydicom",
    "TC0279_stray_seq_delim.dcm": "pydicom takes a delimiter after the last element as an element",
    "brain_001.dcm": "pydicom takes padding after the last element as elements",
}
"""Files whose elements pydicom does not read as we do, with the reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """An indexed attribute that the two read otherwise."""

    name: str
    vr: str
    ours: str | int | None
    theirs: str | int | None


def decided(difference: Difference) -> str | None:
    """Give the clause that decides a difference; None if it is a fault."""
    ours, theirs, vr = difference.ours, difference.theirs, difference.vr
    if vr == "IS" and ours is None and isinstance(theirs, str):
        return "PS3.5 6.2: IS is digits with a sign; what is no number has no place in the index"
    if vr == "UN" and ours is None and isinstance(theirs, str) and len(theirs) > 64:
        return "a UN value of over 64 bytes is cut out of the header, and no text to search by"
    if isinstance(ours, str) and len(ours) == 1024 and str(theirs).startswith(ours):
        return "PS3.5 6.2: text far longer than its VR allows is cut off in the index at 1024"
    if isinstance(theirs, str) and "\x1b$)A" in theirs:
        return "PS3.3 C.12.1.1.2: ISO 2022 IR 58 is read, pydicom leaves its escape sequences"
    return None


@contextmanager
def quiet() -> Iterator[None]:
    """Let pydicom read what it warns of."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(logging.CRITICAL)
        try:
            yield
        finally:
            logging.disable(logging.NOTSET)


def pydicom_files() -> list[Path]:
    """Give the files of pydicom's wheel."""
    return sorted(path for name in get_testdata_files() if (path := Path(name)).is_file())


def read_by_pydicom(data: bytes) -> Dataset:
    with quiet():
        return pydicom.dcmread(BytesIO(data))


def attribute_differences(scan: Scan, dataset: Dataset) -> list[Difference]:
    """Compare the indexed attributes of a file."""
    with quiet():
        return [
            Difference(name=name, vr=_vr(dataset, keyword), ours=ours, theirs=theirs)
            for name, keyword in INDEXED.items()
            if (ours := getattr(scan.attributes, name)) != (theirs := _value(dataset, keyword))
        ]


def _vr(dataset: Dataset, keyword: str) -> str:
    return str(dataset[keyword].VR) if keyword in dataset else ""


def _value(dataset: Dataset, keyword: str) -> str | int | None:
    if keyword not in dataset:
        return None
    element = dataset[keyword]
    value = element.value
    if isinstance(value, MultiValue):
        if isinstance(value[0], int):
            return int(value[0])
        return "\\".join(str(each).strip("\0 ") for each in value) or None
    if isinstance(value, int):
        return int(value)
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    return str(value or "").strip("\0 ") or None


def element_differences(scan: Scan, data: bytes, dataset: Dataset) -> list[str]:
    """Compare every element of a file, down all sequences, with the cut values put back.

    The data set must be as it was read: pydicom forgets the bytes of a value once it is asked for.
    """
    with quiet():
        if scan.header.transfer_syntax_uid in DEFLATED:
            data = zlib.decompress(data[132 + file_meta_bytes(scan.header) :], -zlib.MAX_WBITS)
        return list(_compare(elements(scan.header), dataset, data, ""))


def _compare(ours: Iterable[Element], theirs: Dataset, data: bytes, path: str) -> Iterator[str]:
    by_tag = {element.tag: element for element in ours}
    if list(by_tag) != [int(tag) for tag in theirs._dict]:
        missing = {int(tag) for tag in theirs._dict} ^ set(by_tag)
        yield f"{path} other tags: {[f'{tag:08X}' for tag in sorted(missing)]}"
        return
    read = {int(tag): raw for tag, raw in theirs._dict.items()}
    for tag, element in by_tag.items():
        here = f"{path}/{tag:08X}"
        raw = read[tag]
        if element.items is not None:
            items = theirs[tag].value
            if len(items) != len(element.items):
                yield f"{here} has {len(element.items)} items, not {len(items)}"
                continue
            for number, (inner, item) in enumerate(zip(element.items, items, strict=True)):
                yield from _compare(inner, item, data, f"{here}/{number}")
        elif isinstance(raw, RawDataElement):
            cut = element.cut
            value = data[cut.offset : cut.offset + cut.length] if cut else element.value
            if value != (raw.value or b""):
                yield f"{here} {element.vr} has another value"
            if raw.VR is not None and element.vr != raw.VR:
                yield f"{here} is {element.vr}, not {raw.VR}"
        elif raw.VR == "SQ":
            yield f"{here} is {element.vr}, not {raw.VR}"


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
