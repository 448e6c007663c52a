"""``fileroom serve`` as a process: first start, refusals, orderly end."""

from __future__ import annotations

import re
import signal
import socket
import stat
import subprocess
import time
from importlib.metadata import version
from typing import TYPE_CHECKING

import httpx2
import pytest

from tests.server import PROGRAM, clean_environment, run_fileroom, running_server

if TYPE_CHECKING:
    from pathlib import Path

DATASETS = "/v1/projects/p1/locations/us-central1/datasets"
TOKEN = re.compile(r"^  token    (\S{43})$", re.MULTILINE)


def test_first_start_shows_the_token_once_and_how_to_go_on(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with running_server(data) as server:
        shown = server.log.read_text()
        (token,) = TOKEN.findall(shown)
        assert server.token == token
        assert f"Fileroom {version('fileroom')} answers at {server.url}" in shown
        assert f"CLOUDSDK_API_ENDPOINT_OVERRIDES_HEALTHCARE={server.url}/" in shown
        (curl,) = re.findall(r"^  (curl .*)$", shown, re.MULTILINE)
        answer = subprocess.run(
            ["sh", "-c", curl.replace("fileroom auth", f"{PROGRAM} auth")],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
            env=clean_environment(),
        )
        assert answer.stdout == "{}\n", answer.stderr
        assert server.stop() == 0
    with running_server(data) as server:
        shown = server.log.read_text()
        assert token not in shown
        assert f"fileroom auth print-access-token --data {data}" in shown
        assert server.token == token


def test_everything_in_the_data_directory_is_the_owners_alone(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with running_server(data) as server:
        with server.client() as client:
            client.create_dataset("projects/p1/locations/us-central1/datasets/d1")
            client.create_dicom_store(
                "projects/p1/locations/us-central1/datasets/d1/dicomStores/s1"
            )
        modes = {
            path.relative_to(data).as_posix(): stat.S_IMODE(path.stat().st_mode)
            for path in [data, *data.rglob("*")]
        }

    assert {name for name, mode in modes.items() if mode & 0o077} == set()
    assert modes["."] == 0o700


def test_open_data_directory_is_warned_of(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir(mode=0o755)
    with running_server(data) as server:
        assert f"chmod 700 {data}" in server.log.read_text()


def test_second_server_on_one_data_directory_is_refused(tmp_path: Path) -> None:
    with running_server(tmp_path / "data") as server:
        second = run_fileroom("serve", f"--data={server.data}", "--port=0")

        assert second.returncode == 1
        assert f"(process {server.process.pid}) already runs on {server.data}" in second.stderr
        assert len(second.stderr.splitlines()) == 1


def test_port_in_use_is_said(tmp_path: Path) -> None:
    with running_server(tmp_path / "data") as server:
        port = server.url.rpartition(":")[2]
        second = run_fileroom("serve", f"--data={tmp_path / 'other'}", f"--port={port}")

        assert second.returncode == 1
        assert f"port {port} is in use" in second.stderr
        assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("setting", ["FILEROOM_DATA", "FILEROOM_BLOBS"])
def test_directory_that_cannot_be_made_is_said(tmp_path: Path, setting: str) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.touch()
    places = {"FILEROOM_DATA": str(tmp_path / "data"), setting: str(in_the_way / "below")}

    refused = run_fileroom("serve", "--port=0", environment=places)

    assert refused.returncode == 1
    assert refused.stderr.startswith("ERROR: (fileroom.serve) FAILED_PRECONDITION: ")
    assert f"{in_the_way / 'below'} cannot be used: Not a directory" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("flags", "environment", "words"),
    [
        (["--host=0.0.0.0"], {}, "clear text"),
        (["--host=192.0.2.1"], {}, "clear text"),
        (["--auth=none"], {"FILEROOM_PUBLIC_URL": "https://pacs.example.org"}, "loopback"),
        (["--auth=password"], {}, "service-account"),
        (["--bucket=demo"], {}, "NAME=DIRECTORY"),
        (["--bucket=demo=s3://there"], {}, "is no directory"),
        ([], {"FILEROOM_DATABASE": "mysql://db.example/x"}, "postgresql://user@host/fileroom"),
        ([], {"FILEROOM_EXECUTOR": "dask://cluster.example"}, "the address of a Dask scheduler"),
        ([], {"FILEROOM_AUTH": "oidc"}, "names no provider"),
        (["--config=absent.toml"], {}, "cannot be read"),
    ],
)
def test_what_this_version_cannot_do_is_refused_at_the_start(
    tmp_path: Path, flags: list[str], environment: dict[str, str], words: str
) -> None:
    refused = run_fileroom("serve", f"--data={tmp_path / 'd'}", *flags, environment=environment)

    assert refused.returncode == 2, refused.stderr
    assert words in refused.stderr
    assert not (tmp_path / "d").exists()


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_signal_lets_a_request_under_way_end(tmp_path: Path, sign: signal.Signals) -> None:
    with running_server(tmp_path / "data") as server:
        head = (
            f"POST {DATASETS}?datasetId=late HTTP/1.1\r\nHost: localhost\r\n"
            f"Authorization: Bearer {server.token}\r\nContent-Length: 2\r\n\r\n"
        )
        host, port = server.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=10) as connection:
            connection.sendall(head.encode() + b"{")
            time.sleep(0.3)
            server.process.send_signal(sign)
            time.sleep(0.3)
            with pytest.raises(httpx2.ConnectError):
                httpx2.get(f"{server.url}/healthz")
            connection.sendall(b"}")
            assert connection.recv(65_536).startswith(b"HTTP/1.1 200")
        assert server.process.wait(20) == 0


def test_print_access_token_says_where_it_looked(tmp_path: Path) -> None:
    refused = run_fileroom("auth", "print-access-token", f"--data={tmp_path / 'none'}")

    assert refused.returncode == 1
    assert f"no access token in {tmp_path / 'none'}" in refused.stderr
