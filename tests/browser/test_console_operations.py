"""Operations in the console: how far they are, what failed and why, and how they are ended."""

from __future__ import annotations

import csv
import json
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import pytest
from playwright.sync_api import expect

from tests.browser.console import PLACE, console, console_server
from tests.end_to_end.conftest import slices

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Locator, Page

    from fileroom.client import Operation
    from tests.browser.console import Console
    from tests.server import RunningServer

__all__ = ["console", "console_server"]

DATASET: Final = f"{PLACE}/datasets/radiology"
STORE: Final = f"{DATASET}/dicomStores/main"
SLICES: Final = 6000
"""Enough for an export as PNG, which is the slowest, to be looked at for some seconds."""
EMPTY: Final = 250
SEEN_MILLISECONDS: Final = 30_000


@pytest.fixture(scope="module")
def filled(console_server: RunningServer) -> RunningServer:
    """Give a server with a store, a bucket of good files, and one of bad files."""
    with console_server.client() as client:
        client.wait(client.create_dataset(DATASET), poll_seconds=0.05)
        client.create_dicom_store(STORE)
    good = console_server.make_bucket("good")
    for number, content in enumerate(slices(SLICES)):
        (good / f"{number:05}.dcm").write_bytes(content)
    mixed = console_server.make_bucket("mixed")
    for number in range(EMPTY):
        (mixed / f"empty-{number:03}.dcm").touch()
    (mixed / "notes<b>.txt").write_text("no image")
    (mixed / "slice.dcm").write_bytes(next(slices(1, series=2)))
    return console_server


def start(server: RunningServer) -> Operation:
    """Start to import the bad files."""
    with server.client() as client:
        return client.import_(STORE, "gs://mixed/**")


def imported(server: RunningServer, bucket: str) -> Operation:
    """Import a bucket, to the end."""
    with server.client() as client:
        return client.wait(client.import_(STORE, f"gs://{bucket}/**"), poll_seconds=0.05)


@contextmanager
def blobs_gone(server: RunningServer, tmp_path: Path) -> Iterator[None]:
    """Take the blobs away, as an unmounted volume does, so that imports wait for them."""
    away = tmp_path / "away"
    blobs = server.data / "blobs"
    blobs.rename(away)
    try:
        yield
    finally:
        away.rename(blobs)


def counter(page: Page, term: str) -> Locator:
    """Find the figure below a term."""
    return page.locator("dl.figures > div").filter(has_text=term).locator("dd")


def test_progress_is_seen_moving_in_the_list_and_on_the_page(
    console: Console, filled: RunningServer
) -> None:
    page = console.page
    console.go(f"{DATASET}/operations")
    expect(page.get_by_role("link", name="Create dataset")).to_be_visible()
    ended = imported(filled, "good")
    expect(page.get_by_role("row").filter(has_text=ended.name.operation_id)).to_contain_text("Done")
    with filled.client() as client:
        operation = client.export(STORE, "gs://good/out", mime_type="image/png")
    row = page.get_by_role("row").filter(has_text=operation.name.operation_id)
    expect(row).to_contain_text("Running")
    expect(row).to_contain_text("gs://good/out")
    expect(row.get_by_role("progressbar")).to_be_visible()
    row.get_by_role("link", name="Export").click()

    bar = page.get_by_role("progressbar", name="Progress")
    expect(bar).to_be_visible()
    page.wait_for_function(
        """() => {
          const bar = document.querySelector("progress[value]");
          const seen = (window.seen ||= new Set());
          if (bar) seen.add(bar.value);
          return seen.size >= 2;
        }"""
    )
    expect(page.get_by_role("main").get_by_role("status")).to_have_text(
        "Done", timeout=SEEN_MILLISECONDS
    )
    expect(page.get_by_text("6,000 of 6,000 (100%)")).to_be_visible()
    expect(page.get_by_role("img", name=re.compile(r"Objects per second: at most"))).to_be_visible()
    expect(page.locator(".plot canvas")).to_be_visible()
    expect(page.get_by_role("button", name="Cancel the operation")).to_have_count(0)
    expect(counter(page, "Exported")).to_have_text("6,000")
    expect(counter(page, "Unchanged")).to_have_count(0)
    console.look("operation-done")
    page.get_by_role("link", name="main", exact=True).click()
    page.wait_for_url(f"**/{STORE}")


