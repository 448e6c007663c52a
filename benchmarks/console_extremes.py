"""How the console bears 10^5 failures of one operation, and a series of 2,000 slices.

Run it as ``python -m benchmarks.console_extremes [FAILURES [SLICES]]``; it needs Chromium.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from playwright.sync_api import expect, sync_playwright

from benchmarks.console_pages import DATASET, STORE, measure
from tests.corpus import UID_ROOT, mr_instance
from tests.server import running_server
from tests.tools import require_tool

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

    from tests.server import RunningServer

FAILURES: Final = 100_000
SLICES: Final = 2_000
_STUDY: Final = f"{UID_ROOT}.8"
_SERIES: Final = f"{_STUDY}.1"
_PLAYED_SECONDS: Final = 5
_NUMBER_SHOWN: Final = (
    "() => Number(document.body.innerText.match(/Frame ([\\d,]+) of/)[1].replace(',', ''))"
)


def main() -> None:
    """Print how long each step takes."""
    failures, slices = (
        int(given) if given else default
        for given, default in zip([*sys.argv[1:], None, None], (FAILURES, SLICES), strict=False)
    )
    with tempfile.TemporaryDirectory() as directory:
        data = Path(directory) / "data"
        for name in ("empty", "stack"):
            (data / "buckets" / name).mkdir(parents=True)
        for number in range(failures):
            (data / "buckets" / "empty" / f"{number:06}.dcm").touch()
        for number in range(1, slices + 1):
            content = mr_instance(
                rows=256,
                study_instance_uid=_STUDY,
                series_instance_uid=_SERIES,
                sop_instance_uid=f"{_SERIES}.{number}",
                instance_number=str(number),
            )
            (data / "buckets" / "stack" / f"{number:04}.dcm").write_bytes(content)
        with running_server(data) as server, sync_playwright() as playwright:
            with server.client() as client:
                client.wait(client.create_dataset(DATASET))
                client.create_dicom_store(STORE)
                client.wait(client.import_(STORE, "gs://stack/**"))
                failed = client.wait(client.import_(STORE, "gs://empty/**"))
            browser = playwright.chromium.launch(executable_path=require_tool("chromium"))
            print("page | first paint, ms | rows seen, ms | KB | elements")
            measure(browser, server, f"{failures:,} failures", str(failed.name))
            _turn(browser, server, str(failed.name))
            _scroll(browser, server, slices)
            browser.close()


def _opened(browser: Browser, server: RunningServer, path: str) -> Page:
    context = browser.new_context(viewport={"width": 1280, "height": 900}, locale="en-GB")
    context.add_init_script(f"sessionStorage.setItem('fileroom.token', '{server.token}')")
    page = context.new_page()
    page.goto(f"{server.url}/console/{path}")
    return page


def _turn(browser: Browser, server: RunningServer, path: str) -> None:
    page = _opened(browser, server, path)
    page.get_by_text("empty/000000.dcm").wait_for()
    start = time.perf_counter()
    page.get_by_role("button", name="Next").click()
    page.get_by_text("empty/000100.dcm").wait_for()
    print(f"the next hundred failures: {_milliseconds(start)} ms")
    page.context.close()


def _scroll(browser: Browser, server: RunningServer, slices: int) -> None:
    start = time.perf_counter()
    page = _opened(browser, server, f"{STORE}/studies/{_STUDY}/series/{_SERIES}")
    expect(page.get_by_text(f"Frame 1 of {slices:,}", exact=True)).to_be_visible()
    page.wait_for_function("() => document.querySelector('canvas')?.width === 256")
    print(f"{slices:,} slices, the first is seen: {_milliseconds(start)} ms")
    page.get_by_role("application").focus()
    start = time.perf_counter()
    page.keyboard.press("End")
    expect(page.get_by_text(f"Frame {slices:,} of {slices:,}", exact=True)).to_be_visible()
    print(f"from the first to the last: {_milliseconds(start)} ms")
    page.keyboard.press("Home")
    page.get_by_label("Speed").select_option("60")
    page.get_by_role("button", name="Play").click()
    page.wait_for_timeout(1000)
    first, start = page.evaluate(_NUMBER_SHOWN), time.perf_counter()
    page.wait_for_timeout(_PLAYED_SECONDS * 1000)
    rate = (page.evaluate(_NUMBER_SHOWN) - first) / (time.perf_counter() - start)
    print(f"played: {rate:.0f} frames/s")
    page.context.close()


def _milliseconds(start: float) -> int:
    return round((time.perf_counter() - start) * 1000)


if __name__ == "__main__":
    main()
