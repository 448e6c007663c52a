"""Move the objects of one operation through workers: bounded, in order, with a second lane.

Batches are worked on side by side and committed in the order in which they were listed, so that the
whole progress of an operation is one cursor and its counters are exact after any crash. What would
hold the line up (very large, slow, to be retried) leaves it as *deferred* and is finished in the
second lane, one transaction each. The price of order is nothing then (simulated: +343 % at 16
workers with a few slow objects in the line, none with them beside it), given a window of 16 batches
a worker.
"""

from __future__ import annotations

import logging
import queue
import statistics
import threading
import time
from collections import deque
from concurrent.futures import Executor, Future
from concurrent.futures import wait as wait_for_futures
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final, Generic, Protocol, TypeVar

from fileroom.errors import Cancelled, Unavailable
from fileroom.transfer.executors import WorkerLost

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from fileroom.database.operations import DeferredObject
    from fileroom.errors import Reason
    from fileroom.operations.runner import Run

logger = logging.getLogger(__name__)

BATCH_OBJECTS_MAX: Final = 250
BATCH_BYTES_MAX: Final = 64 << 20
FIRST_BATCHES: Final = (8, 32, 128)
"""Objects of an operation's first batches, so that its first instance shows at once."""
WINDOW_PER_WORKER: Final = 16
"""Batches in the line for each worker: 4 cost 32 % with slow objects, 16 nothing (simulated)."""
FINISHED_BYTES_MAX: Final = 64 << 20
"""Outcomes that are finished and wait for their turn to be committed."""
LISTED_BATCHES_MAX: Final = 8
SLOW_SECONDS_MIN: Final = 2.0
SLOW_MEDIANS: Final = 4.0
LOSSES_MAX: Final = 3
"""Times a batch's worker may die without having begun an object."""
CHECK_SECONDS: Final = 0.25
SETTLE_SECONDS: Final = 60.0


class Sized(Protocol):
    """One object of a batch."""

    @property
    def ordinal(self) -> int:
        """Its place in the listing, from 0."""

    @property
    def size(self) -> int:
        """Its length in bytes, as listed."""


ItemT = TypeVar("ItemT", bound=Sized)
OutcomeT = TypeVar("OutcomeT", bound="Weighed")
TaskT = TypeVar("TaskT")
ResultT = TypeVar("ResultT")


class Weighed(Protocol):
    """What became of a batch."""

    @property
    def weight_bytes(self) -> int:
        """About what it takes in memory."""

    @property
    def seconds(self) -> float:
        """How long a worker worked on it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch(Generic[ItemT]):
    """Consecutive objects of a listing."""

    items: tuple[ItemT, ...]
    cursor: str
    """Where the listing goes on after them."""

    @property
    def first_ordinal(self) -> int:
        """The ordinal of its first object."""
        return self.items[0].ordinal

    @property
    def next_ordinal(self) -> int:
        """The ordinal after its last object."""
        return self.items[-1].ordinal + 1


@dataclass(frozen=True, slots=True)
class Blame:
    """Objects of a batch that ended their worker, by index, and how."""

    reasons: tuple[tuple[int, Reason], ...] = ()

    def with_item(self, item: int, reason: Reason) -> Blame:
        """Give the same and one more."""
        return Blame((*self.reasons, (item, reason)))


NO_BLAME: Final = Blame()


class Work(Protocol[ItemT, OutcomeT]):
    """What the pipeline moves: an import or an export."""

    def batches(self) -> Iterator[Batch[ItemT]]:
        """List from the committed cursor on; runs in a thread of its own."""

    def submit(self, batch: Batch[ItemT], blame: Blame, slow_seconds: float) -> Future[OutcomeT]:
        """Give a batch to a worker; the blamed objects come back as deferred, untouched."""

    def commit(self, batch: Batch[ItemT], outcome: OutcomeT) -> None:
        """Make a batch's outcome durable, with the progress it means, in one transaction."""

    def submit_deferred(self, deferred: DeferredObject) -> Future[OutcomeT]:
        """Give one deferred object to a worker."""

    def commit_deferred(self, deferred: DeferredObject, outcome: OutcomeT | WorkerLost) -> None:
        """Make a deferred object's outcome durable, or put it off again."""

    def due_deferred(self, at_most: int, without: Iterable[int]) -> list[DeferredObject]:
        """Give deferred objects whose time has come."""

    def has_deferred(self) -> bool:
        """Whether any deferred object is left."""

    def discard(self, outcome: OutcomeT) -> None:
        """Throw away what a worker made and nobody will commit."""


