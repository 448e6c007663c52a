"""A browser that shows OHIF, served from one loopback origin, with a real server on another."""

from __future__ import annotations

import random
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import sync_playwright

from tests import phantom
from tests.corpus import ENCAPSULATED_PDF, UID_ROOT, minimal_instance
from tests.server import free_port, running_server
from tests.tools import ROOT, require_ohif, require_tool

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, ConsoleMessage, Page, Request

    from tests.server import RunningServer

DICOM_STORE: Final = "projects/demo/locations/us-central1/datasets/radiology/dicomStores/main"
PDF: Final = b"%PDF-1.4\n" + random.Random(1).randbytes(30_000) + b"\n%%EOF"
REPORT: Final = minimal_instance(
    sop_class_uid=ENCAPSULATED_PDF,
    modality="DOC",
    patient_name="Letter^Lena",
    study_instance_uid=f"{UID_ROOT}.78",
    series_instance_uid=f"{UID_ROOT}.78.1",
    sop_instance_uid=f"{UID_ROOT}.78.1.1",
    extra=[(0x00420011, "OB", PDF), (0x00420012, "LO", "application/pdf")],
)
"""A document whose bytes come as bulk data."""

_EXAMPLE: Final = ROOT / "examples" / "ohif" / "app-config.js"
_EXAMPLE_SERVER: Final = "http://127.0.0.1:8080"


class _Site(SimpleHTTPRequestHandler):
    """The built viewer; what is no file of it is a place in the viewer."""

    def __init__(self, *arguments: Any, config: bytes, directory: Path) -> None:
        self._config = config
        self._files = directory
        super().__init__(*arguments, directory=str(directory))

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        if path == "/app-config.js":
            self.send_response(200)
            self.send_header("Content-Type", "text/javascript")
            self.send_header("Content-Length", str(len(self._config)))
            self.end_headers()
            self.wfile.write(self._config)
            return
        if not (self._files / path.lstrip("/")).is_file():
            self.path = "/index.html"
        super().do_GET()

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing."""


@contextmanager
def _site(port: int, directory: Path, config: str) -> Iterator[None]:
    handler = partial(_Site, config=config.encode(), directory=directory)
    site = ThreadingHTTPServer(("127.0.0.1", port), handler)
    thread = threading.Thread(target=site.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield
    finally:
        site.shutdown()
        thread.join()
        site.server_close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """A viewer and a server that know of each other."""

    viewer_url: str
    server: RunningServer


@pytest.fixture(scope="session")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """OHIF with the configuration of the how-to, and a server that holds the phantom."""
    directory = require_ohif()
    require_tool("chromium")
    port = free_port()
    origin = f"http://127.0.0.1:{port}"
    data = tmp_path_factory.mktemp("viewer") / "data"
    with running_server(data, environment={"FILEROOM_CORS_ORIGINS": origin}) as server:
        _fill(server)
        config = _EXAMPLE.read_text()
        assert _EXAMPLE_SERVER in config
        with _site(port, directory, config.replace(_EXAMPLE_SERVER, server.url)):
            yield Deployment(viewer_url=origin, server=server)


def _fill(server: RunningServer) -> None:
    with server.client() as client:
        dataset, _, _ = DICOM_STORE.partition("/dicomStores/")
        client.wait(client.create_dataset(dataset), poll_seconds=0.05)
        client.create_dicom_store(DICOM_STORE)
        stored = client.store_instances(DICOM_STORE, [*phantom.study(), REPORT])
        assert not stored.refused


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """Debian's Chromium without a screen: no host but this one has a name or a route."""
    program = require_tool("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program,
            args=[
                "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
                "--use-angle=swiftshader",
                "--enable-unsafe-swiftshader",
            ],
        )
        yield browser
        browser.close()


@dataclass(kw_only=True)
class Watch:
    """What a page complained of, and which hosts it asked for anything."""

    errors: list[str] = field(default_factory=list)
    hosts: set[str] = field(default_factory=set)

    def said(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.errors.append(message.text)

    def asked(self, request: Request) -> None:
        parts = urlsplit(request.url)
        # Others do not leave the browser: blob, data, the extension that shows PDF.
        if parts.scheme in {"http", "https", "ws", "wss"}:
            self.hosts.add(parts.hostname or "")


@pytest.fixture
def page(chromium: Browser, deployment: Deployment) -> Iterator[Page]:
    """A window of a user who knows the access token, watched until it closes."""
    watch = Watch()
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    context.on("request", watch.asked)
    opened = context.new_page()
    opened.set_default_timeout(20_000)
    opened.on("console", watch.said)
    opened.on("pageerror", lambda error: watch.errors.append(str(error)))
    opened.on("dialog", lambda dialog: dialog.accept(deployment.server.token))
    opened.goto(deployment.viewer_url)
    opened.get_by_role("button", name="Confirm and hide").click()
    yield opened
    context.close()
    assert watch.errors == []
    assert watch.hosts == {"127.0.0.1"}
