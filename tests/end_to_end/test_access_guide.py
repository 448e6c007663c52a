"""The commands of docs/how-to/let-callers-in.md run as they stand, with the address changed."""

from __future__ import annotations

import json
import re
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import jwt as pyjwt

from fileroom.client import Client
from tests.server import PROGRAM, clean_environment, running_server
from tests.tools import ROOT

if TYPE_CHECKING:
    from tests.server import RunningServer

PAGE = ROOT / "docs" / "how-to" / "let-callers-in.md"
DATASET = "projects/hospital/locations/us-central1/datasets/ct"
IMPORTER = "serviceAccount:importer@hospital.iam.gserviceaccount.com"


def run(server: RunningServer, directory: Path, script: str) -> str:
    """Run commands as somebody would in a terminal; give what they wrote."""
    environment = clean_environment()
    environment |= {
        "FILEROOM_SERVER": server.url,
        "FILEROOM_TOKEN": server.token,
        "PATH": f"{Path(PROGRAM).parent}:{environment['PATH']}",
    }
    ended = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=directory,
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def assertion(key_file: Path) -> str:
    """Sign what the page describes by hand."""
    held = json.loads(key_file.read_text())
    now = int(time.time())
    claims = {"iss": held["client_email"], "aud": held["token_uri"], "iat": now, "exp": now + 3600}
    headers = {"kid": held["private_key_id"]}
    return pyjwt.encode(claims, held["private_key"], algorithm="RS256", headers=headers)


def test_the_commands_of_the_page_let_a_program_in(tmp_path: Path) -> None:
    with running_server(tmp_path / "data") as server, server.client() as client:
        client.wait(client.create_dataset(DATASET), poll_seconds=0.1)
        client.create_dicom_store(f"{DATASET}/dicomStores/trial")
        create, use, exchange, grant = re.findall(
            r"^```shell\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL
        )
        run(server, tmp_path, create + use)
        assert "http://127.0.0.1:8080" in exchange
        exchange = exchange.replace("http://127.0.0.1:8080", server.url)
        exchange = exchange.replace(
            "assertion=JWT", f"assertion={assertion(tmp_path / 'key.json')}"
        )
        token = json.loads(run(server, tmp_path, exchange))["access_token"]
        with Client(server.url, token) as importer:
            store = importer.get_dicom_store(f"{DATASET}/dicomStores/trial")
        assert str(store.name) == f"{DATASET}/dicomStores/trial"
        policy = run(server, tmp_path, grant)
        assert "group:radiology" in policy
        assert IMPORTER not in policy, "what a DICOM store grants stands in its own policy"
