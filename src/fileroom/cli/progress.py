"""Following an operation: a live bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import click

from fileroom.cli.output.printable import printable

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from fileroom.client import Operation
    from fileroom.errors import Unavailable

_RATE_WINDOW_SECONDS = 20.0
_LINE_SECONDS = 5.0

_VERBS = {"ImportDicomData": "Importing", "ExportDicomData": "Exporting"}


@dataclass(slots=True)
class Pace:
    """Objects per second over the last readings, and how long the rest takes at that rate."""

    readings: deque[tuple[float, int]] = field(default_factory=deque)

    def add(self, seconds: float, count: int) -> None:
        """Take one reading of the count."""
        self.readings.append((seconds, count))
        while len(self.readings) > 2 and self.readings[0][0] < seconds - _RATE_WINDOW_SECONDS:
            self.readings.popleft()

    def rate(self) -> float | None:
        """Give objects per second; ``None`` before anything moved."""
        if len(self.readings) < 2:
            return None
        (first, first_count), (last, last_count) = self.readings[0], self.readings[-1]
        if last <= first or last_count <= first_count:
            return None
        return (last_count - first_count) / (last - first)

    def remaining_seconds(self, total: int | None) -> float | None:
        """Give the seconds until ``total``; ``None`` if either is not known."""
        rate = self.rate()
        if total is None or rate is None:
            return None
        return max(0.0, total - self.readings[-1][1]) / rate


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a reader of the progress wants to know, from one answer of the server."""

    verb: str
    count: int
    failed: int
    total: int | None
    """``None`` until the server has listed everything."""
    waits_for: str
    """Why the operation stands still; empty while it runs."""
    is_asked_to: bool = False
    """Whether that is what somebody asked for."""


def to_reading(operation: Operation) -> Reading:
    """Give an operation's progress."""
    return Reading(
        verb=_VERBS.get(operation.api_method_name.rpartition(".")[2], "Working"),
        count=operation.counters.success + operation.counters.failure,
        failed=operation.counters.failure,
        total=operation.total,
        waits_for=operation.paused_why,
        is_asked_to=operation.pause_requested,
    )


class Display(Protocol):
    """Shows the progress of one operation on standard error."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...

    def show(self, operation: Operation) -> None:
        """Show one reading."""

    def unavailable(self, error: Unavailable) -> None:
        """Say that the server is away and awaited."""


def open_display() -> Display:
    """Give a bar for a terminal, lines for a file or a pipe."""
    return Bar() if sys.stderr.isatty() else Lines()


class Bar:
    """A bar that is redrawn: count, total when known, rate, time left, failures."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        self._pace = Pace()
        self._trouble = ""
        self._progress = Progress(
            TextColumn("{task.description:<9}"),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[figures]}"),
            console=Console(stderr=True, highlight=False, markup=False),
            expand=True,
        )
        self._task = self._progress.add_task("Waiting", total=None, figures="")

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def show(self, operation: Operation) -> None:
        """Redraw."""
        reading = to_reading(operation)
        self._pace.add(time.monotonic(), reading.count)
        self._say(reading.waits_for and paused_line(reading))
        total = reading.count if operation.done and reading.total is None else reading.total
        self._progress.update(
            self._task,
            description="Paused" if reading.waits_for else reading.verb,
            completed=reading.count,
            total=total,
            figures=figures(reading, self._pace, done=operation.done),
        )

    def unavailable(self, error: Unavailable) -> None:
        """Say once that the server is away."""
        self._progress.update(self._task, description="Waiting")
        self._say(f"No answer, trying again: {error}")

    def _say(self, trouble: str) -> None:
        if trouble and trouble != self._trouble:
            self._progress.console.print(printable(trouble))
        self._trouble = trouble


class Lines:
    """A line every few seconds, for logs."""

    def __init__(self) -> None:
        self._pace = Pace()
        self._said_at = time.monotonic()
        self._trouble = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        pass

    def show(self, operation: Operation) -> None:
        """Print a line if it is time for one, or the operation is done."""
        reading = to_reading(operation)
        now = time.monotonic()
        self._pace.add(now, reading.count)
        self._say(reading.waits_for and paused_line(reading))
        if operation.done or now >= self._said_at + _LINE_SECONDS:
            self._said_at = now
            line = figures(reading, self._pace, done=operation.done)
            click.echo(f"{reading.verb}: {line}", err=True)

    def unavailable(self, error: Unavailable) -> None:
        """Say once that the server is away."""
        self._say(f"No answer, trying again: {error}")

    def _say(self, trouble: str) -> None:
        if trouble and trouble != self._trouble:
            click.echo(printable(trouble), err=True)
        self._trouble = trouble


def paused_line(reading: Reading) -> str:
    """Give what somebody needs to know who waits for an operation that stands still."""
    if reading.is_asked_to:
        return f"Paused: {reading.waits_for}: fileroom operations resume"
    return f"Paused: {reading.waits_for}. It goes on by itself once that is mended"


def figures(reading: Reading, pace: Pace, *, done: bool) -> str:
    """Give the figures of one reading: ``1,250 of 5,000 (25 %), 740/s, 0:05 left, 3 failed``."""
    of = f" of {reading.total:,}" if reading.total is not None else ""
    percent = f" ({reading.count * 100 // reading.total} %)" if reading.total else ""
    parts = [f"{reading.count:,}{of}{percent}"]
    rate = None if reading.waits_for else pace.rate()
    if rate is not None:
        parts.append(f"{rate:,.0f}/s")
    remaining = pace.remaining_seconds(reading.total)
    if remaining is not None and rate is not None and not done:
        parts.append(f"{clock(remaining)} left")
    if reading.failed:
        parts.append(f"{reading.failed:,} failed")
    return ", ".join(parts)


def clock(seconds: float) -> str:
    """Give a duration as ``0:05`` or ``1:02:03``."""
    minutes, whole_seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}:{minutes:02}:{whole_seconds:02}"
    return f"{minutes}:{whole_seconds:02}"
