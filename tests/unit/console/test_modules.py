"""What the console computes, run by Node.js: each ``*.test.mjs`` beside this file."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Final

import pytest

from tests.tools import require_tool

_DIRECTORY: Final = Path(__file__).parent


@pytest.mark.parametrize("name", sorted(file.name for file in _DIRECTORY.glob("*.test.mjs")))
def test_a_module_of_the_console_keeps_its_promises(name: str) -> None:
    node = require_tool("node")

    run = subprocess.run(
        [node, "--test", "--test-reporter=tap", str(_DIRECTORY / name)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert run.returncode == 0, run.stdout + run.stderr
