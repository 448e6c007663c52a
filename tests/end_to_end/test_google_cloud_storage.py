"""google-cloud-storage with STORAGE_EMULATOR_HOST and nothing else changed."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Final

import pytest
from google.api_core.exceptions import (
    Conflict,
    Forbidden,
    NotFound,
    PreconditionFailed,
    RequestRangeNotSatisfiable,
)
from google.cloud import storage
from google.cloud.storage import transfer_manager
from google.oauth2.credentials import Credentials

from tests import corpus
from tests.server import clean_environment, running_server
from tests.tools import ROOT, require_tool

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.end_to_end.conftest import Place
    from tests.server import RunningServer

LARGE_BYTES: Final = (8 << 20) + 100_001
"""What the client sends in several requests."""


def storage_client(server: RunningServer) -> Any:
    credentials = Credentials(token=server.token)  # type: ignore[no-untyped-call]
    return storage.Client(project="p1", credentials=credentials)


@pytest.fixture
def gcs(server: RunningServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.url)
    made = storage_client(server)
    yield made
    made.close()


@pytest.mark.clause(
    "google-cloud-storage",
    "with STORAGE_EMULATOR_HOST it makes a bucket, and fills, lists and reads it",
)
def test_a_bucket_is_made_filled_listed_and_read(gcs: Any, tmp_path: Path) -> None:
    small, large = corpus.mr_instance(rows=16), os.urandom(LARGE_BYTES)
    (tmp_path / "large.dcm").write_bytes(large)

    bucket = gcs.create_bucket("python-scans")
    bucket.blob("visit 1/small.dcm").upload_from_string(small, content_type="application/dicom")
    bucket.blob("visit 1/é:large.dcm").upload_from_filename(tmp_path / "large.dcm")
    bucket.blob("streamed").upload_from_file(io.BytesIO(large))
    bucket.blob("empty").upload_from_string(b"")

    assert "python-scans" in [each.name for each in gcs.list_buckets()]
    assert gcs.get_bucket("python-scans").exists()
    names = ["empty", "streamed", "visit 1/small.dcm", "visit 1/é:large.dcm"]
    assert [blob.name for blob in gcs.list_blobs(bucket)] == names
    assert [blob.name for blob in gcs.list_blobs(bucket, page_size=1)] == names
    assert [blob.name for blob in gcs.list_blobs(bucket, match_glob="**.dcm")] == names[2:]
    level = gcs.list_blobs(bucket, delimiter="/")
    assert [blob.name for blob in level] == ["empty", "streamed"]
    assert level.prefixes == {"visit 1/"}

    blob = bucket.get_blob("visit 1/é:large.dcm")
    assert (blob.size, blob.content_type) == (LARGE_BYTES, "application/dicom")
    assert blob.updated == blob.time_created
    assert blob.download_as_bytes() == large
    assert blob.download_as_bytes(start=100, end=199) == large[100:200]
    assert blob.download_as_bytes(start=LARGE_BYTES - 10) == large[-10:]
    transfer_manager.download_chunks_concurrently(
        blob,
        str(tmp_path / "back.dcm"),
        chunk_size=1 << 20,
        worker_type=transfer_manager.THREAD,
        crc32c_checksum=False,  # of a file none is known before it is read
    )
    assert (tmp_path / "back.dcm").read_bytes() == large
    with bucket.blob("streamed").open("rb") as reader:
        reader.seek(LARGE_BYTES - 3)
        assert reader.read() == large[-3:]
    with bucket.blob("written").open("wb") as writer:
        for start in range(0, LARGE_BYTES, 1 << 20):
            writer.write(large[start : start + (1 << 20)])
    assert bucket.blob("written").download_as_bytes() == large
    assert bucket.blob("empty").download_as_bytes() == b""
    assert bucket.test_iam_permissions(["storage.objects.create", "storage.buckets.delete"]) == [
        "storage.objects.create"
    ]


def test_many_files_are_sent_at_once(gcs: Any, tmp_path: Path) -> None:
    names = [f"series/{number:03}.dcm" for number in range(40)]
    for name in names:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(name.encode())

    bucket = gcs.create_bucket("python-many")
    results = transfer_manager.upload_many_from_filenames(
        bucket, names, source_directory=str(tmp_path), worker_type=transfer_manager.THREAD
    )

    assert [each for each in results if isinstance(each, Exception)] == []
    assert [blob.name for blob in gcs.list_blobs(bucket)] == names


@pytest.mark.clause(
    "google-cloud-storage", "what is absent, forbidden or there already is told as Google tells it"
)
def test_what_is_refused_is_told_as_google_does(gcs: Any) -> None:
    bucket = gcs.create_bucket("python-refused")
    blob = bucket.blob("a")
    blob.upload_from_string(b"first", if_generation_match=0)

    with pytest.raises(PreconditionFailed):
        bucket.blob("a").upload_from_string(b"again", if_generation_match=0)
    with pytest.raises(PreconditionFailed):
        bucket.blob("a").upload_from_file(
            io.BytesIO(os.urandom(LARGE_BYTES)), if_generation_match=0
        )
    blob.upload_from_string(b"second", if_generation_match=blob.generation)
    assert blob.download_as_bytes() == b"second"
    with pytest.raises(RequestRangeNotSatisfiable):
        blob.download_as_bytes(start=100)
    with pytest.raises(NotFound):
        bucket.blob("b").download_as_bytes()
    assert not bucket.blob("b").exists()
    assert bucket.get_blob("b") is None
    with pytest.raises(NotFound):
        gcs.get_bucket("python-nowhere")
    assert gcs.lookup_bucket("python-nowhere") is None
    with pytest.raises(NotFound):
        gcs.bucket("python-nowhere").blob("a").upload_from_string(b"x")
    with pytest.raises(Conflict):
        gcs.create_bucket("python-refused")


def test_what_the_settings_do_not_allow_is_forbidden(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "a.dcm").write_bytes(b"shared")
    config = tmp_path / "fileroom.toml"
    config.write_text(
        '[buckets."gs://hospital"]\nurl = "shared"\nallow = ["read"]\nproject = "p7"\n'
    )
    with running_server(tmp_path / "data", f"--config={config}") as server:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.url)
        client = storage_client(server)
        bucket = client.bucket("hospital")

        assert bucket.blob("a.dcm").download_as_bytes() == b"shared"
        with pytest.raises(Forbidden, match=r"under \[buckets"):
            bucket.blob("b.dcm").upload_from_string(b"x")
        with pytest.raises(Forbidden, match=r"storage\.objects\.create access to bucket"):
            bucket.blob("b.dcm").upload_from_file(io.BytesIO(os.urandom(LARGE_BYTES)))
        assert list(client.list_buckets()) == []
        assert [each.name for each in client.list_buckets(project="p7")] == ["hospital"]
        client.close()


def test_what_was_sent_is_imported(gcs: Any, place: Place) -> None:
    bucket = gcs.bucket(place.bucket_id)
    bucket.blob("d/one.dcm").upload_from_string(corpus.mr_instance(rows=16))

    operation = place.import_all()

    assert operation.error is None
    assert operation.counters.success == 1


def test_the_code_of_the_page_runs_as_it_stands(server: RunningServer, tmp_path: Path) -> None:
    page = (ROOT / "docs" / "how-to" / "buckets.md").read_text()
    slice_1 = corpus.mr_instance(rows=16)
    (tmp_path / "slice-1.dcm").write_bytes(slice_1)
    programs = {
        "python": [sys.executable, "-W", "error", "-c"],
        "sh": ["sh", "-e", "-c"],
    }
    told = ""
    for language, code in re.findall(r"^```(\w+)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL):
        if language == "sh":
            require_tool("curl")
        ended = subprocess.run(
            [*programs[language], code.replace("curl ", "curl -fsS ")],
            cwd=tmp_path,
            env=clean_environment() | {"URL": server.url, "TOKEN": server.token},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (ended.returncode, ended.stderr) == (0, ""), code
        told += ended.stdout

    assert f"visit-1/slice-1.dcm {len(slice_1)} " in told
    for name in ("copy-1.dcm", "copy-2.dcm"):
        assert (tmp_path / name).read_bytes() == slice_1
