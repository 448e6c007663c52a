"""Operations over HTTP: how they stand, how they end, what failed."""

from __future__ import annotations

import csv
import io
import json
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import pyarrow.parquet
import pytest

from fileroom.database.operations import Kind
from fileroom.operations.auditing import METHOD_NAMES
from tests.corpus import minimal_instance

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.unit.api.conftest import ServedDeployment

ACCOUNT = {"imported", "identical", "kept", "replaced", "failed", "pending", "notStarted"}
PACE = {"objectsPerSecond", "bytesPerSecond", "secondsLeft"}
BESIDE = {"listed", "total", "bytes", "pausedWhy"} | PACE
"""What is told beside the terms that sum to ``listed``."""


def finish(server: ServedDeployment, name: str) -> dict[str, Any]:
    """Poll an operation to its end; its account must sum up at every moment."""
    deadline = time.monotonic() + 30
    while True:
        operation: dict[str, Any] = server.get(name)
        account = operation["metadata"]["fileroom"]
        terms = set(account) - BESIDE
        assert sum(account[term] for term in terms) == account["listed"]
        if operation.get("done"):
            return operation
        assert time.monotonic() < deadline, operation
        time.sleep(0.05)


def fill(server: ServedDeployment, bucket: str, files: Mapping[str, bytes]) -> None:
    directory = server.deployment.settings.data / "buckets" / bucket
    directory.mkdir()
    for name, content in files.items():
        (directory / name).write_bytes(content)


def start(server: ServedDeployment, store: str, uri: str, version: str = "v1") -> str:
    answer = server.client.post(f"/{version}/{store}:import", json={"gcsSource": {"uri": uri}})
    assert answer.status_code == 200, answer.text
    assert set(answer.json()) == {"name"}
    name: str = answer.json()["name"]
    return name


@pytest.fixture(scope="module")
def failed(server: ServedDeployment) -> dict[str, Any]:
    """An import of two instances, an empty object and a text, at its end."""
    fill(
        server,
        "mixed",
        {
            "a.dcm": minimal_instance(sop_instance_uid="1.2.1"),
            "b.dcm": b"",
            "c.dcm": minimal_instance(sop_instance_uid="1.2.2"),
            "=d.dcm": b"no DICOM at all" * 20,
        },
    )
    store = server.make_store(server.make_dataset("mixed"), "s1")
    return finish(server, start(server, store, "gs://mixed/*.dcm"))


def test_every_kind_of_operation_has_its_method_name() -> None:
    assert set(METHOD_NAMES) == set(Kind)


@pytest.mark.clause(
    "Cloud Healthcare v1 Operation", "an import without failures ends with response and no error"
)
def test_good_import_ends_with_a_response(server: ServedDeployment) -> None:
    fill(
        server, "good", {f"{n}.dcm": minimal_instance(sop_instance_uid=f"1.3.{n}") for n in (1, 2)}
    )
    store = server.make_store(server.make_dataset("good"), "s1")

    operation = finish(server, start(server, store, "gs://good/*.dcm", "v1beta1"))

    package = "type.googleapis.com/google.cloud.healthcare.v1beta1"
    assert operation["response"] == {"@type": f"{package}.dicom.ImportDicomDataResponse"}
    assert "error" not in operation
    metadata = operation["metadata"]
    assert metadata["@type"] == f"{package}.OperationMetadata"
    assert metadata["apiMethodName"] == (
        "google.cloud.healthcare.v1beta1.dicom.DicomService.ImportDicomData"
    )
    assert metadata["counter"] == {"success": "2"}
    assert metadata["logsUrl"] == f"{server.url}/console/{operation['name']}/logs"
    assert metadata["createTime"] <= metadata["endTime"]
    assert metadata["fileroom"]["imported"] == 2
    sizes = [len(minimal_instance(sop_instance_uid=f"1.3.{n}")) for n in (1, 2)]
    assert metadata["fileroom"]["bytes"] == sum(sizes)
    assert metadata["fileroomRequest"] == {"name": store, "gcsSource": {"uri": "gs://good/*.dcm"}}
    assert server.get(f"{store}:getDICOMStoreMetrics")["instanceCount"] == "2"


