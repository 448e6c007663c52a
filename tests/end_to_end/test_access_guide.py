"""The commands of docs/how-to/let-callers-in.md run as they stand, with the address changed."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fileroom.client import Client
from fileroom.errors import Unauthenticated
from tests.server import PROGRAM, clean_environment, running_server
from tests.tools import ROOT

if TYPE_CHECKING:
    from tests.server import RunningServer

PAGE = ROOT / "docs" / "how-to" / "let-callers-in.md"
DATASET = "projects/hospital/locations/us-central1/datasets/ct"


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


def blocks(language: str) -> list[str]:
    """Give what the page has in a language."""
    written = rf"^```{language}\n(.*?)^```$"
    return re.findall(written, PAGE.read_text(), re.MULTILINE | re.DOTALL)


def test_the_commands_of_the_page_let_a_program_in(tmp_path: Path) -> None:
    with running_server(tmp_path / "data") as server:
        prepare, create, use, exchange, revoke, grant = blocks("shell")
        (sign,) = blocks("python")
        run(server, tmp_path, prepare + create + use)
        (tmp_path / "sign.py").write_text(sign)
        assert "http://127.0.0.1:8080" in exchange
        exchange = exchange.replace("http://127.0.0.1:8080", server.url)
        token = json.loads(run(server, tmp_path, exchange))["access_token"]
        with Client(server.url, token) as importer:
            store = importer.get_dicom_store(f"{DATASET}/dicomStores/trial")
        assert str(store.name) == f"{DATASET}/dicomStores/trial"
        assert "group:radiology" in run(server, tmp_path, grant)
        left = run(server, tmp_path, "fileroom datasets get-iam-policy ct --project=hospital")
        assert "group:radiology" not in left, "the page ends with taking it back"
        key_id = json.loads((tmp_path / "key.json").read_text())["private_key_id"]
        revoke = revoke.replace("KEY_ID", f"--quiet {key_id}")  # nobody is there to say yes
        assert key_id in run(server, tmp_path, revoke)
        with Client(server.url, token) as importer, pytest.raises(Unauthenticated):
            importer.get_dicom_store(f"{DATASET}/dicomStores/trial")
