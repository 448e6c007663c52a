"""One worker process, seen from the pool."""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import socket
import subprocess
import sys
import tempfile
import time
from typing import IO, TYPE_CHECKING, Final

from fileroom.errors import Reason, WorkerLost
from fileroom.transfer.executors.worker import LENGTH, OUT_OF_MEMORY, SLOT_BYTES, Slot, send

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fileroom.transfer.executors.limits import WorkerLimits

_START_SECONDS: Final = 60.0
_STOP_SECONDS: Final = 5.0
_COMMAND: Final = (
    "import sys; sys.path[:] = sys.argv[4:]; "
    "from fileroom.transfer.executors.worker import serve_tasks; "
    "serve_tasks(*map(int, sys.argv[1:4]))"
)


class WorkerProcess:
    """A worker process and the only other end of its channel.

    It is a new interpreter that runs no part of the server's main module, so it starts as fast as
    its imports allow, and inherits no lock, no connection and no thread.
    """

    def __init__(self, limits: WorkerLimits, preload: Sequence[str]) -> None:
        self._limits = limits
        with contextlib.ExitStack() as stack:
            self._connection, theirs = socket.socketpair()
            stack.callback(self._connection.close)
            with theirs, _shared_file() as slot:
                self._slot = Slot(slot.fileno())
                self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and code
                    [
                        *(sys.executable, "-P", "-c", _COMMAND),
                        *(str(theirs.fileno()), str(slot.fileno()), str(os.getpid())),
                        *sys.path,
                    ],
                    stdin=subprocess.DEVNULL,
                    stdout=2,
                    pass_fds=(theirs.fileno(), slot.fileno()),
                )
            stack.pop_all()
        try:
            self._exchange(pickle.dumps((limits, tuple(preload))), _START_SECONDS)
        except WorkerLost:
            self.stop()
            raise

    def is_alive(self) -> bool:
        """Whether the process runs."""
        return self._process.poll() is None

    def run(self, task: bytes) -> bytes:
        """Have the worker do one task, and give its answer.

        Raises
        ------
        WorkerLost
            If the worker ended, was ended at a limit, or ran out of memory.
        """
        answer = self._exchange(task, self._limits.wall_seconds)
        if answer == OUT_OF_MEMORY:
            raise WorkerLost(
                f"a worker needed over {self._limits.memory_bytes >> 20} MB of memory for"
                f" {self._at_work()}",
                Reason.MEMORY_LIMIT,
                self._slot.item,
            )
        return answer

    def kill(self) -> None:
        """End the process by force; whoever waits for its answer learns that it is lost."""
        self._process.kill()

    def stop(self) -> None:
        """End the process, by force if it is at work."""
        self._connection.close()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _exchange(self, message: bytes, seconds: float) -> bytes:
        self._slot.begin(None)
        try:
            self._connection.settimeout(seconds)
            send(self._connection, message)
            (size,) = LENGTH.unpack(self._receive(LENGTH.size, seconds))
            return self._receive(size, seconds)
        except TimeoutError:
            raise self._overdue(seconds) from None
        except (EOFError, ConnectionError):
            raise self._ended() from None

    def _receive(self, size: int, seconds: float) -> bytes:
        """Wait for bytes as long as the object at work is not overdue."""
        message = bytearray(size)
        view = memoryview(message)
        while view:
            began = self._slot.began
            left = began / 1e9 + seconds - time.monotonic()
            try:
                self._connection.settimeout(max(left, 0.001))
                received = self._connection.recv_into(view)
            except TimeoutError:
                if left <= 0 and self._slot.began == began:
                    raise
                continue
            if not received:
                raise EOFError
            view = view[received:]
        return bytes(message)

    def _overdue(self, seconds: float) -> WorkerLost:
        began, item = self._slot.began, self._slot.item
        self._process.kill()
        self._process.wait()
        if self._slot.began != began:
            item = None  # it went on to the next object just then, and that one is innocent
        return WorkerLost(
            f"a worker was over {seconds:g} s at {self._at_work()}", Reason.TIME_LIMIT, item
        )

    def _ended(self) -> WorkerLost:
        try:
            code = self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        if code == -signal.SIGXCPU:
            return WorkerLost(
                f"a worker took over {self._limits.cpu_seconds} s of processor time for"
                f" {self._at_work()}",
                Reason.TIME_LIMIT,
                self._slot.item,
            )
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        return WorkerLost(
            f"a worker ended by {how} at {self._at_work()}", Reason.WORKER_CRASHED, self._slot.item
        )

    def _at_work(self) -> str:
        item = self._slot.item
        return "its task" if item is None else f"object {item} of its batch"


def _shared_file() -> IO[bytes]:
    if sys.platform == "linux":
        # Not a file on disk, whose pages the kernel would write out again and again.
        file: IO[bytes] = os.fdopen(os.memfd_create("fileroom-worker"), "r+b")
    else:
        file = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
    file.truncate(SLOT_BYTES)
    return file
