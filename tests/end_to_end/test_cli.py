"""The command line against the real server; its output beside that of the real gcloud."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest
import yaml
from click.testing import CliRunner, Result

from fileroom.cli.program import program
from tests.end_to_end.conftest import LOCATION, PROJECT, slices
from tests.server import clean_environment
from tests.tools import require_tool

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fileroom.client import JsonObject
    from tests.end_to_end.conftest import Place
    from tests.server import RunningServer

    Fileroom = Callable[..., Result]


@pytest.fixture
def fileroom(server: RunningServer, monkeypatch: pytest.MonkeyPatch) -> Fileroom:
    """Run the program as the owner of the data directory would."""
    monkeypatch.setenv("FILEROOM_SERVER", server.url)
    monkeypatch.setenv("FILEROOM_DATA", str(server.data))
    monkeypatch.setenv("CLOUDSDK_CORE_PROJECT", PROJECT)
    for name in ("FILEROOM_TOKEN", "FILEROOM_PROJECT", "FILEROOM_LOCATION"):
        monkeypatch.delenv(name, raising=False)

    def run(*arguments: str) -> Result:
        result = CliRunner().invoke(program, arguments)
        if isinstance(result.exception, Exception):
            raise result.exception
        return result

    return run


def test_dataset_and_store_are_created_listed_updated_and_deleted(fileroom: Fileroom) -> None:
    created = fileroom("datasets", "create", "cli-ds", "--time-zone=Europe/Paris")
    assert (created.stdout, created.stderr) == ("", "Created dataset [cli-ds].\n")
    again = fileroom("datasets", "create", "cli-ds")
    assert again.exit_code == 1
    assert again.stderr.startswith("ERROR: (fileroom.datasets.create) ALREADY_EXISTS: ")
    updated = fileroom("datasets", "update", "cli-ds", "--time-zone=UTC")
    assert yaml.safe_load(updated.stdout)["timeZone"] == "UTC"

    store = ("--dataset=cli-ds",)
    fileroom("dicom-stores", "create", "s", *store, "--pubsub-topic=projects/p1/topics/news")
    described = fileroom("dicom-stores", "describe", "s", *store)
    assert described.stdout == (
        f"name: projects/{PROJECT}/locations/{LOCATION}/datasets/cli-ds/dicomStores/s\n"
        "notificationConfig:\n  pubsubTopic: projects/p1/topics/news\n"
    )
    fileroom("dicom-stores", "update", "s", *store, "--send-for-bulk-import")
    listed = fileroom("dicom-stores", "list", *store)
    assert listed.stdout.splitlines() == [
        "ID  LOCATION     TOPIC                    BULKIMPORT  BQDESTINATION",
        "s   us-central1  projects/p1/topics/news  True",
    ]
    assert fileroom("dicom-stores", "delete", "s", *store).exit_code == 2
    assert fileroom("dicom-stores", "delete", "s", *store, "--quiet").exit_code == 0
    assert fileroom("dicom-stores", "list", *store).stderr == "Listed 0 items.\n"
    assert fileroom("datasets", "delete", "cli-ds", "-q").stderr == "Deleted dataset [cli-ds].\n"
    assert fileroom("datasets", "describe", "cli-ds").exit_code == 1


def test_import_and_export_tell_their_account(fileroom: Fileroom, place: Place) -> None:
    for number, content in enumerate(slices(3)):
        place.put(f"in/{number}.dcm", content)
    line = ("dicom-stores", "import", "gcs", place.dicom_store)
    imported = fileroom(*line, f"--gcs-uri=gs://{place.bucket_id}/in/*")
    assert imported.exit_code == 0
    name, account = imported.stdout.splitlines()
    assert name.startswith(f"name: {place.dataset}/operations/")
    assert account.endswith(": 3 imported")
    again = fileroom(*line, f"--gcs-uri=gs://{place.bucket_id}/in/*")
    assert again.stdout.splitlines()[1].endswith(": 3 there already")

    metrics = fileroom("dicom-stores", "metrics", place.dicom_store, "--format=json")
    assert json.loads(metrics.stdout)["instanceCount"] == "3"

    prefix = f"--gcs-uri-prefix=gs://{place.bucket_id}/out"
    exported = fileroom("dicom-stores", "export", "gcs", place.dicom_store, prefix)
    assert exported.exit_code == 0
    assert exported.stdout.splitlines()[1].endswith(": 3 exported")
    assert len(list(place.bucket.glob("out/**/*.dcm"))) == 3

    operations = fileroom("operations", "list", f"--dataset={place.dataset}", "--format=json")
    assert [operation["done"] for operation in json.loads(operations.stdout)] == [True] * 4


def test_failed_objects_are_told_and_listed(fileroom: Fileroom, place: Place) -> None:
    place.put("a.dcm", next(slices(1)))
    place.put("b.dcm", b"")
    place.put("c.dcm", b"no DICOM at all")
    uri = f"--gcs-uri=gs://{place.bucket_id}/**"
    result = fileroom("dicom-stores", "import", "gcs", place.dicom_store, uri)
    assert result.exit_code == 3
    name, account, first, second = result.stdout.splitlines()
    assert account.endswith(": 1 imported, 2 failed")
    assert first.startswith(f"  EMPTY  gs://{place.bucket_id}/b.dcm: ")
    assert second.startswith(f"  NOT_DICOM  gs://{place.bucket_id}/c.dcm: ")

    operation = name.removeprefix("name: ")
    assert fileroom("operations", "wait", operation).exit_code == 3
    line = ("operations", "failures", operation)
    assert [item["reason"] for item in json.loads(fileroom(*line, "--format=json").stdout)] == [
        "EMPTY",
        "NOT_DICOM",
    ]
    assert len(fileroom(*line, "--reason=empty", "--format=csv").stdout.splitlines()) == 2
    assert len(fileroom(*line, "--limit=1").stdout.splitlines()) == 2


def test_import_without_a_match_exits_1(fileroom: Fileroom, place: Place) -> None:
    uri = f"--gcs-uri=gs://{place.bucket_id}/**"
    result = fileroom("dicom-stores", "import", "gcs", place.dicom_store, uri)
    assert result.exit_code == 1
    assert "ERROR: (fileroom.dicom-stores.import.gcs) NOT_FOUND: " in result.stderr


def test_operation_is_detached_followed_and_cancelled(fileroom: Fileroom, place: Place) -> None:
    place.put("a.dcm", next(slices(1)))
    uri = f"--gcs-uri=gs://{place.bucket_id}/**"
    started = fileroom("dicom-stores", "import", "gcs", place.dicom_store, uri, "--async")
    operation = yaml.safe_load(started.stdout)["name"]
    operation_id = operation.rpartition("/")[2]
    followed = fileroom("operations", "wait", operation_id, f"--dataset={place.dataset_id}")
    assert followed.exit_code == 0
    assert fileroom("operations", "cancel", operation).exit_code == 2
    assert fileroom("operations", "cancel", operation, "--quiet").exit_code == 0
    assert yaml.safe_load(fileroom("operations", "describe", operation).stdout)["done"] is True


@pytest.mark.clause(
    "gcloud healthcare … describe, list", "fileroom prints, byte for byte, what gcloud prints"
)
def test_output_is_that_of_gcloud(
    fileroom: Fileroom, server: RunningServer, place: Place, tmp_path: Path
) -> None:
    gcloud = require_tool("gcloud")
    (tmp_path / "token").write_text(server.token)
    environment = clean_environment() | {
        "HOME": str(tmp_path),
        "CLOUDSDK_CONFIG": str(tmp_path / "config"),
        "CLOUDSDK_CORE_DISABLE_PROMPTS": "1",
        "CLOUDSDK_CORE_PROJECT": PROJECT,
        "CLOUDSDK_HEALTHCARE_LOCATION": LOCATION,
        "CLOUDSDK_API_ENDPOINT_OVERRIDES_HEALTHCARE": f"{server.url}/",
        "CLOUDSDK_AUTH_ACCESS_TOKEN_FILE": str(tmp_path / "token"),
    }
    changes: JsonObject = {
        "labels": {"b": "1", "a": "2"},
        "streamConfigs": [{"bigqueryDestination": {"tableUri": "bq://a.b.c"}}],
    }
    place.client.patch_dicom_store(
        place.dicom_store, changes, update_mask=["labels", "streamConfigs"]
    )
    place.put("a.dcm", next(slices(1)))
    place.put("b.dcm", b"")
    operation = place.import_all().name
    within = f"--dataset={place.dataset_id}"
    store = place.dicom_store_id
    # Few, as each start of gcloud takes seconds: text, lists, a block of text, each format.
    lines = [
        ("operations", "describe", operation.operation_id, within),
        ("operations", "list", within, "--format=yaml"),
        ("dicom-stores", "list", within),
        ("dicom-stores", "describe", store, within, "--format=json"),
    ]
    runs = [
        subprocess.Popen(
            [gcloud, "healthcare", *line], stdout=subprocess.PIPE, text=True, env=environment
        )
        for line in lines
    ]
    for line, run in zip(lines, runs, strict=True):
        printed, _ = run.communicate(timeout=60)
        assert fileroom(*line).stdout == printed, line
