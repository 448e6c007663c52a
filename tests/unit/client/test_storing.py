from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from fileroom.client import Client, RefusedInstance, StoredInstance
from fileroom.errors import FileroomError, NotFound, Unavailable, Unknown
from tests.unit.client.scripted_server import Scripted, scripted_server

if TYPE_CHECKING:
    from pathlib import Path

STORE = "projects/p/locations/us-central1/datasets/d/dicomStores/s"
DICOM_JSON = "application/dicom+json"


def answer(status: int, model: object) -> Scripted:
    return Scripted(status, json.dumps(model).encode(), DICOM_JSON)


def text(vr: str, value: str) -> object:
    return {"vr": vr, "Value": [value]}


STORED = {"00081155": text("UI", "1.2.3"), "00081190": text("UR", "http://s/instances/1.2.3")}
FAILED = {
    "00081155": text("UI", "1.2.4"),
    "00081197": {"vr": "US", "Value": [272]},
    "00091097": text("LT", "already exists"),
}


def test_what_became_of_files_is_told_also_where_some_failed(tmp_path: Path) -> None:
    model = {
        "00081198": {"vr": "SQ", "Value": [FAILED, {}]},
        "00081199": {"vr": "SQ", "Value": [STORED]},
    }
    file = tmp_path / "one.dcm"
    file.write_bytes(b"one")
    with scripted_server(answer(409, model)) as script, Client(script.url) as client:
        result = client.store_instances(STORE, [file, b"two", str(file)])

    assert result.stored == (
        StoredInstance(sop_instance_uid="1.2.3", retrieve_url="http://s/instances/1.2.3"),
    )
    assert result.refused == (
        RefusedInstance(sop_instance_uid="1.2.4", message="already exists"),
        RefusedInstance(sop_instance_uid="", message=""),
    )
    assert script.requests[0][:2] == ("POST", f"/v1/{STORE}/dicomWeb/studies")
    assert script.headers[0]["accept"] == DICOM_JSON


@pytest.mark.parametrize(
    ("scripted", "error"),
    [
        (Scripted(404, b'{"error": {"status": "NOT_FOUND", "message": "no store"}}'), NotFound),
        (Scripted(200, b"<html>"), Unknown),
        (Scripted(None), Unavailable),
    ],
)
def test_other_answers_are_errors(scripted: Scripted, error: type[FileroomError]) -> None:
    with scripted_server(scripted) as script, Client(script.url) as client, pytest.raises(error):
        client.store_instances(STORE, [b"one"])
