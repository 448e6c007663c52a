"""The command line against the real server; its output beside that of the real gcloud."""

from __future__ import annotations

import json
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
import yaml
from click.testing import CliRunner

from fileroom.cli.program import program
from tests.end_to_end.conftest import LOCATION, PROJECT, Fileroom, slices
from tests.server import clean_environment
from tests.tools import require_tool

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from fileroom.client import JsonObject
    from tests.end_to_end.conftest import Place
    from tests.server import RunningServer

    Gcloud = Callable[[Sequence[Sequence[str]]], list[str]]


def test_dataset_and_store_are_created_listed_updated_and_deleted(fileroom: Fileroom) -> None:
    created = fileroom("datasets", "create", "cli-ds", "--time-zone=Europe/Paris")
    assert created.stdout == ""
    assert created.stderr == ("Create request issued for: [cli-ds]\nCreated dataset [cli-ds].\n")
    again = fileroom("datasets", "create", "cli-ds")
    assert again.exit_code == 1
    assert again.stderr.startswith("ERROR: (fileroom.datasets.create) ALREADY_EXISTS: ")
    updated = fileroom("datasets", "update", "cli-ds", "--time-zone=UTC")
    assert yaml.safe_load(updated.stdout)["timeZone"] == "UTC"

    store = ("--dataset=cli-ds",)
    topic = "--pubsub-topic=projects/p1/topics/news"
    made = fileroom("dicom-stores", "create", "s", *store, topic, "--format=value(name.basename())")
    assert (made.stdout, made.stderr) == ("s\n", "Created dicomStore [s].\n")
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


def test_failed_objects_are_told_and_listed(
    fileroom: Fileroom, place: Place, tmp_path: Path
) -> None:
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
    told = fileroom("operations", "ledger", operation).stdout
    assert [json.loads(each)["result"] for each in told.splitlines()] == [
        "imported",
        "failed",
        "failed",
    ]
    written = fileroom("operations", "ledger", operation, f"--to={tmp_path / 'ledger.csv'}")
    assert "ledger.csv" in written.stderr
    assert len((tmp_path / "ledger.csv").read_text().splitlines()) == 4


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


@pytest.mark.parametrize("group", ["datasets", "dicom-stores"])
def test_policies_are_read_and_changed(fileroom: Fileroom, place: Place, group: str) -> None:
    name = place.dataset if group == "datasets" else place.dicom_store
    binding = "--member=user:Ada@x.org", "--role=roles/healthcare.dicomViewer"

    assert yaml.safe_load(fileroom(group, "get-iam-policy", name).stdout) == {"etag": "ACAB"}
    added = fileroom(group, "add-iam-policy-binding", name, *binding)
    assert added.exit_code == 0, added.stderr
    policy = yaml.safe_load(fileroom(group, "get-iam-policy", name).stdout)
    assert policy["bindings"] == [
        {"role": "roles/healthcare.dicomViewer", "members": ["user:ada@x.org"]}
    ]
    stale = CliRunner().invoke(
        program, (group, "set-iam-policy", name, "-", "--quiet"), input='{"etag": "ACAB"}'
    )
    assert (stale.exit_code, "ABORTED: " in stale.stderr) == (1, True)
    lower = "--member=user:ada@x.org", binding[1]
    removed = fileroom(group, "remove-iam-policy-binding", name, *lower)
    assert "bindings" not in yaml.safe_load(removed.stdout)
    wrong = fileroom(group, "add-iam-policy-binding", name, binding[0], "--role=roles/viewer")
    assert "INVALID_ARGUMENT: Role 'roles/viewer' is not supported" in wrong.stderr


def test_what_is_not_offered_says_what_to_do_meanwhile(fileroom: Fileroom, place: Place) -> None:
    lines = [
        (("dicom-stores", "deidentify", place.dicom_store, "--destination-store=out"), "export"),
        (("datasets", "deidentify", place.dataset, "--destination-dataset=out"), "export"),
        (
            ("dicom-stores", "export", "bq", place.dicom_store, "--bq-table=bq://a.b.c"),
            "export to gcs_destination",
        ),
    ]
    for line, meanwhile in lines:
        result = CliRunner().invoke(program, line, input="{}")
        assert result.exit_code == 1, line
        assert "UNIMPLEMENTED: " in result.stderr
        assert meanwhile in result.stderr, line
        assert result.stderr.count("\n") == 1
    key = "--encryption-key=projects/p/locations/l/keyRings/r/cryptoKeys/k"
    refused = fileroom("datasets", "create", "secret", key)
    assert "INVALID_ARGUMENT: encryption_spec.kms_key_name: " in refused.stderr


@pytest.fixture
def gcloud(server: RunningServer, tmp_path: Path) -> Gcloud:
    """Run the real gcloud for each of some lines, a few at once, as it starts slowly."""
    executable = require_tool("gcloud")
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

    def run(line: Sequence[str]) -> str:
        command = [executable, "healthcare", *line]
        ended = subprocess.run(
            command, capture_output=True, text=True, env=environment, timeout=90, check=False
        )
        return ended.stdout

    def run_all(lines: Sequence[Sequence[str]]) -> list[str]:
        with ThreadPoolExecutor(max_workers=4) as pool:
            return list(pool.map(run, lines))

    return run_all


