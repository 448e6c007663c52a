"""A server that speaks TLS by itself."""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING

import pytest

from fileroom.client import Client
from tests.certificates import make_certificate
from tests.server import free_port, run_fileroom, running_server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.server import RunningServer


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, certificate: tuple[Path, Path]
) -> Iterator[RunningServer]:
    cert, key = certificate
    environment = {
        "FILEROOM_TLS_CERT": str(cert),
        "FILEROOM_TLS_KEY": str(key),
        "SSL_CERT_FILE": str(cert),
    }
    data = tmp_path_factory.mktemp("served") / "data"
    flags = ("--host=0.0.0.0",)
    with running_server(data, *flags, environment=environment, tls=cert) as running:
        yield running


def test_a_client_that_knows_the_certificate_is_served(
    server: RunningServer, certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    assert server.url.startswith("https://")
    with Client(server.url, server.token) as client:
        client.wait(client.create_dataset("projects/p/locations/us-central1/datasets/d"))
        name = str(client.get_dataset("projects/p/locations/us-central1/datasets/d").name)
    assert name.endswith("/d")
    assert "https://127.0.0.1" in server.log.read_text()


@pytest.mark.parametrize(
    ("version", "works"),
    [
        (ssl.TLSVersion.TLSv1, False),
        (ssl.TLSVersion.TLSv1_1, False),
        (ssl.TLSVersion.TLSv1_2, True),
        (ssl.TLSVersion.TLSv1_3, True),
    ],
)
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_versions_that_are_broken_are_not_spoken(
    server: RunningServer, certificate: tuple[Path, Path], version: ssl.TLSVersion, works: bool
) -> None:
    context = ssl.create_default_context(cafile=str(certificate[0]))
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = version
    port = int(server.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        if works:
            with context.wrap_socket(connection, server_hostname="127.0.0.1") as secured:
                assert secured.version() == version.name.replace("_", ".")
        else:
            with pytest.raises((ssl.SSLError, ConnectionError)):
                context.wrap_socket(connection, server_hostname="127.0.0.1")


def test_clear_text_is_not_answered(server: RunningServer) -> None:
    port = int(server.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        try:
            answer = connection.recv(100)
        except ConnectionError:
            answer = b""
    assert not answer.startswith(b"HTTP/1.1 2")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, "clear text"),
        ({"FILEROOM_TLS_CERT": "CERT"}, "go together"),
        ({"FILEROOM_TLS_CERT": "CERT", "FILEROOM_TLS_KEY": "/absent.pem"}, "tls_key"),
        ({"FILEROOM_TLS_CERT": "KEY", "FILEROOM_TLS_KEY": "KEY"}, "tls_cert"),
        ({"FILEROOM_AUTH": "none", "FILEROOM_TRUSTED_PROXIES": "10.0.0.0/8"}, "everybody"),
    ],
)
def test_a_start_beyond_this_machine_that_is_not_safe_is_refused(
    tmp_path: Path, certificate: tuple[Path, Path], settings: dict[str, str], words: str
) -> None:
    files = {"CERT": str(certificate[0]), "KEY": str(certificate[1])}
    environment = {name: files.get(value, value) for name, value in settings.items()}
    refused = run_fileroom(
        "serve",
        f"--data={tmp_path / 'data'}",
        "--host=0.0.0.0",
        f"--port={free_port()}",
        environment=environment,
    )

    assert refused.returncode == 2, refused.stderr
    assert words in refused.stderr
    assert not (tmp_path / "data").exists()


def test_a_key_that_others_can_read_is_warned_of(
    tmp_path: Path, certificate: tuple[Path, Path]
) -> None:
    key = tmp_path / "key.pem"
    key.write_bytes(certificate[1].read_bytes())
    key.chmod(0o644)
    environment = {"FILEROOM_TLS_CERT": str(certificate[0]), "FILEROOM_TLS_KEY": str(key)}

    with running_server(tmp_path / "data", environment=environment, tls=certificate[0]) as running:
        assert f"WARNING: other users of this machine can read {key}" in running.log.read_text()
