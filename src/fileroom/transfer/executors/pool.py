"""A pool of worker processes, each replaced alone."""

from __future__ import annotations

import contextlib
import logging
import pickle
import queue
import threading
from concurrent.futures import Executor, Future
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from fileroom.errors import WorkerLost
from fileroom.transfer.executors.answers import Task
from fileroom.transfer.executors.limits import WorkerLimits
from fileroom.transfer.executors.process import WorkerProcess

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_P = ParamSpec("_P")
_T = TypeVar("_T")

logger = logging.getLogger(__name__)


class WorkerPool(Executor):
    """Runs tasks in worker processes; a lost worker fails its own task alone.

    Each worker has a thread of its own that starts it and waits for it, for as long as the pool
    lives: the kernel ends a worker together with the thread that started it. Tasks wait in one
    queue, which is the caller's to bound. A task is a function of a module the workers can import;
    ``preload`` names modules they import before the first. With ``lazy`` each is started by its
    first task, so that a pool nobody uses takes no memory.
    """

    def __init__(
        self,
        workers: int,
        *,
        name: str,
        limits: WorkerLimits | None = None,
        preload: Sequence[str] = (),
        lazy: bool = False,
    ) -> None:
        self.workers = workers
        self._lazy = lazy
        self._limits = limits or WorkerLimits()
        self._preload = tuple(preload)
        self._tasks: queue.SimpleQueue[Task[object] | None] = queue.SimpleQueue()
        self._closing = threading.Lock()
        self._closed = self._killed = False
        self._processes: set[WorkerProcess] = set()
        self._threads = [
            threading.Thread(target=self._supervise, name=f"{name}-{number}", daemon=True)
            for number in range(workers)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, fn: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> Future[_T]:
        """Queue a task; its future raises ``WorkerLost`` if its worker is lost."""
        task = Task(Future[_T](), pickle.dumps((fn, args, kwargs)))
        with self._closing:
            if self._closed:
                raise RuntimeError("cannot schedule new futures after shutdown")
            self._tasks.put(task)  # type: ignore[arg-type]  # the queue holds tasks of every result
        return task.future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more tasks, and end each worker once those queued are done or cancelled."""
        with self._closing:
            first, self._closed = not self._closed, True
        if cancel_futures:
            with contextlib.suppress(queue.Empty):
                while (task := self._tasks.get_nowait()) is not None:
                    task.future.cancel()
                    task.future.set_running_or_notify_cancel()
                self._tasks.put(None)
        if first:
            for _ in self._threads:
                self._tasks.put(None)
        if wait:
            for thread in self._threads:
                thread.join()

    def kill_workers(self) -> None:
        """Take no more tasks, and end each worker at once, whatever it is at."""
        with self._closing:
            self._killed = True
        # What waits is cancelled first: the thread of a killed worker takes the next task.
        self.shutdown(wait=False, cancel_futures=True)
        with self._closing:
            for worker in self._processes:
                worker.kill()
        self.shutdown()

    def _supervise(self) -> None:
        worker = None if self._lazy else self._start_worker()
        while (task := self._tasks.get()) is not None:
            if not task.future.set_running_or_notify_cancel():
                continue
            if worker is None or not worker.is_alive():
                worker = self._replace(worker)
            if worker is None:
                task.future.set_exception(
                    WorkerLost("no worker process could be started; see the server's log")
                )
                continue
            try:
                task.finish(worker.run(task.content))
            except WorkerLost as error:
                task.future.set_exception(error)
                if not worker.is_alive():
                    worker = self._replace(worker)
            except BaseException as error:  # no task may wait for ever on a fault of ours
                task.future.set_exception(error)
                raise
        self._stop_worker(worker)

    def _replace(self, worker: WorkerProcess | None) -> WorkerProcess | None:
        self._stop_worker(worker)
        return self._start_worker()

    def _start_worker(self) -> WorkerProcess | None:
        if self._killed:
            return None
        try:
            worker = WorkerProcess(self._limits, self._preload)
        except (OSError, WorkerLost):
            logger.exception("a worker process could not be started")
            return None
        with self._closing:
            self._processes.add(worker)
            if self._killed:
                worker.kill()
        return worker

    def _stop_worker(self, worker: WorkerProcess | None) -> None:
        if worker is not None:
            worker.stop()
            with self._closing:
                self._processes.discard(worker)
