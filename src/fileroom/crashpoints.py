"""Named moments between durable steps, at which tests end the process (I1-I5, I13, I14).

A point stands behind each call that makes a difference on disk, and before each commit. Whatever
makes such a difference anew must have its own: ``tests/faults/test_crash_points.py`` looks for
calls without one, and for points that no operation of the tests comes to.

Nothing from outside arms them: no setting, no variable of the environment, no request, no file.
Only code of the same process can, by ``listen``; nothing of Fileroom calls it. A point that nobody
listens to takes 30 ns (measured; 40 of them to import a batch of 250 instances).
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Hear = Callable[[str], None]

_listeners: Final[list[Hear]] = []


def crashpoint(step: str) -> None:
    """Note that a step is done; it does nothing unless a test listens."""
    if _listeners:
        for hear in _listeners:
            hear(step)


@contextmanager
def listen(hear: Hear) -> Iterator[None]:
    """Have a function of a test hear each step of this process, in the thread that made it."""
    _listeners.append(hear)
    try:
        yield
    finally:
        _listeners.remove(hear)
