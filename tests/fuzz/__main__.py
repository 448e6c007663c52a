"""Fuzzing that is led by the code it runs: ``python -m tests.fuzz TARGET --seconds N``.

Without a target all have their turn, each for the time given. What breaks one is written to
``tests/fuzz/crashes/TARGET``, where the tests try it again. Needs atheris.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

INPUT_BYTES_MAX: Final = 8192
INPUT_SECONDS_MAX: Final = 10
MEMORY_MIB_MAX: Final = 1024
CRASHES: Final = Path(__file__).parent / "crashes"


def main() -> int:
    """Run each target that is asked for in a process of its own, and tell what came of it."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("target", nargs="*", help="all of them where none is named")
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("--crashes", type=Path, default=CRASHES)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        _fuzz(arguments.one, arguments.seconds, arguments.crashes)
        return 0
    found = 0
    for name in arguments.target or _names():
        began = time.monotonic()
        crashes = arguments.crashes / name
        before = set(crashes.glob("*"))
        inputs, code = _run(name, arguments.seconds, arguments.crashes)
        new = sorted(map(str, set(crashes.glob("*")) - before))
        found += bool(code)
        seconds = round(time.monotonic() - began)
        told = {"target": name, "inputs": inputs, "seconds": seconds, "code": code, "found": new}
        print(json.dumps(told), flush=True)
    return min(found, 1)


def _names() -> list[str]:
    from tests.fuzz.targets import TARGETS

    return list(TARGETS)


def _run(name: str, seconds: int, crashes: Path) -> tuple[int, int]:
    command = [sys.executable, "-m", "tests.fuzz", "--one", name, f"--seconds={seconds}"]
    command.append(f"--crashes={crashes}")
    ended = subprocess.run(
        command, capture_output=True, text=True, errors="replace", env=dict(os.environ), check=False
    )
    counts = re.findall(r"^(?:Done |#)(\d+)", ended.stderr, re.MULTILINE)
    if ended.returncode:
        print(ended.stderr[-6000:], file=sys.stderr)
    return int(counts[-1]) if counts else 0, ended.returncode


def _fuzz(name: str, seconds: int, crashes: Path) -> None:
    import atheris

    with atheris.instrument_imports(include=["fileroom"]):
        from tests.fuzz.seeds import PIECES, seeds
        from tests.fuzz.targets import TARGETS
    from fileroom.errors import FileroomError

    target = TARGETS[name]

    def run(data: bytes) -> None:
        try:
            target(data)
        except FileroomError:
            return

    (crashes / name).mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as directory:
        corpus = Path(directory, "corpus")
        corpus.mkdir()
        for number, seed in enumerate(seeds()[name]):
            (corpus / str(number)).write_bytes(seed)
        words = Path(directory, "words")
        words.write_text("\n".join(_quoted(piece) for piece in PIECES if len(piece) < 60))
        flags = [
            f"-max_total_time={seconds}",
            f"-max_len={INPUT_BYTES_MAX}",
            f"-timeout={INPUT_SECONDS_MAX}",
            f"-rss_limit_mb={MEMORY_MIB_MAX}",
            f"-artifact_prefix={crashes / name}/",
            f"-dict={words}",
            "-print_final_stats=1",
            str(corpus),
        ]
        atheris.Setup([sys.argv[0], *flags], run)
        atheris.Fuzz()


def _quoted(piece: bytes) -> str:
    return '"' + "".join(f"\\x{byte:02x}" for byte in piece) + '"'


if __name__ == "__main__":
    sys.exit(main())
