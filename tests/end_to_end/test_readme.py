"""The commands of README.md run as they stand, in their order, with only host and data changed."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.server import clean_environment
from tests.tools import ROOT, require_tool

if TYPE_CHECKING:
    from pathlib import Path

    from tests.server import RunningServer


SETUP = "Commands"
OWN = "Fileroom's own command line"


class Block(NamedTuple):
    """One piece of code of the README and the heading it stands under."""

    heading: str
    language: str
    code: str


def blocks() -> list[Block]:
    found: list[Block] = []
    heading = ""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for match in re.finditer(
        r"^#+ ([^\n]*)$|^```(\w+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL
    ):
        if match[1]:
            heading = match[1]
        elif match[2] in {"sh", "python"}:
            found.append(Block(heading, match[2], match[3]))
    return found


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.mark.clause(
    "README.md",
    "the commands of the README run as they stand: curl, gcloud where it is installed, Fileroom's "
    "own command line, both Python clients",
    holds="own rule",
)
def test_commands_of_the_readme_run_in_their_order(server: RunningServer, home: Path) -> None:
    require_tool("curl")
    gcloud_is_absent = shutil.which("gcloud") is None
    setup, *found = blocks()
    assert setup.heading == SETUP
    assert {block.heading for block in found} == {"curl", "gcloud", OWN, "Python"}
    for block in found:
        if block.heading == "gcloud" and gcloud_is_absent:
            continue
        ended = subprocess.run(
            _command(setup, block, server),
            capture_output=True,
            text=True,
            cwd=home,
            env=_environment(home),
            timeout=110,
            check=False,
        )
        assert ended.returncode == 0, f"{block.heading}: {ended.stdout}{ended.stderr}"
        assert '"error"' not in ended.stdout, f"{block.heading}: {ended.stdout}"

    assert (home / "one.dcm").read_bytes()[128:132] == b"DICM"
    assert (home / "one.jpg").read_bytes().startswith(b"\xff\xd8\xff")
    exported = server.data / "buckets" / "exported"
    assert gcloud_is_absent or list(exported.glob("*/*/*.dcm"))


def _command(setup: Block, block: Block, server: RunningServer) -> list[str]:
    """Give a shell that begins as the README says and then runs one block."""
    code = block.code
    if block.language == "python":
        code = f"exec .venv/bin/python -c {shlex.quote(code)}"
    code = f"{setup.code}{code}"
    for written, here in (
        ("http://127.0.0.1:8080", server.url),
        ("$PWD/demo-data", str(server.data)),
        ("demo-data", str(server.data)),
        (".venv/lib/python3*", f"{sys.prefix}/lib/python3*"),
        (".venv/bin", f"{sys.prefix}/bin"),
    ):
        code = code.replace(written, here)
    return ["bash", "-euo", "pipefail", "-c", code]


def _environment(home: Path) -> dict[str, str]:
    return clean_environment() | {
        "HOME": str(home),
        "PATH": os.environ["PATH"],
        "CLOUDSDK_CONFIG": str(home / "gcloud"),
        "CLOUDSDK_CORE_DISABLE_PROMPTS": "1",
        "CLOUDSDK_CORE_DISABLE_USAGE_REPORTING": "1",
        "CLOUDSDK_COMPONENT_MANAGER_DISABLE_UPDATE_CHECK": "1",
    }
