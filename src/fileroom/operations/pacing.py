"""How fast an operation goes, by what it had done at each of its last heartbeats."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from fileroom.database.operations import Pace

if TYPE_CHECKING:
    from fileroom.database.operations import Counters

READINGS_MAX: Final = 13
"""A minute of heartbeats."""


class Pacer:
    """Reads an operation's counters now and then."""

    def __init__(self) -> None:
        self._readings: deque[tuple[float, int, int]] = deque(maxlen=READINGS_MAX)

    def read(self, seconds: float, counters: Counters) -> Pace | None:
        """Give the pace since the oldest reading; ``seconds`` are of a clock that never goes back.

        None at the first reading, and before anything was done.
        """
        done = counters.succeeded + counters.failed
        self._readings.append((seconds, done, counters.bytes))
        since, done_before, bytes_before = self._readings[0]
        if seconds <= since or not done:
            return None
        return Pace(
            objects_per_second=(done - done_before) / (seconds - since),
            bytes_per_second=(counters.bytes - bytes_before) / (seconds - since),
        )
