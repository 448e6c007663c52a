"""The page of what is survived names tests that are there, and leaves no fault out."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import pytest

from tests.project import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE: Final = ROOT / "docs" / "reference" / "reliability.md"
ROWS: Final = dict(
    re.findall(r"^\| ([FI]\d+) \| [^|]+ \| (.+) \|$", PAGE.read_text(), re.MULTILINE)
)


def named() -> Iterator[tuple[str, str]]:
    for cell in ROWS.values():
        yield from re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", cell)


def test_each_fault_and_each_invariant_has_its_row() -> None:
    wanted = [*(f"I{number}" for number in range(1, 15)), *(f"F{n}" for n in range(1, 43))]
    assert list(ROWS) == wanted


@pytest.mark.parametrize("name", ROWS)
def test_each_row_names_a_test_or_says_why_there_is_none(name: str) -> None:
    assert re.search(r"`tests/[\w/]+\.py::test_\w+`|Not shown: \w", ROWS[name])


@pytest.mark.parametrize(("file", "test"), sorted(set(named())))
def test_each_test_that_is_named_is_there(file: str, test: str) -> None:
    assert f"def {test}(" in (ROOT / file).read_text()
