"""What the scanner makes of every file of the corpus, against its manifest and pydicom."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fileroom.dicom.part10 import Refused, scan
from tests.against_pydicom import (
    READ_OTHERWISE,
    attribute_differences,
    decided,
    element_differences,
    read_by_pydicom,
)
from tests.real_corpus import corpus_files, decisions
from tests.scanning import original, restored

if TYPE_CHECKING:
    from fileroom.errors import Reason


@pytest.mark.clause("PS3.10 7", "every file of the corpus is taken in or refused as decided")
def test_every_file_has_the_outcome_of_its_manifest_row_or_of_a_decision() -> None:
    otherwise: dict[str, tuple[str, Reason | None]] = {}
    for file in corpus_files():
        outcome = None
        try:
            scan(file.path.read_bytes())
        except Refused as refused:
            outcome = refused.reason
        if outcome not in (file.reasons or {None}):
            otherwise[file.name] = (file.expected, outcome)

    assert otherwise == {}


def test_every_decision_is_about_a_file_and_says_why() -> None:
    decided_by = {file.decided_by for file in corpus_files()}

    assert [row.file for row in decisions() if row.decided_by not in decided_by] == []


@pytest.mark.clause("PS3.5 7", "elements and indexed values of real files are those pydicom reads")
def test_real_files_are_read_as_pydicom_reads_them_or_the_clause_is_known() -> None:
    compared = set()
    unknown: list[object] = []
    for file in corpus_files():
        if file.reasons:
            continue
        data = file.path.read_bytes()
        if data in compared:
            continue
        compared.add(data)
        scanned = scan(data)
        dataset = read_by_pydicom(data)
        if file.path.name not in READ_OTHERWISE:
            unknown += element_differences(scanned, data, dataset)
        unknown += [
            (file.name, difference)
            for difference in attribute_differences(scanned, dataset)
            if decided(difference) is None
        ]
        whole = original(scanned.header, data)
        back = restored(scanned.header, data)
        # What is not restored is padding after the last element.
        assert whole[: len(back)] == back, file.name
        assert not whole[len(back) :].strip(b"\0\xfe\xff\x0d\xe0\xdd"), file.name

    assert unknown == []
    assert len(compared) > 500
