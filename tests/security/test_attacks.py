"""Attacks that no part of Fileroom has to be proof against alone: a line of the table each."""

from __future__ import annotations

import ast
import time
from typing import TYPE_CHECKING

import psutil
import pytest

from fileroom.api.routes import ROUTES
from fileroom.settings import Settings
from tests.corpus import UID_ROOT, minimal_instance
from tests.multipart_bodies import BOUNDARY, multipart_body
from tests.project import ROOT
from tests.unit.api.conftest import served

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.unit.api.conftest import ServedDeployment

LAUGHS = (
    b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "ha">'
    + b"".join(
        b'<!ENTITY %c "%s">' % (99 + number, b"&%c;" % (98 + number) * 10) for number in range(20)
    )
    + b']><NativeDicomModel><DicomAttribute tag="00100010" vr="LO"><Value number="1">&v;</Value>'
    b"</DicomAttribute></NativeDicomModel>"
)
OUTSIDE = (
    b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]>'
    b'<NativeDicomModel><DicomAttribute tag="00100020" vr="LO"><Value number="1">&b;</Value>'
    b"</DicomAttribute></NativeDicomModel>"
)
_RUNS_WHAT_IT_READS = {"eval", "exec", "compile", "loads", "load", "unsafe_load", "full_load"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedDeployment]:
    with served(Settings(data=tmp_path_factory.mktemp("attacks") / "data", workers=1)) as running:
        yield running


@pytest.fixture(scope="module")
def web(server: ServedDeployment) -> str:
    """Give the path of a store that holds an instance."""
    path = f"/v1/{server.make_store(server.make_dataset('attacks'), 's')}/dicomWeb"
    stored = server.client.post(
        f"{path}/studies",
        content=minimal_instance(),
        headers={"Content-Type": "application/dicom"},
    )
    assert stored.status_code == 200, stored.text
    return path


@pytest.mark.parametrize("document", [LAUGHS, OUTSIDE], ids=["entity bomb", "external entity"])
def test_xml_is_never_read(server: ServedDeployment, web: str, document: bytes) -> None:
    body = multipart_body([document], headers=("Content-Type: application/dicom+xml",))
    before = psutil.Process().memory_info().rss
    began = time.perf_counter()
    for content, media_type in (
        (document, "application/dicom+xml"),
        (body, 'multipart/related; type="application/dicom+xml"; boundary=' + BOUNDARY),
    ):
        answer = server.client.post(
            f"{web}/studies", content=content, headers={"Content-Type": media_type}
        )
        assert 400 <= answer.status_code < 500, answer.text
        assert "root:" not in answer.text
    assert time.perf_counter() - began < 5
    assert psutil.Process().memory_info().rss - before < 64 << 20


def test_no_module_reads_xml() -> None:
    found = {
        module for module, tree in _modules() if {"xml", "lxml", "defusedxml"} & _imports(tree)
    }
    assert not found


def test_nothing_that_was_read_is_run() -> None:
    """No pickle, no eval, and YAML by its safe loader alone; Dask's workers unpickle batches."""
    wrong = []
    for module, tree in _modules():
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call):
                continue
            name, owner = _called(node)
            if owner in {"pickle", "marshal", "shelve", "yaml"} and name in _RUNS_WHAT_IT_READS:
                wrong.append(f"{module}:{node.lineno} {owner}.{name}")
            if owner is None and name in {"eval", "exec", "compile", "__import__"}:
                wrong.append(f"{module}:{node.lineno} {name}")
            if (owner, name) == ("os", "system") or any(
                each.arg == "shell" for each in node.keywords
            ):
                wrong.append(f"{module}:{node.lineno} a shell")
    assert {each.split(":")[0] for each in wrong} == UNPICKLING, wrong


UNPICKLING = {"transfer/executors/answers.py", "transfer/executors/worker.py"}
"""What server and workers send each other, over pipes or through Dask."""


def test_no_route_reaches_a_blob(server: ServedDeployment, web: str) -> None:
    settings = server.deployment.settings
    blobs = [path for path in (settings.data / "blobs").rglob("*") if path.is_file()]
    assert blobs
    for blob in blobs:
        relative = blob.relative_to(settings.data)
        for path in (
            f"/{relative}",
            f"/blobs/{blob.name}",
            f"/storage/v1/b/blobs/o/{blob.name}?alt=media",
            f"/console/../{relative}",
            f"/console/%2e%2e/{relative}",
            f"{web}/../../blobs/{blob.name}",
        ):
            answer = server.client.get(path)
            assert answer.status_code != 200 or b"DICM" not in answer.content, path
            assert UID_ROOT.encode() not in answer.content
    assert not [route for route in ROUTES if "blob" in route.template.lower().split("/")]


def test_a_study_comes_as_no_archive(server: ServedDeployment, web: str) -> None:
    """No zip or tar is written of a study, so none can grow without bound."""
    for media_type in ("application/zip", "application/x-tar", "application/gzip"):
        answer = server.client.get(f"{web}/studies/{UID_ROOT}.2.1", headers={"Accept": media_type})
        assert answer.status_code == 406


def _modules() -> list[tuple[str, ast.Module]]:
    root = ROOT / "src" / "fileroom"
    return [
        (str(path.relative_to(root)), ast.parse(path.read_text()))
        for path in sorted(root.rglob("*.py"))
    ]


def _imports(tree: ast.Module) -> set[str]:
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {name.name.partition(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return found


def _called(node: ast.Call) -> tuple[str, str | None]:
    function = node.func
    if isinstance(function, ast.Attribute):
        owner = function.value.id if isinstance(function.value, ast.Name) else ""
        return function.attr, owner
    return (function.id, None) if isinstance(function, ast.Name) else ("", "")
