"""What no row names any more is collected by a command, once."""

from __future__ import annotations

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
STUDY: Final = f"studies/{corpus.UID_ROOT}.2.1"


def collect(data: Path, *flags: str) -> dict[str, dict[str, int]]:
    told = run_fileroom("collect-garbage", f"--data={data}", "--format=json", *flags)
    assert told.returncode == 0, told.stderr
    report: dict[str, dict[str, int]] = json.loads(told.stdout)
    return report


def test_what_is_due_is_collected_and_the_rest_waits_for_its_grace(tmp_path: Path) -> None:
    data = tmp_path / "data"
    files = list(slices(6))
    with running_server(data, "--auth=none") as server, Client(server.url) as client:
        client.wait(client.create_dataset(DATASET), poll_seconds=0.05)
        client.create_dicom_store(STORE)
        client.store_instances(STORE, files)
        refused = run_fileroom("collect-garbage", f"--data={data}")
        assert refused.returncode == 1
        assert "already runs on" in refused.stderr
        client.wait(client.delete_study(STORE, STUDY), poll_seconds=0.05)
    (blobs,) = (data / "blobs").iterdir()
    orphan = blobs / "00" / f"{'0' * 64}-{'a' * 32}r1-0"
    orphan.write_bytes(b"left by a request that a crash cut off")

    first = collect(data)
    assert first["reclaimed"] == {"places": 1, "bytes": 38}
    assert not orphan.exists()
    size = sum(map(len, files))
    assert (first["waiting"]["places"], first["waiting"]["bytes"]) == (6, size)
    text = run_fileroom("collect-garbage", f"--data={data}").stdout
    assert f"6 places, {size:,} bytes wait for the grace" in text
    assert run_fileroom("collect-garbage", f"--data={tmp_path / 'none'}").returncode == 1
