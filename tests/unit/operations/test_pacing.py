"""How fast an operation goes is told from its counters."""

from __future__ import annotations

from fileroom.database.operations import Counters, Pace
from fileroom.operations.pacing import READINGS_MAX, Pacer


def test_one_reading_tells_nothing() -> None:
    assert Pacer().read(100.0, Counters(imported=5)) is None


def test_nothing_done_has_no_pace() -> None:
    pacer = Pacer()
    pacer.read(0.0, Counters())
    assert pacer.read(5.0, Counters(listed=10)) is None


def test_pace_counts_failures_and_bytes() -> None:
    pacer = Pacer()
    pacer.read(10.0, Counters(imported=100, bytes=1000))

    pace = pacer.read(15.0, Counters(imported=180, failed=20, bytes=6000))

    assert pace == Pace(objects_per_second=20.0, bytes_per_second=1000.0)


def test_what_is_long_past_does_not_count() -> None:
    pacer = Pacer()
    for beat in range(READINGS_MAX):
        pacer.read(5.0 * beat, Counters(imported=1000 * beat))
    pace = None
    for beat in range(READINGS_MAX, 2 * READINGS_MAX):
        pace = pacer.read(5.0 * beat, Counters(imported=1000 * READINGS_MAX))

    assert pace == Pace(objects_per_second=0.0, bytes_per_second=0.0)
