"""Any bytes, for every grammar that reads bytes from outside: an answer, or an error for it.

Hypothesis damages right inputs here, blind to the code; ``python -m tests.fuzz`` lets atheris be
led by it, for as long as it is told. What was found lies in ``crashes``, and is tried again here.
"""

from __future__ import annotations

import importlib.util
import json
import resource
import subprocess
import sys
import time
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fileroom.errors import FileroomError
from tests.fuzz.seeds import PIECES, seeds
from tests.fuzz.targets import TARGETS
from tests.project import ROOT

if TYPE_CHECKING:
    from pathlib import Path

CRASHES: Final = ROOT / "tests" / "fuzz" / "crashes"
EXAMPLES: Final = 400
EXAMPLES_LONG: Final = 20_000
SECONDS_MAX: Final = 2
"""For one input of a few kilobytes."""
GROWTH_KIB_MAX: Final = 512 << 10
"""By how much the largest memory of the process may rise over all inputs of a target."""

_edits = st.tuples(
    st.integers(0, 1 << 16),
    st.integers(0, 8),
    st.one_of(st.binary(max_size=8), st.sampled_from(PIECES)),
)


def damaged(seed: bytes, edits: list[tuple[int, int, bytes]]) -> bytes:
    """Give a seed in which some bytes were replaced by others."""
    data = bytearray(seed)
    for at, length, new in edits:
        at %= len(data) + 1
        data[at : at + length] = new
    return bytes(data)


def _run(name: str, examples: int) -> None:
    target = TARGETS[name]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    @settings(
        max_examples=examples,
        deadline=timedelta(seconds=SECONDS_MAX),
        suppress_health_check=list(HealthCheck),
        database=None,
    )
    @given(st.sampled_from(seeds()[name]), st.lists(_edits, max_size=6), st.binary(max_size=200))
    def run(seed: bytes, edits: list[tuple[int, int, bytes]], noise: bytes) -> None:
        for data in (damaged(seed, edits), noise):
            with suppress(FileroomError):
                target(data)

    run()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < GROWTH_KIB_MAX


@pytest.mark.parametrize("name", TARGETS)
def test_any_bytes_are_answered_or_refused(name: str) -> None:
    _run(name, EXAMPLES)


@pytest.mark.long
@pytest.mark.parametrize("name", TARGETS)
def test_any_of_many_bytes_are_answered_or_refused(name: str) -> None:
    _run(name, EXAMPLES_LONG)


@pytest.mark.parametrize("name", TARGETS)
def test_every_target_takes_its_seeds(name: str) -> None:
    """One that refused them all would be no target."""
    taken = 0
    for seed in seeds()[name]:
        try:
            TARGETS[name](seed)
        except FileroomError:
            continue
        taken += 1
    assert taken


@pytest.mark.skipif(
    importlib.util.find_spec("atheris") is None,
    reason="atheris has no wheel for this Python: from 3.11 to 3.13, on x86-64 Linux",
)
@pytest.mark.parametrize("seconds", [1, pytest.param(60, marks=pytest.mark.long)])
def test_what_the_code_leads_to_is_answered_or_refused(tmp_path: Path, seconds: int) -> None:
    """Some of the grammars, each for a moment; all of them in the long run."""
    named = [] if seconds > 1 else ["scanner", "tokens", "multipart", "messages", "queries"]
    command = [sys.executable, "-m", "tests.fuzz", *named, f"--seconds={seconds}"]
    ended = subprocess.run(
        [*command, f"--crashes={tmp_path}"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    runs = [json.loads(line) for line in ended.stdout.splitlines()]
    assert ended.returncode == 0, f"{ended.stdout}{ended.stderr}"
    assert [run["target"] for run in runs] == (named or list(TARGETS))
    assert all(run["inputs"] > 100 for run in runs), runs


@pytest.mark.parametrize(
    "crash",
    sorted(CRASHES.glob("*/*")),
    ids=lambda crash: f"{crash.parent.name}-{crash.name}",
)
def test_what_was_found_is_answered_or_refused(crash: Path) -> None:
    began = time.perf_counter()
    with suppress(FileroomError):
        TARGETS[crash.parent.name](crash.read_bytes())
    assert time.perf_counter() - began < SECONDS_MAX