@pytest.mark.clause(
    "Cloud Healthcare v1 Operation",
    "a partly failed import ends with error 2 and sampleErrors",
    holds="chosen",
)
def test_partly_failed_import_ends_with_samples(failed: dict[str, Any]) -> None:
    assert failed["done"] is True
    assert "response" not in failed
    error = failed["error"]
    assert error["code"] == 2
    assert failed["metadata"]["logsUrl"] in error["message"]
    details = error["details"][0]
    assert details["@type"].endswith("v1beta1.dicom.ImportDicomDataErrorDetails")
    samples = {sample["resource"]: sample["error"] for sample in details["sampleErrors"]}
    assert set(samples) == {"gs://mixed/=d.dcm", "gs://mixed/b.dcm"}
    assert samples["gs://mixed/b.dcm"]["code"] == 3
    assert failed["metadata"]["counter"] == {"success": "2", "failure": "2"}
    assert set(failed["metadata"]["fileroom"]) >= ACCOUNT


@pytest.mark.clause(
    "Fileroom operations.failures",
    "every failed object is listed, paged and filtered by reason",
    holds="own rule",
)
def test_failures_are_listed_page_by_page(server: ServedDeployment, failed: dict[str, Any]) -> None:
    path = f"{failed['name']}:failures"

    first = server.get(path, pageSize="1")
    second = server.get(path, pageSize="1", pageToken=first["nextPageToken"])
    empty = server.get(path, reason="EMPTY")

    assert [each["source"] for each in first["failures"] + second["failures"]] == [
        "gs://mixed/=d.dcm",
        "gs://mixed/b.dcm",
    ]
    assert "nextPageToken" not in second
    (failure,) = empty["failures"]
    assert failure["source"] == "gs://mixed/b.dcm"
    assert failure["reason"] == "EMPTY"
    assert failure["error"] == {"code": 3, "message": failure["error"]["message"]}
    for query in ({"reason": "NO_SUCH"}, {"format": "xml"}, {"pageToken": "forged"}):
        assert server.call("GET", path, **query).status_code == 400


@pytest.mark.parametrize("asked", ["format", "Accept"])
def test_failures_come_whole_as_ndjson(
    server: ServedDeployment, failed: dict[str, Any], asked: str
) -> None:
    path = f"/v1/{failed['name']}:failures"
    if asked == "format":
        answer = server.client.get(path, params={"format": "ndjson"})
    else:
        answer = server.client.get(path, headers={"Accept": "application/x-ndjson"})

    assert answer.headers["Content-Type"] == "application/x-ndjson; charset=UTF-8"
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert lines == server.get(f"{failed['name']}:failures")["failures"]


def test_failures_come_whole_as_csv_that_no_spreadsheet_runs(
    server: ServedDeployment, failed: dict[str, Any]
) -> None:
    answer = server.call("GET", f"{failed['name']}:failures", format="csv")

    rows = list(csv.DictReader(answer.text.splitlines()))
    assert [row["source"] for row in rows] == ["gs://mixed/=d.dcm", "gs://mixed/b.dcm"]
    assert rows[1]["reason"] == "EMPTY"
    assert rows[1]["code"] == "3"
    assert not any(value.startswith("=") for row in rows for value in row.values())


@pytest.mark.clause(
    "Fileroom operations.ledger",
    "every object is in one line with its source, size, checksum, UIDs and outcome, as NDJSON, CSV"
    " or Parquet; the lines add up to the account",
    holds="own rule",
)
def test_ledger_tells_of_every_object(server: ServedDeployment, failed: dict[str, Any]) -> None:
    path = f"{failed['name']}:ledger"
    account = failed["metadata"]["fileroom"]
    lines = [json.loads(line) for line in server.call("GET", path).text.splitlines()]

    assert sorted(line["ordinal"] for line in lines) == list(range(account["listed"]))
    results = Counter(line["result"] for line in lines)
    assert results == {"imported": account["imported"], "failed": account["failed"]}
    by_source = {line["source"]: line for line in lines}
    assert by_source["gs://mixed/b.dcm"]["reason"] == "EMPTY"
    stored = next(line for line in lines if line["result"] == "imported")
    assert len(bytes.fromhex(stored["sha256"])) == 32
    assert stored["size"] > 0
    assert stored["studyInstanceUid"]
    assert stored["version"]

    rows = list(csv.DictReader(server.call("GET", path, format="csv").text.splitlines()))
    assert [int(row["ordinal"]) for row in rows] == [line["ordinal"] for line in lines]
    assert not any(value.startswith("=") for row in rows for value in row.values())
    whole = server.call("GET", path, format="parquet")
    assert whole.headers["Content-Type"] == "application/vnd.apache.parquet"
    table = pyarrow.parquet.read_table(io.BytesIO(whole.content)).to_pylist()
    assert [{k: v for k, v in row.items() if v is not None} for row in table] == lines
    for form in ("xml", "json"):
        assert server.call("GET", path, format=form).status_code == 400


