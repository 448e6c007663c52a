"""The OHIF viewer, built as its users get it, shows what a real server holds.

Pictures are judged by where the phantom's organs are on the screen. Each screenshot stays in the
directory of the test, for an eye.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import imagecodecs
import numpy as np
import pytest
from playwright.sync_api import expect

from tests import phantom
from tests.browser.conftest import PDF

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray
    from playwright.sync_api import Page

BLACK, GREY, WHITE = range(40), range(100, 160), range(215, 256)
SHADES: Final = {
    "air": BLACK,
    "body": GREY,
    "left lung": BLACK,
    "right lung": BLACK,
    "spine": WHITE,
    "block": WHITE,
    "no block": BLACK,
}
_POSITION = re.compile(r"I:(\d+) \((\d+)/(\d+)\)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """What the viewport shows: a square picture, fitted into it."""

    pixels: NDArray[np.uint8]

    def shade(self, place: tuple[float, float]) -> int:
        """Give the grey of a place, which is in parts of the picture's side from its middle."""
        row, column = self._row(place[1]), self._column(place[0])
        return int(np.median(self.pixels[row - 2 : row + 3, column - 2 : column + 3]))

    def vessel(self, pictures: int) -> int:
        """Give the number of the picture whose vessel is where this one's is; 0 without one."""
        line = self.pixels[self._row(phantom.vessel_of(1, pictures)[1])]
        start, end = self._column(-0.35), self._column(0.35)
        bright = np.flatnonzero(line[start:end] > WHITE.start) + start
        if not bright.size:
            return 0
        middles = [self._column(phantom.vessel_of(n + 1, pictures)[0]) for n in range(pictures)]
        return int(np.argmin(np.abs(np.array(middles) - bright.mean()))) + 1

    def _row(self, y: float) -> int:
        return int(self.pixels.shape[0] / 2 + y * min(self.pixels.shape))

    def _column(self, x: float) -> int:
        return int(self.pixels.shape[1] / 2 + x * min(self.pixels.shape))


@dataclass(frozen=True, slots=True, kw_only=True)
class Viewer:
    """The viewer with the phantom's study open."""

    page: Page
    shots: Path

    def open(self, series: phantom.Series) -> None:
        """Drop a series into the viewport."""
        self.page.get_by_text(series.description, exact=True).first.dblclick()
        shown = self.page.locator('[data-cy="viewport-pane"]').get_by_text(series.description)
        expect(shown).to_be_visible()

    def scroll(self, ticks: int) -> None:
        """Turn the wheel over the viewport."""
        self.page.locator(".cornerstone-canvas").hover()
        for _ in range(ticks):
            self.page.mouse.wheel(0, 100)
            self.page.wait_for_timeout(50)

    def wait_for(self, position: int, series: phantom.Series) -> int:
        """Wait until the n-th picture of a series is said to be shown; give its number."""
        said = self.page.get_by_text(re.compile(rf"I:\d+ \({position}/{series.pictures}\)"))
        expect(said).to_be_visible()
        found = _POSITION.search(said.inner_text())
        assert found is not None
        return int(found[1])

    def judge(self, series: phantom.Series, number: int) -> None:
        """Wait until the n-th picture of the phantom is on the screen."""
        name = f"{series.description} {number}.png".replace(" ", "-")
        seen: object = None
        for _ in range(50):
            shot = self.page.locator(".cornerstone-canvas").screenshot(path=self.shots / name)
            picture = Picture(pixels=imagecodecs.png_decode(shot)[..., 0])
            shades = {spot: picture.shade(place) for spot, place in phantom.SPOTS.items()}
            vessel = picture.vessel(series.pictures)
            seen = shades, vessel
            if vessel == number and all(shades[spot] in SHADES[spot] for spot in shades):
                return
            self.page.wait_for_timeout(100)
        raise AssertionError(f"{name}: {seen}")


@pytest.fixture
def viewer(page: Page, tmp_path: Path) -> Viewer:
    page.get_by_text("Phantom, Paula").click()
    page.get_by_text("Basic Viewer").click()
    page.get_by_text("Skip all").click()
    return Viewer(page=page, shots=tmp_path)


@pytest.mark.clause("OHIF", "the study list shows the studies of a store, and filters them by name")
def test_ohif_lists_studies(page: Page, tmp_path: Path) -> None:
    row = page.get_by_role("row").filter(has_text="Phantom, Paula")
    expect(row).to_contain_text("02-Jan-2024")
    expect(row).to_contain_text("CT\\US")
    expect(row).to_contain_text(phantom.STUDY_DESCRIPTION)
    expect(row).to_contain_text("37")
    page.screenshot(path=tmp_path / "study-list.png")

    patient = page.get_by_role("textbox").first
    patient.fill("nobody")
    expect(row).to_have_count(0)
    patient.fill("phan")
    expect(row).to_be_visible()


@pytest.mark.clause("OHIF", "a CT series is opened and scrolled")
def test_ohif_scrolls_a_ct_series(viewer: Viewer) -> None:
    viewer.judge(phantom.CT, viewer.wait_for(1, phantom.CT))
    viewer.scroll(10)
    viewer.judge(phantom.CT, viewer.wait_for(11, phantom.CT))
    viewer.scroll(13)
    viewer.judge(phantom.CT, viewer.wait_for(24, phantom.CT))


@pytest.mark.clause("OHIF", "series in JPEG 2000, JPEG-LS and RLE are opened and scrolled")
def test_ohif_shows_compressed_series(viewer: Viewer) -> None:
    for series in phantom.COMPRESSED:
        viewer.open(series)
        viewer.judge(series, viewer.wait_for(1, series))
        viewer.scroll(2)
        viewer.judge(series, viewer.wait_for(3, series))


@pytest.mark.clause("OHIF", "a multi-frame instance in JPEG is opened and scrolled frame by frame")
def test_ohif_shows_a_multi_frame_instance(viewer: Viewer) -> None:
    viewer.open(phantom.MULTI_FRAME)
    viewer.wait_for(1, phantom.MULTI_FRAME)
    viewer.judge(phantom.MULTI_FRAME, 1)
    viewer.scroll(8)
    viewer.wait_for(9, phantom.MULTI_FRAME)
    viewer.judge(phantom.MULTI_FRAME, 9)


@pytest.mark.clause(
    "OHIF", "a PDF document is fetched as bulk data, and given to the browser whole"
)
def test_ohif_fetches_a_document(page: Page) -> None:
    page.get_by_text("Letter, Lena").click()
    page.get_by_text("Basic Viewer").click()
    document = page.locator("object[type='application/pdf'][data^='blob:']")
    expect(document).to_be_attached()
    given = page.evaluate(
        "async (url) => Array.from(new Uint8Array(await (await fetch(url)).arrayBuffer()))",
        document.get_attribute("data"),
    )
    assert bytes(given) == PDF
