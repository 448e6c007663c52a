"""What ``fileroom check`` tells a program."""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

import pytest

from fileroom.archive.course import POSITION_FILE
from fileroom.archive.reach import Subset
from fileroom.client import Client
from fileroom.settings import load_settings
from fileroom.upkeep import check_data
from tests import corpus
from tests.end_to_end.conftest import slices
from tests.server import run_fileroom, running_server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fileroom.settings import Settings

DATASET: Final = "projects/p1/locations/us-central1/datasets/d"
PIXEL_DATA: Final = b"\xe0\x7f\x10\0OW\0\0"
STORE: Final = f"{DATASET}/dicomStores/s"


@contextmanager
def filled(data: Path, files: list[bytes]) -> Iterator[Client]:
    """Give a server's client, whose store has these files."""
    with running_server(data, "--auth=none") as server, Client(server.url) as client:
        client.wait(client.create_dataset(DATASET), poll_seconds=0.05)
        client.create_dicom_store(STORE)
        client.store_instances(STORE, files)
        yield client


def blob_of(data: Path, file: bytes) -> Path:
    (blob,) = (data / "blobs").rglob(f"{hashlib.sha256(file).hexdigest()}-*")
    return blob


def flip_last(blob: Path) -> None:
    damaged = bytearray(blob.read_bytes())
    damaged[-1] ^= 1
    blob.write_bytes(damaged)


def test_faults_are_told_as_json(tmp_path: Path) -> None:
    data = tmp_path / "data"
    files = list(slices(3))
    with filled(data, files):
        pass
    sha256 = hashlib.sha256(files[1]).hexdigest()
    blob = blob_of(data, files[1])
    blob.unlink()

    told = run_fileroom("check", f"--data={data}", "--format=json")
    assert told.returncode == 3
    series = f"studies/{corpus.UID_ROOT}.2.1/series/{corpus.UID_ROOT}.5.1"
    assert json.loads(told.stdout) == {
        "findings": [
            {
                "fault": "MISSING_OBJECT",
                "instance": f"{series}/instances/{corpus.UID_ROOT}.5.1.2",
                "path": str(blob),
                "offset": 0,
                "size": len(files[1]),
                "sha256": sha256,
            }
        ],
        "faults": 1,
        "orphaned": 0,
        "complete": True,
    }


def test_what_was_found_damaged_is_healed_by_the_same_file(tmp_path: Path) -> None:
    data = tmp_path / "data"
    files = list(slices(3))
    with filled(data, files) as client:
        flip_last(blob_of(data, files[1]))
        assert run_fileroom("check", f"--data={data}", "--deep").returncode == 3

        client.store_instances(STORE, files)

        path = f"studies/{corpus.UID_ROOT}.2.1/series/{corpus.UID_ROOT}.5.1"
        path = f"{path}/instances/{corpus.UID_ROOT}.5.1.2"
        assert client.retrieve_instance(STORE, path) == files[1]
        told = run_fileroom("check", f"--data={data}", "--deep")
        assert told.stdout == "all instances are there; 0 orphaned blobs\n"


def test_a_study_is_downloaded_but_for_what_is_damaged(tmp_path: Path) -> None:
    data, to = tmp_path / "data", tmp_path / "to"
    files = list(slices(3))
    with filled(data, files):
        flip_last(blob_of(data, files[1]))
    study = f"{corpus.UID_ROOT}.2.1"

    store = f"--dicom-store={STORE}"
    told = run_fileroom("download", study, store, f"--to={to}", f"--data={data}")

    assert told.returncode == 3
    assert told.stdout.splitlines()[0] == "3 instances: 2 written, 1 failed"
    assert f"{corpus.UID_ROOT}.5.1.2" in told.stdout + told.stderr
    got = {path.read_bytes() for path in to.rglob("*") if path.is_file()}
    assert got == {files[0], files[2]}


@pytest.mark.parametrize(
    "flag",
    [
        "--subset=0/3",
        "--subset=4/3",
        "--subset=1",
        "--subset=1/20000",
        "--max-duration=0",
        "--max-duration=soon",
    ],
)
def test_what_is_no_part_or_no_time_is_refused(tmp_path: Path, flag: str) -> None:
    told = run_fileroom("check", f"--data={tmp_path}", flag)
    assert told.returncode == 2
    assert ("write n/t" if "subset" in flag else "write seconds") in told.stderr


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """Two DICOM stores, each with blobs and with instances that are kept by reference."""

    data: Path
    settings: Settings

    def check(self, **how: object) -> tuple[list[tuple[str, str]], bool]:
        """Give what a check finds, and whether it came to its end."""
        with check_data(self.settings, **how) as checking:  # type: ignore[arg-type]
            found = [(str(one.fault), str(one.instance)) for one in checking.findings()]
            return found, checking.course.stopped is None


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    data, bucket = tmp_path / "data", tmp_path / "bucket"
    bucket.mkdir()
    flag = f"--bucket=here={bucket}"
    with running_server(data, "--auth=none", flag) as server, Client(server.url) as client:
        client.wait(client.create_dataset(DATASET), poll_seconds=0.05)
        for number, store in enumerate((STORE, f"{DATASET}/dicomStores/t")):
            client.create_dicom_store(store)
            client.store_instances(store, list(slices(4, series=1 + 2 * number)))
            for index, file in enumerate(slices(3, series=2 + 2 * number)):
                (bucket / f"{number}-{index}.dcm").write_bytes(file)
            started = client.import_(store, f"gs://here/{number}-*", mode="REFERENCE")
            client.wait(started, poll_seconds=0.05)
    (bucket / "0-1.dcm").unlink()
    (bucket / "1-2.dcm").write_bytes(b"another")
    for number, blob in enumerate(sorted((data / "blobs").rglob("*-0"))):
        (blob.unlink, partial(os.truncate, blob, 9))[number % 2]()
    buckets = (f"here={bucket}",)
    return Archive(data=data, settings=load_settings({"data": data, "buckets": buckets}, {}, None))


