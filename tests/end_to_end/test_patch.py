"""What is stored is patched with a real server: by Google's own client, and by the program."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from google.oauth2.credentials import Credentials
from googleapiclient import discovery

from fileroom.errors import InvalidArgument
from tests import corpus
from tests.end_to_end.conftest import slices
from tests.server import run_fileroom

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

    from fileroom.client.values import JsonObject
    from tests.end_to_end.conftest import Place

ROOT = f"{corpus.UID_ROOT}.5.1"
KNEE: JsonObject = {"0008103E": {"vr": "LO", "Value": ["Knee, links: Kniegelenk"]}}
HIP: JsonObject = {"0008103E": {"vr": "LO", "Value": ["Hüfte"]}}


@pytest.fixture
def filled(place: Place) -> Place:
    """A store with a series of three instances."""
    for number, content in enumerate(slices(3)):
        place.put(f"{number}.dcm", content)
    assert place.import_all().error is None
    return place


def study_of(place: Place) -> str:
    found: list[Any] = list(place.client.search_studies(place.dicom_store))
    return f"studies/{found[0]['0020000D']['Value'][0]}"


def descriptions(place: Place, study: str) -> list[object]:
    told: list[Any] = place.client.retrieve_metadata(place.dicom_store, study)
    return [one.get("0008103E") for one in told]


def fileroom(place: Place, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run_fileroom(
        "studies",
        "patch-metadata",
        *arguments,
        f"--server={place.server.url}",
        f"--token={place.server.token}",
        f"--dicom-store={place.dicom_store}",
    )


@pytest.mark.clause(
    "google-api-python-client",
    "studies.updateMetadata of v1beta1 with DICOM JSON as its body names an operation that can be"
    " polled to its end; instances.updateMetadata answers the metadata",
)
def test_google_api_python_client_patches(filled: Place) -> None:
    service = discovery.build(
        "healthcare",
        "v1beta1",
        credentials=Credentials(token=filled.server.token),  # type: ignore[no-untyped-call]
        client_options={"api_endpoint": filled.server.url},
        static_discovery=True,
        cache_discovery=False,
    )
    study = study_of(filled)
    studies = service.projects().locations().datasets().dicomStores().studies()
    answer = studies.updateMetadata(
        parent=filled.dicom_store, dicomWebPath=study, body=KNEE
    ).execute()
    operation = filled.client.wait(answer["name"], poll_seconds=0.05)
    assert operation.error is None
    assert operation.counters.success == 3
    assert descriptions(filled, study) == [KNEE["0008103E"]] * 3

    path = f"{study}/series/{ROOT}/instances/{ROOT}.1"
    told = (
        studies.series()
        .instances()
        .updateMetadata(parent=filled.dicom_store, dicomWebPath=path, body=HIP)
        .execute()
    )
    service.close()
    model = json.loads(told) if isinstance(told, str | bytes) else told
    assert model[0]["0008103E"] == HIP["0008103E"]
    assert descriptions(filled, study).count(HIP["0008103E"]) == 1


def test_program_patches_a_study_a_series_and_an_instance(filled: Place, tmp_path: Path) -> None:
    study, body = study_of(filled), tmp_path / "patch.json"
    series = f"{study}/series/{ROOT}"
    for path, updated in ((study[8:], "3 updated"), (series, "3 updated")):
        body.write_text(json.dumps(KNEE if path == series else HIP), "utf-8")
        done = fileroom(filled, path, f"--body={body}")
        assert (done.returncode, updated in done.stdout) == (0, True), done.stderr
    assert descriptions(filled, study) == [KNEE["0008103E"]] * 3
    body.write_text(json.dumps(HIP), "utf-8")
    done = fileroom(filled, f"{series}/instances/{ROOT}.1", f"--body={body}")
    assert (done.returncode, "Patched" in done.stderr) == (0, True)
    assert descriptions(filled, study).count(HIP["0008103E"]) == 1

    body.write_text("[]", "utf-8")
    assert fileroom(filled, series, f"--body={body}").returncode == 2
    body.write_text("no JSON", "utf-8")
    assert fileroom(filled, series, f"--body={body}").returncode == 2
    with pytest.raises(InvalidArgument):
        filled.client.patch_series(
            filled.dicom_store, series, {"00080018": {"vr": "UI", "Value": ["1.2"]}}
        )