def cut_batches(
    items: Iterable[tuple[ItemT, str]], *, first_ordinal: int
) -> Iterator[Batch[ItemT]]:
    """Cut a listing of objects, each beside its cursor, into batches.

    A batch ends at 250 objects or 64 MB, whichever comes first; an object over that is a batch of
    its own. The first batches of an operation are smaller.
    """
    sizes = iter(FIRST_BATCHES if first_ordinal == 0 else ())
    most = next(sizes, BATCH_OBJECTS_MAX)
    batch: list[ItemT] = []
    size_bytes = 0
    cursor = ""
    for item, after in items:
        if batch and (len(batch) >= most or size_bytes + item.size > BATCH_BYTES_MAX):
            yield Batch(items=tuple(batch), cursor=cursor)
            batch, size_bytes = [], 0
            most = next(sizes, BATCH_OBJECTS_MAX)
        batch.append(item)
        size_bytes += item.size
        cursor = after
    if batch:
        yield Batch(items=tuple(batch), cursor=cursor)


# ---------------------------------------------------------------------------------- turns


@dataclass(slots=True)
class _Waiting:
    future: Future[object]
    call: Callable[[], Future[object]]


class Turns:
    """Shares one executor among the running operations, a batch of each in turn.

    The executor never holds more than two tasks a worker: a queue in it would let one operation's
    window delay the first batch of the next one by seconds.
    """

    def __init__(self, executor: Executor, workers: int) -> None:
        self.workers = workers
        self._executor = executor
        self._room = 2 * workers
        self._queues: dict[int, deque[_Waiting]] = {}
        self._lock = threading.RLock()

    def submit(
        self, owner: int, function: Callable[[TaskT], ResultT], task: TaskT
    ) -> Future[ResultT]:
        """Run ``function(task)`` on the executor when it is ``owner``'s turn."""
        future: Future[ResultT] = Future()
        waiting = _Waiting(
            future,  # type: ignore[arg-type]
            lambda: self._executor.submit(function, task),
        )
        with self._lock:
            self._queues.setdefault(owner, deque()).append(waiting)
        self._pump()
        return future

    def _next(self) -> _Waiting | None:
        with self._lock:
            while self._room and self._queues:
                owner = next(iter(self._queues))
                line = self._queues.pop(owner)
                waiting = line.popleft()
                if line:
                    self._queues[owner] = line  # to the end: the next owner's turn comes first
                if waiting.future.set_running_or_notify_cancel():
                    self._room -= 1
                    return waiting
        return None

    def _pump(self) -> None:
        while (waiting := self._next()) is not None:
            try:
                running = waiting.call()
            except RuntimeError as error:
                self._give_back()
                waiting.future.set_exception(Unavailable(f"the workers are gone: {error}"))
                continue
            running.add_done_callback(partial(self._done, waiting))

    def _give_back(self) -> None:
        with self._lock:
            self._room += 1

    def _done(self, waiting: _Waiting, done: Future[object]) -> None:
        self._give_back()
        if done.cancelled():
            waiting.future.set_exception(Unavailable("the workers were stopped"))
        elif (error := done.exception()) is not None:
            waiting.future.set_exception(error)
        else:
            waiting.future.set_result(done.result())
        self._pump()


# ---------------------------------------------------------------------------------- the lister


