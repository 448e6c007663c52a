"""Programs that some tests use where they are found; an absent one is a skip that names it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

REMEDIES = {
    "chromium": "make tools, as root on Debian",
    "curl": "make tools, as root on Debian",
    "dcm2xml": "Debian package dcmtk: make tools, as root on Debian",
    "dcmdump": "Debian package dcmtk: make tools, as root on Debian",
    "dcmdjpeg": "Debian package dcmtk: make tools, as root on Debian",
    "dcmdjpls": "Debian package dcmtk: make tools, as root on Debian",
    "dcmdrle": "Debian package dcmtk: make tools, as root on Debian",
    "dcmftest": "Debian package dcmtk: make tools, as root on Debian",
    "gcloud": "install the Google Cloud CLI",
    "node": "install Node.js 20 or newer",
}
"""What to do about each program that the tests look for."""


def require_tool(name: str) -> str:
    """Give the path of a program on PATH, or skip the test and say which is absent."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not on PATH ({REMEDIES[name]})")
    return found


def require_node_module(name: str) -> tuple[str, Path]:
    """Give Node.js and the directory of its modules, or skip the test."""
    node = require_tool("node")
    modules = ROOT / "node_modules"
    if not (modules / name).is_dir():
        pytest.skip(f"node_modules/{name} is not installed (npm is absent: make test installs it)")
    return node, modules


def require_ohif() -> Path:
    """Give the directory of the built OHIF viewer, or skip the test."""
    directory = ROOT / ".tools" / "ohif" / "dist"
    if not directory.is_dir():
        pytest.skip("the OHIF viewer is not there (npm is absent: make test fetches it)")
    return directory
