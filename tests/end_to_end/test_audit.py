"""The audit log of a real server: a line for each request, and whoever drops one is found out."""

from __future__ import annotations

import json
import time
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

import httpx2

from tests.corpus import mr_instance
from tests.server import run_fileroom, running_server

if TYPE_CHECKING:
    from pathlib import Path

    from tests.server import RunningServer

STUDY: Final = "1.2.3"
PLANTED: Final = "ZZPHI"


def entries(server: RunningServer) -> list[dict[str, Any]]:
    """Give what the segments hold."""
    return [
        json.loads(line)
        for segment in sorted((server.data / "audit").iterdir())
        for line in segment.read_text().splitlines()
    ]


def opened(server: RunningServer) -> httpx2.Client:
    """Give a client that may do everything, to be closed."""
    authorization = {"Authorization": f"Bearer {server.token}"}
    return httpx2.Client(base_url=f"{server.url}/v1", headers=authorization)


def _text(server: RunningServer) -> str:
    return "".join(each.read_text() for each in sorted((server.data / "audit").iterdir()))


def asked(server: RunningServer) -> list[dict[str, Any]]:
    """Give what clients did."""
    return [e for e in entries(server) if e["protoPayload"]["serviceName"] != "fileroom"]


def test_each_request_has_its_entry(tmp_path: Path) -> None:
    with running_server(tmp_path / "data") as server, opened(server) as http:
        parent = "projects/p1/locations/us-central1"
        store = f"{parent}/datasets/d/dicomStores/s"
        answers = [
            http.post(f"/{parent}/datasets", params={"datasetId": "d"}, json={}),
            http.post(f"/{parent}/datasets/d/dicomStores", params={"dicomStoreId": "s"}, json={}),
            http.get(f"/{store}"),
            http.get(f"/{store}/dicomWeb/studies", params={"PatientName": PLANTED}),
            http.get(f"/{store}/dicomWeb/studies/{STUDY}"),
            http.get(f"/{store}/dicomWeb/studies/{PLANTED}/metadata"),
            http.get(f"/{store}/dicomWeb/studies", headers={"Authorization": f"Bearer {PLANTED}"}),
            http.delete(f"/{store}/dicomWeb/studies/{STUDY}"),
            http.delete(f"/{store}", headers={"Authorization": ""}),
        ]
        assert http.get(f"{server.url}/healthz").status_code == 200
        found = asked(server)
        statuses = [answer.status_code for answer in answers]
        assert statuses == [200, 200, 200, 204, 404, 400, 401, 404, 401]
        assert len(found) == len(answers)
        service = "google.cloud.healthcare.v1.dicom.DicomService"
        assert [each["protoPayload"]["methodName"] for each in found] == [
            "google.cloud.healthcare.v1.dataset.DatasetService.CreateDataset",
            f"{service}.CreateDicomStore",
            f"{service}.GetDicomStore",
            f"{service}.SearchForStudies",
            f"{service}.RetrieveStudy",
            f"{service}.RetrieveStudyMetadata",
            f"{service}.SearchForStudies",
            f"{service}.DeleteStudy",
            f"{service}.DeleteDicomStore",
        ]
        assert [each["protoPayload"]["status"].get("code", 0) for each in found] == [
            *(0, 0, 0, 0, 5, 3, 16, 5, 16)
        ]
        granted = [each["protoPayload"]["authorizationInfo"][0]["granted"] for each in found]
        assert granted == [True] * 6 + [False, True, False]
        assert found[4]["protoPayload"]["resourceName"] == f"{store}/dicomWeb/studies/{STUDY}"
        assert found[5]["protoPayload"]["resourceName"] == store
        assert Counter(e["logName"].rpartition("%2F")[2] for e in found) == {
            "activity": 3,
            "data_access": 6,
        }
        assert found[0]["operation"].keys() == {"id", "producer", "first", "last"}
        assert PLANTED not in json.dumps(found)
        assert server.token not in json.dumps(found)


def test_an_operation_has_two_entries_and_a_dropped_line_is_found(tmp_path: Path) -> None:
    with running_server(tmp_path / "data") as server:
        bucket = server.make_bucket("input")
        (bucket / "1.dcm").write_bytes(mr_instance(patient_name=PLANTED))
        with server.client() as client:
            client.create_dataset("projects/p1/locations/us-central1/datasets/d")
            name = "projects/p1/locations/us-central1/datasets/d/dicomStores/s"
            store = client.create_dicom_store(name)
            operation = client.wait(client.import_(name, "gs://input/**"), poll_seconds=0.1)
        deadline = time.monotonic() + 10  # the last line of a read, or of an end, waits a moment
        while _text(server).count('"last":true') < 2 and time.monotonic() < deadline:
            time.sleep(0.1)
        of_it = [
            e for e in asked(server) if e.get("operation", {}).get("id") == str(operation.name)
        ]
        assert [sorted(e["operation"].keys() & {"first", "last"}) for e in of_it] == [
            ["first"],
            ["last"],
        ]
        who = {e["protoPayload"]["authenticationInfo"]["principalEmail"] for e in of_it}
        assert who == {"token:owner"}
        assert PLANTED not in json.dumps(entries(server))
        beside = run_fileroom("audit", "verify", f"--data={server.data}", "--format=json")
        assert beside.returncode == 0, beside.stderr
        assert json.loads(beside.stdout)["broken"] is None
        listed = run_fileroom(
            "audit",
            "list",
            f"--data={server.data}",
            "--filter=operation.last=true AND protoPayload.methodName:ImportDicomData",
            "--format=value(protoPayload.resourceName)",
        )
        assert listed.stdout.strip() == str(store.name)
        assert server.stop() == 0
        (segment,) = (server.data / "audit").iterdir()
        lines = segment.read_bytes().splitlines(keepends=True)
        segment.write_bytes(b"".join([*lines[:2], *lines[3:]]))
        after = run_fileroom("audit", "verify", f"--data={server.data}")
        assert after.returncode == 1
        assert f"BROKEN: {segment.name}, line 3: it is line 4 of the log" in after.stdout
