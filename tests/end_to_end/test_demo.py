"""``make demo`` does what it says."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.server import clean_environment
from tests.tools import ROOT

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.clause(
    "Fileroom make demo",
    "the demo imports, finds, fetches, exports and imports again, verifies each step, leaves "
    "nothing behind and exits 0",
    holds="own rule",
)
def test_demo_verifies_every_step_and_leaves_nothing_behind(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, ROOT / "examples" / "demo.py"],
        capture_output=True,
        text=True,
        env=clean_environment() | {"TMPDIR": str(tmp_path)},
        timeout=110,
        check=False,
    )

    assert ended.returncode == 0, ended.stdout[-2000:] + ended.stderr[-2000:]
    assert "All verified in" in ended.stdout
    assert "DUPLICATE_DIFFERENT" in ended.stdout
    assert list(tmp_path.iterdir()) == []
