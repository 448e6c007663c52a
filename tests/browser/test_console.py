"""From an empty server to images in a DICOM store, and out again, without a shell."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import pytest
from playwright.sync_api import expect

from tests import corpus
from tests.browser.console import PLACE, console, console_server
from tests.end_to_end.conftest import slices

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Locator, Page

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
        corpus.mr_instance(
            patient_id=f"P{number}", study_instance_uid=f"{corpus.UID_ROOT}.9.{number}", rows=16
        )
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

    page.get_by_role("button", name="Import into “main”").click()
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
    expect(dialog.get_by_label("Directory")).to_have_value("exports/main")
    console.look("export")
    act(page, "Export")
    page.wait_for_url("**/operations/*")
    assert exported(console, "incoming/exports/main", ".dcm") == sorted(
        each.read_bytes() for each in files[:3]
    )


def exported(console: Console, directory: str, extension: str) -> list[bytes]:
    """Read what an export has written, once the page in view says that it is done."""
    status = console.page.get_by_role("main").get_by_role("status")
    expect(status).to_have_text("Done", timeout=30_000)
    written = console.server.data / "buckets" / directory
    return sorted(path.read_bytes() for path in written.rglob(f"*{extension}"))


def choose(console: Console, kind: str) -> Locator:
    """Open the export of the two studies, and say that some are wanted."""
    page = console.page
    console.go(f"{PLACE}/datasets/chosen")
    page.get_by_role("button", name="Actions").click()
    page.get_by_role("menuitem", name="Export").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Bucket", exact=True).select_option("results")
    dialog.get_by_role("radio", name=kind).check()
    return dialog


@pytest.mark.parametrize("kind", ["search", "list"])
def test_chosen_studies_are_exported(console: Console, two_studies: list[bytes], kind: str) -> None:
    page = console.page
    if kind == "search":
        dialog = choose(console, "What a search finds")
        fill(page, "Patient ID", "P1")
        expect(dialog.get_by_text("1 study matches")).to_be_visible()
        page.keyboard.press("Enter")
        expect(dialog).to_be_visible()
    else:
        dialog = choose(console, "A list of studies")
        listed = f"{STUDY}\n/studies/{STUDY}/series/1.2.3\n{STUDY}.7\nnothing"
        dialog.get_by_role("textbox", name="A list of studies").fill(listed)
        expect(dialog.get_by_text("1 of 4 listed is in the store")).to_be_visible()
        for missing in (f"/studies/{STUDY}/series/1.2.3", f"/studies/{STUDY}.7", "nothing"):
            expect(dialog.get_by_text(missing, exact=True)).to_be_visible()
    fill(page, "Directory", kind)
    dialog.get_by_text("The same from a terminal").click()
    kept = f"gs://results/{kind}/filter.txt"
    expect(dialog.get_by_text(f"First write to {kept}")).to_be_visible()
    expect(dialog.locator("pre")).to_contain_text(f'"resourcePathsGcsUri":"{kept}"')
    dialog.get_by_role("button", name="fileroom").click()
    expect(dialog.locator("pre")).to_contain_text(f"--filter-config-gcs-uri={kept}")
    console.look(f"export-{kind}")
    act(page, "Export")
    page.wait_for_url("**/operations/*")
    assert exported(console, f"results/{kind}", ".dcm") == two_studies[:1]
    (listed_file,) = (console.server.data / "buckets" / "results" / kind).glob("filter-*.txt")
    assert listed_file.read_text("utf-8") == f"/studies/{STUDY}\n"


@pytest.mark.usefixtures("two_studies")
def test_an_export_of_what_is_not_there_is_told(console: Console) -> None:
    dialog = choose(console, "What a search finds")
    export = dialog.get_by_role("button", name="Export", exact=True)
    expect(dialog.get_by_text("Fill in at least one field")).to_be_visible()
    expect(export).to_be_disabled()
    dialog.get_by_label("Patient ID").fill("NOBODY")
    expect(dialog.get_by_text("The search finds no study")).to_be_visible()
    expect(export).to_be_disabled()
    dialog.get_by_role("radio", name="A list of studies").check()
    dialog.get_by_role("textbox", name="A list of studies").fill("1.2.3")
    expect(dialog.get_by_text("0 of 1 listed are in the store")).to_be_visible()
    expect(export).to_be_disabled()


@pytest.mark.usefixtures("two_studies")
def test_a_menu_is_whole_and_the_focus_comes_back_to_it(console: Console) -> None:
    page = console.page
    page.set_viewport_size({"width": 390, "height": 844})
    console.go(f"{PLACE}/datasets/chosen")
    button = page.get_by_role("button", name="Actions")
    expect(page.get_by_text("2 studies, 2 instances")).to_be_visible()
    height = page.evaluate("document.querySelector('.scroller').scrollHeight")
    button.click()
    for name in ("Import", "Export", "Delete"):
        item = page.get_by_role("menuitem", name=name)
        expect(item).to_be_in_viewport(ratio=1)
        item.click(trial=True)
    assert page.evaluate("document.querySelector('.scroller').scrollHeight") == height
    page.get_by_role("menuitem", name="Import").click()
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(button).to_be_focused()
    create = page.get_by_role("button", name="Create DICOM store")
    create.click()
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(create).to_be_focused()


def test_a_name_that_is_none_is_told_in_words(console: Console) -> None:
    page = console.page
    console.go("")
    project = page.get_by_label("Project")
    project.fill("my project")
    page.get_by_role("button", name="Open").click()
    assert project.evaluate("field => field.validity.patternMismatch")
    expect(project).to_have_attribute("title", re.compile("Letters, digits"))
    console.go("buckets")
    page.get_by_role("button", name="Create bucket").first.click()
    fill(page, "Name of the bucket", "A b")
    expect(page.get_by_role("dialog").get_by_text("3 to 63 lower-case letters")).to_have_count(1)


def test_buckets_of_clouds_have_their_uri_and_take_no_files(console: Console) -> None:
    page = console.page
    cloud = {
        "name": "s3://scans",
        "fileroom": {"allow": ["delete", "read", "write"], "kind": "S3", "upload": False},
    }
    page.route("**/storage/v1/b", lambda route: route.fulfill(json={"items": [cloud]}))
    page.route("**/storage/v1/b/s3%3A%2F%2Fscans", lambda route: route.fulfill(json=cloud))
    objects = {"items": [{"name": "a.dcm", "size": "10", "updated": "2026-01-01T00:00:00Z"}]}
    page.route("**/storage/v1/b/s3%3A%2F%2Fscans/o*", lambda route: route.fulfill(json=objects))
    console.go("buckets")
    row = page.get_by_role("row").filter(has_text="s3://scans")
    expect(row).to_contain_text("S3")
    expect(row).to_contain_text("reading, writing")
    expect(row).not_to_contain_text("deleting")
    row.get_by_role("link", name="s3://scans").click()
    expect(page).to_have_url(f"{console.server.url}/console/buckets/s3%3A%2F%2Fscans")
    expect(page.get_by_role("heading", name="s3://scans")).to_be_visible()
    expect(page.get_by_role("button", name="a.dcm")).to_be_visible()
    expect(page.get_by_text("Upload files")).to_have_count(0)
    page.reload()
    expect(page.get_by_role("button", name="a.dcm")).to_be_visible()
