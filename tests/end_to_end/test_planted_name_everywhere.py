"""A planted name through failures, killed workers and deletions, and the looks themselves (S22)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import httpx2
import pytest

from tests.corpus import encapsulated_instance, minimal_instance, mr_instance
from tests.dicom_writer import UID_ROOT
from tests.fault_tools import workers_of
from tests.server import running_server
from tests.silence import PLANTED_NAME, check_files

STORE: Final = "projects/p1/locations/us-central1/datasets/d/dicomStores/s"
WEB: Final = f"/v1/{STORE}/dicomWeb"
NAMED: Final[dict[str, Any]] = dict.fromkeys(
    (
        *("patient_name", "patient_id", "study_description", "series_description", "study_id"),
        *("accession_number", "referring_physician_name"),
    ),
    PLANTED_NAME,
)
OTHER: Final = [(0x00101000, "LO", PLANTED_NAME), (0x00104000, "LT", PLANTED_NAME)]
"""Other Patient IDs and Patient Comments."""
ROOT: Final = Path(__file__).parents[2]


def _uids(number: int) -> dict[str, Any]:
    study = f"{UID_ROOT}.77.{number}"
    return {
        "study_instance_uid": study,
        "series_instance_uid": f"{study}.1",
        "sop_instance_uid": f"{study}.1.1",
    }


def _path(number: int) -> str:
    uids = _uids(number)
    study, series, instance = (
        uids[f"{level}_instance_uid"] for level in ("study", "series", "sop")
    )
    return f"{WEB}/studies/{study}/series/{series}/instances/{instance}"


def test_a_name_is_in_nothing_after_failures_a_killed_worker_and_deletions(tmp_path: Path) -> None:
    with running_server(tmp_path / "data", "--log-level=DEBUG") as server:
        bucket = server.make_bucket("input")
        (bucket / "1.dcm").write_bytes(mr_instance(**NAMED, **_uids(1)))
        (bucket / "2.dcm").write_bytes(encapsulated_instance(**NAMED, **_uids(2)))
        (bucket / "3.dcm").write_bytes(minimal_instance(extra=OTHER, **NAMED, **_uids(3)))
        headers = {"Authorization": f"Bearer {server.token}"}
        with (
            server.client() as client,
            httpx2.Client(base_url=server.url, headers=headers, timeout=60) as http,
        ):
            client.create_dataset(STORE.partition("/dicomStores")[0])
            client.create_dicom_store(STORE)
            client.wait(client.import_(STORE, "gs://input/**"), poll_seconds=0.1)
            told = [_bulk_value(http), *_failed_renders(http)]
            workers = workers_of(server.process.pid)
            assert workers
            for worker in workers:
                worker.kill()
            told += [http.get(f"{_path(1)}/rendered").text]
            client.wait(client.import_(STORE, "gs://input/**"), poll_seconds=0.1)
            for each in (_path(1), f"{WEB}/studies/{_uids(2)['study_instance_uid']}"):
                assert http.delete(each).is_success
            gone = http.get(f"{_path(1)}/metadata")
            assert gone.status_code == 404
            assert PLANTED_NAME not in gone.text
            client.delete_dataset(STORE.partition("/dicomStores")[0])
        assert all(PLANTED_NAME not in each for each in told)
        assert server.stop() == 0


def _bulk_value(http: httpx2.Client) -> str:
    """Read a large value by its link; give the error of one that is not there."""
    (metadata,) = http.get(f"{_path(1)}/metadata").json()
    assert PLANTED_NAME in str(metadata), "the name is in what is looked after"
    uri = metadata["7FE00010"]["BulkDataURI"]
    assert http.get(uri).is_success
    missing = http.get(f"{_path(1)}/bulkdata/00104000")
    assert missing.status_code in {400, 404}
    return missing.text


def _failed_renders(http: httpx2.Client) -> list[str]:
    """Ask for pictures of pixels that no decoder reads; give the errors."""
    failed = [http.get(f"{_path(2)}{form}") for form in ("/rendered", "/frames/1/rendered")]
    assert all(each.status_code >= 400 for each in failed), [each.status_code for each in failed]
    return [each.text for each in failed]


_WRITING: Final = f"""
import logging
import os


def test_stdout() -> None:
    print("{PLANTED_NAME}")


def test_stderr() -> None:
    os.system("echo {PLANTED_NAME} >&2")


def test_log() -> None:
    logging.getLogger("another.library").warning("{PLANTED_NAME}")


def test_nothing() -> None:
    print("nobody")
"""


def test_a_test_whose_processes_write_a_name_fails(tmp_path: Path) -> None:
    config = tmp_path / "pytest.ini"
    config.write_text("[pytest]\n")
    file = tmp_path / "test_it.py"
    file.write_text(_WRITING)
    ended = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-p", "tests.conftest", "-c", str(config)),
            *(f"--rootdir={tmp_path}", str(file)),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "4 passed, 3 errors" in ended.stdout, ended.stdout
    assert "LISTENER.take() == []" in ended.stdout
    for where in ("stdout", "stderr"):
        assert f"a patient's name in ['Captured {where} call']" in ended.stdout


def test_a_log_of_a_program_beside_a_server_is_looked_through(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"\xff nobody")
    check_files([log])
    log.write_bytes(b"\xff " + PLANTED_NAME.encode())
    with pytest.raises(AssertionError, match="a patient's name in"):
        check_files([log])
