"""Scanning CT headers, beside pydicom reading the same and giving the same attributes.

The scan does more: it walks and checks the whole file, where pydicom leaves sequences unread.
"""

from __future__ import annotations

import time
from io import BytesIO
from typing import TYPE_CHECKING, Final

import pydicom

from benchmarks.measure import Goal, Result, Side, Work, measure
from fileroom.dicom.part10 import scan
from tests.corpus import ct_series

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

PYDICOM = "pydicom"
_ROWS: Final = 64
_KEYWORDS: Final = (
    "SpecificCharacterSet", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID",
    "SOPClassUID", "PatientID", "PatientName", "PatientBirthDate", "PatientSex", "StudyDate",
    "StudyTime", "AccessionNumber", "ReferringPhysicianName", "StudyID", "StudyDescription",
    "Modality", "SeriesNumber", "SeriesDescription", "SeriesDate", "SeriesTime", "InstanceNumber",
    "Rows", "Columns", "BitsAllocated", "NumberOfFrames",
)  # fmt: skip
"""What a scan indexes."""


def scan_ct(directory: Path, instances: int, rounds: int) -> Result:
    """Scan CT slices that are in memory already."""
    files = list(ct_series(instances, rows=_ROWS))
    work = Work(
        title="scan of a CT header, indexed attributes included",
        instances=instances,
        size_bytes=sum(len(data) for data in files),
        goals={PYDICOM: Goal(at_least=5, aim=10)},
    )
    sides = [
        Side(name="Fileroom", run=lambda _: _scan_all(files)),
        Side(name=PYDICOM, run=lambda _: _read_all(files)),
    ]
    return measure(work, sides, rounds=rounds, absent={}, directory=directory)


def _scan_all(files: Sequence[bytes]) -> float:
    started = time.perf_counter()
    for data in files:
        scan(data)
    return time.perf_counter() - started


def _read_all(files: Sequence[bytes]) -> float:
    started = time.perf_counter()
    for data in files:
        dataset = pydicom.dcmread(BytesIO(data), stop_before_pixels=True)
        for keyword in _KEYWORDS:
            str(dataset.get(keyword))
    return time.perf_counter() - started
