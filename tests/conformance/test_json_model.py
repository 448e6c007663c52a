"""Our DICOM JSON against pydicom's on real files, each difference decided by a clause."""

from __future__ import annotations

import pytest

from tests.dicom_json import decided_difference, differences
from tests.real_corpus import require_corpus

SLICES = 4
READ_IN_PART = {"GH179A.dcm": "pydicom stops at a UN element whose length has two bytes only"}
LARGE_BYTES = 4 << 20


@pytest.mark.clause("PS3.18 F", "metadata of real files equal pydicom's, or a clause says why not")
@pytest.mark.parametrize("part", range(SLICES))
def test_the_json_of_the_corpus_equals_pydicoms_or_the_clause_is_known(part: int) -> None:
    files = [file for file in sorted(require_corpus().rglob("*")) if file.is_file()][part::SLICES]
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
