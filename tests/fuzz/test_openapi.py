"""Requests that the OpenAPI document describes, right and wrong: no answer is a fault of ours."""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING

import httpx2
import pytest

from tests.corpus import UID_ROOT, minimal_instance, multi_frame_instance
from tests.project import ROOT
from tests.server import running_server

if TYPE_CHECKING:
    from pathlib import Path

    from tests.server import RunningServer


@pytest.mark.parametrize("seconds", [25, pytest.param(600, marks=pytest.mark.long)])
@pytest.mark.timeout(900)
def test_no_request_of_the_openapi_document_ends_in_a_fault(tmp_path: Path, seconds: int) -> None:
    report = tmp_path / "report.json"
    hooks = {"SCHEMATHESIS_HOOKS": "tests.fuzz.api_checks", "PYTHONPATH": str(ROOT)}
    with running_server(
        tmp_path / "data", environment={"FILEROOM_REQUESTS_PER_SECOND": "0"}
    ) as server:
        there = _filled(server)
        ended = subprocess.run(
            [
                str(ROOT / ".venv" / "bin" / "schemathesis"),
                "run",
                f"{server.url}/openapi.json",
                f"--header=Authorization:Bearer {server.token}",
                "--checks=answers_as_google",
                "--phases=coverage,fuzzing",
                f"--max-time={seconds}",
                "--workers=1",
                "--warnings=off",
                "--request-timeout=20",
                f"--report-json-path={report}",
                "--no-color",
            ],
            cwd=tmp_path,
            env=os.environ | hooks | {"FUZZ_THERE": json.dumps(there)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == 0, ended.stdout[-8000:] + ended.stderr[-2000:]
    told = json.loads(report.read_text())
    assert told["test_cases"]["generated"] > 300
    assert told["operations"]["tested"] > 80


def _filled(server: RunningServer) -> dict[str, str]:
    """Make a store that holds an instance; give the variables of paths by which it is reached."""
    there = {
        "project": "p",
        "location": "us-central1",
        "dataset": "d",
        "dicomStore": "s",
        "bucket": "inbox",
        "object": "a.dcm",
        "study": f"{UID_ROOT}.2.1",
        "series": f"{UID_ROOT}.2.1.1",
        "instance": f"{UID_ROOT}.9",
        "frames": "1",
    }
    (server.make_bucket("inbox") / "a.dcm").write_bytes(minimal_instance())
    parent = "v1/projects/p/locations/us-central1/datasets"
    headers = {"Authorization": f"Bearer {server.token}"}
    with httpx2.Client(base_url=server.url, headers=headers, trust_env=False) as client:
        for path in (f"{parent}?datasetId=d", f"{parent}/d/dicomStores?dicomStoreId=s"):
            assert client.post(path, json={}).status_code == 200
        stored = client.post(
            f"{parent}/d/dicomStores/s/dicomWeb/studies",
            content=multi_frame_instance(sop_instance_uid=there["instance"]),
            headers={"Content-Type": "application/dicom"},
        )
        assert stored.status_code == 200, stored.text
    return there
