"""A large object as far as it has come: whoever fetches it next need not begin again.

Beside the bytes lies a log: what they are of, and from time to time how many are durable with their
SHA-256. What is not as the log says is fetched again; so is all of it where the log is missing. One
writer at a time holds the file, by a lock that ends with its process.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from fileroom.crashpoints import crashpoint
from fileroom.objectstore.local.beneath import BENEATH, PART_PREFIX
from fileroom.objectstore.local.draft import Draft
from fileroom.objectstore.local.durable import sync_unnamed, translating

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fileroom.objectstore.contract import ObjectEntry

    Hear = Callable[[int, bytes], None]
    """Is told the offset and bytes of each piece that is there already, in order."""
NOTED_BYTES: Final = 256 << 20
NOTED_SECONDS: Final = 3.0
"""What came in this time, or so many bytes, is fetched again at most after a crash. Each note waits
for the disk: one for every 64 MB cost a tenth of the speed of a fast one."""
LOG_BYTES_MAX: Final = 4 << 20
"""Far more than the log of the largest object: 40,000 lines."""
_PIECE_BYTES: Final = 8 << 20
_LOG_SUFFIX: Final = ".log"
_OPEN: Final = os.O_RDWR | os.O_CREAT | BENEATH


class PartTaken(Exception):
    """Another writer, which may be at a halt, holds the part."""


class Part(Draft):
    """A draft that is kept when its writer fails or dies, from its last note on."""

    __slots__ = ("_hear", "_is_kept", "_log", "_noted", "_noted_at", "sha256")

    def __init__(
        self,
        key: str,
        directory: int,
        temporary_directory: int,
        name: str,
        of: str,
        *,
        hear: Hear,
        is_kept: bool = True,
    ) -> None:
        """Take up what is there of the object that ``of`` tells, in one line; ``hear`` hears it.

        One that is not ``is_kept`` has a name that nobody will look for again.

        Raises
        ------
        PartTaken
            If another writer holds it.
        """
        self._log = -1
        self._hear = hear
        self._is_kept = is_kept
        self._noted = 0
        self._noted_at = time.monotonic()
        self.sha256 = hashlib.sha256()
        temporary = PART_PREFIX + name
        super().__init__(
            key, directory, temporary_directory, 0o600, flags=_OPEN, temporary=temporary
        )
        try:
            _lock(self._file, temporary, temporary_directory)
            self._log = os.open(
                f"{self._temporary}{_LOG_SUFFIX}",
                _OPEN | os.O_APPEND,
                0o600,
                dir_fd=temporary_directory,
            )
            self._take_up(of)
        except BaseException:
            self._close()
            raise

    def write(self, piece: bytes) -> None:
        """Append bytes, and note from time to time that they are there."""
        super().write(piece)
        self.sha256.update(piece)
        due = time.monotonic() - self._noted_at >= NOTED_SECONDS
        if due or self._size - self._noted >= NOTED_BYTES:
            sync_unnamed(self._file, f"object {self._key!r}")
            self._note(f"{self._size} {self.sha256.hexdigest()}")
            self._noted = self._size
            self._noted_at = time.monotonic()

    def sync(self) -> ObjectEntry:
        """Make the bytes durable; it stays this writer's until it is published."""
        with translating(self._key):
            held = os.dup(self._file)
        try:
            entry = super().sync()
        except BaseException:
            os.close(held)
            raise
        self._file = held
        return entry

    def publish(self, *, if_absent: bool = False) -> None:
        """Give the file its own name; there is no part any more."""
        name = self._temporary
        super().publish(if_absent=if_absent)
        self._close(log=name)

    def discard(self) -> None:
        """Leave it to the next writer, if anything was noted; a second call does nothing."""
        if not (self._noted and self._is_kept):
            self.forget()
        self._temporary = ""
        self._close()

    def forget(self) -> None:
        """Have the next writer begin again."""
        name, self._temporary = self._temporary, ""
        if name:
            with suppress(OSError):
                os.unlink(name, dir_fd=self._temporary_directory)
            crashpoint("part.forgotten")
        self._close(log=name)

    def _take_up(self, of: str) -> None:
        with translating(self._key):
            os.utime(self._file)  # what nobody has touched for a day is swept
            log = os.pread(self._log, LOG_BYTES_MAX, 0)
            # A line that was not finished would begin the next one.
            os.ftruncate(self._log, log.rfind(b"\n") + 1)
        there = _noted(log, of, os.fstat(self._file).st_size)
        self._size = 0
        if there is not None:
            self._size, digest = there
            self._hash_what_is_there()
            if self.sha256.hexdigest() != digest:
                there = None
        if there is None:
            self._size = 0
            self.sha256 = hashlib.sha256()
        with translating(self._key):
            os.ftruncate(self._file, self._size)
            os.lseek(self._file, self._size, os.SEEK_SET)
            if there is None:
                os.ftruncate(self._log, 0)
                self._note(of)
        self._noted = self._written_back = self._size

    def _hash_what_is_there(self) -> None:
        for offset in range(0, self._size, _PIECE_BYTES):
            with translating(self._key):
                piece = os.pread(self._file, min(_PIECE_BYTES, self._size - offset), offset)
            self.sha256.update(piece)
            self._hear(offset, piece)

    def _note(self, line: str) -> None:
        with translating(self._key):
            os.write(self._log, f"{line}\n".encode())
        crashpoint("part.noted")

    def _close(self, *, log: str = "") -> None:
        if log:
            with suppress(OSError):
                os.unlink(f"{log}{_LOG_SUFFIX}", dir_fd=self._temporary_directory)
        for file in (self._file, self._log):
            if file >= 0:
                os.close(file)
        self._file = self._log = -1


def forget_parts(scratch: Path, prefix: str) -> None:
    """Delete all parts whose name begins with ``prefix``, since nobody will take them up."""
    for path in scratch.glob(f"{PART_PREFIX}{prefix}*"):
        with suppress(OSError):  # what stays is swept after a day
            path.unlink(missing_ok=True)


def _lock(file: int, name: str, directory: int) -> None:
    """Hold a file that still has its name.

    Raises
    ------
    PartTaken
        If another writer holds it, or has just published it.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        named = os.stat(name, dir_fd=directory, follow_symlinks=False)
    except (BlockingIOError, FileNotFoundError) as error:
        raise PartTaken from error
    if named.st_ino != os.fstat(file).st_ino:
        raise PartTaken


def _noted(log: bytes, of: str, size: int) -> tuple[int, str] | None:
    """Give how many bytes are durable, by the last note, and their SHA-256."""
    first, *notes = log.decode("utf-8", "replace").split("\n")
    if first != of:
        return None
    for note in reversed(notes[:-1]):  # what is behind the last line feed was not finished
        number, _, digest = note.partition(" ")
        if number.isdecimal() and len(number) < 20 and int(number) <= size:
            return int(number), digest
    return None
