"""From an empty server to images in a DICOM store, and out again, without a shell."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.browser.console import PLACE, console, console_server
from tests.end_to_end.conftest import slices

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Page

    from tests.browser.console import Console

__all__ = ["console", "console_server"]


def fill(page: Page, label: str, text: str) -> None:
    """Type into the field of a dialog."""
    page.get_by_role("dialog").get_by_label(label, exact=True).fill(text)


def act(page: Page, name: str) -> None:
    """Press the button of a dialog that does what it is for."""
    page.get_by_role("dialog").get_by_role("button", name=name, exact=True).click()


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Give three slices and a text."""
    paths = []
    for number, content in enumerate(slices(3)):
        paths.append(tmp_path / f"slice-{number}.dcm")
        paths[-1].write_bytes(content)
    paths.append(tmp_path / "notes.txt")
    paths[-1].write_text("no image")
    return paths


def test_a_newcomer_gets_from_files_to_images_and_back(console: Console, files: list[Path]) -> None:
    page = console.page
    console.go("")
    expect(page.get_by_text("No project yet")).to_be_visible()
    console.look("projects-empty")
    page.get_by_label("Project").fill("demo")
    page.get_by_role("button", name="Open").click()
    expect(page).to_have_url(f"{console.server.url}/console/{PLACE}")

    page.get_by_role("button", name="Create dataset").first.click()
    fill(page, "Name of the dataset", "radiology")
    console.look("dataset-create")
    act(page, "Create")
    page.get_by_role("link", name="radiology").click()
    page.get_by_role("button", name="Create DICOM store").first.click()
    fill(page, "Name of the DICOM store", "main")
    act(page, "Create")
    expect(page.get_by_text("nothing yet")).to_be_visible()

    page.get_by_role("button", name="Actions").click()
    page.get_by_role("menuitem", name="Import").click()
    expect(page.get_by_text("There is no bucket to import from")).to_be_visible()
    page.get_by_role("dialog").get_by_role("link", name="Buckets").click()
    page.get_by_role("button", name="Create bucket").first.click()
    fill(page, "Name of the bucket", "incoming")
    act(page, "Create")
    console.look("buckets")
    page.get_by_role("link", name="gs://incoming").click()
    page.get_by_label("Upload files").set_input_files(files)
    expect(page.get_by_text("Sent: 4 of 4 files")).to_be_visible()
    console.look("bucket")

    console.go(f"{PLACE}/datasets/radiology")
    page.get_by_role("button", name="Actions").click()
    page.get_by_role("menuitem", name="Import").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_text("gs://incoming/**", exact=True)).to_be_visible()
    expect(dialog.get_by_text("4 objects match")).to_be_visible()
    dialog.get_by_text("Advanced options").click()
    dialog.get_by_label("Path in the bucket").fill("*.txt")
    expect(dialog.get_by_text("1 object matches")).to_be_visible()
    dialog.get_by_label("Path in the bucket").fill("**/*")
    expect(dialog.get_by_text("wildcard not allowed there")).to_be_visible()
    dialog.get_by_label("Path in the bucket").fill("none")
    expect(dialog.get_by_text("no object matches gs://incoming/none")).to_be_visible()
    dialog.get_by_label("Path in the bucket").fill("**")
    console.look("import")
    act(page, "Import")
    page.wait_for_url("**/operations/*")
    expect(page.get_by_text("Partly failed")).to_be_visible()

    console.go(f"{PLACE}/datasets/radiology")
    expect(page.get_by_text("1 study, 3 instances")).to_be_visible()
    console.look("dataset")
    page.get_by_role("button", name="Actions").click()
    page.get_by_role("menuitem", name="Export").click()
    dialog.get_by_label("Directory").fill("out")
    console.look("export")
    act(page, "Export")
    page.wait_for_url("**/operations/*")
    written = console.server.data / "buckets" / "incoming" / "out"
    page.wait_for_function("true")
    for _ in range(100):
        found = sorted(path.read_bytes() for path in written.rglob("*.dcm"))
        if len(found) == 3:
            break
        page.wait_for_timeout(100)
    assert found == sorted(path.read_bytes() for path in files[:3])
