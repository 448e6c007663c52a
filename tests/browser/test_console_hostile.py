"""What somebody stored is shown by the console, and never run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.browser.console import Console, console, console_server
from tests.corpus import UID_ROOT, minimal_instance

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Dialog

    from tests.server import RunningServer

__all__ = ["console", "console_server"]

DATASET = "projects/demo/locations/us-central1/datasets/hostile"
STORE = f"{DATASET}/dicomStores/s"
STUDY = f"{UID_ROOT}.666"
SCRIPT = "<script>alert(1)</script>"


@pytest.fixture
def stored(console_server: RunningServer, tmp_path: Path) -> None:
    file = tmp_path / "hostile.dcm"
    file.write_bytes(
        minimal_instance(
            patient_name=SCRIPT,
            study_instance_uid=STUDY,
            series_instance_uid=f"{STUDY}.1",
            sop_instance_uid=f"{STUDY}.1.1",
            extra=[
                (0x00081030, "LO", b"<img src=x onerror=alert(2)>"),
                (0x0008103E, "LO", b'"><svg onload=alert(3)>'),
            ],
        )
    )
    with console_server.client() as client:
        client.wait(client.create_dataset(DATASET))
        client.create_dicom_store(STORE)
        client.store_instances(STORE, [file])


@pytest.mark.usefixtures("stored")
def test_script_in_a_name_is_shown_and_not_run(console: Console) -> None:
    said: list[str] = []

    def hear(dialog: Dialog) -> None:
        said.append(dialog.message)
        dialog.dismiss()

    console.page.on("dialog", hear)

    console.go(STORE)
    expect(console.page.get_by_text(SCRIPT).first).to_be_visible()
    console.go(f"{STORE}/studies/{STUDY}")
    expect(console.page.get_by_text("<img src=x onerror=alert(2)>").first).to_be_visible()
    expect(console.page.get_by_text("<svg onload=alert(3)>").first).to_be_visible()
    console.page.wait_for_timeout(500)

    assert said == []
    assert console.page.evaluate("document.querySelectorAll('img[src=x], svg[onload]').length") == 0
