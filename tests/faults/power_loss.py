"""What a power cut may leave of files, by what the operating system was asked to do.

What was written and not synced may be lost or torn; a name that was given, and whose directory was
not synced since, may be there or not. The calls are recorded while they are really made.
"""

from __future__ import annotations

import os
import stat
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

from fileroom.objectstore.local import naming

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    import pytest

    from fileroom.objectstore.local.naming import RenameIfAbsent

TEMPORARY: Final = ".fileroom-"
Name = tuple[int, str]
"""Inode of a directory, and a name in it."""


@dataclass(frozen=True, slots=True)
class Event:
    """One call that changed something, or made it durable, or a promise given after it."""

    kind: Literal["write", "sync", "name", "unname", "sync_directory", "promise"]
    inode: int = 0
    """Of the file written, synced or named; of the directory synced."""
    name: Name | None = None
    paths: tuple[str, ...] = ()
    """What was promised to be durable, below the root."""


@dataclass(slots=True)
class Recording:
    """The events of a tree, in their order."""

    root: int
    """Inode of its uppermost directory."""
    before: dict[Name, int]
    """The names that were there at first, and are durable."""
    events: list[Event] = field(default_factory=list)

    def promise(self, paths: Iterable[str]) -> None:
        """Note that files and directories below the root are durable from here on."""
        self.events.append(Event("promise", paths=tuple(paths)))

    def state(self) -> _State:
        """Give how all stands after the last event."""
        state = _State(self.before)
        for event in list(self.events):
            state.apply(event)
        return state

    def violations(self, draw: random.Random, *, draws: int = 4) -> list[str]:
        """Cut the power after every event, with several fates of what was not synced."""
        state = _State(self.before)
        promised: set[str] = set()
        found = []
        for number, event in enumerate(self.events):
            state.apply(event)
            promised.update(event.paths)
            for fate in (_lose, _keep, *[_toss(draw)] * draws):
                names, whole = state.after_power_loss(fate)
                found += [
                    f"after event {number} ({event.kind}): {what}"
                    for what in _violations(self.root, names, whole, promised)
                ]
        return found


class _State:
    """Names and files as they stand, and as they are sure to be after a power cut."""

    def __init__(self, before: dict[Name, int]) -> None:
        self._names = dict(before)
        self._durable = dict(before)
        self._unsynced: set[int] = set()

    def apply(self, event: Event) -> None:
        match event:
            case Event("write", inode=inode):
                self._unsynced.add(inode)
            case Event("sync", inode=inode):
                self._unsynced.discard(inode)
            case Event("name", inode=inode, name=name) if name is not None:
                self._names[name] = inode
            case Event("unname", name=name) if name is not None:
                self._names.pop(name, None)
            case Event("sync_directory", inode=directory):
                for known in [name for name in self._durable if name[0] == directory]:
                    del self._durable[known]
                self._durable |= {
                    name: inode for name, inode in self._names.items() if name[0] == directory
                }

    def after_power_loss(
        self, kept: Callable[[], bool]
    ) -> tuple[dict[Name, int], Callable[[int], bool]]:
        """Give the names there are, and which files are whole."""
        names = dict(self._durable)
        for name in sorted({*self._names, *self._durable}):
            if self._names.get(name) != self._durable.get(name) and kept():
                if name in self._names:
                    names[name] = self._names[name]
                else:
                    del names[name]
        return names, lambda inode: inode not in self._unsynced


def _violations(
    root: int, names: dict[Name, int], whole: Callable[[int], bool], promised: set[str]
) -> Iterator[str]:
    for path in promised:
        inode: int | None = root
        for segment in path.split("/"):
            inode = names.get((inode, segment)) if inode is not None else None
        if inode is None:
            yield f"{path} was promised and is gone"
        elif not whole(inode):
            yield f"{path} was promised and is torn"
    for (_, name), inode in names.items():
        if not name.startswith(TEMPORARY) and not whole(inode):
            yield f"{name} is there and torn"


def _lose() -> bool:
    return False


def _keep() -> bool:
    return True


def _toss(draw: random.Random) -> Callable[[], bool]:
    return lambda: draw.random() < 0.5


