"""The code of docs/how-to/python.md runs as it stands, with host, bucket and dataset changed."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pydicom

from tests import corpus
from tests.server import clean_environment
from tests.tools import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from tests.end_to_end.conftest import Place

PAGE = ROOT / "docs" / "how-to" / "python.md"


def test_the_code_of_the_page_is_a_program_that_runs(place: Place, tmp_path: Path) -> None:
    series = list(corpus.ct_series(3, rows=64))
    for number, content in enumerate(series):
        place.put(f"{number}.dcm", content)
    place.put("text.dcm", b"no DICOM at all")
    code = "".join(
        re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    )
    for written, here in (("gs://demo/", f"gs://{place.bucket_id}/"), ("/research", "/guide")):
        assert written in code
        code = code.replace(written, here)

    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=tmp_path,
        env=clean_environment() | {"URL": place.server.url, "TOKEN": place.server.token},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )

    assert (ended.returncode, ended.stderr) == (0, "")
    assert "NOT_DICOM" in ended.stdout
    assert f"{len(series)} slices, " in ended.stdout
    files = sorted(tmp_path.glob("slice-*.dcm"))
    assert sorted(file.read_bytes() for file in files) == sorted(series)
    assert pydicom.dcmread(tmp_path / "one.dcm").Modality == "CT"
