"""The console in a browser, before a real server: fixtures that its tests import."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import pytest

from tests.browser.conftest import Watch
from tests.server import running_server
from tests.tools import REQUIRED, ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Page

    from tests.server import RunningServer

PLACE: Final = "projects/demo/locations/us-central1"
WIDTHS: Final = (1280, 600)
AXE: Final = ROOT / "node_modules" / "axe-core" / "axe.min.js"


@dataclass(frozen=True, slots=True, kw_only=True)
class Console:
    """A window of somebody who has signed in."""

    page: Page
    server: RunningServer
    shots: Path

    def go(self, path: str) -> None:
        """Open a page by what follows ``/console/`` in its address."""
        self.page.goto(f"{self.server.url}/console/{path}")

    def look(self, name: str) -> None:
        """Keep a picture of the page, light and dark, wide and narrow, for an eye."""
        for theme in ("light", "dark"):
            self.page.evaluate("theme => document.documentElement.dataset.theme = theme", theme)
            for width in WIDTHS:
                self.page.set_viewport_size({"width": width, "height": 900})
                self.page.screenshot(path=self.shots / f"{name}-{theme}-{width}.png")
            self._check(f"{name}, {theme}")
        self.page.evaluate("document.documentElement.dataset.theme = 'light'")
        self.page.set_viewport_size({"width": WIDTHS[0], "height": 900})

    def _check(self, name: str) -> None:
        """Find what keeps people from using the page: contrast, labels, roles (axe-core)."""
        if not AXE.exists():
            assert "node" not in REQUIRED, f"{AXE} is absent: make node_modules/.stamp"
            return
        if not self.page.evaluate("'axe' in window"):
            # By the debugger, since the page's own policy lets no foreign script in.
            self.page.evaluate(AXE.read_text("utf-8"))
        found = self.page.evaluate("axe.run()")
        assert found["passes"], "nothing was looked at"
        faults = [
            (fault["id"], node["html"][:200], node["failureSummary"][:300])
            for fault in found["violations"]
            if fault["impact"] in {"serious", "critical"}
            for node in fault["nodes"]
        ]
        assert not faults, f"{name}: {faults}"


@pytest.fixture(scope="module")
def console_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server that holds nothing yet."""
    with running_server(tmp_path_factory.mktemp("console") / "data") as server:
        yield server


@pytest.fixture
def console(chromium: Browser, console_server: RunningServer, tmp_path: Path) -> Iterator[Console]:
    """A window that knows the token, watched until it closes: no error, no foreign host."""
    watch = Watch()
    context = chromium.new_context(viewport={"width": WIDTHS[0], "height": 900}, locale="en-GB")
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    context.add_init_script(f"sessionStorage.setItem('fileroom.token', '{console_server.token}')")
    context.on("request", watch.asked)
    page = context.new_page()
    page.set_default_timeout(15_000)
    page.on("console", watch.said)
    page.on("pageerror", lambda error: watch.errors.append(str(error)))
    yield Console(page=page, server=console_server, shots=tmp_path)
    context.close()
    assert watch.errors == []
    assert watch.hosts <= {"127.0.0.1"}
