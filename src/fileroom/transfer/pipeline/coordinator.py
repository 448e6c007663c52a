"""The one thread of an operation that submits batches and commits them in order."""

from __future__ import annotations

import logging
import statistics
import threading
import time
from collections import deque
from concurrent.futures import Future
from concurrent.futures import wait as wait_for_futures
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Generic

from fileroom.errors import Cancelled, FileroomError, Unavailable
from fileroom.objectstore.local import DurabilityLost, end_right_to_write
from fileroom.transfer.executors import WorkerLost
from fileroom.transfer.pipeline.batches import NO_BLAME, Batch, Blame, ItemT, OutcomeT, Work
from fileroom.transfer.pipeline.lister import Lister

if TYPE_CHECKING:
    from fileroom.database.values.operations import DeferredObject
    from fileroom.operations.runner import Run


logger = logging.getLogger(__name__)

WINDOW_PER_WORKER: Final = 16
"""Batches in the line for each worker: 4 cost 32 % with slow objects, 16 nothing (simulated)."""
FINISHED_BYTES_MAX: Final = 64 << 20
"""Outcomes that are finished and wait for their turn to be committed."""
SLOW_SECONDS_MIN: Final = 2.0
SLOW_MEDIANS: Final = 4.0
LOSSES_MAX: Final = 3
"""Times in a row that a worker may be lost and no object be to blame."""
CHECK_SECONDS: Final = 0.25
SETTLE_SECONDS: Final = 60.0


@dataclass(slots=True)
class _InLine(Generic[ItemT, OutcomeT]):
    batch: Batch[ItemT]
    future: Future[OutcomeT]
    blame: Blame = field(default_factory=Blame)
    losses: int = 0


