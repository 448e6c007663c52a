"""The console when answers come late, are refused or break off, and when somebody turns back."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING, Final

import pytest
from playwright.sync_api import Error, expect

from tests import corpus
from tests.browser.console import PLACE, console
from tests.server import running_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Browser, Page, Request, Route

    from tests.browser.console import Console
    from tests.server import RunningServer

__all__ = ["console"]

DATASET: Final = f"{PLACE}/datasets/radiology"
STORE: Final = f"{DATASET}/dicomStores/main"
STUDY: Final = f"{corpus.UID_ROOT}.9"
ENDLESS: Final = f"{corpus.UID_ROOT}.10"
EMPTY: Final = 250
LATE_MILLISECONDS: Final = 300
"""So long is waited for what must not come."""


@pytest.fixture(scope="module")
def console_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server with two studies, a bucket of imported bad files, one of another project."""
    directory = tmp_path_factory.mktemp("answers")
    inner = directory / "mine" / "Doe^Jane"
    inner.mkdir(parents=True)
    (inner / "inner.txt").write_text("no image")
    for number in range(EMPTY):
        (directory / "mine" / f"slice-{number:03}.dcm").touch()
    (directory / "theirs").mkdir()
    settings = directory / "fileroom.toml"
    settings.write_text(
        "".join(
            f'[buckets."gs://{name}"]\nurl = "{(directory / name).as_uri()}"\n'
            f'project = "{project}"\nallow = ["read", "write"]\n'
            for name, project in (("mine", "demo"), ("theirs", "other"))
        )
    )
    with running_server(directory / "data", f"--config={settings}") as server:
        with server.client() as client:
            client.wait(client.create_dataset(DATASET), poll_seconds=0.05)
            client.create_dicom_store(STORE)
            assert not client.store_instances(STORE, [study(STUDY), endless()]).refused
            client.wait(client.import_(STORE, "gs://mine/*.dcm"), poll_seconds=0.05)
        yield server


def study(uid: str, extra: tuple[corpus.Row, ...] = ()) -> bytes:
    """Give a study of Paula's that is one instance."""
    return corpus.minimal_instance(
        patient_name="Phantom^Paula",
        study_instance_uid=uid,
        series_instance_uid=f"{uid}.1",
        sop_instance_uid=f"{uid}.1.1",
        extra=extra,
    )


def endless() -> bytes:
    """Give an instance that says it has more frames than there can be."""
    return study(
        ENDLESS,
        ((0x00280008, "IS", "2000000000"), (0x00280010, "US", 16), (0x00280011, "US", 16)),
    )


@pytest.fixture
def unwatched(chromium: Browser, console_server: RunningServer) -> Iterator[Page]:
    """A window in which answers may be errors, which browsers write to their console."""
    context = chromium.new_context(locale="en-GB", base_url=f"{console_server.url}/console/")
    page = context.new_page()
    page.goto("")
    page.evaluate("token => sessionStorage.setItem('fileroom.token', token)", console_server.token)
    yield page
    context.close()


class Held:
    """Requests that wait until they are let go."""

    def __init__(
        self, page: Page, address: str, wanted: Callable[[Request], bool] = lambda _: True
    ) -> None:
        self._page = page
        self._address = re.compile(address)
        self._wanted = wanted
        self._waiting: list[Route] = []
        page.route(self._address, self._hold)

    def _hold(self, route: Route) -> None:
        if self._wanted(route.request):
            self._waiting.append(route)
        else:
            route.continue_()

    def wait(self) -> None:
        """Wait until one has come."""
        for _ in range(100):
            if self._waiting:
                return
            self._page.wait_for_timeout(20)
        raise AssertionError("nothing was asked")

    def let_go(self) -> None:
        """Have all be answered, and time pass for what comes of that."""
        self._page.unroute(self._address)
        for route in self._waiting:
            # The page may have given it up.
            with contextlib.suppress(Error):
                route.continue_()
        self._page.wait_for_timeout(LATE_MILLISECONDS)


def open_dialog(console: Console, action: str) -> None:
    """Open the dialog of an action of the DICOM store."""
    console.go(DATASET)
    console.page.get_by_role("button", name="Actions").click()
    console.page.get_by_role("menuitem", name=action).click()


