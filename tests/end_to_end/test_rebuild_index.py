"""A database that is lost is made again from blobs alone, by the command for it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from fileroom.client import Client
from fileroom.client.values import child
from tests import corpus
from tests.end_to_end.conftest import slices
from tests.server import run_fileroom, running_server

if TYPE_CHECKING:
    from pathlib import Path

    from fileroom.client import JsonObject

DATASET: Final = "projects/p1/locations/us-central1/datasets/lost"
STORE: Final = f"{DATASET}/dicomStores/kept"
DELETED: Final = f"{DATASET}/dicomStores/deleted"
STUDY: Final = f"studies/{corpus.UID_ROOT}.2.1"
UIDS: Final = ("0020000D", "0020000E", "00080018")
SERIES: Final = f"{STUDY}/series/{corpus.UID_ROOT}.5.1"


def path(number: int) -> str:
    return f"{SERIES}/instances/{corpus.UID_ROOT}.5.1.{number}"


def first_value(row: JsonObject, tag: str) -> str:
    values = child(row, tag)["Value"]
    assert isinstance(values, list)
    return str(values[0])


def found(client: Client) -> dict[str, object]:
    """Give what a client sees of a store: the bytes and the metadata of each instance."""
    shown: dict[str, object] = {}
    for row in client.search_instances(STORE):
        study, series, instance = (first_value(row, tag) for tag in UIDS)
        path = f"studies/{study}/series/{series}/instances/{instance}"
        shown[path] = client.retrieve_instance(STORE, path)
    told = client.retrieve_metadata(STORE, STUDY)
    shown["metadata"] = sorted(repr(each).replace(client.url, "") for each in told)
    shown["studies"] = repr(list(client.search_studies(STORE))).replace(client.url, "")
    return shown


def test_store_is_as_before_its_database_was_lost(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with running_server(data) as server, server.client() as client:
        client.wait(client.create_dataset(DATASET, time_zone="Europe/Zurich"), poll_seconds=0.05)
        client.create_dicom_store(STORE, {"labels": {"of": "ward-3"}})
        client.create_dicom_store(DELETED)
        bucket = server.make_bucket("scans")
        for number, content in enumerate(slices(12), 1):
            (bucket / f"{number}.dcm").write_bytes(content)
        client.wait(client.import_(STORE, "gs://scans/**"), poll_seconds=0.05)
        client.store_instances(DELETED, list(slices(2)))
        client.delete_dicom_store(DELETED)
        client.delete_instance(STORE, path(3))
        client.store_instances(STORE, list(slices(2, series=2)))
        client.patch_instance(STORE, path(4), {"00104000": {"vr": "LT", "Value": ["seen"]}})
        before = found(client)
    assert len(before) == 13 + 2
    (data / "fileroom.db").unlink()
    for leftover in data.glob("fileroom.db-*"):
        leftover.unlink()

    told = run_fileroom("rebuild-index", f"--data={data}", "--format=json")
    assert (told.returncode, told.stderr) == (0, "")
    report = json.loads(told.stdout)
    (kept,) = [store for store in report["dicomStores"] if store["name"] == STORE]
    assert (kept["instances"], kept["unreadable"], kept["superseded"]) == (13, [], [])
    assert "IAM policies of datasets and DICOM stores" in report["notRestored"]
    again = run_fileroom("rebuild-index", f"--data={data}")
    assert again.returncode == 1
    assert "only one that is empty" in again.stderr
    checked = run_fileroom("check", "--deep", f"--data={data}")
    assert checked.stdout == "all instances are there; 0 orphaned blobs\n"

    # The former token is not among what blobs tell.
    with running_server(data, "--auth=none") as server, Client(server.url) as client:
        assert found(client) == before
        assert client.get_dataset(DATASET).time_zone == "Europe/Zurich"
        assert client.get_dicom_store(STORE).body["labels"] == {"of": "ward-3"}
        assert [str(store.name) for store in client.list_dicom_stores(DATASET)] == [STORE]
