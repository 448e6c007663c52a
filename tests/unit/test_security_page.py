"""The page of attacks names tests that are there, and leaves no attack and no report out."""

from __future__ import annotations

import re
from typing import Final

import pytest

from tests.project import ROOT

PAGE: Final = (ROOT / "docs" / "reference" / "security.md").read_text()
ROWS: Final = dict(re.findall(r"^\| (S\d+) \|.+\| ([^|]+) \|$", PAGE, re.MULTILINE))
NAMED: Final = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", PAGE)


def test_each_attack_has_its_row() -> None:
    assert list(ROWS) == [f"S{number}" for number in range(1, 36)]


@pytest.mark.parametrize("name", ROWS)
def test_each_row_names_a_test_or_says_that_there_is_none(name: str) -> None:
    assert re.search(r"`tests/[\w/]+\.py::test_\w+`|Not shown yet", ROWS[name])


@pytest.mark.parametrize(("file", "test"), sorted(set(NAMED)))
def test_each_test_that_is_named_is_there(file: str, test: str) -> None:
    assert f"def {test}(" in (ROOT / file).read_text()


def test_each_report_that_is_tried_is_on_the_page() -> None:
    tried = re.findall(r"def (test_cve_\w+)\(", (ROOT / "tests/security/test_cves.py").read_text())
    assert tried
    assert set(tried) <= {test for _, test in NAMED}


def test_the_threat_model_names_tests_that_are_there() -> None:
    page = (ROOT / "docs" / "reference" / "threat-model.md").read_text()
    named = re.findall(r"`(tests/[\w/.]+)`", page)
    assert named
    assert [name for name in named if not (ROOT / name).exists()] == []
