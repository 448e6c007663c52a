"""The conformance page says what the tests showed, and can be read back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.conformance_page import Outcome, Promise, marked_promises, write, written_promises

if TYPE_CHECKING:
    from pathlib import Path

KEPT = Promise("PS3.18 8.6", "an answer has a body | or none")
CHOSEN = Promise("Cloud Healthcare v1 lists", "newest first", "chosen")
NOT_RUN = Promise("gcloud", "imports")


def test_page_can_be_read_back(tmp_path: Path) -> None:
    page = tmp_path / "conformance.md"
    outcomes = {
        KEPT: Outcome(passed=2),
        CHOSEN: Outcome(passed=1, failed=1),
        NOT_RUN: Outcome(skipped=["gcloud is not on PATH"]),
    }

    write(outcomes, page)

    lines = page.read_text().splitlines()
    assert set(written_promises(page)) == set(outcomes) | marked_promises()
    assert "| newest first | Cloud Healthcare v1 lists | chosen | **no** |" in lines
    assert "| imports | gcloud | as documented | not run: gcloud is not on PATH |" in lines


def test_promise_that_did_not_run_keeps_what_was_shown_last(tmp_path: Path) -> None:
    page = tmp_path / "conformance.md"
    earlier, later = sorted(marked_promises())[:2]

    write({earlier: Outcome(passed=1)}, page)
    write({later: Outcome(failed=1)}, page)

    assert written_promises(page)[earlier] == "yes"
    assert written_promises(page)[later] == "**no**"


def test_markers_are_found_without_running_the_tests(tmp_path: Path) -> None:
    (tmp_path / "test_x.py").write_text(
        "import pytest\n"
        '@pytest.mark.clause("PS3.18 8.6", "one "\n    "two", holds="chosen")\n'
        "def test_x() -> None: ...\n"
    )

    assert marked_promises(tmp_path) == {Promise("PS3.18 8.6", "one two", "chosen")}


def test_unknown_way_to_hold_is_refused() -> None:
    with pytest.raises(ValueError, match="perhaps"):
        Promise("PS3.18 8.6", "something", "perhaps")