@contextmanager
def recorded(
    root: Path, monkeypatch: pytest.MonkeyPatch, *, leave_out: str | None = None
) -> Iterator[Recording]:
    """Record what is asked of the operating system; a call named in ``leave_out`` is not made."""
    before = {
        (path.parent.stat().st_ino, path.name): path.stat().st_ino for path in root.rglob("*")
    }
    recording = Recording(root.stat().st_ino, before)
    with monkeypatch.context() as patch:
        for name, wrap in _WRAPPERS.items():
            real = getattr(os, name)
            if name == leave_out:
                patch.setattr(os, name, lambda *_: None)
            else:
                patch.setattr(os, name, wrap(real, recording.events))
        if (rename := naming._rename_if_absent) is not None:
            # The one call that Python's ``os`` does not have.
            patch.setattr(naming, "_rename_if_absent", _rename_if_absent(rename, recording.events))
        yield recording


def _open(real: Callable[..., Any], events: list[Event]) -> Callable[..., Any]:
    def call(path: Any, flags: int, *more: Any, dir_fd: int | None = None, **kw: Any) -> int:
        file: int = real(path, flags, *more, dir_fd=dir_fd, **kw)
        if flags & os.O_CREAT and dir_fd is not None:
            events.append(Event("name", os.fstat(file).st_ino, (_inode(dir_fd), path)))
        return file

    return call


def _write(real: Callable[..., Any], events: list[Event]) -> Callable[..., Any]:
    def call(file: int, data: Any) -> int:
        events.append(Event("write", _inode(file)))
        written: int = real(file, data)
        return written

    return call


def _sync(real: Callable[..., Any], events: list[Event]) -> Callable[..., Any]:
    def call(file: int) -> None:
        real(file)
        is_directory = stat.S_ISDIR(os.fstat(file).st_mode)
        events.append(Event("sync_directory" if is_directory else "sync", _inode(file)))

    return call


def _rename(real: Callable[..., Any], events: list[Event]) -> Callable[..., Any]:
    def call(source: str, target: str, *, src_dir_fd: int, dst_dir_fd: int) -> None:
        inode = os.stat(source, dir_fd=src_dir_fd).st_ino
        real(source, target, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)
        events.append(Event("unname", name=(_inode(src_dir_fd), source)))
        events.append(Event("name", inode, (_inode(dst_dir_fd), target)))

    return call


def _rename_if_absent(real: RenameIfAbsent, events: list[Event]) -> RenameIfAbsent:
    def call(source_directory: int, source: bytes, directory: int, name: bytes) -> None:
        inode = os.stat(source, dir_fd=source_directory).st_ino
        real(source_directory, source, directory, name)
        events.append(Event("unname", name=(_inode(source_directory), os.fsdecode(source))))
        events.append(Event("name", inode, (_inode(directory), os.fsdecode(name))))

    return call


def _mkdir(real: Callable[..., Any], events: list[Event]) -> Callable[..., Any]:
    def call(path: str, *mode: int, dir_fd: int | None = None) -> None:
        real(path, *mode, dir_fd=dir_fd)
        if dir_fd is not None:
            inode = os.stat(path, dir_fd=dir_fd).st_ino
            events.append(Event("name", inode, (_inode(dir_fd), path)))

    return call


def _unlink(real: Callable[..., Any], events: list[Event]) -> Callable[..., Any]:
    def call(path: str, *, dir_fd: int | None = None) -> None:
        real(path, dir_fd=dir_fd)
        if dir_fd is not None:
            events.append(Event("unname", name=(_inode(dir_fd), path)))

    return call


def _inode(file: int) -> int:
    return os.fstat(file).st_ino


_WRAPPERS: Final[dict[str, Callable[[Callable[..., Any], list[Event]], Callable[..., Any]]]] = {
    "open": _open,
    "write": _write,
    "fdatasync": _sync,
    "fsync": _sync,
    "rename": _rename,
    "mkdir": _mkdir,
    "unlink": _unlink,
}
CALLS: Final = tuple(_WRAPPERS)
"""What is recorded."""
