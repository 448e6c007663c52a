"""Instances stored over STOW-RS into a real server: by curl, by the program, large, and many."""

from __future__ import annotations

import subprocess
import threading
import time
from typing import TYPE_CHECKING, Final, Self
from xml.etree import ElementTree

import psutil
import pytest

from fileroom.client import Client
from tests import corpus
from tests.end_to_end.conftest import slices
from tests.fault_tools import instance
from tests.multipart_bodies import DICOM_PARTS, multipart_body
from tests.server import run_fileroom
from tests.tools import require_tool

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.end_to_end.conftest import Place

ROOT: Final = f"{corpus.UID_ROOT}.8"
LARGE_BYTES: Final = 300 << 20
MORE_MEMORY_MAX: Final = 40 << 20
_NO_PIXELS: Final = b"\xe0\x7f\x10\x00OW\0\0\0\0\0\0"
_PIECE: Final = bytes(1 << 20)


def uids(number: int) -> tuple[str, str, str]:
    return ROOT, f"{ROOT}.1", f"{ROOT}.1.{number}"


def path_of(number: int) -> str:
    study, series, sop_instance = uids(number)
    return f"studies/{study}/series/{series}/instances/{sop_instance}"


def curl(place: Place, *arguments: str, path: str = "studies") -> tuple[int, bytes]:
    """Run a command of the documentation; give the status and the body."""
    done = subprocess.run(
        [
            require_tool("curl"), "--silent", "--show-error", "--noproxy", "*",
            "-H", f"Authorization: Bearer {place.server.token}",
            "--write-out", "\n%{http_code}",
            *arguments,
            f"{place.server.url}/v1/{place.dicom_store}/dicomWeb/{path}",
        ],
        capture_output=True, check=True, timeout=30,
    )  # fmt: skip
    body, _, status = done.stdout.rpartition(b"\n")
    return int(status), body


@pytest.mark.clause(
    "Cloud Healthcare: storing DICOM data",
    "the documented curl command stores a file of a few bytes or of some megabytes and gets XML",
)
@pytest.mark.parametrize("size", [16, 3 << 20])
def test_documented_curl_command_stores_a_file(place: Place, tmp_path: Path, size: int) -> None:
    file = tmp_path / "one.dcm"
    file.write_bytes(instance(uids(size), b"\1" * size))
    status, body = curl(
        place,
        "-X", "POST",
        "-H", "Content-Type: application/dicom",
        "--data-binary", f"@{file}",
    )  # fmt: skip

    assert status == 200
    root = ElementTree.fromstring(body)
    url = root.find("DicomAttribute[@keyword='RetrieveURL']/Value")
    assert url is not None
    assert str(url.text).endswith(f"/dicomWeb/studies/{ROOT}")
    assert place.client.retrieve_instance(place.dicom_store, path_of(size)) == file.read_bytes()


def test_curl_stores_many_parts_into_a_study(place: Place, tmp_path: Path) -> None:
    file = tmp_path / "body"
    file.write_bytes(
        multipart_body([instance(uids(1), b"11"), b"no DICOM", instance(uids(2), b"22")])
    )
    status, body = curl(
        place,
        "-X", "POST",
        "-H", f"Content-Type: {DICOM_PARTS}",
        "-H", "Accept: application/dicom+json",
        "--data-binary", f"@{file}",
        path=f"studies/{ROOT}",
    )  # fmt: skip

    assert status == 409
    assert body.count(b'"00081197"') == 1
    for number in (1, 2):
        assert place.client.retrieve_instance(place.dicom_store, path_of(number))