@pytest.fixture
def gallery(place: Place) -> Place:
    """Give a place that has something in every column: two stores, an import that failed partly."""
    changes: JsonObject = {
        "labels": {"b": "1", "a": "2"},
        "streamConfigs": [{"bigqueryDestination": {"tableUri": "bq://a.b.c"}}],
    }
    place.client.patch_dicom_store(
        place.dicom_store, changes, update_mask=["labels", "streamConfigs"]
    )
    place.client.create_dicom_store(f"{place.dataset}/dicomStores/another")
    place.put("a.dcm", next(slices(1)))
    place.put("b.dcm", b"")
    place.import_all()
    return place


FILTERS = (
    "name~operations/[0-9]+$",
    "done=true AND metadata.counter.failure>0",
    "metadata.counter.failure:* OR error.code=2",
    "-error:*",
    "NOT error.message:imported",
    "metadata.createTime>-P1D metadata.apiMethodName:google*CreateDataset",
    "(metadata.counter.success=1 OR done=false) AND metadata.fileroom.listed=(2 3)",
    "metadata.apiMethodName!=google.cloud.healthcare.v1.dataset.DatasetService.CreateDataset",
    "error.code>=2 AND error.message!~'^x'",
    "NOT_DICOM OR empty",
)
FORMATS = (
    "table(name,labels.a:label=A,streamConfigs.bigqueryDestination.tableUri.list():label=TABLES)",
    "csv(name.basename(),labels,labels.len():label=count)",
    "csv[no-heading](name,streamConfigs)",
    "value(name.segment(1),name.scope(dicomStores),labels.list())",
    "json(name,labels.a,streamConfigs[].bigqueryDestination.tableUri)",
    "yaml(name.basename(),labels)",
)


@pytest.mark.clause(
    "gcloud healthcare … describe, list --filter --format --sort-by --uri",
    "fileroom prints, byte for byte, what gcloud prints",
)
def test_output_is_that_of_gcloud(fileroom: Fileroom, gcloud: Gcloud, gallery: Place) -> None:
    within = f"--dataset={gallery.dataset_id}"
    store = gallery.dicom_store_id
    operation = next(gallery.client.list_operations(gallery.dataset)).name.operation_id
    operations = ("operations", "list", within)
    stores = ("dicom-stores", "list", within)
    lines = [
        ("operations", "describe", operation, within),
        (*operations, "--format=yaml"),
        ("dicom-stores", "describe", store, within, "--format=json"),
        (*stores, "--uri"),
        stores,
        *((*operations, f"--filter={text}", "--format=value(name)") for text in FILTERS),
        *((*stores, f"--format={text}", "--sort-by=~name") for text in FORMATS),
    ]
    for line, printed in zip(lines, gcloud(lines), strict=True):
        assert fileroom(*line).stdout == printed, line


def test_operation_is_paused_and_resumed(fileroom: Fileroom, place: Place) -> None:
    for number, content in enumerate(slices(300)):
        place.put(f"{number:03}.dcm", content)
    uri = f"--gcs-uri=gs://{place.bucket_id}/**"
    begun = fileroom("dicom-stores", "import", "gcs", place.dicom_store, uri, "--async")
    operation = begun.stdout.removeprefix("name: ").strip()
    assert "Pause requested" in fileroom("operations", "pause", operation).stderr
    deadline = time.monotonic() + 30
    while True:
        body = json.loads(fileroom("operations", "describe", operation, "--format=json").stdout)
        told = body["metadata"]["fileroom"]
        if body.get("done") or "pausedWhy" in told:
            break
        assert time.monotonic() < deadline
    if not body.get("done"):  # else it was quicker than we are
        assert told["pauseRequested"] is True
        assert "asked it to wait" in told["pausedWhy"]
    assert "goes on" in fileroom("operations", "resume", operation).stderr
    ended = fileroom("operations", "wait", operation)
    assert ended.exit_code == 0
    assert "300 imported" in ended.stdout


@pytest.mark.parametrize("policy", ["keep-first", "replace", "fail-if-different"])
def test_import_does_with_duplicates_as_it_is_told(
    fileroom: Fileroom, place: Place, policy: str
) -> None:
    (first, *_) = slices(1)
    other = first[:-2] + bytes((first[-2] ^ 1, first[-1]))
    place.put("a.dcm", first)
    line = ("dicom-stores", "import", "gcs", place.dicom_store)
    uri = f"--gcs-uri=gs://{place.bucket_id}/**"
    assert fileroom(*line, uri).exit_code == 0
    place.put("a.dcm", other)
    told = fileroom(*line, uri, f"--duplicate-policy={policy}")
    outcome = {"keep-first": "kept", "replace": "replaced", "fail-if-different": "failed"}[policy]
    assert f"1 {outcome}" in told.stdout
    assert told.exit_code == (3 if policy == "fail-if-different" else 0)
