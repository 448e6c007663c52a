"""Tasks for executors; a module of its own, so that a worker imports little for them."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
import threading
import time

from fileroom.errors import InvalidArgument
from fileroom.transfer.executors import begin_item


class OddError(Exception):
    """Pickles, but cannot be unpickled."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(f"{first} {second}")


def double(number: int) -> int:
    return 2 * number


def size_of(content: bytes) -> bytes:
    return bytes(2 * len(content))


def process_id() -> int:
    return os.getpid()


def refuse(message: str) -> None:
    raise InvalidArgument(message, "field")


def divide() -> float:
    return 1 / 0


def raise_odd() -> None:
    raise OddError("a", "b")


def answer_with_a_lock() -> object:
    return threading.Lock()


def end_at(item: int, how: str) -> None:
    """Work on objects up to one that ends the worker."""
    for index in range(item + 1):
        begin_item(index)
    match how:
        case "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        case "segmentation fault":
            ctypes.string_at(0)
        case "exit":
            os._exit(3)


def end_at_the_third(item: int | None) -> None:
    """Begin an object, and end the worker at the third of a task."""
    begin_item(item)
    if item == 2:
        os.kill(os.getpid(), signal.SIGKILL)


def end_at_once(item: int | None) -> None:
    """Begin an object, and end the worker."""
    begin_item(item)
    os.kill(os.getpid(), signal.SIGKILL)


def sleep(seconds: float) -> int:
    time.sleep(seconds)
    return os.getpid()


def hang_at(item: int | None) -> None:
    begin_item(item)
    while True:
        time.sleep(1)


def work_long(items: int, seconds: float) -> str:
    for item in range(items):
        begin_item(item)
        time.sleep(seconds)
    return "done"


def burn_processor(seconds: float) -> int:
    """Give the limit of processor time for an object begun after another took some."""
    begin_item(0)
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass
    begin_item(1)
    return resource.getrlimit(resource.RLIMIT_CPU)[0]


def take_memory(item: int, size_bytes: int) -> int:
    begin_item(item)
    kept = [bytes(1 << 20) for _ in range(size_bytes >> 20)]
    return len(kept)


def take_memory_at_once(size_bytes: int) -> int:
    return len(bytearray(size_bytes))


def loaded(module: str) -> bool:
    return module in sys.modules
