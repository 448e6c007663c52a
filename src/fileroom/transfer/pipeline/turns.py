"""One executor shared among the running operations."""

from __future__ import annotations

import logging
import threading
from collections import deque
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from fileroom.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable


logger = logging.getLogger(__name__)

TaskT = TypeVar("TaskT")
ResultT = TypeVar("ResultT")


class _Turn(Future[ResultT]):
    """What an operation waits for; it may be cancelled until a worker has begun it."""

    handed_over: Future[object] | None = None

    def cancel(self) -> bool:
        return super().cancel() or (self.handed_over is not None and self.handed_over.cancel())


@dataclass(slots=True)
class _Waiting:
    future: _Turn[object]
    call: Callable[[], Future[object]]


@dataclass(slots=True)
class _Line:
    """What one operation has waiting."""

    weight: int
    waiting: deque[_Waiting] = field(default_factory=deque)
    taken: int = 0
    """Of its present turn."""


class Turns:
    """Shares one executor among the running operations, some batches of each in turn.

    The executor never holds more than two tasks a worker: a queue in it would let one operation's
    window delay the first batch of the next one by seconds. ``workers`` tells how many there are,
    which may change.
    """

    def __init__(self, executor: Executor, workers: Callable[[], int]) -> None:
        self._executor = executor
        self._workers = workers
        self._held = 0
        self._lines: dict[int, _Line] = {}
        self._lock = threading.RLock()

    @property
    def workers(self) -> int:
        """How many workers there are, or may soon be: one at least."""
        return max(1, self._workers())

    def submit(
        self,
        owner: int,
        function: Callable[[TaskT], ResultT],
        task: TaskT,
        *,
        weight: int = 1,
    ) -> Future[ResultT]:
        """Run ``function(task)`` on the executor when it is ``owner``'s turn.

        ``weight`` is how many of its tasks a turn has.
        """
        future: _Turn[ResultT] = _Turn()
        waiting = _Waiting(
            future,  # type: ignore[arg-type]
            lambda: self._executor.submit(function, task),
        )
        with self._lock:
            self._lines.setdefault(owner, _Line(weight)).waiting.append(waiting)
        self._pump()
        return future

    def _next(self) -> _Waiting | None:
        with self._lock:
            while self._lines and self._held < 2 * self.workers:
                owner, line = next(iter(self._lines.items()))
                waiting = line.waiting.popleft()
                is_alive = waiting.future.set_running_or_notify_cancel()
                line.taken += is_alive
                if not line.waiting or line.taken >= line.weight:
                    del self._lines[owner]
                    line.taken = 0
                    if line.waiting:
                        self._lines[owner] = line  # to the end: the next owner's turn comes first
                if is_alive:
                    self._held += 1
                    return waiting
        return None

    def _pump(self) -> None:
        while (waiting := self._next()) is not None:
            try:
                running = waiting.call()
            except (RuntimeError, Unavailable) as error:
                self._give_back()
                gone = Unavailable(f"the workers are gone: {error}")
                waiting.future.set_exception(error if isinstance(error, Unavailable) else gone)
                continue
            waiting.future.handed_over = running
            running.add_done_callback(partial(self._done, waiting))

    def _give_back(self) -> None:
        with self._lock:
            self._held -= 1

    def _done(self, waiting: _Waiting, done: Future[object]) -> None:
        self._give_back()
        if done.cancelled():
            waiting.future.set_exception(Unavailable("it was cancelled, or the workers stopped"))
        elif (error := done.exception()) is not None:
            waiting.future.set_exception(error)
        else:
            waiting.future.set_result(done.result())
        self._pump()
