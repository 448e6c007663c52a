"""What a Dask worker runs: it hosts a worker process of ours, in which the task runs.

The task reaches Dask as bytes and goes back as bytes, whatever becomes of it. So a codec that
crashes, hangs or eats memory ends our process and not Dask's, the object at fault is named as it is
on one machine, and Dask has nothing of a task that it could write into a log.
"""

from __future__ import annotations

import pickle
import threading
from importlib.metadata import version
from typing import TYPE_CHECKING, Final

from fileroom.errors import WorkerLost
from fileroom.transfer.executors.process import WorkerProcess

if TYPE_CHECKING:
    from fileroom.transfer.executors.limits import WorkerLimits

_Kind = tuple["WorkerLimits", tuple[str, ...]]


class _Hosted(threading.local):
    """The processes of one thread of a Dask worker: the kernel ends them together with it."""

    def __init__(self) -> None:
        self.processes: dict[_Kind, WorkerProcess] = {}


_hosted: Final = _Hosted()


def own_version() -> str:
    """Give the version of Fileroom that is installed here."""
    return version("fileroom")


def run_hosted(task: bytes, limits: WorkerLimits, preload: tuple[str, ...]) -> bytes:
    """Do one task in this thread's own worker process, started where there is none."""
    try:
        process = _process((limits, preload))
        return process.run(task)
    except WorkerLost as lost:
        return pickle.dumps((lost, None))
    except OSError as error:
        message = f"a Dask worker could start no process ({error.strerror})"
        return pickle.dumps((WorkerLost(message), None))


def _process(kind: _Kind) -> WorkerProcess:
    process = _hosted.processes.get(kind)
    if process is not None and process.is_alive():
        return process
    if process is not None:
        process.stop()
        del _hosted.processes[kind]
    process = WorkerProcess(*kind)
    _hosted.processes[kind] = process
    return process