def test_program_tells_of_each_file_and_exits_with_3_if_some_failed(
    place: Place, tmp_path: Path
) -> None:
    good, bad, other = tmp_path / "good.dcm", tmp_path / "bad.dcm", tmp_path / "other.dcm"
    good.write_bytes(instance(uids(1), b"11"))
    bad.write_bytes(b"no DICOM at all" * 20)
    other.write_bytes(instance(uids(1), b"22"))

    def run(*files: Path, flags: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
        return run_fileroom(
            "dicom-stores", "store", place.dicom_store, *map(str, files), *flags,
            f"--server={place.server.url}", f"--token={place.server.token}",
        )  # fmt: skip

    first = run(good)
    assert (first.returncode, first.stdout) == (0, "1 file: 1 stored\n")
    some = run(good, bad, other)
    assert some.returncode == 3
    assert some.stdout.startswith("3 files: 1 stored, 2 failed\n")
    assert "bad.dcm: not a DICOM file" in some.stdout
    assert "other.dcm: An instance already exists" in some.stdout
    assert run(other, flags=("--replace", "--storage-class=ARCHIVE")).returncode == 0
    given = place.client.retrieve_instance(place.dicom_store, path_of(1))
    assert given == other.read_bytes()
    assert run(tmp_path / "absent.dcm").returncode == 2


class Memory:
    """The most memory a process takes, looked at all the time."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self.before = self.most = self._process.memory_info().rss

    def _look(self) -> None:
        while not self._over.wait(0.01):
            self.most = max(self.most, self._process.memory_info().rss)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


def large_instance(number: int) -> Iterator[bytes]:
    """Give an instance whose pixels are more than memory may hold."""
    head = instance(uids(number), b"").removesuffix(_NO_PIXELS)
    yield head + _NO_PIXELS[:-4] + LARGE_BYTES.to_bytes(4, "little")
    for _ in range(LARGE_BYTES // len(_PIECE)):
        yield _PIECE


def large_body() -> Iterator[bytes]:
    """Give a small part, a large one, and a thousand small ones."""
    whole = multipart_body([instance(uids(1), b"11"), b"LARGE"])
    before, _, _ = whole.partition(b"LARGE")
    yield before
    yield from large_instance(2)
    yield b"\r\n"
    yield multipart_body(instance(uids(number), b"1" * 1000) for number in range(3, 503))


@pytest.mark.clause(
    "Fileroom limits",
    "a request of 300 MB in one part and 500 in others is stored in flat memory",
    holds="own rule",
)
def test_large_bodies_are_stored_in_flat_memory(place: Place) -> None:
    import httpx2

    place.client.store_instances(place.dicom_store, [instance(uids(0), b"11")])
    with Memory(place.server.process.pid) as memory:
        answer = httpx2.post(
            f"{place.server.url}/v1/{place.dicom_store}/dicomWeb/studies",
            content=large_body(),
            headers={
                "Authorization": f"Bearer {place.server.token}",
                "Content-Type": DICOM_PARTS,
                "Accept": "application/dicom+json",
            },
            timeout=60,
            trust_env=False,
        )
    assert answer.status_code == 200, answer.text[:500]
    assert len(answer.json()["00081199"]["Value"]) == 502
    print(f"{(memory.most - memory.before) >> 20} MiB more")
    assert memory.most - memory.before < MORE_MEMORY_MAX
    metrics = place.client.get_dicom_store_metrics(place.dicom_store)
    assert metrics.blob_storage_size_bytes > LARGE_BYTES


@pytest.mark.clause(
    "Fileroom store",
    "clients store while an import runs, and neither waits for the other",
    holds="own rule",
)
def test_storing_goes_on_while_an_import_runs(place: Place) -> None:
    for number, file in enumerate(slices(1500, series=9)):
        place.put(f"{number:05}.dcm", file)
    operation = place.client.import_(place.dicom_store, f"gs://{place.bucket_id}/**")
    seconds = []
    with Client(place.server.url, place.server.token) as client:
        for number in range(1, 200):
            began = time.monotonic()
            result = client.store_instances(
                place.dicom_store, [instance(uids(1000 + number), b"11")]
            )
            seconds.append(time.monotonic() - began)
            assert not result.refused
            if number >= 40 and client.get_operation(operation.name).done:
                break
    ended = place.client.wait(operation, poll_seconds=0.1)

    assert ended.counters.success == 1500
    metrics = place.client.get_dicom_store_metrics(place.dicom_store)
    assert metrics.instance_count == 1500 + len(seconds)
    seconds.sort()
    print(f"{len(seconds)} stored; median {seconds[len(seconds) // 2] * 1000:.0f} ms, "
          f"longest {seconds[-1] * 1000:.0f} ms")  # fmt: skip
    assert seconds[len(seconds) // 2] < 0.25
    assert seconds[-1] < 2
