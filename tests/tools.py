"""Programs that some tests use where they are found; an absent one is a skip that names it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

REMEDIES = {
    "chromium": "make tools, as root on Debian",
    "bash": "install bash",
    "curl": "make tools, as root on Debian",
    "dcm2xml": "Debian package dcmtk: make tools, as root on Debian",
    "dcmdump": "Debian package dcmtk: make tools, as root on Debian",
    "dcmdjpeg": "Debian package dcmtk: make tools, as root on Debian",
    "dcmdjpls": "Debian package dcmtk: make tools, as root on Debian",
    "dcmdrle": "Debian package dcmtk: make tools, as root on Debian",
    "dcmftest": "Debian package dcmtk: make tools, as root on Debian",
    "gcloud": "install the Google Cloud CLI",
    "go": "install Go 1.26 or newer",
    "java": "install a JDK of Java 17 or newer",
    "mvn": "install Maven",
    "node": "install Node.js 20 or newer",
    "pwsh": "install PowerShell 7",
}
"""What to do about each program that the tests look for."""


REQUIRED = frozenset(os.environ.get("FILEROOM_TEST_TOOLS", "").split())
"""Programs whose absence is a failure: continuous integration names them."""


def require_tool(name: str) -> str:
    """Give the path of a program on PATH, or skip the test and say which is absent."""
    found = shutil.which(name)
    if found is None:
        assert name not in REQUIRED, f"{name} is not on PATH, and FILEROOM_TEST_TOOLS names it"
        pytest.skip(f"{name} is not on PATH ({REMEDIES[name]})")
    return found


def require_node_module(name: str) -> tuple[str, Path]:
    """Give Node.js and the directory of its modules, or skip the test."""
    node = require_tool("node")
    modules = ROOT / "node_modules"
    if not (modules / name).is_dir():
        pytest.skip(f"node_modules/{name} is not installed (npm is absent: make test installs it)")
    return node, modules


def require_built(path: Path) -> Path:
    """Give what ``make test`` builds of an example; only where its tools are found at all."""
    assert path.exists(), f"{path.relative_to(ROOT)} is not built: make examples"
    return path


def require_ohif() -> Path:
    """Give the directory of the built OHIF viewer, or skip the test."""
    directory = ROOT / ".tools" / "ohif" / "dist"
    if not directory.is_dir():
        pytest.skip("the OHIF viewer is not there (npm is absent: make test fetches it)")
    return directory
