"""Log entries over HTTP: what failed, how operations ended."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from fileroom.api import logging
from tests.corpus import minimal_instance

if TYPE_CHECKING:
    import httpx2

    from tests.unit.api.conftest import ServedDeployment

PROJECT = "projects/p1"


def ask(server: ServedDeployment, log_filter: str = "", **body: object) -> httpx2.Response:
    request = {"resourceNames": [PROJECT], "filter": log_filter, **body}
    return server.client.post("/v2/entries:list", json=request)


def entries(server: ServedDeployment, log_filter: str = "", **body: object) -> Any:
    answer = ask(server, log_filter, **body)
    assert answer.status_code == 200, answer.text
    return answer.json().get("entries", [])


def run(server: ServedDeployment, path: str, body: dict[str, object]) -> dict[str, Any]:
    """Start an operation and give it once it has ended."""
    name = server.call("POST", path, body).json()["name"]
    deadline = time.monotonic() + 30
    while not (operation := server.get(name)).get("done"):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    found: dict[str, Any] = operation
    return found


@pytest.fixture(scope="module")
def store(server: ServedDeployment) -> str:
    directory = server.deployment.settings.data / "buckets" / "logged"
    directory.mkdir()
    (directory / "a.dcm").write_bytes(minimal_instance())
    for number in range(5):
        (directory / f"x{number}.dcm").write_bytes(b"")
    return server.make_store(server.make_dataset("logged"), "s")


@pytest.fixture(scope="module")
def failed(server: ServedDeployment, store: str) -> dict[str, Any]:
    return run(server, f"{store}:import", {"gcsSource": {"uri": "gs://logged/**"}})


@pytest.fixture(scope="module")
def good(server: ServedDeployment, store: str, failed: dict[str, Any]) -> dict[str, Any]:
    assert failed["done"]
    return run(server, f"{store}:import", {"gcsSource": {"uri": "gs://logged/a*"}})


@pytest.mark.clause(
    "Cloud Healthcare v1, viewing error logs",
    "each object that failed has a log entry, in the form of the documentation",
)
def test_each_failure_has_its_entry(server: ServedDeployment, failed: dict[str, Any]) -> None:
    first, *others = entries(
        server,
        f'resource.type="healthcare_dataset" AND operation.id="{failed["name"]}"'
        " AND severity>=ERROR",
    )

    created = failed["metadata"]["createTime"]
    number = failed["name"].rpartition("/")[2]
    ordinal = first["insertId"].rpartition("-")[2]
    assert first == {
        "insertId": f"{number}-{ordinal}",
        "jsonPayload": {
            "@type": "type.googleapis.com/google.cloud.healthcare.logging.ImportDicomLogEntry",
            "source": "gs://logged/x0.dcm",
            "error": {"code": 3, "message": first["jsonPayload"]["error"]["message"]},
            "reason": "EMPTY",
        },
        "logName": f"{PROJECT}/logs/healthcare.googleapis.com%2Fimport_dicom",
        "operation": {
            "id": failed["name"],
            "producer": "healthcare.googleapis.com/ImportDicomData",
        },
        "receiveTimestamp": created,
        "resource": {
            "type": "healthcare_dataset",
            "labels": {
                "dataset_id": "logged",
                "location": "us-central1",
                "project_id": "p1",
            },
        },
        "severity": "ERROR",
        "timestamp": created,
    }
    assert [each["jsonPayload"].get("source") for each in others] == [
        *(f"gs://logged/x{number}.dcm" for number in range(1, 5)),
        None,
    ]
    end = others[-1]
    assert (end["severity"], end["timestamp"]) == ("ERROR", failed["metadata"]["endTime"])
    assert end["jsonPayload"] == {
        "message": "ImportDicomData ended: 1 succeeded, 5 failed",
        "counter": {"success": "1", "failure": "5"},
        "error": {"code": 2, "message": failed["error"]["message"]},
    }


def test_a_good_end_is_no_error(server: ServedDeployment, good: dict[str, Any]) -> None:
    within = f'operation.id="{good["name"]}"'

    (end,) = entries(server, within)
    assert end["severity"] == "INFO"
    assert end["jsonPayload"]["counter"] == {"success": "1"}
    assert entries(server, f"{within} AND severity>=ERROR") == []


@pytest.mark.parametrize("size", [1, 2, 3, 100])
@pytest.mark.parametrize("order", ["timestamp asc", "timestamp desc"])
def test_pages_are_all_entries_in_their_order(
    server: ServedDeployment, good: dict[str, Any], size: int, order: str
) -> None:
    assert good["done"]
    within = 'resource.labels.dataset_id="logged"'
    expected = entries(server, within, pageSize=1000)
    found: list[dict[str, Any]] = []
    token = ""
    while True:
        page = ask(server, within, orderBy=order, pageSize=size, pageToken=token).json()
        assert len(page.get("entries", [])) <= size
        found += page.get("entries", [])
        token = page.get("nextPageToken", "")
        if not token:
            break

    assert len(expected) == 7
    assert found == (expected[::-1] if order.endswith("desc") else expected)


def test_a_page_ends_after_many_operations_without_entries(
    server: ServedDeployment, good: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging, "OPERATIONS_MAX", 1)
    since = f'timestamp>="{good["metadata"]["endTime"]}"'

    first = ask(server, since).json()
    assert "entries" not in first
    second = ask(server, since, pageToken=first["nextPageToken"]).json()

    assert [each["operation"]["id"] for each in second["entries"]] == [good["name"]]
    assert "nextPageToken" not in second


def test_entries_are_of_the_projects_asked_for(
    server: ServedDeployment, good: dict[str, Any]
) -> None:
    assert good["done"]
    assert entries(server, resourceNames=["projects/p-other"]) == []
    assert len(entries(server, resourceNames=["projects/p-other", PROJECT])) == 7
    assert entries(server, 'operation.id="projects/p1/locations/l/datasets/d/operations/1"') == []
    assert len(entries(server, order_by="timestamp desc", page_size=3)) == 3


@pytest.mark.parametrize(
    "body",
    [
        {"resourceNames": []},
        {"resourceNames": ["folders/1"]},
        {"resourceNames": ["projects/p1/locations/l"]},
        {"filter": "text"},
        {"orderBy": "severity"},
        {"pageSize": -1},
        {"pageToken": "x"},
        {"projectIds": ["p1"]},
    ],
)
def test_what_is_not_known_is_refused(server: ServedDeployment, body: dict[str, object]) -> None:
    answer = server.client.post("/v2/entries:list", json={"resourceNames": [PROJECT], **body})

    assert answer.status_code == 400, answer.text