def test_failures_are_told_with_cause_and_remedy(console: Console, filled: RunningServer) -> None:
    operation = imported(filled, "mixed")
    page = console.page
    console.go(str(operation.name))
    expect(page.get_by_text("251 objects of 252 failed")).to_be_visible()
    expect(counter(page, "Failed")).to_have_text("251")
    rows = page.get_by_role("table", name="Failures").locator("tbody tr")
    expect(page.get_by_text("1–100 of 251")).to_be_visible()
    expect(rows).to_have_count(100)
    reason = page.get_by_label("Reason")
    expect(reason.get_by_role("option")).to_have_text(
        ["All reasons", re.compile(r"NOT_DICOM \(1\)"), re.compile(r"EMPTY \(250\)")]
    )
    expect(page.get_by_text("Fetch it again from where it came")).to_be_visible()
    console.look("operation-failures")

    page.get_by_role("button", name="Next").click()
    page.get_by_role("button", name="Next").click()
    expect(page.get_by_text("201–251 of 251")).to_be_visible()
    expect(rows).to_have_count(51)
    expect(page.get_by_role("button", name="Next")).to_be_disabled()
    expect(page.get_by_text("gs://mixed/notes<b>.txt")).to_be_visible()
    page.get_by_role("button", name="Only these (NOT_DICOM)").click()
    expect(rows).to_have_count(1)
    expect(reason).to_have_value("NOT_DICOM")
    expect(page.get_by_text("If it should be one, fetch it again")).to_be_visible()
    expect(page.get_by_text("1–1 of 1")).to_be_visible()
    page.reload()
    expect(rows).to_have_count(1)

    console.go(f"{operation.name}?reason=DATA_LOSS")
    expect(page.get_by_text("No failure for this reason")).to_be_visible()
    page.get_by_role("button", name="All reasons").click()
    expect(page.get_by_text("1–100 of 251")).to_be_visible()


def test_failures_are_downloaded(console: Console, filled: RunningServer) -> None:
    operation = imported(filled, "mixed")
    page = console.page
    console.go(str(operation.name))
    with page.expect_download() as asked:
        page.get_by_role("button", name="Download CSV").click()
    rows = list(csv.DictReader(asked.value.path().read_text().splitlines()))
    assert len(rows) == EMPTY + 1
    assert rows[0]["source"] == "gs://mixed/empty-000.dcm"
    assert asked.value.suggested_filename == f"failures-{operation.name.operation_id}.csv"

    page.get_by_label("Reason").select_option("NOT_DICOM")
    with page.expect_download() as asked:
        page.get_by_role("button", name="Download NDJSON of these").click()
    (line,) = asked.value.path().read_text().splitlines()
    assert json.loads(line)["source"] == "gs://mixed/notes<b>.txt"


def test_what_failed_is_tried_again_and_an_import_taken_back(
    console: Console, filled: RunningServer
) -> None:
    page = console.page
    mended = filled.make_bucket("mended")
    good, late = slices(2, series=3)
    (mended / "a.dcm").write_bytes(good)
    (mended / "b.dcm").touch()
    operation = imported(filled, "mended")
    console.go(str(operation.name))
    with page.expect_download() as asked:
        page.get_by_role("button", name="Download every object").click()
    rows = list(csv.DictReader(asked.value.path().read_text().splitlines()))
    assert {(row["source"], row["result"]) for row in rows} == {
        ("gs://mended/a.dcm", "imported"),
        ("gs://mended/b.dcm", "failed"),
    }

    (mended / "b.dcm").write_bytes(late)
    page.get_by_role("button", name="Try the failed ones again").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("The object that failed is imported again")
    console.look("operation-retry")
    dialog.get_by_role("button", name="Try the failed ones again").click()
    expect(counter(page, "Listed")).to_have_text("1", timeout=SEEN_MILLISECONDS)
    expect(counter(page, "Imported")).to_have_text("1")
    expect(page.get_by_role("button", name="Try the failed ones again")).to_have_count(0)

    console.go(str(operation.name))
    page.get_by_role("button", name="Take it back").click()
    console.look("operation-undo")
    dialog.get_by_role("button", name="Take it back").click()
    expect(page.get_by_role("heading", name="Take an import back")).to_be_visible()
    expect(counter(page, "Deleted")).to_have_text("1", timeout=SEEN_MILLISECONDS)
    expect(page.get_by_role("button", name="Take it back")).to_have_count(0)


def test_an_import_that_only_tells_says_so(console: Console, filled: RunningServer) -> None:
    with filled.client() as client:
        operation = client.wait(
            client.import_(STORE, "gs://mixed/**", validate_only=True), poll_seconds=0.05
        )
    page = console.page
    console.go(str(operation.name))
    expect(page.get_by_text("This import only told what it would do")).to_be_visible()
    expect(page.get_by_role("button", name="Take it back")).to_have_count(0)
    console.look("operation-trial")


