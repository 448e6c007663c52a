"""What ``fileroom check`` tells a program."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Final

from fileroom.client import Client
from tests import corpus
from tests.end_to_end.conftest import slices
from tests.server import run_fileroom, running_server

if TYPE_CHECKING:
    from pathlib import Path

DATASET: Final = "projects/p1/locations/us-central1/datasets/d"
STORE: Final = f"{DATASET}/dicomStores/s"


def test_faults_are_told_as_json(tmp_path: Path) -> None:
    data = tmp_path / "data"
    files = list(slices(3))
    with running_server(data, "--auth=none") as server, Client(server.url) as client:
        client.wait(client.create_dataset(DATASET), poll_seconds=0.05)
        client.create_dicom_store(STORE)
        client.store_instances(STORE, files)
    sha256 = hashlib.sha256(files[1]).hexdigest()
    (blob,) = (data / "blobs").rglob(f"{sha256}-*")
    blob.unlink()

    told = run_fileroom("check", f"--data={data}", "--format=json")
    assert told.returncode == 3
    series = f"studies/{corpus.UID_ROOT}.2.1/series/{corpus.UID_ROOT}.5.1"
    assert json.loads(told.stdout) == {
        "findings": [
            {
                "fault": "MISSING_OBJECT",
                "instance": f"{series}/instances/{corpus.UID_ROOT}.5.1.2",
                "path": str(blob),
                "offset": 0,
                "size": len(files[1]),
                "sha256": sha256,
            }
        ],
        "faults": 1,
        "orphaned": 0,
    }
