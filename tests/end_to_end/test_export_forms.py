"""One export of each form from a real server, over a store of every kind of instance."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from fileroom.errors import Reason
from tests.corpus import EXPLICIT
from tests.mixed import CORRUPT, FRAMES, JPEG_2000, MIXED, SR, VIDEO, numbered, own_pictures
from tests.pixels import drawn, parsed, stored_frames
from tests.server import run_fileroom
from tests.tools import require_tool

if TYPE_CHECKING:
    from tests.end_to_end.conftest import Place

NO_FRAMES = {SR[2]: Reason.NO_PIXEL_DATA, VIDEO[2]: Reason.UNSUPPORTED_TRANSCODING}


def export(place: Place, mime_type: str) -> tuple[dict[str, bytes], dict[str, Reason]]:
    """Import every kind, export it; give the files, and why which instances failed."""
    for number, content in enumerate(MIXED.values()):
        place.put(f"in/{number}.dcm", content)
    place.import_all("in/**")
    started = place.client.export(
        place.dicom_store, f"gs://{place.bucket_id}/out", mime_type=mime_type
    )
    operation = place.client.wait(started, poll_seconds=0.05)
    failures = place.client.failures(operation.name)
    out = place.bucket / "out"
    files = {
        str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()
    }
    failed = {failure.source.rpartition("/")[2]: Reason(failure.reason) for failure in failures}
    assert operation.counters.success == len(MIXED) - len(failed)
    assert operation.counters.failure == len(failed)
    return files, failed


@pytest.mark.clause(
    "Cloud Healthcare v1 GcsDestination.uriPrefix",
    "application/dicom gives {study}/{series}/{instance}.dcm, also of a multi-frame instance",
)
def test_dicom_files_in_another_transfer_syntax(place: Place) -> None:
    files, failed = export(place, f"application/dicom; transfer-syntax={JPEG_2000}")

    assert failed == {SR[2]: Reason.NO_PIXEL_DATA, VIDEO[2]: Reason.UNSUPPORTED_TRANSCODING}
    expected = MIXED.keys() - {SR, VIDEO}
    assert files.keys() == {f"{'/'.join(key)}.dcm" for key in expected}
    for key in expected:
        content = files[f"{'/'.join(key)}.dcm"]
        assert parsed(content).file_meta.TransferSyntaxUID == JPEG_2000
    # What is stored so already leaves as it is, damage within its pixels too.
    assert files[f"{'/'.join(CORRUPT)}.dcm"] == MIXED[CORRUPT]
    pixels = parsed(files[f"{'/'.join(numbered(3))}.dcm"]).pixel_array
    assert pixels.tobytes() == drawn(FRAMES).tobytes()


def test_dicom_files_pass_dcmftest(place: Place) -> None:
    dcmftest = require_tool("dcmftest")
    files, _ = export(place, f"application/dicom; transfer-syntax={EXPLICIT}")

    paths = [str(place.bucket / "out" / name) for name in files]
    answer = subprocess.run([dcmftest, *paths], capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stdout
    assert len(paths) == len(MIXED) - 2


def test_frames_as_octets(place: Place) -> None:
    files, failed = export(place, f"application/octet-stream; transfer-syntax={EXPLICIT}")

    assert failed == NO_FRAMES | {CORRUPT[2]: Reason.MALFORMED}
    content = MIXED[numbered(5)]  # RLE of three frames
    assert [files[f"{'/'.join(numbered(5))}/{number}"] for number in (1, 2, 3)] == [
        frame.tobytes() for frame in drawn(FRAMES)
    ]
    assert len(stored_frames(content, FRAMES)) == 3


@pytest.mark.parametrize(("mime_type", "extension"), [("image/jpeg", "jpg"), ("image/png", "png")])
def test_pictures(place: Place, mime_type: str, extension: str) -> None:
    files, failed = export(place, mime_type)

    assert failed == NO_FRAMES | {CORRUPT[2]: Reason.MALFORMED}
    expected = {}
    for key in MIXED.keys() - {SR, VIDEO, CORRUPT}:
        pictures = own_pictures(MIXED[key], mime_type)
        for number, picture in enumerate(pictures, 1):
            part = "" if len(pictures) == 1 else f"/{number}"
            expected[f"{'/'.join(key)}{part}.{extension}"] = picture
    assert files == expected


def test_program_exports_pictures(place: Place) -> None:
    key = numbered(3)
    place.put("in/1.dcm", MIXED[key])
    place.import_all("in/**")

    answer = run_fileroom(
        *("dicom-stores", "export", "gcs", place.dicom_store),
        f"--gcs-uri-prefix=gs://{place.bucket_id}/out",
        "--mime-type=image/png",
        *(f"--server={place.server.url}", f"--token={place.server.token}"),
    )

    assert answer.returncode == 0, answer.stderr
    names = sorted(path.name for path in (place.bucket / "out").rglob("*.png"))
    assert names == ["1.png", "2.png", "3.png"]
