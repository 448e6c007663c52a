"""What a data directory and a settings file mean to the next start."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import pytest

from fileroom.errors import PermissionDenied
from tests.end_to_end.conftest import slices
from tests.server import free_port, run_fileroom, running_server

if TYPE_CHECKING:
    from pathlib import Path

DATASET = "projects/p1/locations/us-central1/datasets/ds"
STORE = f"{DATASET}/dicomStores/s"


@pytest.mark.clause(
    "Fileroom serve",
    "a data directory that a newer version has written is refused, and left as it is",
    holds="own rule",
)
def test_data_directory_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with running_server(data) as server:
        assert server.stop() == 0
    with sqlite3.connect(data / "fileroom.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()

    ended = run_fileroom("serve", f"--data={data}", f"--port={free_port()}", seconds=30)

    assert ended.returncode == 1
    assert "9999" in ended.stderr
    assert "newer" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.clause(
    "Fileroom serve",
    "what one start stored, the next one serves; a bucket of the settings file is served under its "
    "name and with its rights only; --auth none asks for no token",
    holds="own rule",
)
def test_next_start_serves_what_was_stored_by_other_settings(tmp_path: Path) -> None:
    data, archive, config = tmp_path / "data", tmp_path / "archive", tmp_path / "fileroom.toml"
    content = next(slices(1))
    archive.mkdir()
    (archive / "a.dcm").write_bytes(content)
    config.write_text(f'[buckets."gs://hospital"]\nurl = "file://{archive}"\nallow = ["read"]\n')
    with running_server(data, f"--config={config}") as server, server.client() as client:
        client.wait(client.create_dataset(DATASET), poll_seconds=0.1)
        client.create_dicom_store(STORE)
        imported = client.wait(client.import_(STORE, "gs://hospital/*.dcm"), poll_seconds=0.1)
        with pytest.raises(PermissionDenied, match="gs://hospital"):
            client.export(STORE, "gs://hospital/out")
    with running_server(data, "--auth=none") as server:
        described = run_fileroom(
            *("dicom-stores", "metrics", STORE), environment={"FILEROOM_SERVER": server.url}
        )

    assert imported.counters.success == 1
    assert [file.name for file in archive.iterdir()] == ["a.dcm"]
    assert 'instanceCount: "1"' in described.stdout.replace("'", '"'), described.stderr
