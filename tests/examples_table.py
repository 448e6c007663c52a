"""The table of ``examples/README.md``: which call passed in which language, as the tests saw it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from tests.examples.languages import LANGUAGES
from tests.tools import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import pytest

PAGE: Final = ROOT / "examples" / "README.md"
CALLS: Final = ("import", "export", "store", "search", "retrieve", "rendered", "delete")
_TEST: Final = re.compile(r"tests/examples/test_examples\.py::test_(\w+)\[(.+)\]$")
_BLOCK: Final = re.compile(r"(<!-- written by the tests -->\n).*?(<!-- end -->)", re.DOTALL)
_CELLS: Final = {"passed": "yes", "failed": "**no**"}

Key = tuple[str, str]
"""A language and a call."""


def outcomes_of(reports: Iterable[pytest.TestReport]) -> dict[Key, str]:
    """Give what the reports of a run say of each call; a skipped test says nothing."""
    return {
        (found[2], found[1]): _CELLS[report.outcome]
        for report in reports
        if (found := _TEST.search(report.nodeid))
        and found[1] in CALLS
        and report.outcome in _CELLS
        and (report.when == "call" or report.failed)
    }


def write(outcomes: Mapping[Key, str]) -> None:
    """Write the table; a call that this run left out keeps what was shown last."""
    text = PAGE.read_text(encoding="utf-8")
    known = _shown(text) | dict(outcomes)
    lines = [f"| | {' | '.join(f'`{call}`' for call in CALLS)} |", "|---" * (len(CALLS) + 1) + "|"]
    for language in LANGUAGES:
        cells = [
            "-" if call in language.lacks else known.get((language.name, call), "not run")
            for call in CALLS
        ]
        lines.append(f"| {language.name} | {' | '.join(cells)} |")
    table = "\n".join(lines)
    PAGE.write_text(_BLOCK.sub(lambda block: f"{block[1]}{table}\n{block[2]}", text), "utf-8")


def _shown(text: str) -> dict[Key, str]:
    block = _BLOCK.search(text)
    assert block is not None, f"{PAGE} has no place for the table"
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in block[0].splitlines()
        if line.startswith("| ") and not line.startswith("| |")
    ]
    return {
        (name, call): cell for name, *cells in rows for call, cell in zip(CALLS, cells, strict=True)
    }
