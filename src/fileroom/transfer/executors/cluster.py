"""Tasks on the workers of a Dask cluster, each confined as it is on one machine.

Dask carries tasks and answers; it decides nothing and remembers nothing. Each task goes to one
worker by name, so Dask never runs it a second time elsewhere by itself: what was with a worker that
is lost fails with ``WorkerLost`` and no object to blame, and the pipeline submits it again.
"""

from __future__ import annotations

import contextlib
import logging
import pickle
import threading
import time
import uuid
from collections import deque
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, ParamSpec, TypeVar

from distributed import Client
from distributed.client import FutureCancelledError

from fileroom.errors import Unavailable, WorkerLost
from fileroom.transfer.executors.answers import Task
from fileroom.transfer.executors.hosting import own_version, run_hosted
from fileroom.transfer.executors.limits import WorkerLimits
from fileroom.transfer.executors.probing import (
    ANSWER_SECONDS,
    CONNECT_SECONDS,
    misfit,
    security_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from fileroom.transfer.executors.tls import TlsFiles

_P = ParamSpec("_P")
_T = TypeVar("_T")

logger = logging.getLogger(__name__)

FETCH_SECONDS: Final = 30.0
"""How long an answer that is there may take to come."""
LOOK_SECONDS: Final = 0.5
"""How often the scheduler is asked which workers there are."""
SILENT_SECONDS: Final = 30.0
"""So does a worker that the scheduler has heard nothing of."""
PATIENCE_SECONDS: Final = 30.0
"""How long tasks wait while there is no worker at all."""


@dataclass(slots=True, eq=False)
class _Worker:
    """A Dask worker as long as it is there; one that comes back is another."""

    client: Client
    address: str
    threads: int
    beat: float
    """When the scheduler heard of it last, by the scheduler's clock."""
    seen: float
    """When that last changed, by ours."""
    supervised: int = 0
    """Threads of ours that give it tasks."""
    gone: Unavailable | None = None
    """Why it gets no more tasks, and no answer of it counts."""


class DaskExecutor(Executor):
    """Runs tasks on the workers of a Dask cluster; the same promises as ``WorkerPool``.

    A thread of ours for each of a worker's threads gives it one task at a time and waits for the
    answer, so nothing queues up at the scheduler. One more thread looks which workers there are,
    and connects again whenever the scheduler is back.
    """

    def __init__(
        self,
        address: str,
        *,
        name: str,
        tls: TlsFiles | None = None,
        limits: WorkerLimits | None = None,
        preload: Sequence[str] = (),
        silent_seconds: float = SILENT_SECONDS,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self._address = address
        self._name = name
        self._security = security_of(tls)
        self._call = limits or WorkerLimits(), tuple(preload)
        self._silent_seconds = silent_seconds
        self._patience_seconds = patience_seconds
        lock = threading.RLock()
        self._changed = threading.Condition(lock)
        """There is a task to take, or none will come."""
        self._settled = threading.Condition(lock)
        """The last task may be done."""
        self._waiting: deque[Task[object]] = deque()
        self._workers: dict[str, _Worker] = {}
        self._refused: dict[str, str] = {}
        self._at_work = 0
        self._closed = False
        self._broken: Client | None = None
        """One that is to be given up for another."""
        self._without_workers_since = time.monotonic()
        self._watcher = threading.Thread(target=self._watch, name=f"{name}-dask", daemon=True)
        self._watcher.start()

    @property
    def workers(self) -> int:
        """How many tasks the cluster can work on at a time, as it is now."""
        with self._changed:
            return sum(worker.supervised for worker in self._workers.values())

    def submit(self, fn: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> Future[_T]:
        """Queue a task; ``WorkerLost`` if its worker is lost, ``Unavailable`` if all are."""
        task = Task(Future[_T](), pickle.dumps((fn, args, kwargs)))
        with self._changed:
            if self._closed:
                raise RuntimeError("cannot schedule new futures after shutdown")
            self._waiting.append(task)  # type: ignore[arg-type]  # it holds tasks of every result
            self._changed.notify()
        return task.future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more tasks, and leave the cluster once those queued are done or cancelled."""
        with self._changed:
            self._closed = True
            cancelled = list(self._waiting) if cancel_futures else []
            if cancel_futures:
                self._waiting.clear()
            self._changed.notify_all()
            self._settled.notify()
        for task in cancelled:
            task.future.cancel()
            task.future.set_running_or_notify_cancel()
        if wait:
            self._watcher.join()

    def kill_workers(self) -> None:
        """Take no more tasks, and give up those that are with workers."""
        self.shutdown(wait=False, cancel_futures=True)
        self._lose_all(WorkerLost("the server stops"))
        self.shutdown()

    # ------------------------------------------------------------------ which workers there are

    def _watch(self) -> None:
        while not self._is_done():
            try:
                client = Client(
                    self._address,
                    timeout=CONNECT_SECONDS,
                    security=self._security,
                    set_as_default=False,
                    name=f"fileroom-{self._name}",
                )
            except Exception as error:  # whatever it is, it may be over soon
                self._say_gone(error)
                self._pause(1.0)
                continue
            try:
                logger.info("connected to Dask", extra={"scheduler": self._address})
                self._follow(client)
            except Exception as error:
                self._say_gone(error)
            finally:
                self._lose_all(self._scheduler_gone())
                with contextlib.suppress(Exception):
                    client.close(timeout=2)

    def _scheduler_gone(self) -> Unavailable:
        return Unavailable(f"the Dask scheduler {self._address} does not answer", "executor")

    def _say_gone(self, error: Exception) -> None:
        logger.warning(
            "the Dask scheduler does not answer",
            extra={"scheduler": self._address, "cause": type(error).__name__},
        )
        self._lose_all(self._scheduler_gone())
        self._fail_waiting(self._scheduler_gone().message)

    def _follow(self, client: Client) -> None:
        """Look which workers there are until the scheduler is gone or the work is done."""
        scheduler = None
        while not self._is_done():
            if client.scheduler is None or client.status != "running" or client is self._broken:
                raise ConnectionResetError
            told = client.sync(client.scheduler.identity, callback_timeout=ANSWER_SECONDS)
            if scheduler not in {None, told["id"]}:
                raise ConnectionResetError  # another one, at the same address
            scheduler = told["id"]
            self._update(client, told["workers"])
            self._check_patience()
            self._pause(LOOK_SECONDS)

    def _update(self, client: Client, there: Mapping[str, Mapping[str, float]]) -> None:
        now = time.monotonic()
        for address, worker in list(self._workers.items()):
            told = there.get(address)
            if told is not None and told["last_seen"] != worker.beat:
                worker.beat, worker.seen = told["last_seen"], now
            if told is None:
                self._lose(worker, WorkerLost(f"the Dask worker {address} left the cluster"))
                self._forget(worker)
            elif now - worker.seen > self._silent_seconds and not worker.gone:
                silent = f"nothing was heard of the Dask worker {address} for"
                self._lose(worker, WorkerLost(f"{silent} {self._silent_seconds:g} s"))
            elif worker.gone and worker.seen == now:
                self._forget(worker)  # it is back
        with self._changed:
            for address in self._refused.keys() - there.keys():
                del self._refused[address]
        for address, told in there.items():
            if address not in self._workers and address not in self._refused:
                worker = _Worker(client, address, int(told["nthreads"]), told["last_seen"], now)
                with self._changed:
                    self._workers[address] = worker
                self._start(worker, self._greet)

    def _start(self, worker: _Worker, work: Callable[[_Worker], None]) -> None:
        name = f"{self._name}-{worker.address}"
        threading.Thread(target=work, args=(worker,), name=name, daemon=True).start()

    def _lose(self, worker: _Worker, why: Unavailable) -> None:
        with self._changed:
            worker.gone = worker.gone or why
            self._changed.notify_all()

    def _forget(self, worker: _Worker) -> None:
        with self._changed:
            if self._workers.get(worker.address) is worker:  # else it is one that came back
                del self._workers[worker.address]

    def _lose_all(self, why: Unavailable) -> None:
        for worker in list(self._workers.values()):
            self._lose(worker, why)
            self._forget(worker)
        with self._changed:
            self._refused.clear()

    def _break_off(self, client: Client) -> None:
        """Give a client up for another; until then there are no workers."""
        self._broken = client
        self._lose_all(WorkerLost("an answer of a Dask worker could not be fetched"))

    def _check_patience(self) -> None:
        now = time.monotonic()
        if self.workers:
            self._without_workers_since = now
        elif now - self._without_workers_since > self._patience_seconds:
            why = "; ".join(sorted(set(self._refused.values())))
            self._fail_waiting(
                f"the Dask scheduler {self._address} has no worker{why and ': '}{why}"
            )

    def _fail_waiting(self, why: str) -> None:
        with self._changed:
            waiting, self._waiting = list(self._waiting), deque()
        for task in waiting:
            if task.future.set_running_or_notify_cancel():
                task.future.set_exception(Unavailable(why, "executor"))

    def _is_done(self) -> bool:
        return self._closed and not self._waiting and not self._at_work

    def _pause(self, seconds: float) -> None:
        with self._settled:
            self._settled.wait_for(self._is_done, seconds)

    # ------------------------------------------------------------------ one thread of a worker

    def _greet(self, worker: _Worker) -> None:
        """Give a worker tasks if it runs this version of Fileroom."""
        theirs: object
        try:
            theirs = _answer(worker, own_version)
        except (_Unfetched, FutureCancelledError, OSError) as error:  # it is greeted once more
            if isinstance(error, _Unfetched):
                self._break_off(worker.client)
            logger.warning(
                "a Dask worker did not answer",
                extra={"worker": worker.address, "cause": type(error).__name__},
            )
            self._forget(worker)
            return
        except Exception as error:
            if worker.gone:
                return
            theirs = error
        if why := misfit(theirs):
            self._refuse(worker, why)
            return
        with self._changed:
            worker.supervised = worker.threads
        for _ in range(worker.threads - 1):
            self._start(worker, self._supervise)
        self._supervise(worker)

    def _refuse(self, worker: _Worker, why: str) -> None:
        logger.error("a Dask worker gets no tasks", extra={"worker": worker.address, "cause": why})
        self._forget(worker)
        with self._changed:
            self._refused[worker.address] = f"worker {worker.address}: {why}"

    def _supervise(self, worker: _Worker) -> None:
        while (task := self._take(worker)) is not None:
            try:
                if task.future.set_running_or_notify_cancel():
                    self._run(worker, task)
            finally:
                with self._changed:
                    self._at_work -= 1
                    self._settled.notify()
        with self._changed:
            worker.supervised -= 1

    def _take(self, worker: _Worker) -> Task[object] | None:
        with self._changed:
            while not self._waiting and not worker.gone and not self._closed:
                self._changed.wait()
            if worker.gone or not self._waiting:
                return None
            self._at_work += 1
            return self._waiting.popleft()

    def _run(self, worker: _Worker, task: Task[object]) -> None:
        try:
            task.finish(_answer(worker, run_hosted, task.content, *self._call))
        except Exception as error:  # Dask's own: what a task raises comes back in its answer
            if isinstance(error, _Unfetched):
                self._break_off(worker.client)
            if worker.gone is None and isinstance(error, FutureCancelledError):
                task.future.set_exception(self._scheduler_gone())
            else:
                lost = f"the Dask worker {worker.address} was lost ({type(error).__name__})"
                task.future.set_exception(worker.gone or WorkerLost(lost))


class _Unfetched(Exception):
    """What a worker gave could not be fetched, and the client that broke off over it is no good.

    Dask fetches what several wait for at once; where one who waits gives up in the midst of it, all
    later ones are told that they were cancelled, for as long as the client lives (as a variable
    that was never set, in its words). So nobody here gives up on an answer that is there.
    """


def _answer(worker: _Worker, function: Callable[..., _T], *arguments: object) -> _T:
    """Have a worker call a function, and wait for what it gives as long as the worker is there."""
    future = worker.client.submit(
        function,
        *arguments,
        key=f"fileroom-{uuid.uuid4().hex}",
        pure=False,
        workers=[worker.address],
        allow_other_workers=False,
        retries=0,
    )
    try:
        done = threading.Event()
        future.add_done_callback(lambda _: done.set())
        while not done.wait(LOOK_SECONDS):
            if worker.gone is not None:
                raise worker.gone
        try:
            result: _T = future.result(FETCH_SECONDS)
        except (TimeoutError, UnboundLocalError) as error:
            raise _Unfetched(type(error).__name__) from error
        return result
    finally:
        # The scheduler forgets it, and has the worker forget it where it has not begun.
        future.release()
