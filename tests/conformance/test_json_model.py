"""Our DICOM JSON against pydicom's on real files, each difference decided by a clause."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.dicom_json import decided_difference, differences

CORPUS = Path(
    os.environ.get(
        "FILEROOM_TEST_CORPUS", Path(__file__).resolve().parents[3] / "shared" / "corpus"
    )
)
SLICES = 4
READ_IN_PART = {"GH179A.dcm": "pydicom stops at a UN element whose length has two bytes only"}
LARGE_BYTES = 4 << 20


@pytest.mark.clause("PS3.18 F", "metadata of real files equal pydicom's, or a clause says why not")
@pytest.mark.parametrize("part", range(SLICES))
def test_the_json_of_the_corpus_equals_pydicoms_or_the_clause_is_known(part: int) -> None:
    if not CORPUS.is_dir():
        pytest.skip("the corpus of real files is absent (FILEROOM_TEST_CORPUS)")
    files = [file for file in sorted(CORPUS.rglob("*")) if file.is_file()][part::SLICES]
    compared = 0
    unknown = []
    for file in files:
        if file.stat().st_size > LARGE_BYTES or file.name in READ_IN_PART:
            continue
        found = differences(file.read_bytes())
        if found is None:
            continue
        compared += 1
        unknown += [
            (file.name, difference)
            for difference in found
            if decided_difference(difference) is None
        ]
    assert not unknown, unknown[:5]
    assert compared > 100
