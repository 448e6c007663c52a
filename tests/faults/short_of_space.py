"""A disk that has no space from a chosen call on, until it is given some again.

The calls of the operating system that need space are refused as it refuses them. The database's
own files are not among them: SQLite writes them itself.
"""

from __future__ import annotations

import errno
import io
import os
import tempfile
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pytest

CALLS: Final = ("open", "write", "pwrite", "mkdir", "rename", "fdatasync")
"""The sync of a directory is not among them: its failure ends the right to write (F6)."""


@dataclass(slots=True)
class Space:
    """Counts what needs space, and refuses it from one call on."""

    first_refused: int
    """The number of the first call that is refused; the first of all is 1."""
    counted: int = 0
    refused: list[str] = field(default_factory=list)
    """The calls that were refused."""
    _is_freed: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def free(self) -> None:
        """Give space again."""
        with self._lock:
            self._is_freed = True

    def take(self, call: str) -> None:
        """Count a call, and raise what the operating system would if there is no space for it."""
        with self._lock:
            self.counted += 1
            if self._is_freed or self.counted < self.first_refused:
                return
            self.refused.append(call)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class _File(io.FileIO):
    """A temporary file whose writes are counted too: they do not come from ``os``."""

    space: Space

    def write(self, data: Any) -> int:
        self.space.take("write of a temporary file")
        return super().write(data)


@contextmanager
def short_of_space(monkeypatch: pytest.MonkeyPatch, space: Space) -> Iterator[None]:
    """Have this process's calls counted and refused."""
    with monkeypatch.context() as patch:
        for name in CALLS:
            patch.setattr(os, name, _counted(name, getattr(os, name), space))
        patch.setattr(tempfile, "TemporaryFile", partial(_temporary_file, space))
        yield


def _counted(name: str, real: Callable[..., Any], space: Space) -> Callable[..., Any]:
    def call(*arguments: Any, **named: Any) -> Any:
        if name != "open" or arguments[1] & os.O_CREAT:
            space.take(name)
        return real(*arguments, **named)

    return call


def _temporary_file(space: Space, *_: Any, **named: Any) -> io.BufferedRandom:
    file, path = tempfile.mkstemp(dir=named.get("dir"))
    os.unlink(path)
    raw = _File(file, "w+b")
    raw.space = space
    return io.BufferedRandom(raw, 1)
