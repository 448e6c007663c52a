"""The proxy of docs/how-to/secure.md, as the page has it, before a server."""

from __future__ import annotations

import json
import re
import shutil
import ssl
import subprocess
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import httpx2
import pytest

from tests.certificates import make_certificate
from tests.corpus import minimal_instance
from tests.server import free_port, running_server
from tests.tools import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PAGE = ROOT / "docs" / "how-to" / "secure.md"
NAME = "pacs.example.org"
NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
LIKE_A_STRANGER = "203.0.113.7"


@contextmanager
def nginx(directory: Path, server_port: int) -> Iterator[str]:
    """Run nginx with the page's settings; give its address."""
    found = re.search(r"^```nginx\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert found is not None
    port = free_port()
    cert, key = make_certificate(directory)
    written = found[1]
    for shown, here in (
        ("listen 443 ssl", f"listen 127.0.0.1:{port} ssl"),
        ("/etc/ssl/fullchain.pem", str(cert)),
        ("/etc/ssl/privkey.pem", str(key)),
        ("http://127.0.0.1:8080", f"http://127.0.0.1:{server_port}"),
    ):
        assert shown in written
        written = written.replace(shown, here)
    config = directory / "nginx.conf"
    paths = "\n".join(
        f"{name}_temp_path {directory / name};"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    config.write_text(
        f"daemon off; pid {directory / 'nginx.pid'}; error_log {directory / 'error.log'};\n"
        f"events {{}}\nhttp {{ access_log off; {paths}\n{written} }}\n"
    )
    assert NGINX is not None
    process = subprocess.Popen([NGINX, "-c", str(config), "-e", str(directory / "error.log")])
    try:
        yield f"https://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)


@pytest.mark.skipif(NGINX is None, reason="nginx is not installed")
def test_nginx_as_the_page_has_it(tmp_path: Path) -> None:
    environment = {
        "FILEROOM_PUBLIC_URL": f"https://{NAME}",
        "FILEROOM_TRUSTED_PROXIES": "127.0.0.1",
    }
    store = "projects/p/locations/us-central1/datasets/d/dicomStores/s"
    with (
        running_server(tmp_path / "data", environment=environment) as server,
        nginx(tmp_path, int(server.url.rpartition(":")[2])) as url,
        server.client() as owner,
        httpx2.Client(
            base_url=url,
            headers={"Host": NAME, "X-Forwarded-For": LIKE_A_STRANGER},
            verify=ssl._create_unverified_context(),
            trust_env=False,
        ) as client,
    ):
        owner.wait(owner.create_dataset(store.partition("/dicomStores")[0]), poll_seconds=0.1)
        owner.create_dicom_store(store)
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            with suppress(httpx2.TransportError):
                if client.get("/v1/projects").status_code == 401:
                    break
            time.sleep(0.05)
        assert client.get("/v1/projects").status_code == 401
        client.headers["Authorization"] = f"Bearer {server.token}"
        content = minimal_instance(extra=[(0x00420011, "OB", bytes(4 << 20))])
        stored = client.post(
            f"/v1/{store}/dicomWeb/studies",
            content=b"--b\r\nContent-Type: application/dicom\r\n\r\n" + content + b"\r\n--b--\r\n",
            headers={
                "Content-Type": "multipart/related; type=application/dicom; boundary=b",
                "Accept": "application/dicom+json",
            },
        )
        assert stored.status_code == 200
        (retrieve_url,) = stored.json()["00081199"]["Value"][0]["00081190"]["Value"]
        assert retrieve_url.startswith(f"https://{NAME}/v1/")
        assert server.stop() == 0
        lines = [
            json.loads(line)
            for file in (server.data / "audit").iterdir()
            for line in file.read_bytes().splitlines()
        ]
    callers = {
        line["protoPayload"]["requestMetadata"]["callerIp"]
        for line in lines
        if "requestMetadata" in line["protoPayload"]
    }
    assert LIKE_A_STRANGER not in callers
    assert "127.0.0.1" in callers