def test_checks_of_the_shortest_time_find_together_what_one_finds(archive: Archive) -> None:
    whole, is_complete = archive.check(deep=False)
    assert is_complete
    assert {fault for fault, _ in whole} == {
        "MISSING_OBJECT",
        "DIFFERING_OBJECT_SIZE",
        "SOURCE_CHANGED",
        "SOURCE_GONE",
    }
    found: list[tuple[str, str]] = []
    runs = 0
    while not is_complete or not runs:
        runs += 1
        some, is_complete = archive.check(deep=False, max_seconds=0.0)
        assert is_complete != (archive.data / POSITION_FILE).exists()
        found += some
    assert runs > len(whole)
    assert found == whole


def test_a_check_goes_on_where_one_of_its_kind_stopped(archive: Archive) -> None:
    first, _ = archive.check(deep=False, max_seconds=0.0)
    assert archive.check(deep=True, max_seconds=0.0) == (first, False)
    second = Subset(number=2, of=2)
    archive.check(deep=True, subset=second, max_seconds=0.0)
    assert set(json.loads((archive.data / POSITION_FILE).read_bytes())) == {
        "quick",
        "deep",
        "deep 2/2",
    }
    whole, _ = archive.check(deep=False)
    assert set(first) < set(whole)
    assert set(json.loads((archive.data / POSITION_FILE).read_bytes())) == {"deep", "deep 2/2"}
    (archive.data / POSITION_FILE).write_bytes(b"{half")
    assert archive.check(deep=True, max_seconds=0.0) == (first, False)


def test_program_tells_that_its_time_was_over(tmp_path: Path) -> None:
    """Of an archive that takes longer to read than a second."""
    data = tmp_path / "data"
    with running_server(data, "--auth=none") as server, Client(server.url) as client:
        client.wait(client.create_dataset(DATASET), poll_seconds=0.05)
        client.create_dicom_store(STORE)
        client.store_instances(STORE, list(slices(1)))
    (blob,) = (data / "blobs").rglob("*-0")
    pixels = 3 << 30
    begins = blob.read_bytes().index(PIXEL_DATA) + len(PIXEL_DATA)
    with blob.open("r+b") as file:
        file.seek(begins)
        file.write(pixels.to_bytes(4, "little"))
    size = begins + 4 + pixels
    os.truncate(blob, size)
    with closing(sqlite3.connect(data / "fileroom.db")) as database:
        database.execute("UPDATE instances SET size = ?, sha256 = NULL", (size,))
        database.commit()
    told = run_fileroom("check", f"--data={data}", "--deep", "--max-duration=1", "--format=json")
    assert (told.returncode, told.stderr) == (4, "")
    report = json.loads(told.stdout)
    assert (report["complete"], report["faults"], report["blobs"]) == (False, 0, 1)


def test_references_are_written_to_a_file(archive: Archive) -> None:
    file = archive.data.with_name("references.ndjson")
    file.write_bytes(b"of yesterday")
    bucket = f"--bucket=here={archive.data.with_name('bucket')}"
    told = run_fileroom("check", f"--data={archive.data}", bucket, f"--backup-references={file}")
    assert told.stderr == f"wrote 6 references to {file}\n"
    lines = [json.loads(line) for line in file.read_bytes().splitlines()]
    assert [line["uri"] for line in lines] == [
        f"gs://here/{store}-{number}.dcm" for store in (0, 1) for number in (0, 1, 2)
    ]
    (content,) = slices(1, series=2)
    assert lines[0] | {"version": ""} == {
        "dicomStore": STORE,
        "studyInstanceUid": f"{corpus.UID_ROOT}.2.1",
        "seriesInstanceUid": f"{corpus.UID_ROOT}.5.2",
        "sopInstanceUid": f"{corpus.UID_ROOT}.5.2.1",
        "uri": "gs://here/0-0.dcm",
        "version": "",
        "size": len(content),
        "sha256": None,
    }
    assert all(line["version"] for line in lines)

    nowhere = archive.data / "absent" / "file"
    told = run_fileroom("check", f"--data={archive.data}", f"--backup-references={nowhere}")
    assert told.returncode == 1
    assert "make it first" in told.stderr
