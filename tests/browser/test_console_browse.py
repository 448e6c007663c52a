"""From a DICOM store to a study, its images on the screen, and their attributes."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import pydicom
import pytest
from playwright.sync_api import expect

from tests import corpus, phantom
from tests.browser.console import PLACE, console, console_server
from tests.end_to_end.conftest import slices

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.browser.console import Console
    from tests.server import RunningServer

__all__ = ["console", "console_server"]

DATASET: Final = f"{PLACE}/datasets/radiology"
STORE: Final = f"{DATASET}/dicomStores/main"
MANY: Final = f"{DATASET}/dicomStores/many"
SCRIPT: Final = "<script>alert(1)</script>"
SLICES: Final = 2_000
HOSTILE: Final = f"{corpus.UID_ROOT}.66"
RISING: Final = f"{corpus.UID_ROOT}.67"
REAL: Final = (
    "MR_small.dcm",
    "SC_rgb_small_odd.dcm",
    "examples_palette.dcm",
    "examples_ybr_color.dcm",
)
REAL_FILES: Final = Path(pydicom.__file__).parent / "data" / "test_files"


@pytest.fixture(scope="module")
def filled(console_server: RunningServer) -> RunningServer:
    """A server with the phantom, real files, and a study that would run a script."""
    hostile = corpus.minimal_instance(
        patient_name=f"{SCRIPT}^<b>Bold</b>",
        study_description="<img src=x onerror=alert(1)>",
        series_description="<i>Series</i>",
        study_instance_uid=HOSTILE,
        series_instance_uid=f"{HOSTILE}.1",
        sop_instance_uid=f"{HOSTILE}.1.1",
    )
    real = [(REAL_FILES / name).read_bytes() for name in REAL]
    with console_server.client() as client:
        client.wait(client.create_dataset(DATASET), poll_seconds=0.05)
        for store in (STORE, MANY, f"{DATASET}/dicomStores/empty"):
            client.create_dicom_store(store)
        contents = [*phantom.study(), hostile, rising(), *real]
        assert not client.store_instances(STORE, contents).refused
        studies = (
            corpus.minimal_instance(
                patient_name=f"Many^{number:03}",
                study_instance_uid=f"{corpus.UID_ROOT}.90.{number}",
                series_instance_uid=f"{corpus.UID_ROOT}.90.{number}.1",
                sop_instance_uid=f"{corpus.UID_ROOT}.90.{number}.1.1",
            )
            for number in range(1, 121)
        )
        assert not client.store_instances(MANY, list(studies)).refused
        assert not client.store_instances(MANY, slices(SLICES)).refused
    return console_server


def rising() -> bytes:
    """Give four frames without a window, from 0 to 1, 61, 121 and 181."""
    frames = np.zeros((4, 16, 16), np.uint8)
    for number, frame in enumerate(frames):
        frame[8:] = number * 60 + 1
    return corpus.multi_frame_instance(
        frames=4,
        study_instance_uid=RISING,
        series_instance_uid=f"{RISING}.1",
        sop_instance_uid=f"{RISING}.1.1",
        pixel_data=frames.tobytes(),
    )


def shade(page: Page, place: tuple[float, float]) -> int:
    """Give the grey on the canvas at a place of the phantom."""
    column, row = (round((0.5 + part) * phantom.SIDE) for part in place)
    found = page.evaluate(
        """([x, y]) => document.querySelector('canvas').getContext('2d')
             .getImageData(x, y, 1, 1).data[0]""",
        [column, row],
    )
    assert isinstance(found, int)
    return found


def wait_for_shade(page: Page, place: tuple[float, float], least: int, most: int) -> None:
    """Wait until a place of the phantom is as bright as that."""
    expect(page.locator("canvas")).to_be_visible()
    for _ in range(100):
        if least <= shade(page, place) <= most:
            return
        page.wait_for_timeout(50)
    raise AssertionError(shade(page, place))


def series_path(series: phantom.Series) -> str:
    return f"{STORE}/studies/{phantom.STUDY}/series/{series.uid}"


@pytest.mark.usefixtures("filled")
def test_studies_are_searched_and_no_patient_is_named_in_an_address(console: Console) -> None:
    page = console.page
    console.go(STORE)
    table = page.get_by_role("table")
    expect(table.get_by_role("row", name="Phantom, Paula")).to_contain_text("CT, US")
    expect(table.get_by_role("row", name="Phantom, Paula")).to_contain_text("37")
    console.look("studies")

    page.get_by_label("Patient name").fill("phan")
    page.get_by_label("Modality", exact=True).fill("us")
    page.get_by_label("Study date from").fill("2024-01-02")
    page.get_by_role("button", name="Search", exact=True).click()
    expect(table.get_by_role("row")).to_have_count(2)
    assert page.url.endswith("?from=2024-01-02&modality=us")

    page.get_by_role("link", name="Phantom, Paula").click()
    expect(page.get_by_role("heading", name="Phantom, Paula")).to_be_visible()
    assert page.title() == "Study · Fileroom"
    page.go_back()
    expect(page.get_by_label("Patient name")).to_have_value("phan")
    expect(table.get_by_role("row")).to_have_count(2)

    page.get_by_label("Patient name").fill("nobody")
    page.keyboard.press("Enter")
    expect(page.get_by_text("No study matches")).to_be_visible()
    console.look("studies-none")
    page.get_by_role("button", name="Clear the search").first.click()
    expect(page.get_by_role("link", name="Phantom, Paula")).to_be_visible()


@pytest.mark.usefixtures("filled")
def test_studies_come_in_pages(console: Console) -> None:
    page = console.page
    console.go(MANY)
    expect(page.get_by_text("1–50 of 121")).to_be_visible()
    page.get_by_role("button", name="Next").click()
    page.get_by_role("button", name="Next").click()
    expect(page.get_by_text("101–121 of 121")).to_be_visible()
    expect(page.get_by_role("button", name="Next")).to_be_disabled()
    page.reload()
    expect(page.get_by_role("row", name="Many, 120")).to_be_visible()

    console.go(f"{DATASET}/dicomStores/empty")
    expect(page.get_by_text("No study here yet")).to_be_visible()
    console.look("studies-empty")
    page.get_by_role("button", name="Import").last.click()
    expect(page.get_by_role("dialog", name="Import into “empty”")).to_be_visible()


@pytest.mark.usefixtures("filled")
def test_a_study_shows_its_series(console: Console) -> None:
    page = console.page
    console.go(f"{STORE}/studies/{phantom.STUDY}")
    cards = page.get_by_role("listitem").filter(has_text="instance")
    expect(cards).to_have_count(len(phantom.SERIES))
    expect(page.locator(".thumbnail img")).to_have_count(len(phantom.SERIES))
    console.look("study")
    page.get_by_role("link", name=phantom.CT.description).click()
    expect(page.get_by_text("Frame 1 of 24")).to_be_visible()


@pytest.mark.usefixtures("filled")
def test_a_stack_is_scrolled_windowed_zoomed_and_inverted(console: Console) -> None:
    page = console.page
    console.go(series_path(phantom.CT))
    viewport = page.get_by_role("application")
    wait_for_shade(page, phantom.vessel_of(1, 24), 255, 255)
    wait_for_shade(page, phantom.SPOTS["body"], 127, 128)
    wait_for_shade(page, phantom.SPOTS["left lung"], 0, 0)
    wait_for_shade(page, phantom.SPOTS["no block"], 0, 0)
    console.look("viewer")

    viewport.hover()
    page.mouse.wheel(0, 120)
    expect(page.get_by_text("Frame 2 of 24")).to_be_visible()
    wait_for_shade(page, phantom.vessel_of(2, 24), 255, 255)
    viewport.focus()
    for key, at in (("End", 24), ("ArrowUp", 23), ("PageUp", 13), ("Home", 1)):
        page.keyboard.press(key)
        expect(page.get_by_text(f"Frame {at} of 24")).to_be_visible()
        wait_for_shade(page, phantom.vessel_of(at, 24), 255, 255)
    page.get_by_label("Position in the series").fill("12")
    wait_for_shade(page, phantom.vessel_of(12, 24), 255, 255)

    page.get_by_label("Window preset").select_option("Lung")
    wait_for_shade(page, phantom.SPOTS["left lung"], 90, 97)
    page.get_by_label("Width").fill("100")
    page.keyboard.press("Tab")
    wait_for_shade(page, phantom.SPOTS["left lung"], 0, 0)
    page.get_by_label("Window preset").select_option("Full range")
    wait_for_shade(page, phantom.SPOTS["block"], 255, 255)
    wait_for_shade(page, phantom.SPOTS["body"], 130, 135)
    page.get_by_role("button", name="Invert").click()
    wait_for_shade(page, phantom.SPOTS["block"], 0, 0)
    page.get_by_role("button", name="Reset").click()
    wait_for_shade(page, phantom.SPOTS["body"], 127, 128)

    box = viewport.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 300, box["y"] + 200)
    page.mouse.down()
    page.mouse.move(box["x"] + 300, box["y"] + 300, steps=4)
    page.mouse.up()
    expect(page.get_by_label("Center")).not_to_have_value("40")
    wait_for_shade(page, phantom.SPOTS["body"], 0, 60)
    page.keyboard.down("Control")
    page.mouse.wheel(0, -300)
    page.keyboard.up("Control")
    page.get_by_role("button", name="Move").click()
    page.mouse.move(box["x"] + 300, box["y"] + 200)
    page.mouse.down()
    page.mouse.move(box["x"] + 400, box["y"] + 200, steps=4)
    page.mouse.up()
    console.look("viewer-zoomed")
    expect(page.get_by_text("Frame 12 of 24")).to_be_visible()


@pytest.mark.usefixtures("filled")
def test_frames_of_every_encoding_are_shown_and_played(console: Console) -> None:
    page = console.page
    for series in phantom.COMPRESSED:
        console.go(series_path(series))
        wait_for_shade(page, phantom.vessel_of(1, series.pictures), 255, 255)
    console.go(series_path(phantom.MULTI_FRAME))
    expect(page.get_by_text("Frame 1 of 12")).to_be_visible()
    console.look("viewer")
    wait_for_shade(page, phantom.vessel_of(1, 12), 215, 255)
    page.get_by_role("button", name="Play").click()
    expect(page.get_by_text("Frame 1 of 12")).to_have_count(0)
    page.get_by_role("button", name="Pause").click()


@pytest.mark.usefixtures("filled")
def test_a_series_of_two_thousand_slices_is_gone_through_at_once(console: Console) -> None:
    page = console.page
    console.go(MANY)
    page.get_by_label("Modality", exact=True).fill("MR")
    page.keyboard.press("Enter")
    expect(page.get_by_text("1–1 of 1")).to_be_visible()
    page.get_by_role("table").get_by_role("link").click()
    page.get_by_text(f"{SLICES:,} instances").wait_for()
    page.get_by_role("main").get_by_role("listitem").get_by_role("link").last.click()
    expect(page.get_by_text("Frame 1 of 2,000", exact=True)).to_be_visible()
    page.get_by_role("application").focus()
    for key, at in (("End", "2,000"), ("PageUp", "1,990"), ("Home", "1")):
        page.keyboard.press(key)
        expect(page.get_by_text(f"Frame {at} of 2,000", exact=True)).to_be_visible()
    assert page.evaluate("() => document.querySelectorAll('*').length") < 300


@pytest.mark.usefixtures("filled")
def test_the_full_range_is_that_of_the_series(console: Console) -> None:
    page = console.page
    center, width = page.get_by_label("Center"), page.get_by_label("Width")
    console.go(f"{STORE}/studies/{RISING}/series/{RISING}.1")
    expect(center).to_have_value("90.5")
    expect(width).to_have_value("181")
    expect(page.get_by_text("C 90.5 W 181")).to_be_visible()
    page.get_by_role("application").press("End")
    expect(page.get_by_text("Frame 4 of 4")).to_be_visible()
    expect(width).to_have_value("181")


@pytest.mark.usefixtures("filled")
def test_colour_has_no_window(console: Console) -> None:
    page = console.page
    path = REAL_FILES / "SC_rgb_small_odd.dcm"
    data_set = pydicom.dcmread(path, stop_before_pixels=True)
    console.go(f"{STORE}/studies/{data_set.StudyInstanceUID}/series/{data_set.SeriesInstanceUID}")
    expect(page.get_by_role("button", name="Window")).to_be_disabled()
    expect(page.get_by_role("button", name="Move")).to_have_attribute("aria-pressed", "true")


@pytest.mark.usefixtures("filled")
def test_real_files_are_shown(console: Console) -> None:
    page = console.page
    for name in REAL:
        data_set = pydicom.dcmread(REAL_FILES / name, stop_before_pixels=True)
        console.go(
            f"{STORE}/studies/{data_set.StudyInstanceUID}/series/{data_set.SeriesInstanceUID}"
        )
        page.wait_for_function(
            """() => {
              const canvas = document.querySelector('canvas');
              if (!canvas?.width) return false;
              const context = canvas.getContext('2d');
              const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
              return new Set(data).size > 3;
            }"""
        )
        console.look(f"viewer-{name.partition('.')[0]}")


@pytest.mark.usefixtures("filled")
def test_attributes_are_searched_and_a_script_in_them_is_text(console: Console) -> None:
    page = console.page
    console.go(STORE)
    page.get_by_role("link", name=f"{SCRIPT}, <b>Bold</b>").click()
    expect(page.get_by_role("heading", name=f"{SCRIPT}, <b>Bold</b>")).to_be_visible()
    expect(page.get_by_text("No picture")).to_be_visible()
    page.get_by_role("link", name="<i>Series</i>").click()
    table = page.get_by_role("table")
    expect(table.get_by_role("row", name="PatientName")).to_contain_text(f"{SCRIPT}^<b>Bold</b>")
    expect(table.get_by_role("row", name="StudyDescription")).to_contain_text("<img src=x")
    assert page.title() == "Series · Fileroom"

    console.go(f"{series_path(phantom.CT)}?view=attributes")
    expect(table.get_by_role("row", name="PixelData")).to_contain_text("128 KiB")
    console.look("attributes")
    page.get_by_label("Search the attributes").fill("rescale")
    expect(table.get_by_role("row")).to_have_count(4)
    with page.expect_download() as kept:
        page.get_by_label("Search the attributes").fill("7fe0")
        table.get_by_role("button", name="Download").click()
    assert Path(kept.value.path()).read_bytes() == phantom.samples(1, 24).tobytes()


@pytest.mark.usefixtures("filled")
def test_attributes_have_their_own_place_in_the_history(console: Console) -> None:
    page = console.page
    console.go(series_path(phantom.CT))
    page.get_by_role("application").press("End")
    expect(page.get_by_text("Frame 24 of 24")).to_be_visible()
    page.get_by_role("button", name="Attributes").click()
    instance = page.get_by_label("Instance")
    expect(instance).to_have_value("24")
    page.get_by_role("button", name="Previous").click()
    expect(instance).to_have_value("23")
    page.reload()
    expect(instance).to_have_value("23")
    page.go_back()
    expect(page.get_by_role("application")).to_be_visible()


@pytest.mark.usefixtures("filled")
def test_attributes_are_read_on_a_phone(console: Console) -> None:
    page = console.page
    page.set_viewport_size({"width": 390, "height": 844})
    console.go(f"{series_path(phantom.CT)}?view=attributes")
    expect(page.get_by_role("cell", name=phantom.CT.uid, exact=True)).to_be_visible()
    assert page.evaluate(
        """() => [...document.querySelectorAll("main, .scroller")]
             .every((each) => each.scrollWidth <= each.clientWidth)"""
    )


def test_a_study_is_taken_home_and_deleted(console: Console, filled: RunningServer) -> None:
    page = console.page
    console.go(f"{STORE}/studies/{phantom.STUDY}")
    page.get_by_role("button", name="Download").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_text("37 DICOM files")).to_be_visible()
    expect(dialog.get_by_text(f"fileroom download {phantom.STUDY}")).to_be_visible()
    console.look("download")
    with page.expect_download() as kept:
        dialog.get_by_role("button", name="Download as .zip").click()
    with zipfile.ZipFile(io.BytesIO(Path(kept.value.path()).read_bytes())) as archive:
        assert archive.testzip() is None
        assert sorted(archive.read(name) for name in archive.namelist()) == sorted(phantom.study())
    expect(dialog).to_have_count(0)

    page.get_by_role("button", name="Delete").click()
    expect(dialog.get_by_text("The study of Phantom, Paula will be deleted")).to_be_visible()
    console.look("delete")
    dialog.get_by_role("button", name="Delete", exact=True).click()
    page.wait_for_url("**/operations/*")
    expect(page.get_by_text(f"studies/{phantom.STUDY}", exact=True)).to_be_visible()
    console.go(STORE)
    expect(page.get_by_role("link", name="Bold")).to_be_visible()
    expect(page.get_by_role("link", name="Phantom, Paula")).to_have_count(0)