def test_a_paused_import_says_why_and_is_cancelled(
    console: Console, filled: RunningServer, tmp_path: Path
) -> None:
    page = console.page
    with blobs_gone(filled, tmp_path):
        operation = start(filled)
        console.go(str(operation.name))
        status = page.get_by_role("main").get_by_role("status").first
        expect(status).to_have_text("Paused")
        expect(page.get_by_text("It goes on by itself once this is mended.")).to_be_visible()
        console.look("operation-paused")
        console.go(f"{DATASET}/operations?done=false")
        expect(page.get_by_role("row").filter(has_text="Paused")).to_have_count(1)
        console.look("operations")

        page.get_by_role("link", name="Import").click()
        page.get_by_role("button", name="Cancel the operation").click()
        dialog = page.get_by_role("dialog")
        dialog.get_by_role("button", name="Let it go on").click()
        expect(dialog).to_have_count(0)
        page.get_by_role("button", name="Cancel the operation").click()
        console.look("operation-cancel")
        dialog.get_by_role("button", name="Cancel the operation").click()
        expect(status).to_have_text("Cancelled")
        expect(page.get_by_text("What it had done until then stays")).to_be_visible()
    console.go(f"{DATASET}/operations?done=false")
    expect(page.get_by_text("Nothing is running")).to_be_visible()


def test_an_import_is_paused_and_resumed(
    console: Console, filled: RunningServer, tmp_path: Path
) -> None:
    page = console.page
    with blobs_gone(filled, tmp_path):  # so that it is not done before it is asked to wait
        operation = start(filled)
        console.go(str(operation.name))
        status = page.get_by_role("main").get_by_role("status").first
        expect(status).to_have_text("Paused")
        page.get_by_role("button", name="Pause").click()
        expect(page.get_by_text("It goes on from here once you have it resumed.")).to_be_visible()
    page.get_by_role("button", name="Resume").click()
    expect(page.get_by_text("once you have it resumed")).to_have_count(0)
    expect(status).not_to_have_text("Paused", timeout=20_000)
    with filled.client() as client:
        client.wait(operation, poll_seconds=0.1)
    expect(page.get_by_role("button", name="Resume")).to_have_count(0)
    expect(page.get_by_role("button", name="Pause")).to_have_count(0)


def test_an_absence_of_the_server_is_told_and_outlived(
    chromium: Browser, filled: RunningServer, tmp_path: Path
) -> None:
    context = chromium.new_context(locale="fr-FR")
    context.add_init_script(f"sessionStorage.setItem('fileroom.token', '{filled.token}')")
    page = context.new_page()
    with blobs_gone(filled, tmp_path):
        operation = start(filled)
        page.goto(f"{filled.url}/console/{operation.name}")
        expect(page.get_by_text("En pause", exact=True)).to_be_visible()
        context.set_offline(True)
        expect(page.get_by_role("alert")).to_contain_text("Le serveur ne répond pas")
        expect(page.get_by_text("En pause", exact=True)).to_be_visible()
        context.set_offline(False)
        expect(page.get_by_role("alert")).to_have_count(0)
    expect(page.get_by_text("Échec partiel")).to_be_visible(timeout=SEEN_MILLISECONDS)
    context.close()


def test_an_operation_that_is_not_there_is_not_asked_for_again(
    chromium: Browser, filled: RunningServer
) -> None:
    context = chromium.new_context(locale="en-GB")
    context.add_init_script(f"sessionStorage.setItem('fileroom.token', '{filled.token}')")
    page = context.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{filled.url}/console/{DATASET}/operations/1")
    expect(page.get_by_role("alert")).to_contain_text("It may have been deleted meanwhile")
    page.wait_for_timeout(1500)
    assert len([url for url in asked if "/v1/" in url]) == 1
    context.close()


def test_logs_are_filtered_and_opened(console: Console, filled: RunningServer) -> None:
    operation = imported(filled, "mixed")
    page = console.page
    console.go(str(operation.name))
    page.get_by_role("link", name="Logs").click()
    entries = page.get_by_role("list", name="Logs").get_by_role("listitem")
    expect(entries).to_have_count(100)
    expect(entries.first).to_contain_text("ImportDicomData ended: 1 succeeded, 251 failed")
    expect(entries.nth(1)).to_contain_text("gs://mixed/notes<b>.txt")
    page.get_by_role("button", name="Show more").click()
    expect(entries).to_have_count(200)

    entries.nth(1).locator("summary").click()
    shown = json.loads(entries.nth(1).locator("pre").inner_text())
    assert shown["operation"]["id"] == str(operation.name)
    assert shown["severity"] == "ERROR"
    console.look("operation-logs")

    console.go(f"{DATASET}/logs?severity=ERROR")
    expect(page.get_by_role("button", name="Errors")).to_have_attribute("aria-pressed", "true")
    expect(entries.first).to_contain_text("ERROR")
    typed = page.get_by_label("Filter, as Cloud Logging takes it")
    typed.fill('timestamp>="2100-01-01T00:00:00Z"')
    page.get_by_role("button", name="Filter", exact=True).click()
    expect(page.get_by_text("No entry matches the filter")).to_be_visible()
    page.get_by_role("button", name="Clear the filter").click()
    expect(page).to_have_url(re.compile(r"/logs$"))
    expect(entries).to_have_count(100)
    console.look("logs")
