"""From an empty server to images in a DICOM store, and out again, without a shell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest
from playwright.sync_api import expect

from tests import corpus
from tests.browser.console import PLACE, console, console_server
from tests.end_to_end.conftest import slices

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Page

    from tests.browser.console import Console
    from tests.server import RunningServer

__all__ = ["console", "console_server"]


STUDY: Final = f"{corpus.UID_ROOT}.9.1"


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


@pytest.fixture(scope="module")
def two_studies(console_server: RunningServer) -> list[bytes]:
    """Two studies in a store of their own, of which the first is chosen, and a bucket for them."""
    contents = [
        corpus.mr_instance(study_instance_uid=f"{corpus.UID_ROOT}.9.{number}", rows=16)
        for number in (1, 2)
    ]
    bucket = console_server.make_bucket("results")
    for number, content in enumerate(contents):
        (bucket / f"{number}.dcm").write_bytes(content)
    dataset = f"{PLACE}/datasets/chosen"
    with console_server.client() as client:
        client.wait(client.create_dataset(dataset), poll_seconds=0.05)
        client.create_dicom_store(f"{dataset}/dicomStores/main")
        client.wait(client.import_(f"{dataset}/dicomStores/main", "gs://results/*.dcm"))
    return contents


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
    assert exported(console, "incoming/out", ".dcm") == sorted(
        each.read_bytes() for each in files[:3]
    )


def exported(console: Console, directory: str, extension: str) -> list[bytes]:
    """Read what an export has written, once the page in view says that it is done."""
    status = console.page.get_by_role("main").get_by_role("status")
    expect(status).to_have_text("Done", timeout=30_000)
    written = console.server.data / "buckets" / directory
    return sorted(path.read_bytes() for path in written.rglob(f"*{extension}"))


@pytest.mark.parametrize("kind", ["search", "list"])
def test_chosen_studies_are_exported(console: Console, two_studies: list[bytes], kind: str) -> None:
    page = console.page
    console.go(f"{PLACE}/datasets/chosen")
    page.get_by_role("button", name="Actions").click()
    page.get_by_role("menuitem", name="Export").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Bucket", exact=True).select_option("results")
    fill(page, "Directory", kind)
    if kind == "search":
        dialog.get_by_role("radio", name="What a search finds").check()
        dialog.get_by_role("textbox", name="What a search finds").fill(f"StudyInstanceUID={STUDY}")
    else:
        dialog.get_by_role("radio", name="A list of studies").check()
        dialog.get_by_role("textbox", name="A list of studies").fill(STUDY)
    console.look(f"export-{kind}")
    act(page, "Export")
    page.wait_for_url("**/operations/*")
    assert exported(console, f"results/{kind}", ".dcm") == two_studies[:1]
    (listed,) = (console.server.data / "buckets" / "results" / kind).glob("filter-*.txt")
    assert listed.read_text("utf-8") == f"/studies/{STUDY}\n"


def test_an_export_of_what_is_not_there_is_told(console: Console, two_studies: list[bytes]) -> None:
    page = console.page
    console.go(f"{PLACE}/datasets/chosen")
    page.get_by_role("button", name="Actions").click()
    page.get_by_role("menuitem", name="Export").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("radio", name="What a search finds").check()
    search = dialog.get_by_role("textbox", name="What a search finds")
    search.fill("Modality:CT")
    act(page, "Export")
    expect(dialog.get_by_role("alert")).to_contain_text("A search is Keyword=value")
    search.fill("PatientID=NOBODY")
    act(page, "Export")
    expect(dialog.get_by_role("alert")).to_have_text("The search finds no study")
