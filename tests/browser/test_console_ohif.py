"""From a study in the console to OHIF, which the server itself serves, with no question asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests import phantom
from tests.browser.conftest import DICOM_STORE
from tests.browser.console import Console, console
from tests.server import run_fileroom, running_server
from tests.tools import require_ohif

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.server import RunningServer

__all__ = ["console"]


@pytest.fixture(scope="module")
def console_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server that holds the phantom, with OHIF beside it."""
    environment = {"FILEROOM_OHIF": str(require_ohif())}
    data = tmp_path_factory.mktemp("ohif") / "data"
    with running_server(data, environment=environment) as server, server.client() as client:
        dataset, _, _ = DICOM_STORE.partition("/dicomStores/")
        client.wait(client.create_dataset(dataset), poll_seconds=0.05)
        client.create_dicom_store(DICOM_STORE)
        assert not client.store_instances(DICOM_STORE, phantom.study()).refused
        yield server


def test_a_study_is_opened_in_ohif(console: Console) -> None:
    page = console.page
    console.go(f"{DICOM_STORE}/studies/{phantom.STUDY}")
    page.get_by_role("link", name="Open in OHIF").click()
    page.wait_for_url("**/ohif/viewer?**")
    for series in (phantom.CT, phantom.MULTI_FRAME):
        expect(page.get_by_text(series.description, exact=True).first).to_be_visible()
    expect(page.locator('[data-cy="viewport-pane"] canvas').first).to_be_visible()


def test_a_directory_without_ohif_is_refused_at_the_start(tmp_path: Path) -> None:
    ended = run_fileroom(
        "serve", f"--data={tmp_path / 'data'}", "--port=0",
        environment={"FILEROOM_OHIF": str(tmp_path)},
    )  # fmt: skip
    assert ended.returncode == 1
    assert "holds no index.html" in ended.stderr
