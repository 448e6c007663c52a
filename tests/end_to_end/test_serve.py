"""How the server starts, drains, refuses to start, and goes on after a restart."""

from __future__ import annotations

import sqlite3
import stat
from typing import TYPE_CHECKING

import pytest

from fileroom.errors import PermissionDenied
from tests.end_to_end.conftest import slices
from tests.server import free_port, run_fileroom, running_server

if TYPE_CHECKING:
    from pathlib import Path

DATASET = "projects/p1/locations/us-central1/datasets/ds"
STORE = f"{DATASET}/dicomStores/s"


def refused(*flags: str) -> str:
    """Start a server that must not start, and give what it says."""
    ended = run_fileroom("serve", f"--port={free_port()}", *flags, seconds=30)
    assert ended.returncode != 0, ended.stdout
    assert "Traceback" not in ended.stderr
    return ended.stderr


@pytest.mark.clause(
    "Fileroom serve",
    "the first start makes the data directory 0700 and prints an access token once; print-access-"
    "token prints it again",
    holds="own rule",
)
def test_first_start_makes_a_private_directory_and_prints_a_token_once(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with running_server(data) as server:
        token, first = server.token, server.log.read_text()
        assert server.stop() == 0
    with running_server(data) as server:
        second = server.log.read_text()
        assert server.token == token

    assert stat.S_IMODE(data.stat().st_mode) == 0o700
    assert len(token) >= 32
    assert token in first
    assert token not in second


@pytest.mark.clause(
    "Fileroom serve",
    "a second server on one data directory is refused and the first goes on",
    holds="own rule",
)
def test_second_server_on_one_data_directory_is_refused(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with running_server(data) as server:
        message = refused(f"--data={data}")

        assert str(data) in message
        assert "another" in message
        with server.client() as client:
            client.wait(client.create_dataset(DATASET))


@pytest.mark.clause(
    "Fileroom serve",
    "SIGTERM drains: the server exits 0, and an import that was running is finished by the next "
    "start with exact counters",
    holds="own rule",
)
def test_sigterm_drains_and_the_next_start_finishes_the_import(tmp_path: Path) -> None:
    data, objects = tmp_path / "data", 600
    with running_server(data) as server:
        bucket = server.make_bucket("demo")
        for index, content in enumerate(slices(objects)):
            (bucket / f"{index:04}.dcm").write_bytes(content)
        with server.client() as client:
            client.wait(client.create_dataset(DATASET), poll_seconds=0.1)
            client.create_dicom_store(STORE)
            name = client.import_(STORE, "gs://demo/**").name
        assert server.stop() == 0
    with running_server(data) as server, server.client() as client:
        operation = client.wait(name, poll_seconds=0.1)

        assert operation.error is None
        assert operation.account["listed"] == operation.account["imported"] == objects
        assert client.get_dicom_store_metrics(STORE).instance_count == objects


@pytest.mark.clause(
    "Fileroom serve",
    "a data directory of a newer version is refused with a message that names both versions",
    holds="own rule",
)
def test_data_directory_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with running_server(data) as server:
        assert server.stop() == 0
    with sqlite3.connect(data / "fileroom.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()

    message = refused(f"--data={data}")

    assert "9999" in message
    assert "newer" in message


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (("--host=0.0.0.0", "--auth=none"), "loopback"),
        (("--host=0.0.0.0",), "0.0.0.0"),
        (("--auth=oidc",), "oidc"),
        (("--bucket=demo",), "--bucket"),
        (("--bucket=s3://demo=/tmp",), "s3"),
        (("--config=/no/such/file.toml",), "/no/such/file.toml"),
    ],
)
def test_a_flag_that_cannot_be_kept_is_refused_by_name(
    tmp_path: Path, flags: tuple[str, ...], reason: str
) -> None:
    assert reason in refused(f"--data={tmp_path / 'data'}", *flags)


def test_without_authentication_no_token_is_asked_for(tmp_path: Path) -> None:
    with running_server(tmp_path / "data", "--auth=none") as server:
        ended = run_fileroom(
            "datasets", "list", "--project=p1", environment={"FILEROOM_SERVER": server.url}
        )

    assert ended.returncode == 0, ended.stderr


@pytest.mark.clause(
    "Fileroom serve",
    "a bucket of the settings file is served under its name, with its rights",
    holds="own rule",
)
def test_a_bucket_of_the_settings_file_is_served_with_its_rights(tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    archive.mkdir()
    (archive / "a.dcm").write_bytes(next(slices(1)))
    config = tmp_path / "fileroom.toml"
    config.write_text(f'[buckets."gs://hospital"]\nurl = "file://{archive}"\nallow = ["read"]\n')
    with (
        running_server(tmp_path / "data", f"--config={config}") as server,
        server.client() as client,
    ):
        client.wait(client.create_dataset(DATASET), poll_seconds=0.1)
        client.create_dicom_store(STORE)
        imported = client.wait(client.import_(STORE, "gs://hospital/*.dcm"), poll_seconds=0.1)
        with pytest.raises(PermissionDenied, match="gs://hospital"):
            client.export(STORE, "gs://hospital/out")

    assert imported.counters.success == 1
    assert [file.name for file in archive.iterdir()] == ["a.dcm"]
