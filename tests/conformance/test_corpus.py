"""What the scanner makes of every file of the corpus, against its manifest and pydicom."""

from __future__ import annotations

import tracemalloc
import zlib
from io import BytesIO
from typing import TYPE_CHECKING

import pytest

from fileroom.dicom.encoding import DEFLATED
from fileroom.dicom.header import elements, file_meta
from fileroom.dicom.part10 import Refused, scan
from fileroom.errors import Reason
from tests.against_pydicom import decided_difference, differences, pydicom_files
from tests.real_corpus import CorpusFile, corpus_files, decisions

if TYPE_CHECKING:
    from fileroom.dicom.part10 import Scan


def _outcome(file: CorpusFile) -> Reason | None:
    try:
        scan(file.path.read_bytes())
    except Refused as refused:
        return refused.reason
    return None


@pytest.mark.clause("PS3.10 7", "every file of the corpus is taken in or refused as decided")
def test_every_file_has_the_outcome_of_its_manifest_row_or_of_a_decision() -> None:
    otherwise = {}
    for file in corpus_files():
        outcome = _outcome(file)
        fits = outcome in file.reasons if file.reasons else outcome is None
        if not fits:
            otherwise[file.name] = (file.expected, outcome)

    assert otherwise == {}


def test_every_decision_is_about_a_file_and_says_why() -> None:
    decided = {file.decided_by for file in corpus_files()}

    assert all(decision.decided_by in decided for decision in decisions())
    assert all(len(decision.decided_by) > 20 for decision in decisions())
