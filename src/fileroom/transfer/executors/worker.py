"""The inside of a worker process: takes one task at a time and answers it."""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import importlib
import logging
import math
import mmap
import os
import pickle
import resource
import signal
import socket
import struct
import sys
import time
import traceback
from typing import TYPE_CHECKING, Final

from fileroom.errors import FileroomError, Internal
from fileroom.memory import keep_freed_memory

if TYPE_CHECKING:
    from fileroom.transfer.executors.limits import WorkerLimits

LENGTH: Final = struct.Struct("!Q")
SLOT_BYTES: Final = 16
READY: Final = b"ready"
OUT_OF_MEMORY: Final = b"out of memory"
_NO_ITEM: Final = -1
_PR_SET_PDEATHSIG: Final = 1


class Slot:
    """Memory shared by a worker and its pool: the object at work, and since when.

    Two integers, each written in one store, so that neither side needs a lock.
    """

    def __init__(self, file: int) -> None:
        self._values = memoryview(mmap.mmap(file, SLOT_BYTES)).cast("q")

    def begin(self, item: int | None) -> None:
        """Note an object and start its clock."""
        self._values[0] = time.monotonic_ns()
        self._values[1] = _NO_ITEM if item is None else item

    @property
    def began(self) -> int:
        """When the object was begun, in nanoseconds of the monotonic clock."""
        return self._values[0]

    @property
    def item(self) -> int | None:
        """The object at work, if one was named."""
        item = self._values[1]
        return None if item == _NO_ITEM else item


class _CurrentItem:
    """What ``begin_item`` acts on in a worker."""

    def __init__(self) -> None:
        self.slot: Slot | None = None
        self.cpu_seconds = 0

    def begin(self, item: int | None) -> None:
        if self.slot is None:
            return
        self.slot.begin(item)
        # The kernel counts from the start of the process, so the limit moves with each object.
        used = math.ceil(time.process_time())
        _, hard = resource.getrlimit(resource.RLIMIT_CPU)
        resource.setrlimit(resource.RLIMIT_CPU, (used + self.cpu_seconds, hard))


_current: Final = _CurrentItem()


def begin_item(index: int | None) -> None:
    """Say which object of its batch the task works on from here; None for none or all of them.

    Each call allows the full time again, so it also tells that a long object makes progress.
    Does nothing outside a worker.
    """
    _current.begin(index)


def serve_tasks(channel: int, slot: int, pool: int) -> None:
    """Be a worker: answer the tasks that come through ``channel`` until it is closed."""
    _die_with(pool)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # A service manager stops all processes of a service at once; the server drains its own.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    faulthandler.enable()
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    with socket.socket(fileno=channel) as connection:
        limits, preload = pickle.loads(receive(connection))  # noqa: S301 - from our own server
        for module in preload:
            importlib.import_module(module)
        _limit(limits)
        keep_freed_memory()
        _current.slot = Slot(slot)
        _current.cpu_seconds = limits.cpu_seconds
        os.close(slot)
        send(connection, READY)
        with contextlib.suppress(EOFError, ConnectionError):
            while True:
                send(connection, _answer(receive(connection)))


def send(connection: socket.socket, message: bytes) -> None:
    """Send one message."""
    connection.sendall(LENGTH.pack(len(message)))
    connection.sendall(message)


def receive(connection: socket.socket) -> bytes:
    """Wait for one message; EOFError if the other end is gone."""
    return _receive_exactly(connection, LENGTH.unpack(_receive_exactly(connection, LENGTH.size))[0])


def _receive_exactly(connection: socket.socket, size: int) -> bytes:
    message = bytearray(size)
    view = memoryview(message)
    while view:
        received = connection.recv_into(view)
        if not received:
            raise EOFError
        view = view[received:]
    return bytes(message)


def _answer(task: bytes) -> bytes:
    _current.begin(None)
    try:
        function, arguments, keywords = pickle.loads(task)  # noqa: S301 - from our own server
        return pickle.dumps((None, function(*arguments, **keywords)))
    except MemoryError:
        return OUT_OF_MEMORY
    except BaseException as error:  # whatever it is, the task's future raises it
        return _error_answer(error)


def _error_answer(error: BaseException) -> bytes:
    if not isinstance(error, FileroomError):
        error.add_note("".join(traceback.format_exception(error)))
    try:
        answer = pickle.dumps((error, None))
        pickle.loads(answer)  # noqa: S301 - our own; some exceptions fail here and not above
        return answer
    except Exception:  # an exception may define its own pickling, and that may do anything
        traceback.print_exception(error)
        kind = type(error).__name__
        return pickle.dumps((Internal(f"a task raised {kind}, which cannot be pickled"), None))


def _die_with(pool: int) -> None:
    """Have the kernel kill this process when the thread that started it ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != pool:
        os._exit(1)


def _limit(limits: WorkerLimits) -> None:
    # A core file would hold what patients' files held.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        with open("/proc/self/statm", encoding="ascii") as statm:
            size = int(statm.read().split()[0]) * resource.getpagesize()
        bound = size + limits.memory_bytes
        resource.setrlimit(resource.RLIMIT_AS, (bound, bound))
