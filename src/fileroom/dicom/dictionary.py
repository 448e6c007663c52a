"""Attributes of the standard by keyword and by tag (PS3.6).

What is asked for all the time stands here; for the rest pydicom's table is read once, by itself:
importing the package takes half a second, in every worker.
"""

from __future__ import annotations

import importlib.util
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

_HEXADECIMAL = re.compile(r"[0-9A-Fa-f]{8}")
_KEYWORD = re.compile(r"[A-Z][A-Za-z0-9]{1,63}")


@dataclass(frozen=True, slots=True, order=True)
class Attribute:
    """What the standard calls a data element."""

    tag: int
    keyword: str
    vr: str

    @property
    def key(self) -> str:
        """Its name in the DICOM JSON Model: eight upper-case hexadecimal digits."""
        return f"{self.tag:08X}"


def find_attribute(text: str) -> Attribute | None:
    """Give the attribute that a keyword or eight hexadecimal digits name; ``None`` if unknown."""
    if _HEXADECIMAL.fullmatch(text):
        tag = int(text, 16)
        return _COMMON_TAGS.get(tag) or _by_tag().get(tag)
    if _KEYWORD.fullmatch(text):
        return _COMMON.get(text) or _by_keyword().get(text)
    return None


def attribute(keyword: str) -> Attribute:
    """Give the attribute of a keyword that is known to exist."""
    found = find_attribute(keyword)
    assert found is not None, keyword
    return found


def find_keyword(tag: int) -> str | None:
    """Give the keyword of a public tag, those of curves and overlays included."""
    common = _COMMON_TAGS.get(tag)
    return common.keyword if common else _keywords().get(tag)


_COMMON: Final = {
    keyword: Attribute(tag, keyword, vr)
    for tag, keyword, vr in (
        (0x00020010, "TransferSyntaxUID", "UI"),
        (0x00080005, "SpecificCharacterSet", "CS"),
        (0x00080016, "SOPClassUID", "UI"),
        (0x00080018, "SOPInstanceUID", "UI"),
        (0x00080020, "StudyDate", "DA"),
        (0x00080021, "SeriesDate", "DA"),
        (0x00080030, "StudyTime", "TM"),
        (0x00080031, "SeriesTime", "TM"),
        (0x00080050, "AccessionNumber", "SH"),
        (0x00080056, "InstanceAvailability", "CS"),
        (0x00080060, "Modality", "CS"),
        (0x00080061, "ModalitiesInStudy", "CS"),
        (0x00080090, "ReferringPhysicianName", "PN"),
        (0x00080201, "TimezoneOffsetFromUTC", "SH"),
        (0x00081030, "StudyDescription", "LO"),
        (0x0008103E, "SeriesDescription", "LO"),
        (0x00100010, "PatientName", "PN"),
        (0x00100020, "PatientID", "LO"),
        (0x00100030, "PatientBirthDate", "DA"),
        (0x00100040, "PatientSex", "CS"),
        (0x0020000D, "StudyInstanceUID", "UI"),
        (0x0020000E, "SeriesInstanceUID", "UI"),
        (0x00200010, "StudyID", "SH"),
        (0x00200011, "SeriesNumber", "IS"),
        (0x00200013, "InstanceNumber", "IS"),
        (0x00201206, "NumberOfStudyRelatedSeries", "IS"),
        (0x00201208, "NumberOfStudyRelatedInstances", "IS"),
        (0x00201209, "NumberOfSeriesRelatedInstances", "IS"),
        (0x00280008, "NumberOfFrames", "IS"),
        (0x00280010, "Rows", "US"),
        (0x00280011, "Columns", "US"),
        (0x00280100, "BitsAllocated", "US"),
        (0x00400244, "PerformedProcedureStepStartDate", "DA"),
        (0x00400245, "PerformedProcedureStepStartTime", "TM"),
        (0x00400275, "RequestAttributesSequence", "SQ"),
    )
}
_COMMON_TAGS: Final = {found.tag: found for found in _COMMON.values()}


@lru_cache(maxsize=1)
def public_vrs() -> dict[int, str]:
    """Give the VR of every public tag as the table has it: with choices such as ``US or SS``."""
    vrs = {tag: entry[0] for tag, entry in _tables().DicomDictionary.items()}
    return vrs | {tag: entry[0] for tag, entry in _repeaters()}


@lru_cache(maxsize=1)
def _keywords() -> dict[int, str]:
    keywords = {tag: entry[4] for tag, entry in _tables().DicomDictionary.items()}
    return keywords | {tag: entry[4] for tag, entry in _repeaters()}


def _repeaters() -> Iterator[tuple[int, tuple[str, str, str, str, str]]]:
    """Give the tags of repeating groups, each with its entry of the table."""
    for mask, entry in _tables().RepeatersDictionary.items():
        # Only curves (50xx) and overlays (60xx) are met in practice.
        if mask.startswith(("50xx", "60xx")):
            for group in range(0, 0x20, 2):
                yield int(f"{mask[:2]}{group:02x}{mask[4:]}", 16), entry


@lru_cache(maxsize=1)
def _tables() -> ModuleType:
    package = importlib.util.find_spec("pydicom")
    assert package is not None
    assert package.submodule_search_locations
    path = Path(package.submodule_search_locations[0], "_dicom_dict.py")
    spec = importlib.util.spec_from_file_location("fileroom.dicom._tables", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@lru_cache(maxsize=1)
def _by_tag() -> dict[int, Attribute]:
    return {
        tag: Attribute(tag, keyword, vr.split(" or ", 1)[0])
        for tag, (vr, _, _, _, keyword) in _tables().DicomDictionary.items()
        if keyword and vr != "NONE"
    }


@lru_cache(maxsize=1)
def _by_keyword() -> dict[str, Attribute]:
    return {found.keyword: found for found in _by_tag().values()}