def test_a_late_page_of_log_entries_joins_no_other_list(console: Console) -> None:
    page = console.page
    console.go(f"{DATASET}/logs")
    entries = page.get_by_role("list", name="Logs").get_by_role("listitem")
    expect(entries).to_have_count(100)
    held = Held(page, "entries:list", lambda request: "pageToken" in (request.post_data or ""))
    page.get_by_role("button", name="Show more").click()
    held.wait()
    with page.expect_response("**/v2/entries:list"):
        page.get_by_role("button", name="Errors").click()
    expect(entries).to_have_count(100)
    held.let_go()
    expect(entries).to_have_count(100)
    page.get_by_role("button", name="Show more").click()
    expect(entries).to_have_count(200)


def test_a_directory_has_its_own_rows_and_its_place_in_the_history(console: Console) -> None:
    page = console.page
    console.go("buckets/mine")
    rows = page.get_by_role("table").locator("tbody tr")
    expect(rows).to_have_count(200)
    held = Held(page, "pageToken=")
    page.get_by_role("button", name="Show more").click()
    held.wait()
    page.get_by_role("button", name="Doe^Jane/").click()
    expect(rows).to_have_count(1)
    held.let_go()
    expect(rows).to_have_text([re.compile("inner.txt")])
    assert page.url == f"{console.server.url}/console/buckets/mine"

    page.go_back()
    expect(rows).to_have_count(200)
    page.get_by_role("button", name="Show more").click()
    expect(rows).to_have_count(EMPTY + 1)
    page.go_forward()
    expect(rows).to_have_count(1)
    page.reload()
    expect(rows).to_have_count(1)


def test_what_matches_is_told_of_the_uri_in_view_only(console: Console) -> None:
    page = console.page
    open_dialog(console, "Import")
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_text("251 objects match")).to_be_visible()
    dialog.get_by_text("Advanced options").click()
    held = Held(page, ":previewImport")
    dialog.get_by_label("Path in the bucket").fill("slice-000*")
    held.wait()
    page.wait_for_timeout(LATE_MILLISECONDS)
    expect(dialog.get_by_text("Looking what matches")).to_be_visible()
    held.let_go()
    expect(dialog.get_by_text("1 object matches")).to_be_visible()


@pytest.mark.parametrize("action", ["Import", "Export"])
def test_the_bucket_is_one_of_the_project(console: Console, action: str) -> None:
    page = console.page
    open_dialog(console, action)
    dialog = page.get_by_role("dialog")
    bucket = dialog.get_by_label("Bucket", exact=True)
    bucket.select_option("mine")
    expect(dialog.locator("code.uri")).to_contain_text("gs://mine")
    held = Held(page, "project=other")
    dialog.get_by_label("Project").fill("other")
    page.keyboard.press("Tab")
    held.wait()
    expect(dialog.locator("code.uri")).to_have_text("…")
    expect(dialog.get_by_role("button", name=action)).to_be_disabled()
    held.let_go()
    expect(bucket).to_have_value("theirs")
    expect(dialog.locator("code.uri")).to_contain_text("gs://theirs")


@pytest.mark.parametrize("leave", ["Cancel", "Escape"])
def test_a_dialog_that_is_closed_does_nothing_more(console: Console, leave: str) -> None:
    page = console.page
    open_dialog(console, "Export")
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("radio", name="What a search finds").check()
    dialog.get_by_label("Patient name").fill("paula")
    expect(dialog.get_by_text("2 studies match")).to_be_visible()
    posted: list[str] = []

    def asked(request: Request) -> None:
        if request.method == "POST":
            posted.append(request.url)

    page.on("request", asked)
    held = Held(page, "dicomWeb/studies")
    dialog.get_by_role("button", name="Export", exact=True).click()
    held.wait()
    if leave == "Escape":
        page.keyboard.press("Escape")
    else:
        dialog.get_by_role("button", name=leave).click()
    expect(dialog).to_have_count(0)
    held.let_go()
    assert posted == []
    assert page.url == f"{console.server.url}/console/{DATASET}"


@pytest.mark.parametrize("body", ['{"name":', "{}"])
def test_an_answer_that_cannot_be_used_is_told(console: Console, body: str) -> None:
    page = console.page
    open_dialog(console, "Import")
    page.route(
        "**/*:import", lambda route: route.fulfill(content_type="application/json", body=body)
    )
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_text("251 objects match")).to_be_visible()
    dialog.get_by_role("button", name="Import", exact=True).click()
    expect(dialog.get_by_role("alert")).not_to_be_empty()
    expect(dialog.get_by_role("button", name="Import", exact=True)).to_be_enabled()


