"""The page docs/conformance.md, written from the tests that carry the ``clause`` marker.

``pytest --write-conformance`` runs the tests and writes it. A test compares the committed page with
the markers, so that a promise without its line, or a line without its test, is found.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

ROOT: Final = Path(__file__).resolve().parent.parent
PAGE: Final = ROOT / "docs" / "conformance.md"
HOLDS: Final = ("as documented", "chosen", "deviation", "own rule")

_HEADINGS: Final = "promise | clause | how it holds | passed"
_INTRODUCTION: Final = """# Conformance

Written by the tests (`make docs`): each line is a promise that a test holds, and whether the test
passed when it ran last. A promise without a test is not on this page.

- *as documented*: as the named document says.
- *chosen*: the documents are silent or contradict one another; this is what Fileroom does.
- *deviation*: Fileroom does otherwise than the named document, on purpose.
- *own rule*: a promise that the named documents do not know.
"""


@dataclass(frozen=True, slots=True, order=True)
class Promise:
    """One line of the page."""

    reference: str
    text: str
    holds: str = HOLDS[0]

    def __post_init__(self) -> None:
        if self.holds not in HOLDS:
            raise ValueError(f"{self.text!r}: holds={self.holds!r} is none of {', '.join(HOLDS)}")


@dataclass(slots=True)
class Outcome:
    """What became of the tests of one promise."""

    passed: int = 0
    failed: int = 0
    skipped: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        if self.failed:
            return "**no**"
        if self.passed:
            return "yes"
        return f"not run: {self.skipped[0]}" if self.skipped else "not run"


def write(outcomes: Mapping[Promise, Outcome], page: Path = PAGE) -> None:
    """Write the page; a promise whose tests this run left out keeps what was shown last."""
    before = written_promises(page) if page.exists() else {}
    passed = {promise: before.get(promise, "not run") for promise in marked_promises()}
    passed |= {promise: str(outcome) for promise, outcome in outcomes.items()}
    lines = [
        " | ".join(cell.replace("|", "\\|") for cell in cells)
        for promise, cell in sorted(passed.items())
        for cells in [(promise.text, promise.reference, promise.holds, cell)]
    ]
    table = "\n".join(f"| {line} |" for line in (_HEADINGS, "--- | --- | --- | ---", *lines))
    page.write_text(f"{_INTRODUCTION}\n{table}\n", encoding="utf-8")


def written_promises(page: Path = PAGE) -> dict[Promise, str]:
    """Give the promises that the page lists, each with whether its tests passed."""
    promises: dict[Promise, str] = {}
    for line in page.read_text(encoding="utf-8").splitlines():
        if line.startswith("| ") and not line.startswith((f"| {_HEADINGS}", "| ---")):
            text, reference, holds, passed = (
                cell.replace("\\|", "|").strip()
                for cell in re.split(r"(?<!\\)\|", line.strip().strip("|"))
            )
            promises[Promise(reference, text, holds)] = passed
    return promises


def marked_promises(tests: Path = ROOT / "tests") -> set[Promise]:
    """Give the promises that the ``clause`` markers of the tests make, without running them."""
    return {promise for file in sorted(tests.rglob("*.py")) for promise in _promises(file)}


def _promises(file: Path) -> Iterator[Promise]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Attribute(attr="mark"), attr="clause")):
                yield promise_of(
                    [ast.literal_eval(argument) for argument in node.args],
                    {str(word.arg): ast.literal_eval(word.value) for word in node.keywords},
                )


def promise_of(arguments: Iterable[str], keywords: Mapping[str, str]) -> Promise:
    """Give the promise that one marker makes: ``clause(reference, promise, holds=…)``."""
    reference, text = arguments
    return Promise(reference, " ".join(text.split()), **keywords)
