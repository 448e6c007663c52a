"""A browser that shows OHIF, served from one loopback origin, with a real server on another."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import sync_playwright

from tests.browser import phantom
from tests.server import running_server
from tests.tools import ROOT, require_ohif, require_tool

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, ConsoleMessage, Page, Request

    from tests.server import RunningServer

DICOM_STORE: Final = "projects/p1/locations/us-central1/datasets/demo/dicomStores/s1"
_EXAMPLE: Final = ROOT / "examples" / "ohif" / "app-config.js"
_EXAMPLE_SERVER: Final = "http://127.0.0.1:8080"

HARMLESS: Final = ()
"""What OHIF says on the console as an error whatever the server does, and why."""


class _Site(SimpleHTTPRequestHandler):
    """The built viewer; what is no file of it is a place in the viewer."""

    def __init__(self, *arguments: object, config: bytes, directory: Path) -> None:
        self._config = config
        self._files = directory
        super().__init__(*arguments, directory=str(directory))  # type: ignore[arg-type]

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
def _site(directory: Path) -> Iterator[ThreadingHTTPServer]:
    site = ThreadingHTTPServer(("127.0.0.1", 0), None)  # type: ignore[arg-type]
    thread = threading.Thread(target=site.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield site
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
    with _site(directory) as site:
        origin = f"http://127.0.0.1:{site.server_address[1]}"
        data = tmp_path_factory.mktemp("viewer") / "data"
        with running_server(data, environment={"FILEROOM_CORS_ORIGINS": origin}) as server:
            config = _EXAMPLE.read_text()
            assert _EXAMPLE_SERVER in config
            config = config.replace(_EXAMPLE_SERVER, server.url)
            site.RequestHandlerClass = partial(  # type: ignore[assignment]
                _Site, config=config.encode(), directory=directory
            )
            _fill(server)
            yield Deployment(viewer_url=origin, server=server)


def _fill(server: RunningServer) -> None:
    with server.client() as client:
        dataset, _, _ = DICOM_STORE.partition("/dicomStores/")
        client.wait(client.create_dataset(dataset), poll_seconds=0.05)
        client.create_dicom_store(DICOM_STORE)
        stored = client.store_instances(DICOM_STORE, phantom.study())
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


@dataclass(slots=True, kw_only=True)
class Watch:
    """What a page said and asked for."""

    errors: list[str] = field(default_factory=list)
    hosts: set[str] = field(default_factory=set)
    failed: list[str] = field(default_factory=list)

    def said(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.errors.append(message.text)

    def asked(self, request: Request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme not in {"blob", "data"}:
            self.hosts.add(parts.hostname or "")


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
def page(chromium: Browser, deployment: Deployment, watch: Watch) -> Iterator[Page]:
    """A window of a user who knows the access token, watched until it closes."""
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    context.on("request", watch.asked)
    opened = context.new_page()
    opened.set_default_timeout(20_000)
    opened.on("console", watch.said)
    opened.on("pageerror", lambda error: watch.errors.append(str(error)))
    opened.on("dialog", lambda dialog: dialog.accept(deployment.server.token))
    yield opened
    context.close()