def test_operations_are_listed_newest_first(server: ServedDeployment) -> None:
    dataset = server.make_dataset("many")
    store = server.make_store(dataset, "s1")
    fill(server, "none", {})
    names = [start(server, store, f"gs://none/{number}.dcm") for number in range(3)]
    for name in names:
        finish(server, name)

    page = server.get(f"{dataset}/operations", pageSize="2")
    rest = server.get(f"{dataset}/operations", pageToken=page["nextPageToken"])
    listed = [each["name"] for each in page["operations"] + rest["operations"]]

    assert listed[:3] == names[::-1]
    assert len(listed) == 4, "the creation of the dataset is the oldest"
    assert server.get(f"{dataset}/operations", filter="done=true") == server.get(
        f"{dataset}/operations"
    )
    assert server.get(f"{dataset}/operations", filter="done = false") == {}
    assert server.call("GET", f"{dataset}/operations", filter="name=x").status_code == 400
    partial = server.call("GET", f"{dataset}/operations", returnPartialSuccess="true")
    assert partial.status_code == 501


@pytest.mark.clause(
    "Cloud Healthcare v1 dicomStores.import",
    "no match ends with error 5 that names the pattern",
    holds="chosen",
)
def test_import_of_nothing_is_not_found(server: ServedDeployment) -> None:
    store = server.make_store(server.make_dataset("nothing"), "s1")
    fill(server, "void", {})

    operation = finish(server, start(server, store, "gs://void/**.dcm"))

    assert operation["error"]["code"] == 5
    assert "gs://void/**.dcm" in operation["error"]["message"]
    assert "counter" not in operation["metadata"]


@pytest.mark.clause(
    "Cloud Healthcare v1 operations.cancel",
    "cancel answers {} and leaves an operation that ended as it is",
)
def test_cancel_of_what_has_ended_changes_nothing(
    server: ServedDeployment, failed: dict[str, Any]
) -> None:
    for version in ("v1", "v1beta1", "v1alpha2"):
        answer = server.client.post(f"/{version}/{failed['name']}:cancel", json={})
        assert (answer.status_code, answer.json()) == (200, {})

    assert server.get(failed["name"]) == failed


def test_export_writes_what_was_imported(server: ServedDeployment) -> None:
    files = {f"{n}.dcm": minimal_instance(sop_instance_uid=f"1.4.{n}") for n in (1, 2)}
    fill(server, "round", files)
    fill(server, "round-out", {})
    store = server.make_store(server.make_dataset("round"), "s1")
    finish(server, start(server, store, "gs://round/**"))

    body = {"gcsDestination": {"uriPrefix": "gs://round-out/all"}}
    started = server.call("POST", f"{store}:export", body)
    operation = finish(server, started.json()["name"])

    assert operation["response"]["@type"].endswith("v1.dicom.ExportDicomDataResponse")
    assert operation["metadata"]["counter"] == {"success": "2"}
    out = server.deployment.settings.data / "buckets" / "round-out"
    written = sorted(path.read_bytes() for path in out.rglob("*.dcm"))
    assert written == sorted(files.values())


def test_an_import_is_taken_back(server: ServedDeployment) -> None:
    instances = {f"{n}.dcm": minimal_instance(sop_instance_uid=f"1.4.{n}") for n in (1, 2)}
    fill(server, "back", instances)
    store = server.make_store(server.make_dataset("back"), "s1")
    imported = finish(server, start(server, store, "gs://back/*.dcm"))

    name = server.call("POST", f"{imported['name']}:undo", {}).json()["name"]
    undone = finish(server, name)

    assert undone["metadata"]["apiMethodName"].endswith("UndoImportDicomData")
    assert undone["metadata"]["fileroom"]["deleted"] == 2
    assert undone["metadata"]["fileroomRequest"] == {"name": store, "undone": imported["name"]}
    assert undone["response"]["@type"].endswith("v1.dicom.UndoImportDicomDataResponse")
    refused = server.call("POST", f"{name}:undo", {})
    assert refused.status_code == 400
    assert "no import" in refused.json()["error"]["message"]
