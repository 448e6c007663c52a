"""The same files in Fileroom and in Orthanc, and the same requests to both."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from benchmarks.sides import DATASET, ORTHANC_DICOMWEB, find_orthanc, running_fileroom
from tests.orthanc_answers import BULK_DATA, REQUESTS, differences, files
from tests.orthanc_table import RIGHT, listed

if TYPE_CHECKING:
    from pathlib import Path


def test_every_row_says_who_is_right_and_by_which_clause() -> None:
    rows = listed()

    assert {row.right for row in rows} <= RIGHT
    assert [row for row in rows if not (row.clause and row.why)] == []
    assert len(REQUESTS) + len(BULK_DATA) > 25


@pytest.mark.long
@pytest.mark.clause(
    "PS3.18 10.4",
    "searches, metadata, instances, frames, pictures and bulk data are answered as Orthanc answers "
    "them, but for the listed differences",
)
def test_answers_differ_from_those_of_orthanc_only_as_listed(tmp_path: Path) -> None:
    orthanc = find_orthanc(tmp_path)
    if orthanc is None or not ORTHANC_DICOMWEB.exists():
        pytest.skip("Orthanc is not installed (Debian package orthanc-dicomweb)")
    # The benchmarks' server warms up with an import of this very file.
    source = tmp_path / "source"
    (source / "series-000").mkdir(parents=True)
    for number, file in enumerate(files().values()):
        shutil.copy(file, source / "series-000" / f"{number:04}.dcm")

    with running_fileroom(tmp_path, source) as fileroom, orthanc.serving(source, 1) as port:
        fileroom.import_("store", len(files()))
        found = differences(
            f"{fileroom.url}/v1/{DATASET}/dicomStores/store/dicomWeb",
            f"http://127.0.0.1:{port}/dicom-web",
        )

    rows = listed()
    assert [each for each in found if not any(row.tells(each) for row in rows)] == []
    assert [row for row in rows if not any(row.tells(each) for each in found)] == []
