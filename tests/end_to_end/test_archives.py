"""Members of archives are imported as objects are."""

from __future__ import annotations

import gzip
import io
import random
import tarfile
import time
import zipfile
from typing import TYPE_CHECKING

import httpx2
import pytest

from fileroom.errors import Code, InvalidArgument
from tests.end_to_end.conftest import slices

if TYPE_CHECKING:
    from pathlib import Path

    from tests.end_to_end.conftest import Place

NUMBER = 20


def members() -> dict[str, bytes]:
    """Give slices in two directories."""
    return {
        f"series/{number % 2}/{number:02}.dcm": content
        for number, content in enumerate(slices(NUMBER))
    }


def write_zip(path: Path, contents: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> None:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in contents.items():
            archive.writestr(name, content)


def write_tar(path: Path, contents: dict[str, bytes], form: str) -> None:
    mode = "w:gz" if form == "gz" else "w"
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, content in contents.items():
            information = tarfile.TarInfo(name)
            information.size = len(content)
            archive.addfile(information, io.BytesIO(content))


def write(path: Path, contents: dict[str, bytes]) -> None:
    """Write an archive of the form that its name tells."""
    if path.suffix == ".zip":
        write_zip(path, contents)
    else:
        write_tar(path, contents, "" if path.suffix == ".tar" else "gz")


def stored(place: Place) -> list[bytes]:
    """Give the files of all instances, sorted."""
    place.client.wait(place.client.export(place.dicom_store, f"gs://{place.bucket_id}/out"))
    return sorted(path.read_bytes() for path in (place.bucket / "out").rglob("*.dcm"))


@pytest.mark.parametrize("name", ["study.zip", "study.tar", "study.tar.gz", "STUDY.TGZ"])
def test_all_members_come_to_be_instances(place: Place, name: str) -> None:
    contents = members()
    (place.bucket / "in").mkdir()
    path = place.bucket / "in" / name
    write(path.with_name(name.lower()), contents)
    path.with_name(name.lower()).rename(path)
    before = path.read_bytes()
    operation = place.import_all(f"in/{name}!/**")
    assert operation.error is None
    assert operation.counters.success == NUMBER
    assert path.read_bytes() == before
    assert stored(place) == sorted(contents.values())


@pytest.mark.parametrize("name", ["study.zip", "study.tar"])
def test_members_are_chosen_as_objects_are(place: Place, name: str) -> None:
    write(place.bucket / name, members() | {"notes.txt": b"no image"})
    assert place.import_all(f"{name}!/series/1/*.dcm").counters.success == NUMBER // 2
    assert place.import_all(f"{name}!/series/0/00.dcm").counters.success == 1
    failed = place.import_all(f"{name}!/notes.txt")
    (failure,) = place.client.failures(failed.name)
    assert failure.source == f"gs://{place.bucket_id}/{name}!/notes.txt"


def test_what_cannot_be_read_fails_and_all_else_is_imported(place: Place) -> None:
    contents = members()
    write_zip(place.bucket / "odd.zip", contents | {"../out.dcm": b"1", "C:\\a.dcm": b"2"})
    operation = place.import_all("odd.zip!/**")
    assert (operation.counters.success, operation.counters.failure) == (NUMBER, 2)
    failures = list(place.client.failures(operation.name))
    assert {failure.reason for failure in failures} == {"MALFORMED"}
    assert all(
        failure.source.startswith(f"gs://{place.bucket_id}/odd.zip!/") for failure in failures
    )
    assert not list(place.bucket.parent.rglob("out.dcm"))


@pytest.mark.parametrize("name", ["study.zip", "study.tar", "study.tar.gz"])
def test_an_archive_that_is_cut_short_ends_the_operation_with_the_reason(
    place: Place, name: str
) -> None:
    write(place.bucket / name, members())
    content = (place.bucket / name).read_bytes()
    (place.bucket / name).write_bytes(content[: len(content) // 2])
    operation = place.import_all(f"{name}!/**")
    assert operation.error is not None
    assert "archive" in operation.error.message
    assert operation.counters.success == 0


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("*.zip!/**", "behind the archive's name only"),
        ("a.zip!/", r"a\.zip!/\*\* means all it holds"),
        ("a.zip!/**/b", "wildcard not allowed there"),
    ],
)
def test_a_pattern_that_names_no_one_archive_is_refused(
    place: Place, pattern: str, message: str
) -> None:
    with pytest.raises(InvalidArgument, match=message):
        place.client.import_(place.dicom_store, f"gs://{place.bucket_id}/{pattern}")


def test_an_archive_that_is_not_there_is_told(place: Place) -> None:
    operation = place.import_all("none.zip!/**")
    assert operation.error is not None
    assert "the archive 'none.zip' does not exist" in operation.error.message


def test_a_preview_tells_what_an_archive_holds(place: Place) -> None:
    write_zip(place.bucket / "a.zip", members())
    uri = f"gs://{place.bucket_id}/a.zip!/**"
    preview = httpx2.post(
        f"{place.server.url}/v1/{place.dicom_store}:previewImport",
        json={"gcsSource": {"uri": uri}},
        headers={"Authorization": f"Bearer {place.server.token}"},
    ).json()
    assert preview["count"] == str(NUMBER)
    assert preview["samples"][0] == f"gs://{place.bucket_id}/a.zip!/series/0/00.dcm"


LARGE_BYTES = 2 << 30
PIECE_BYTES = 64 << 20


def write_large_tar_gz(path: Path) -> None:
    """Write a member of 2 GB, of which 64 MB are packed once and come again and again."""
    information = tarfile.TarInfo("large.bin")
    information.size = LARGE_BYTES
    piece = gzip.compress(random.Random(1).randbytes(16 << 10) * (PIECE_BYTES >> 14), 1)
    with path.open("wb") as file:
        file.write(gzip.compress(information.tobuf()))
        for _ in range(LARGE_BYTES // PIECE_BYTES):
            file.write(piece)
        file.write(gzip.compress(bytes(1024)))


def test_an_import_is_cancelled_while_its_archive_is_inflated(place: Place) -> None:
    write_large_tar_gz(place.bucket / "large.tar.gz")
    operation = place.client.import_(place.dicom_store, f"gs://{place.bucket_id}/large.tar.gz!/**")
    data = place.server.data
    deadline = time.monotonic() + 30
    while not (drafts := list(data.rglob(".fileroom-archive-*-*"))):
        assert time.monotonic() < deadline, "nothing is inflated"
        time.sleep(0.02)

    cancelled = time.monotonic()
    place.client.cancel_operation(operation.name)
    ended = place.client.wait(operation, poll_seconds=0.05)
    seconds = time.monotonic() - cancelled

    assert ended.error is not None
    assert ended.error.code is Code.CANCELLED
    assert seconds < 2
    assert not any(draft.exists() for draft in drafts)