class _Coordinator(Generic[ItemT, OutcomeT]):
    """The one thread that submits and commits for an operation."""

    def __init__(self, run: Run, work: Work[ItemT, OutcomeT]) -> None:
        self._run = run
        self._work = work
        self._changed = threading.Event()
        self._line: deque[_InLine[ItemT, OutcomeT]] = deque()
        self._lane: dict[int, tuple[DeferredObject, Future[OutcomeT]]] = {}
        self._lane_losses = 0
        self._durations: deque[float] = deque(maxlen=64)
        self._lister = Lister(work.batches, self._changed)
        self._listed_all = False

    def coordinate(self) -> bool:
        """Work until all is committed; False if the server stops first."""
        checked = 0.0
        while not self._run.stopping:
            self._changed.clear()
            if time.monotonic() - checked >= CHECK_SECONDS:
                self._run.check()
                checked = time.monotonic()
            self._fill()
            if self._lister.error is None:
                self._fill_lane()
            if self._commit_line() | self._commit_lane():
                continue
            if self._listed_all and not self._line and not self._lane:
                if self._lister.error is not None:
                    raise self._lister.error  # all that was listed before it is committed
                if not self._work.has_deferred():
                    return True
            self._changed.wait(CHECK_SECONDS)
        return False

    def close(self, *, discard: bool) -> None:
        """Stop listing, wait for what workers have begun, and give it back or throw it away."""
        self._lister.close()
        futures = [entry.future for entry in self._line]
        futures += [future for _, future in self._lane.values()]
        for future in futures:
            future.cancel()
        begun = [future for future in futures if not future.cancelled()]
        for future in wait_for_futures(begun, SETTLE_SECONDS).not_done:
            future.add_done_callback(lambda _: self._work.abandoned())
        for future in futures:
            if future.done() and not future.cancelled() and future.exception() is None:
                if discard:
                    self._work.discard(future.result())
                else:
                    self._release(future.result())

    def _release(self, outcome: OutcomeT) -> None:
        """Give back an outcome; where not even that can be done, it is looked for later."""
        try:
            self._work.release(outcome)
        except FileroomError as error:
            logger.warning("what was not committed stays for now", extra={"cause": str(error)})
            self._work.abandoned()

    def _slow_seconds(self) -> float:
        median = statistics.median(self._durations) if self._durations else 0.0
        return max(SLOW_SECONDS_MIN, SLOW_MEDIANS * median)

    def _submit(self, batch: Batch[ItemT], blame: Blame) -> Future[OutcomeT]:
        future = self._work.submit(batch, blame, self._slow_seconds())
        future.add_done_callback(lambda _: self._changed.set())
        return future

    def _finished_bytes(self) -> int:
        return sum(
            entry.future.result().weight_bytes
            for entry in self._line
            if entry.future.done()
            and not entry.future.cancelled()
            and entry.future.exception() is None
        )

    def _fill(self) -> None:
        if self._finished_bytes() >= FINISHED_BYTES_MAX:
            return
        while not self._listed_all and len(self._line) < WINDOW_PER_WORKER * self._work.workers:
            batch = self._lister.take()
            if batch is None:
                self._listed_all = self._lister.exhausted
                return
            future = self._submit(batch, NO_BLAME)
            self._line.append(_InLine(batch, future))

    def _fill_lane(self) -> None:
        workers = self._work.workers
        room = workers if self._listed_all else max(1, workers // 2)
        room -= len(self._lane)
        if room <= 0:
            return
        for deferred in self._work.due_deferred(room, self._lane):
            future = self._work.submit_deferred(deferred)
            future.add_done_callback(lambda _: self._changed.set())
            self._lane[deferred.ordinal] = (deferred, future)

    def _commit_line(self) -> bool:
        committed = False
        while self._line and self._line[0].future.done():
            entry = self._line[0]
            error = entry.future.exception()
            if isinstance(error, WorkerLost):
                self._submit_again(entry, error)
                continue
            if error is not None:
                raise error
            outcome = entry.future.result()
            self._work.commit(entry.batch, outcome)
            self._line.popleft()
            self._durations.append(outcome.seconds)
            committed = True
        return committed

    def _submit_again(self, entry: _InLine[ItemT, OutcomeT], lost: WorkerLost) -> None:
        """Go on with a batch without the object that ended its worker."""
        self._work.abandoned()
        if lost.item is None:
            entry.losses += 1
            _check_losses(entry.losses, lost)
        else:
            entry.blame = entry.blame.with_item(lost.item, lost.reason)
        entry.future = self._submit(entry.batch, entry.blame)

    def _commit_lane(self) -> bool:
        done = [ordinal for ordinal, (_, future) in self._lane.items() if future.done()]
        for ordinal in done:
            deferred, future = self._lane[ordinal]
            error = future.exception()
            if isinstance(error, WorkerLost):
                self._work.abandoned()
            if isinstance(error, WorkerLost) and error.item is None:
                # No object's fault: it stays deferred, and due.
                self._lane_losses += 1
                _check_losses(self._lane_losses, error)
            elif isinstance(error, WorkerLost):
                self._work.commit_deferred(deferred, error)
            else:
                self._work.commit_deferred(deferred, future.result())
                self._lane_losses = 0
            del self._lane[ordinal]
        return bool(done)


def _check_losses(losses: int, lost: WorkerLost) -> None:
    if losses > LOSSES_MAX:
        raise Unavailable(f"workers are lost again and again: {lost.message}")


def run_pipeline(run: Run, work: Work[ItemT, OutcomeT]) -> bool:
    """Move everything that ``work`` lists; False if the server stops before the end.

    Raises
    ------
    Cancelled
        If the operation's cancellation was asked for; nothing half done is left behind.
    Unavailable, ResourceExhausted
        If the environment failed; what was not committed is worked on again.
    """
    coordinator = _Coordinator(run, work)
    discard = False
    try:
        return coordinator.coordinate()
    except Cancelled:
        discard = True
        raise
    except DurabilityLost as error:
        # A worker's disk failed it; this process must not trust that disk either.
        end_right_to_write(error.message)
        raise Unavailable(error.message, "DURABILITY_LOST") from error
    finally:
        coordinator.close(discard=discard)
