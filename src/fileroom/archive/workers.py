"""Worker processes for what a request asks: metadata of many instances, pixels."""

from __future__ import annotations

from concurrent.futures import CancelledError
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from fileroom.errors import DataLoss, Reason, ResourceExhausted, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor, Future

    from fileroom.errors import FileroomError, WorkerLost

_TaskT = TypeVar("_TaskT")
_ResultT = TypeVar("_ResultT")


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestWorkers:
    """An executor for the work of requests, and what a task of it may use."""

    executor: Executor
    count: int
    """How many tasks it works on at a time; a caller queues few more, or others wait for it."""
    begin_item: Callable[[int | None], None]
    """Notes in a worker which object its task is at, and allows the full time for it."""

    def submit(self, function: Callable[[_TaskT], _ResultT], task: _TaskT) -> Future[_ResultT]:
        """Queue a task.

        Raises
        ------
        Unavailable
            If the server is ending.
        """
        try:
            return self.executor.submit(function, task)
        except RuntimeError as error:
            raise Unavailable("the workers are stopped; the server is ending") from error


def result_of(future: Future[_ResultT]) -> _ResultT:
    """Wait for what a task gives.

    Raises
    ------
    WorkerLost
        If its worker ended or was ended at a limit; ``refusal`` says what that means to a caller.
    Unavailable
        If the server is ending.
    """
    try:
        return future.result()
    except CancelledError as error:
        raise Unavailable("the workers are stopped; the server is ending") from error
    finally:
        # An error holds the frame of this call, and the future the error: else all it was given
        # stays until the collector of cycles comes by.
        del future


def refusal(lost: WorkerLost, what: str) -> FileroomError:
    """Give the error of a request for something that one worker after another was lost over.

    ``ResourceExhausted`` at a limit of memory or time, ``DataLoss`` where its bytes end the
    process; ``Unavailable`` where no object is to blame.
    """
    if lost.item is None:
        return lost
    if lost.reason is Reason.WORKER_CRASHED:
        return DataLoss(
            f"{what} ended the worker process that read it: the bytes are damaged, or a library"
            " ran out of memory over them; fetch the instance as it is stored",
            lost.reason,
        )
    limit = "memory" if lost.reason is Reason.MEMORY_LIMIT else "time"
    return ResourceExhausted(
        f"{what} takes more {limit} than a worker may take for one object; fetch the instance as"
        " it is stored",
        lost.reason,
    )
