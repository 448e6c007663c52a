"""The corpus of real and hostile files, and what becomes of each.

The files are no part of the repository. Their manifest says what to expect of each;
``conformance/corpus_decisions.csv`` holds what the manifest leaves open and where Fileroom decides
otherwise, with the clause or the rule that decides it.
"""

from __future__ import annotations

import csv
import os
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cache
from pathlib import Path

import pytest

from fileroom.errors import Reason

_ROOT = Path(__file__).resolve().parent.parent
_DECISIONS = Path(__file__).with_name("conformance") / "corpus_decisions.csv"

_FITTING = {
    "DICOMDIR": {Reason.DICOMDIR},
    "UID longer": {Reason.INVALID_UID},
    "malformed UID": {Reason.INVALID_UID},
    "missing": {Reason.MISSING_UID, Reason.MALFORMED, Reason.TRUNCATED},
    "no TransferSyntaxUID": {Reason.MISSING_UID, Reason.MALFORMED},
    "unpars": {Reason.MALFORMED, Reason.TRUNCATED},
}
"""Reasons that fit what the manifest calls invalid: a file whose first fault is a broken length is
told for that, not for the UIDs that another reader then failed to find."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CorpusFile:
    """One file of the corpus."""

    name: str
    path: Path
    expected: str
    """As the manifest says it."""
    reasons: frozenset[Reason]
    """For one of which it is refused; empty if it is imported."""
    decided_by: str | None
    """What decided it where the manifest does not."""


@dataclass(frozen=True, slots=True)
class Decision:
    """A row of the table of decisions."""

    file: str
    outcome: str
    decided_by: str


def decisions() -> list[Decision]:
    with _DECISIONS.open(newline="", encoding="utf-8") as table:
        return [Decision(**row) for row in csv.DictReader(table)]


def require_corpus() -> Path:
    """Give the directory of the corpus, or skip the test."""
    root = corpus_root()
    if root is None:
        pytest.skip("the corpus of real files is absent (FILEROOM_TEST_CORPUS)")
    return root


def corpus_root() -> Path | None:
    """Give the directory of the corpus, if there is one."""
    root = Path(os.environ.get("FILEROOM_TEST_CORPUS", _ROOT.parent / "shared" / "corpus"))
    return root if (root / "manifest.csv").is_file() else None


def corpus_files() -> list[CorpusFile]:
    """Give every file with its outcome, or skip the test where the corpus is absent."""
    return list(_files(require_corpus()))


@cache
def _files(root: Path) -> tuple[CorpusFile, ...]:
    table = decisions()
    with (root / "manifest.csv").open(newline="", encoding="utf-8") as manifest:
        return tuple(
            _file(root, row["path"], row["expected"], table) for row in csv.DictReader(manifest)
        )


def _file(root: Path, name: str, expected: str, table: list[Decision]) -> CorpusFile:
    decision = next((each for each in table if fnmatch(name, each.file)), None)
    if decision is not None:
        refused = set() if decision.outcome == "imported" else {Reason(decision.outcome)}
    elif expected.startswith("importable"):
        refused = set()
    elif expected.startswith("not DICOM"):
        refused = {Reason.NOT_DICOM}
    else:
        what = expected.removeprefix("invalid: ")
        refused = next(
            (reasons for start, reasons in _FITTING.items() if what.startswith(start)), set()
        )
        assert refused, f"{name}: {expected!r} is neither a known kind nor in {_DECISIONS.name}"
    return CorpusFile(
        name=name,
        path=root / name,
        expected=expected,
        reasons=frozenset(refused),
        decided_by=decision.decided_by if decision else None,
    )
