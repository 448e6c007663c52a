"""The real gcloud, pointed at us by its environment; skipped by name where it is not on PATH.

A start of gcloud takes one to two seconds, so one test walks through many commands.
"""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.end_to_end.conftest import LOCATION, PROJECT, slices
from tests.server import clean_environment
from tests.tools import require_tool

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.end_to_end.conftest import Place
    from tests.server import RunningServer

    Gcloud = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def gcloud(server: RunningServer, tmp_path_factory: pytest.TempPathFactory) -> Gcloud:
    """Run ``gcloud healthcare …`` against the server."""
    program = require_tool("gcloud")
    home: Path = tmp_path_factory.mktemp("gcloud")
    (home / "token.txt").write_text(server.token)
    environment = clean_environment() | {
        "HOME": str(home),
        "CLOUDSDK_CONFIG": str(home / "config"),
        "CLOUDSDK_CORE_DISABLE_PROMPTS": "1",
        "CLOUDSDK_CORE_DISABLE_USAGE_REPORTING": "1",
        "CLOUDSDK_COMPONENT_MANAGER_DISABLE_UPDATE_CHECK": "1",
        "CLOUDSDK_CORE_PROJECT": PROJECT,
        "CLOUDSDK_HEALTHCARE_LOCATION": LOCATION,
        "CLOUDSDK_API_ENDPOINT_OVERRIDES_HEALTHCARE": f"{server.url}/",
        "CLOUDSDK_AUTH_ACCESS_TOKEN_FILE": str(home / "token.txt"),
    }

    def run(*arguments: str, track: str = "") -> subprocess.CompletedProcess[str]:
        command = [program, *([track] if track else []), "healthcare", *arguments]
        return subprocess.run(
            command, capture_output=True, text=True, env=environment, timeout=60, check=False
        )

    return run


@pytest.mark.clause(
    "gcloud healthcare datasets, dicom-stores",
    "gcloud creates, lists, describes, updates and deletes datasets and DICOM stores",
)
def test_gcloud_manages_datasets_and_dicom_stores(gcloud: Gcloud) -> None:
    created = gcloud("datasets", "create", "ds1", "--time-zone=Europe/Berlin")
    store = gcloud("dicom-stores", "create", "s1", "--dataset=ds1")
    datasets = gcloud("datasets", "list")
    described = gcloud("dicom-stores", "describe", "s1", "--dataset=ds1")
    missing = gcloud("dicom-stores", "describe", "s2", "--dataset=ds1")
    deleted_store = gcloud("dicom-stores", "delete", "s1", "--dataset=ds1")
    deleted = gcloud("datasets", "delete", "ds1")

    assert created.returncode == 0, created.stderr
    assert "Created dataset [ds1]." in created.stderr
    assert "Created dicomStore [s1]." in store.stderr
    assert "ds1" in datasets.stdout
    assert "Europe/Berlin" in datasets.stdout
    assert yaml.safe_load(described.stdout)["name"].endswith("/datasets/ds1/dicomStores/s1")
    assert missing.returncode == 1
    assert "NOT_FOUND" in missing.stderr
    assert deleted_store.returncode == 0, deleted_store.stderr
    assert "Deleted dataset [ds1]." in deleted.stderr


@pytest.mark.clause(
    "gcloud healthcare dicom-stores import gcs, operations",
    "gcloud imports with and without --async, describes and lists the operation, and exits 1 with "
    "the status of a partly failed import",
)
def test_gcloud_imports(gcloud: Gcloud, place: Place) -> None:
    for index, content in enumerate(slices(3)):
        place.put(f"good/{index}.dcm", content)
    place.put("bad/notes.txt", b"no DICOM at all" * 20)
    store = (place.dicom_store_id, f"--dataset={place.dataset_id}")

    waited = gcloud(
        "dicom-stores", "import", "gcs", *store, f"--gcs-uri=gs://{place.bucket_id}/good/*"
    )
    started = gcloud(
        "dicom-stores", "import", "gcs", *store, f"--gcs-uri=gs://{place.bucket_id}/**", "--async"
    )
    name = yaml.safe_load(started.stdout)["name"]
    place.client.wait(name, poll_seconds=0.1)
    described = gcloud("operations", "describe", name)
    listed = gcloud("operations", "list", f"--dataset={place.dataset_id}")
    failed = gcloud(
        "dicom-stores", "import", "gcs", *store, f"--gcs-uri=gs://{place.bucket_id}/bad/*"
    )

    assert waited.returncode == 0, waited.stderr
    assert "done." in waited.stderr
    assert yaml.safe_load(waited.stdout)["name"] == place.dicom_store
    assert started.returncode == 0, started.stderr
    assert "for status" in started.stderr
    operation = yaml.safe_load(described.stdout)
    assert operation["done"] is True
    assert operation["metadata"]["counter"] == {"success": "3", "failure": "1"}
    assert operation["error"]["code"] == 2
    assert name.rpartition("/")[2] in listed.stdout
    assert failed.returncode == 1
    assert "sampleErrors" in failed.stderr


@pytest.mark.clause(
    "gcloud healthcare dicom-stores export gcs, alpha operations cancel",
    "gcloud exports with and without --async, and cancels through v1alpha2",
)
def test_gcloud_exports_and_cancels(gcloud: Gcloud, place: Place) -> None:
    for index, content in enumerate(slices(3)):
        place.put(f"{index}.dcm", content)
    place.import_all()
    store = (place.dicom_store_id, f"--dataset={place.dataset_id}")

    waited = gcloud(
        "dicom-stores", "export", "gcs", *store, f"--gcs-uri-prefix=gs://{place.bucket_id}/one"
    )
    started = gcloud(
        "dicom-stores", "export", "gcs", *store, f"--gcs-uri-prefix=gs://{place.bucket_id}/two",
        "--mime-type=application/dicom; transfer-syntax=*", "--async",
    )  # fmt: skip
    name = yaml.safe_load(started.stdout)["name"]
    ended = place.client.wait(name, poll_seconds=0.1)
    cancelled = gcloud("operations", "cancel", name, track="alpha")

    assert waited.returncode == 0, waited.stderr
    assert yaml.safe_load(waited.stdout)["name"] == place.dicom_store
    assert ended.error is None
    for directory in ("one", "two"):
        assert len(list((place.bucket / directory).glob("*/*/*.dcm"))) == 3
    assert cancelled.returncode == 0, cancelled.stderr
    assert place.client.get_operation(name).error is None
