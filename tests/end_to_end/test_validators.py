"""What validators of DICOM say of exported files, against what they say of the stored ones."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pydicom
import pytest
from pydicom.uid import UID

from fileroom.dicom.media_types import TRANSFER_SYNTAXES
from tests.corpus import IMPLICIT
from tests.dicom_files import wheel_files
from tests.pixels import parsed
from tests.tools import require_tool

if TYPE_CHECKING:
    from tests.end_to_end.conftest import Place

NAMES: Final = (
    "CT_small.dcm", "MR_small_RLE.dcm", "693_J2KI.dcm", "JPEG-lossy.dcm", "SC_rgb_rle_2frame.dcm",
    "examples_jpeg2k.dcm", "examples_overlay.dcm", "examples_palette.dcm",
    "examples_rgb_color.dcm", "examples_ybr_color.dcm", "SC_rgb_jpeg_dcmtk.dcm",
    "SC_rgb_small_odd.dcm", "SC_ybr_full_422_uncompressed.dcm", "liver_expb_1frame.dcm",
    "rtplan.dcm", "rtstruct.dcm", "test-SR.dcm", "reportsi.dcm", "waveform_ecg.dcm",
)  # fmt: skip
"""Of pydicom's files, one for each kind and encoding; their UIDs differ."""
DEFLATED: Final = frozenset({"1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.8.1"})
"""Syntaxes that this dciodvfy does not read; dcmftest does."""
RIGHT: Final = (
    # The term of JPEG XL's own colour space is younger than the validator (PS3.5 8.2.17).
    "Warning - Unrecognized defined term <XYB> for value 1 of attribute <Photometric"
    " Interpretation>",
    # What was lost before stays told after a lossless step (PS3.3 C.7.6.1.1.5.1).
    "Warning - method inconsistent with Transfer Syntax - attribute <LossyImageCompressionMethod> ="
    " <ISO_10918_1>",
    # Implicit VR tells no representation: that of a private element is the validator's guess.
    "Warning - Value dubious for this VR - (0x0009,0x1040) PN Patient Object Name ",
)
"""How lines begin that are new in an exported file, and as they must be."""


def stored_file(path: Path) -> bytes:
    """Give a file as Part 10: one of pydicom's lacks all that stands before its data set."""
    content = path.read_bytes()
    if content[128:132] == b"DICM":
        return content
    dataset = pydicom.dcmread(path, force=True)
    dataset.file_meta.TransferSyntaxUID = UID(IMPLICIT)
    written = BytesIO()
    dataset.save_as(written, enforce_file_format=True)
    return written.getvalue()


def dciodvfy(path: Path) -> set[str]:
    """Give what the validator says of a file, a line for each; it reads the file to its end."""
    program = Path(sys.executable).with_name("dciodvfy")
    answer = subprocess.run(
        [program, path], capture_output=True, text=True, errors="replace", timeout=30, check=False
    )
    assert answer.returncode in {0, 1}, answer.stderr  # a crash would say little
    lines = set((answer.stdout + answer.stderr).splitlines())
    assert lines, path.name
    return lines


@pytest.mark.clause(
    "PS3.10 7",
    "dcmftest, and dciodvfy where it reads the transfer syntax, find nothing wrong with a file "
    "as exported that they did not find with it as stored",
)
def test_validators_find_nothing_new_in_exported_files(place: Place) -> None:
    dcmftest = require_tool("dcmftest")
    found = {path.name: path for path in wheel_files()}
    stored: dict[str, Path] = {}
    for name in NAMES:
        place.put(f"in/{name}", content := stored_file(found[name]))
        stored[parsed(content).SOPInstanceUID] = place.bucket / "in" / name
    assert place.import_all("in/**").counters.success == len(NAMES) == len(stored)

    exported: list[Path] = []
    for syntax in TRANSFER_SYNTAXES:
        out = f"out-{syntax}"
        operation = place.client.export(
            place.dicom_store,
            f"gs://{place.bucket_id}/{out}",
            mime_type=f"application/dicom; transfer-syntax={syntax}",
        )
        place.client.wait(operation, poll_seconds=0.05)
        exported += (place.bucket / out).rglob("*.dcm")
    validated = [
        path for path in exported if not any(f"out-{uid}" in path.parts for uid in DEFLATED)
    ]

    with ThreadPoolExecutor(2) as threads:
        before = dict(zip(stored, threads.map(dciodvfy, stored.values()), strict=True))
        after = list(threads.map(dciodvfy, validated))
    new = {
        (line, path.parent.parent.parent.name, stored[path.stem].name)
        for path, lines in zip(validated, after, strict=True)
        for line in lines - before[path.stem]
        if not line.startswith(RIGHT)
    }
    assert new == set()
    assert len(validated) > 180
    answer = subprocess.run([dcmftest, *exported], capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stdout
