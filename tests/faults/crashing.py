"""A process that is ended at each of its named steps, by a kill or by a power cut (F1, F4, F25).

The process is forked from the warm one of the tests, opens its own database, and works in a copy of
what was there before. A power cut loses or tears what was not synced, and undoes names whose
directory was not; the database's own files are trusted (``synchronous=FULL``).
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import stat
import threading
import traceback
import warnings
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import pytest

from fileroom.crashpoints import listen
from fileroom.objectstore.local import beneath
from fileroom.objectstore.local.beneath import TEMPORARY_PREFIX
from tests.databases import new_database
from tests.faults.power_loss import CALLS, Recording, recorded

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.postgresql import PostgresqlServer

    Act = Callable[["Ground"], None]

LIVE_SECONDS: Final = 60
"""How long a process may take that is not ended."""


@dataclass(frozen=True, slots=True)
class Ground:
    """A directory with buckets and blobs, and the place of a database."""

    directory: Path
    database: Path | str

    def note(self, promise: str) -> None:
        """Note, as a client would, what was promised."""
        with (self.directory / "promises").open("a") as file:
            file.write(f"{promise}\n")

    @property
    def promises(self) -> list[str]:
        """What was promised before the end."""
        path = self.directory / "promises"
        return path.read_text().splitlines() if path.exists() else []


@dataclass(slots=True)
class Grounds:
    """Copies of what was there before, each for one process to die in."""

    directory: Path
    server: PostgresqlServer | None
    _first: Ground | None = None

    def make_first(self, *, empty: bool = False) -> Ground:
        """Make the one that is copied; its database has no tables where it is ``empty``."""
        place = self.directory / "first"
        place.mkdir(parents=True)
        database: Path | str = place / "fileroom.db"
        if self.server is not None:
            database = self.server.new_database(template=not empty)
        elif not empty:
            database = new_database(place)
        self._first = Ground(place, database)
        return self._first

    @contextmanager
    def copied(self) -> Iterator[Ground]:
        """Give a copy, and take it away."""
        first = self._first
        assert first is not None
        directory = self.directory / "copy"
        shutil.copytree(first.directory, directory)
        database: Path | str = directory / "fileroom.db"
        if self.server is not None:
            assert isinstance(first.database, str)
            database = self.server.copy_database(first.database)
        try:
            yield Ground(directory, database)
        finally:
            shutil.rmtree(directory)
            if self.server is not None:
                assert isinstance(database, str)
                self.server.drop_database(database)


@dataclass(frozen=True, slots=True, kw_only=True)
class Death:
    """How a process ends, and what is wrong with it that a test has to find."""

    step: int
    """The number of the named step at which it ends."""
    draw: random.Random | None = None
    """What the power cut loses is drawn from it; None for a mere kill."""
    leave_out: str | None = None
    """A call of the operating system that is not made."""
    fault: Callable[[pytest.MonkeyPatch], None] | None = None
    """Put into the process before it acts."""


def dies(ground: Ground, act: Act, death: Death) -> str | None:
    """Act in a process of its own; give the step at which it was ended, None if it came through."""
    with warnings.catch_warnings():
        # The threads of other tests have ended; those of the test runner hold no lock of ours.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        _act_and_exit(ground, act, death)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL, f"ended by signal {os.WTERMSIG(status)}"
        return (ground.directory / "step").read_text()
    assert os.WEXITSTATUS(status) == 0, (ground.directory / "trace").read_text()
    return None


def _act_and_exit(ground: Ground, act: Act, death: Death) -> None:
    """Never returns: nothing of the test runner may go on in a forked process."""
    try:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(LIVE_SECONDS)
        with pytest.MonkeyPatch.context() as patch:
            # Another process has another name for its temporary files.
            process = secrets.token_hex(8)
            patch.setattr(beneath, "_PROCESS", process)
            patch.setattr(beneath, "OWN_TEMPORARY_PREFIX", f"{TEMPORARY_PREFIX}{process}")
            _act(ground, act, death, patch)
    except BaseException:
        _give_up(ground)
    os._exit(0)


def _give_up(ground: Ground) -> None:
    (ground.directory / "trace").write_text(traceback.format_exc())
    os._exit(1)


def _act(ground: Ground, act: Act, death: Death, patch: pytest.MonkeyPatch) -> None:
    world = threading.RLock()
    steps = 0

    def hear(step: str) -> None:
        nonlocal steps
        with world:
            steps += 1
            if steps != death.step:
                return
            try:
                if power is not None:
                    power.cut()
                (ground.directory / "step").write_text(f"{steps} {step}")
            except BaseException:
                _give_up(ground)
            os.kill(os.getpid(), signal.SIGKILL)

    if death.fault is not None:
        death.fault(patch)
    if death.draw is None:
        power = None
        with listen(hear):
            act(ground)
        return
    with recorded(ground.directory, patch, leave_out=death.leave_out) as recording:
        power = _Power(ground.directory, recording, death.draw, world, death.leave_out)
        power.watch(patch)
        with listen(hear):
            act(ground)


@dataclass(slots=True)
class _Power:
    """What the disk holds for sure, and what goes with the power."""

    root: Path
    recording: Recording
    draw: random.Random
    world: AbstractContextManager[bool]
    leave_out: str | None
    kept: dict[int, int] = field(default_factory=dict)
    """How much of each file is synced, by its inode."""
    shadow: Path = field(init=False)

    def __post_init__(self) -> None:
        self.shadow = self.root / "shadow"
        self.shadow.mkdir()
        for path in self.root.rglob("*"):
            status = path.stat()
            self.kept[status.st_ino] = status.st_size

    def watch(self, patch: pytest.MonkeyPatch) -> None:
        """Keep what is unlinked, and let nobody act while the power is cut."""
        for name in CALLS:
            patch.setattr(os, name, self._watched(name, getattr(os, name)))

    def _watched(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            with self.world:
                if name == "unlink":
                    self._keep(arguments[0], named.get("dir_fd"))
                elif name == "rename":
                    self._keep(arguments[1], named.get("dst_dir_fd"))
                given = real(*arguments, **named)
                if name in ("fsync", "fdatasync") and name != self.leave_out:
                    status = os.fstat(arguments[0])
                    self.kept[status.st_ino] = status.st_size
                return given

        return call

    def _keep(self, path: Any, directory: int | None) -> None:
        try:
            inode = os.stat(path, dir_fd=directory, follow_symlinks=False).st_ino
        except FileNotFoundError:
            return
        if not (kept := self.shadow / str(inode)).exists():
            os.link(path, kept, src_dir_fd=directory)

    def cut(self) -> None:
        """Do to the files what the loss of power may do to them."""
        names, whole = self.recording.state().after_power_loss(lambda: self.draw.random() < 0.5)
        found = {path: path.lstat() for path in self.root.rglob("*")}
        files = {one.st_ino: path for path, one in found.items() if stat.S_ISREG(one.st_mode)}
        directories = {one.st_ino: path for path, one in found.items() if stat.S_ISDIR(one.st_mode)}
        for inode, path in files.items():
            if not whole(inode):
                self._tear(path, self.kept.get(inode, 0))
        for path, one in found.items():
            key = (path.parent.lstat().st_ino, path.name) if path.parent.exists() else None
            if self._is_own(path) or key is None or names.get(key) == one.st_ino:
                continue
            if stat.S_ISREG(one.st_mode):
                os.replace(path, self.shadow / str(one.st_ino))
                files[one.st_ino] = self.shadow / str(one.st_ino)
            else:
                shutil.rmtree(path)
        for (directory, name), inode in names.items():
            above = directories.get(directory)
            if above is None or not above.exists() or inode not in files:
                continue
            if not self._is_own(above / name) and not (above / name).exists():
                os.link(files[inode], above / name)

    def _is_own(self, path: Path) -> bool:
        """Whether it is of the harness or the database."""
        return path.relative_to(self.root).parts[0] not in ("blobs", "buckets")

    def _tear(self, path: Path, kept: int) -> None:
        """Lose some of what was not synced: its end, or what is in its midst."""
        size = path.stat().st_size
        if size <= kept:
            return
        at = self.draw.randrange(kept, size)
        with path.open("r+b") as file:
            if self.draw.random() < 0.5:
                file.truncate(at)
            else:
                file.seek(at)
                file.write(bytes(size - at))
