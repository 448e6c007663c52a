"""The example clients: how each is started, and what it needs."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import pytest

from tests.server import clean_environment
from tests.tools import ROOT, require_built, require_node_module, require_tool

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.server import RunningServer

EXAMPLES: Final = ROOT / "examples"
BUILT: Final = ROOT / ".tools" / "examples"
DICOMWEB_CALLS: Final = frozenset({"store", "search", "retrieve", "rendered", "delete"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Language:
    """One example client."""

    name: str
    find: Callable[[], list[str]]
    """Gives the command that a call and its arguments are put behind, or skips the test."""
    lacks: frozenset[str] = frozenset()
    """Calls that it does not have."""

    def run(
        self,
        server: RunningServer,
        home: Path,
        *arguments: str,
        url: str | None = None,
        token: str | None = None,
        key_file: Path | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run the example with an empty home directory; it asks the server, unless told else.

        With a key file it brings no token, but finds its credentials by itself.
        """
        proof = {"FILEROOM_TOKEN": token or server.token}
        if key_file is not None:
            proof = {"GOOGLE_APPLICATION_CREDENTIALS": str(key_file)}
        return subprocess.run(
            [*self.find(), *arguments],
            capture_output=True,
            text=True,
            env=clean_environment()
            | {"HOME": str(home), "CLOUDSDK_CONFIG": str(home / "gcloud")}
            | {"FILEROOM_SERVER": url or server.url}
            | proof,
            timeout=100,
            check=False,
        )


def _curl() -> list[str]:
    require_tool("curl")
    return [require_tool("bash"), str(EXAMPLES / "curl" / "dicom.sh")]


def _gcloud() -> list[str]:
    require_tool("gcloud")
    require_tool("curl")
    return [require_tool("bash"), str(EXAMPLES / "gcloud" / "dicom.sh")]


def _go() -> list[str]:
    require_tool("go")
    return [str(require_built(BUILT / "go-client"))]


def _java() -> list[str]:
    java = require_tool("java")
    require_tool("mvn")
    jars = require_built(BUILT / "java")
    return [java, "-cp", f"{jars}/*:{jars}/lib/*", "dev.fileroom.examples.Dicom"]


def _node(program: str, package: str) -> list[str]:
    node, _ = require_node_module(package)
    return [node, str(EXAMPLES / "node" / program)]


def _powershell() -> list[str]:
    return [require_tool("pwsh"), "-NoProfile", "-File", str(EXAMPLES / "powershell" / "dicom.ps1")]


def _python() -> list[str]:
    return [sys.executable, str(EXAMPLES / "python" / "dicom.py")]


LANGUAGES: Final = (
    Language(name="curl", find=_curl),
    Language(name="gcloud", find=_gcloud, lacks=DICOMWEB_CALLS),
    Language(name="Go", find=_go),
    Language(name="Java", find=_java),
    Language(name="Node.js", find=lambda: _node("dicom.mjs", "@googleapis/healthcare")),
    Language(name="Node.js, googleapis", find=lambda: _node("dicom-googleapis.mjs", "googleapis")),
    Language(name="PowerShell", find=_powershell),
    Language(name="Python", find=_python),
)

LOCKED: Final = frozenset({"Go", "Java", "Node.js", "Node.js, googleapis", "Python"})
"""Those whose client the project locks to one version, so that its words are known."""


def with_call(call: str) -> pytest.MarkDecorator:
    """Run a test with every language that has this call."""
    having = [each for each in LANGUAGES if call not in each.lacks]
    return pytest.mark.parametrize("language", having, ids=[each.name for each in having])
