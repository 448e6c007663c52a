"""A clock that a test puts forward and back, for a server and its workers.

Copied as ``sitecustomize`` onto the path of each of their processes: what they take for the time is
off by the seconds that a file holds. Monotonic clocks and the dates of files stay right, as when an
administrator sets the clock of a machine whose disks are elsewhere.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

VARIABLE = "WRONG_CLOCK"
"""Of the environment: the file that holds the seconds."""
_READ_SECONDS = 0.01
_real = time.time_ns


class _Clock:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._read_at = 0.0
        self._offset_ns = 0

    def time_ns(self) -> int:
        if (now := time.monotonic()) - self._read_at > _READ_SECONDS:
            self._read_at = now
            with suppress(OSError, ValueError):  # it is being written
                self._offset_ns = int(float(self._path.read_text()) * 1e9)
        return _real() + self._offset_ns

    def time(self) -> float:
        return self.time_ns() / 1e9


if VARIABLE in os.environ:
    _clock = _Clock(Path(os.environ[VARIABLE]))
    time.time_ns = _clock.time_ns
    time.time = _clock.time