def test_an_error_of_a_dialog_is_in_sight(console: Console) -> None:
    page = console.page
    page.set_viewport_size({"width": 1280, "height": 600})
    open_dialog(console, "Export")
    dialog = page.get_by_role("dialog")
    page.route("**/*:export", lambda route: route.fulfill(json={}))
    dialog.get_by_text("The same from a terminal").click()
    dialog.get_by_label("Project").scroll_into_view_if_needed()
    dialog.get_by_role("button", name="Export", exact=True).click()
    expect(dialog.get_by_role("alert")).to_be_in_viewport(ratio=0.9)


def test_who_signs_out_leaves_nothing_on_the_screen(unwatched: Page) -> None:
    page = unwatched
    page.goto(f"{STORE}/studies/{STUDY}")
    expect(page.get_by_role("heading", name="Phantom, Paula")).to_be_visible()
    held = Held(page, "/v1/projects$")
    page.get_by_role("button", name="Sign out").click()
    held.wait()
    expect(page.get_by_text("Paula")).to_have_count(0)
    held.let_go()
    expect(page.get_by_label("Access token")).to_be_visible()


def test_a_refused_download_is_told(unwatched: Page, console_server: RunningServer) -> None:
    page = unwatched
    bucket = console_server.make_bucket("short-lived")
    (bucket / "gone.txt").write_text("still there")
    page.goto("buckets/short-lived")
    name = page.get_by_role("button", name="gone.txt")
    expect(name).to_be_visible()
    (bucket / "gone.txt").unlink()
    name.click()
    expect(page.get_by_role("alert")).to_contain_text("It may have been deleted meanwhile")


def test_an_instance_of_endless_frames_is_opened(unwatched: Page) -> None:
    page = unwatched
    page.goto(f"{STORE}/studies/{ENDLESS}/series/{ENDLESS}.1")
    expect(page.get_by_text("Frame 1 of 2,000,000,000")).to_be_visible()
    expect(page.get_by_role("alert")).to_contain_text("missing pixel data")
    page.get_by_role("application").press("End")
    expect(page.get_by_text("Frame 2,000,000,000 of 2,000,000,000")).to_be_visible()


def test_a_dataset_that_is_not_there_is_told(unwatched: Page) -> None:
    unwatched.goto(f"{PLACE}/datasets/none")
    told = unwatched.get_by_role("alert").locator("strong")
    expect(told).to_have_text("There is no such thing here, or you may not use it")


def test_an_address_that_is_none_is_told(console: Console) -> None:
    console.go("buckets/%E0%A4%A")
    expect(console.page.get_by_text("There is no such page")).to_be_visible()


def test_a_call_is_selected_where_the_page_may_not_copy_it(console: Console) -> None:
    page = console.page
    page.add_init_script("delete Navigator.prototype.clipboard")
    console.go(PLACE)
    page.get_by_role("button", name="Create dataset").first.click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_text("The same from a terminal").click()
    dialog.get_by_role("button", name="Copy").click()
    expect(dialog.get_by_role("button", name="Selected: press Ctrl+C")).to_be_visible()
    assert page.evaluate("getSelection().toString()").startswith("curl -X POST")


def test_the_heading_of_the_next_page_takes_the_focus(console: Console) -> None:
    page = console.page
    console.go(DATASET)
    expect(page.get_by_role("heading", name="radiology")).not_to_be_focused()
    page.get_by_role("link", name="main", exact=True).click()
    expect(page.get_by_role("heading", name="main")).to_be_focused()
    page.go_back()
    expect(page.get_by_role("heading", name="radiology")).to_be_focused()


def test_a_tab_that_is_shown_again_asks_at_once(console: Console) -> None:
    page = console.page
    console.go(f"{DATASET}/operations")
    expect(page.get_by_role("link", name="Import")).to_be_visible()
    show = """isHidden => {
      Object.defineProperty(document, "hidden", { value: isHidden, configurable: true });
      document.dispatchEvent(new Event("visibilitychange"));
    }"""
    page.evaluate(show, True)
    page.wait_for_timeout(1_500)
    with page.expect_request(re.compile("/operations"), timeout=2_000):
        page.evaluate(show, False)
