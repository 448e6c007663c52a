"""Work for the pipeline that moves numbers: threads are the workers, lists the database."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fileroom.database.operations import DeferredObject
from fileroom.transfer.executors import WorkerLost
from fileroom.transfer.pipeline import Batch, Blame

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from concurrent.futures import Future

    from fileroom.transfer.pipeline import Turns


@dataclass(frozen=True, slots=True)
class Number:
    ordinal: int
    size: int = 1


@dataclass(frozen=True, slots=True)
class Moved:
    numbers: tuple[int, ...]
    deferred: tuple[int, ...] = ()
    weight_bytes: int = 1
    seconds: float = 0.0


def do_nothing(_: int) -> None:
    """Move a number at once."""


class NumberWork:
    """Moves ``count`` numbers in batches; ``move`` is what a worker does for each."""

    def __init__(
        self,
        turns: Turns,
        count: int,
        move: Callable[[int], None] = do_nothing,
        *,
        batch: int = 4,
        alone: Callable[[int], None] = do_nothing,
        listing_error: Exception | None = None,
    ) -> None:
        self._turns = turns
        self._count = count
        self._move = move
        self._batch = batch
        self._alone = alone
        self._listing_error = listing_error
        self._lock = threading.Lock()
        self.listed = 0
        self.committed: list[int] = []
        self.waiting: dict[int, tuple[DeferredObject, float]] = {}
        """Deferred numbers and when they are due."""
        self.finished: list[int] = []
        self.lost: dict[int, WorkerLost] = {}
        self.discarded: list[int] = []
        self.released: list[int] = []
        self.late = 0
        self.alone_now = 0
        self.alone_most = 0
        self.delay_seconds = 0.0

    @property
    def workers(self) -> int:
        return self._turns.workers

    def batches(self) -> Iterator[Batch[Number]]:
        for first in range(0, self._count, self._batch):
            numbers = range(first, min(first + self._batch, self._count))
            self.listed += 1
            yield Batch(items=tuple(map(Number, numbers)), cursor=str(first))
        if self._listing_error is not None:
            raise self._listing_error

    def submit(self, batch: Batch[Number], blame: Blame, _slow_seconds: float) -> Future[Moved]:
        return self._turns.submit(1, self._work, (batch, blame))

    def _work(self, task: tuple[Batch[Number], Blame]) -> Moved:
        batch, blame = task
        blamed = dict(blame.reasons)
        moved = []
        for index, number in enumerate(batch.items):
            if index not in blamed:
                self._move(number.ordinal)
                moved.append(number.ordinal)
        return Moved(tuple(moved), tuple(batch.items[index].ordinal for index in blamed))

    def commit(self, batch: Batch[Number], outcome: Moved) -> None:
        assert {item.ordinal for item in batch.items} == {*outcome.numbers, *outcome.deferred}
        self.committed += [item.ordinal for item in batch.items]
        for ordinal in outcome.deferred:
            self.defer(ordinal)

    def defer(self, ordinal: int) -> None:
        """Put a number off."""
        deferred = DeferredObject(ordinal=ordinal, source="", version=None, size=1, why="LOST")
        self.waiting[ordinal] = (deferred, time.monotonic() + self.delay_seconds)

    def due_deferred(self, at_most: int, without: Iterable[int]) -> list[DeferredObject]:
        now = time.monotonic()
        due = [each for each, at in self.waiting.values() if at <= now]
        return [each for each in due if each.ordinal not in without][:at_most]

    def has_deferred(self) -> bool:
        return bool(self.waiting)

    def submit_deferred(self, deferred: DeferredObject) -> Future[Moved]:
        return self._turns.submit(1, self._work_alone, deferred.ordinal)

    def _work_alone(self, ordinal: int) -> Moved:
        with self._lock:
            self.alone_now += 1
            self.alone_most = max(self.alone_most, self.alone_now)
        try:
            self._alone(ordinal)
        finally:
            with self._lock:
                self.alone_now -= 1
        return Moved((ordinal,))

    def commit_deferred(self, deferred: DeferredObject, outcome: Moved | WorkerLost) -> None:
        del self.waiting[deferred.ordinal]
        if isinstance(outcome, WorkerLost):
            self.lost[deferred.ordinal] = outcome
        else:
            self.finished.append(deferred.ordinal)

    def abandoned(self) -> None:
        self.late += 1

    def release(self, outcome: Moved) -> None:
        self.released += outcome.numbers

    def discard(self, outcome: Moved) -> None:
        self.discarded += outcome.numbers
