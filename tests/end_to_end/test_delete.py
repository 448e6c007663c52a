"""Deletions with a real server: by curl as any client asks for them, and by the program."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from fileroom.errors import NotFound
from tests import corpus
from tests.end_to_end.conftest import slices
from tests.server import run_fileroom
from tests.tools import require_tool

if TYPE_CHECKING:
    from tests.end_to_end.conftest import Place


def curl(place: Place, verb: str, path: str) -> tuple[int, Any]:
    """Send a request as the documentation's curl lines do."""
    answer = subprocess.run(
        [
            require_tool("curl"), "--silent", "--show-error", "--noproxy", "*",
            "-X", verb,
            "-H", f"Authorization: Bearer {place.server.token}",
            "--write-out", "\n%{http_code}",
            f"{place.server.url}/v1/{path}",
        ],
        capture_output=True, text=True, check=True, timeout=30,
    )  # fmt: skip
    body, _, status = answer.stdout.rpartition("\n")
    return int(status), json.loads(body)


def fileroom(place: Place, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run_fileroom(
        *arguments,
        f"--server={place.server.url}",
        f"--token={place.server.token}",
        f"--dicom-store={place.dicom_store}",
    )


@pytest.fixture
def filled(place: Place) -> Place:
    """A store with two series of one study."""
    for series in (1, 2):
        for number, content in enumerate(slices(3, series=series)):
            place.put(f"{series}-{number}.dcm", content)
    assert place.import_all().error is None
    return place


def study_of(place: Place) -> str:
    (found,) = place.client.search_studies(place.dicom_store)
    value = found["0020000D"]
    assert isinstance(value, dict)
    assert isinstance(value["Value"], list)
    return f"studies/{value['Value'][0]}"


@pytest.mark.clause(
    "Cloud Healthcare v1 dicomStores.studies.delete",
    "curl -X DELETE on an instance answers {}, on a series and a study the name of an operation "
    "that can be polled to its end",
)
def test_curl_deletes_an_instance_a_series_and_a_study(filled: Place) -> None:
    study, web = study_of(filled), f"{filled.dicom_store}/dicomWeb"
    series = f"{study}/series/{corpus.UID_ROOT}.5.1"

    instance = f"{series}/instances/{corpus.UID_ROOT}.5.1.1"
    assert curl(filled, "DELETE", f"{web}/{instance}") == (200, {})
    assert curl(filled, "DELETE", f"{web}/{instance}")[0] == 404
    assert curl(filled, "GET", f"{web}/{series}:getSeriesMetrics")[1]["instanceCount"] == "2"
    for path, deleted in ((series, 2), (study, 3)):
        status, answer = curl(filled, "DELETE", f"{web}/{path}")
        assert (status, set(answer)) == (200, {"name"})
        operation = filled.client.wait(answer["name"], poll_seconds=0.05)
        assert operation.error is None
        assert operation.counters.success == deleted
    assert list(filled.client.search_studies(filled.dicom_store)) == []


def test_program_counts_and_deletes(filled: Place) -> None:
    study = study_of(filled)
    series = f"{study}/series/{corpus.UID_ROOT}.5.1"
    instance = f"{series}/instances/{corpus.UID_ROOT}.5.1.1"

    assert "instanceCount: '6'" in fileroom(filled, "studies", "metrics", study[8:]).stdout
    assert "instanceCount: '3'" in fileroom(filled, "studies", "metrics", series).stdout
    assert "storageClass: STANDARD" in fileroom(filled, "studies", "metrics", instance).stdout
    assert fileroom(filled, "studies", "delete", instance, "--quiet").returncode == 0
    deleted = fileroom(filled, "studies", "delete", series, "--quiet")
    assert (deleted.returncode, "2 deleted" in deleted.stdout) == (0, True)
    assert fileroom(filled, "studies", "delete", study[8:], "--quiet").returncode == 0
    gone = fileroom(filled, "studies", "delete", study[8:], "--quiet")
    assert (gone.returncode, "NOT_FOUND" in gone.stderr) == (1, True)
    asked = fileroom(filled, "studies", "delete", study[8:])
    assert (asked.returncode, "--quiet" in asked.stderr) == (2, True)


def test_storage_class_is_set_by_the_program(filled: Place) -> None:
    series = f"{study_of(filled)}/series/{corpus.UID_ROOT}.5.1"
    done = run_fileroom(
        "dicom-stores",
        "set-blob-storage-settings",
        filled.dicom_store,
        "--storage-class=ARCHIVE",
        f"--path={series}",
        f"--server={filled.server.url}",
        f"--token={filled.server.token}",
    )

    assert (done.returncode, "3 updated" in done.stdout) == (0, True)
    info = filled.client.get_storage_info(
        filled.dicom_store, f"{series}/instances/{corpus.UID_ROOT}.5.1.1"
    )
    assert info.storage_class == "ARCHIVE"
    assert info.size_bytes > 0
    assert info.storage_class_update_time is not None
    with pytest.raises(NotFound):
        filled.client.get_series_metrics(filled.dicom_store, f"{series}.9")
