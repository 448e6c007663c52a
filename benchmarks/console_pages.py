"""How large the console's lists are and how soon they are seen, with a store of 10^5 studies.

Run it as ``python -m benchmarks.console_pages [STUDIES]``; it needs Chromium.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from playwright.sync_api import sync_playwright

from tests.corpus import UID_ROOT, minimal_instance
from tests.server import running_server
from tests.tools import require_tool

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from tests.server import RunningServer

STUDIES: Final = 100_000
DATASET: Final = "projects/demo/locations/us-central1/datasets/radiology"
STORE: Final = f"{DATASET}/dicomStores/main"
PAGES: Final = {
    "datasets": DATASET.rpartition("/datasets/")[0],
    "DICOM stores": DATASET,
    "operations": f"{DATASET}/operations",
    "studies": STORE,
    "studies, the last page": f"{STORE}?offset=99950",
}
_ROUNDS: Final = 5
_SEEN: Final = """() => ({
  painted: performance.getEntriesByName('first-contentful-paint')[0].startTime,
  bytes: ['resource', 'navigation'].flatMap((kind) => performance.getEntriesByType(kind))
    .reduce((sum, each) => sum + each.encodedBodySize, 0),
  elements: document.querySelectorAll('*').length,
})"""


def main() -> None:
    """Print a row for each page: the median of some first visits."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else STUDIES
    with tempfile.TemporaryDirectory() as directory:
        data = Path(directory) / "data"
        bucket = data / "buckets" / "many"
        bucket.mkdir(parents=True)
        for number in range(count):
            uid = f"{UID_ROOT}.7.{number}"
            content = minimal_instance(
                patient_name=f"Name^{number:06}",
                study_instance_uid=uid,
                series_instance_uid=f"{uid}.1",
                sop_instance_uid=f"{uid}.1.1",
            )
            (bucket / f"{number:06}.dcm").write_bytes(content)
        with running_server(data) as server:
            _fill(server)
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=require_tool("chromium"))
                print("page | first paint, ms | rows seen, ms | KB | elements")
                for name, path in PAGES.items():
                    measure(browser, server, name, path)
                browser.close()


def _fill(server: RunningServer) -> None:
    with server.client() as client:
        client.wait(client.create_dataset(DATASET))
        client.create_dicom_store(STORE)
        assert client.wait(client.import_(STORE, "gs://many/**")).error is None


def measure(browser: Browser, server: RunningServer, name: str, path: str) -> None:
    """Print the row of one page below ``/console/``."""
    rounds = sorted(
        (_visit(browser, server, path) for _ in range(_ROUNDS)), key=lambda each: each["rows"]
    )
    middle = rounds[_ROUNDS // 2]
    print(
        f"{name} | {middle['painted']:.0f} | {middle['rows']:.0f} | {middle['bytes'] / 1000:.0f}"
        f" | {middle['elements']}"
    )


def _visit(browser: Browser, server: RunningServer, path: str) -> dict[str, Any]:
    """Open a page as one who was never there before: nothing is cached."""
    context = browser.new_context()
    context.add_init_script(f"sessionStorage.setItem('fileroom.token', '{server.token}')")
    page = context.new_page()
    page.goto(f"{server.url}/console/{path}")
    page.locator("tbody tr").first.wait_for()
    rows: float = page.evaluate("performance.now()")
    seen: dict[str, Any] = page.evaluate(_SEEN)
    context.close()
    return {**seen, "rows": rows}


if __name__ == "__main__":
    main()