class _Lister(Generic[ItemT]):
    """A thread that lists ahead of the line, a few batches at most."""

    def __init__(
        self, batches: Callable[[], Iterator[Batch[ItemT]]], changed: threading.Event
    ) -> None:
        self._batches = batches
        self._changed = changed
        self._queue: queue.Queue[Batch[ItemT]] = queue.Queue(LISTED_BATCHES_MAX)
        self._closing = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="lister", daemon=True)
        self._thread.start()

    def take(self) -> Batch[ItemT] | None:
        """Give the next batch if there is one."""
        try:
            return self._queue.get_nowait()
        except queue.Empty:
            return None

    @property
    def exhausted(self) -> bool:
        """Whether all that there is was taken; raises what ended the listing."""
        if self._thread.is_alive() or not self._queue.empty():
            return False
        if self._error is not None:
            raise self._error
        return True

    def close(self) -> None:
        self._closing.set()
        self._thread.join(SETTLE_SECONDS)

    def _run(self) -> None:
        try:
            for batch in self._batches():
                while not self._closing.is_set():
                    try:
                        self._queue.put(batch, timeout=CHECK_SECONDS)
                        break
                    except queue.Full:
                        continue
                if self._closing.is_set():
                    return
                self._changed.set()
        except Exception as error:  # raised again where the coordinator asks for more
            self._error = error
        finally:
            self._changed.set()


# ---------------------------------------------------------------------------------- the line


@dataclass(slots=True)
class _InLine(Generic[ItemT, OutcomeT]):
    batch: Batch[ItemT]
    future: Future[OutcomeT]
    blame: Blame = field(default_factory=Blame)
    losses: int = 0


class _Coordinator(Generic[ItemT, OutcomeT]):
    """The one thread that submits and commits for an operation."""

    def __init__(self, run: Run, work: Work[ItemT, OutcomeT], workers: int) -> None:
        self._run = run
        self._work = work
        self._workers = workers
        self._changed = threading.Event()
        self._line: deque[_InLine[ItemT, OutcomeT]] = deque()
        self._lane: dict[int, tuple[DeferredObject, Future[OutcomeT]]] = {}
        self._durations: deque[float] = deque(maxlen=64)
        self._lister = _Lister(work.batches, self._changed)
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
            self._fill_lane()
            if self._commit_line() | self._commit_lane():
                continue
            moving = not self._listed_all or self._line or self._lane
            if not moving and not self._work.has_deferred():
                return True
            self._changed.wait(CHECK_SECONDS)
        return False

    def close(self, *, discard: bool) -> None:
        """Stop listing; wait for what workers have begun; throw it away if asked to."""
        self._lister.close()
        futures = [entry.future for entry in self._line]
        futures += [future for _, future in self._lane.values()]
        for future in futures:
            future.cancel()
        wait_for_futures([future for future in futures if not future.cancelled()], SETTLE_SECONDS)
        if discard:
            for future in futures:
                if future.done() and not future.cancelled() and future.exception() is None:
                    self._work.discard(future.result())

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
        while (
            not self._listed_all
            and len(self._line) < WINDOW_PER_WORKER * self._workers
            and self._finished_bytes() < FINISHED_BYTES_MAX
        ):
            batch = self._lister.take()
            if batch is None:
                self._listed_all = self._lister.exhausted
                return
            future = self._submit(batch, NO_BLAME)
            self._line.append(_InLine(batch, future))

    def _fill_lane(self) -> None:
        room = self._workers if self._listed_all else max(1, self._workers // 2)
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
        if lost.item is None:
            entry.losses += 1
            if entry.losses > LOSSES_MAX:
                raise Unavailable(f"worker processes die before they begin: {lost.message}")
        else:
            entry.blame = entry.blame.with_item(lost.item, lost.reason)
        entry.future = self._submit(entry.batch, entry.blame)

    def _commit_lane(self) -> bool:
        done = [ordinal for ordinal, (_, future) in self._lane.items() if future.done()]
        for ordinal in done:
            deferred, future = self._lane[ordinal]
            error = future.exception()
            if error is not None and not isinstance(error, WorkerLost):
                raise error
            outcome = error if isinstance(error, WorkerLost) else future.result()
            self._work.commit_deferred(deferred, outcome)
            del self._lane[ordinal]
        return bool(done)


def run_pipeline(run: Run, work: Work[ItemT, OutcomeT], workers: int) -> bool:
    """Move everything that ``work`` lists; False if the server stops before the end.

    Raises
    ------
    Cancelled
        If the operation's cancellation was asked for; nothing half done is left behind.
    Unavailable, ResourceExhausted
        If the environment failed; what was not committed is worked on again.
    """
    coordinator = _Coordinator(run, work, workers)
    discard = False
    try:
        return coordinator.coordinate()
    except Cancelled:
        discard = True
        raise
    finally:
        coordinator.close(discard=discard)
