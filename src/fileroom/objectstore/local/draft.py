"""A file on its way to being an object: written, made durable, then named."""

from __future__ import annotations

import itertools
import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from fileroom.crashpoints import crashpoint
from fileroom.errors import AlreadyExists
from fileroom.objectstore.local.beneath import BENEATH, check_key, own_temporary_prefix
from fileroom.objectstore.local.durable import start_write_back, sync_unnamed, translating
from fileroom.objectstore.local.naming import rename, rename_if_absent
from fileroom.objectstore.local.reading import LocalObject, entry_of

if TYPE_CHECKING:
    from fileroom.objectstore.contract import ObjectEntry

_WRITE_BACK_BYTES: Final = 8 << 20
_DATE_STEPS_NS: Final = (1, 1_000, 1_000_000, 1_000_000_000, 2_000_000_000)
"""How finely file systems keep times: a nanosecond on most, two seconds on FAT."""
_NEW_FILE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL
_numbers: Final = itertools.count()


class Draft:
    """A file being written, under a temporary name until it is published."""

    __slots__ = ("_file", "_inode", "_key", "_size", "_temporary",
                 "_temporary_directory", "_written_back", "directory")  # fmt: skip

    def __init__(
        self,
        key: str,
        directory: int | None,
        temporary_directory: int,
        mode: int,
        *,
        flags: int = _NEW_FILE,
        temporary: str = "",
        writer: str = "",
    ) -> None:
        self._key = key
        self.directory = directory
        """Where it will have its name; must be there to date or publish it."""
        self._temporary_directory = temporary_directory
        self._temporary = temporary or f"{own_temporary_prefix(writer)}-{next(_numbers)}"
        self._size = self._written_back = self._inode = 0
        self._file = os.open(self._temporary, flags | BENEATH, mode, dir_fd=temporary_directory)
        crashpoint("file.made")

    @property
    def key(self) -> str:
        """The key it will have once it is published."""
        return self._key

    @property
    def _name(self) -> str:
        return self._key.rpartition("/")[2]

    @property
    def temporary(self) -> str:
        """The name of the file until it is published."""
        return self._temporary

    @property
    def size(self) -> int:
        """How many bytes were appended."""
        return self._size

    def write(self, piece: bytes) -> None:
        """Append bytes."""
        with translating(self._key):
            view = memoryview(piece)
            while view:
                view = view[os.write(self._file, view) :]
        self._size += len(piece)
        if self._size - self._written_back >= _WRITE_BACK_BYTES:
            self.start_write_back()

    def start_write_back(self) -> None:
        """Have the kernel begin to write what was appended."""
        start_write_back(self._file, self._written_back, self._size - self._written_back)
        self._written_back = self._size

    def rest(self) -> None:
        """Close the file until it is read or synced: thousands may wait for that together."""
        self.start_write_back()
        with translating(self._key):
            os.close(self._file)
        self._file = -1

    def open(self) -> LocalObject:
        """Open what was appended for reading."""
        with translating(self._key):
            file = os.open(self._temporary, os.O_RDONLY | BENEATH, dir_fd=self._temporary_directory)
        entry = entry_of(self._key, os.fstat(file))
        return LocalObject(file, self._key, entry.size, entry.version)

    def date(self) -> None:
        """Date the file now, and later than what has its name: the versions of a name rise.

        The kernel's clock stands still for milliseconds, in which many may take one name.
        """
        try:
            status = os.stat(self._name, dir_fd=self.directory, follow_symlinks=False)
            before = status.st_mtime_ns
        except FileNotFoundError:
            before = 0
        date = time.time_ns()
        with suppress(OSError):  # a file system that keeps no dates keeps objects all the same
            for step in _DATE_STEPS_NS:
                os.utime(self._file, ns=(date, max(date, before + step)))
                if os.fstat(self._file).st_mtime_ns > before:
                    break

    def sync(self) -> ObjectEntry:
        """Make the bytes durable; nothing can be appended after."""
        if self._file < 0:
            with translating(self._key):
                self._file = os.open(
                    self._temporary, os.O_WRONLY | BENEATH, dir_fd=self._temporary_directory
                )
        sync_unnamed(self._file, f"object {self._key!r}")
        with translating(self._key):
            status = os.fstat(self._file)
            os.close(self._file)
        self._file = -1
        self._inode = status.st_ino
        return entry_of(self._key, status)

    def rename(self, key: str) -> None:
        """Choose another key in the same directory for what is not yet published."""
        if key.rpartition("/")[0] != self._key.rpartition("/")[0]:
            raise ValueError(f"{key!r} leads into another directory")
        check_key(key)
        self._key = key

    def publish(self, *, if_absent: bool = False) -> None:
        """Give the file its own name, in place of one that had it, or only ``if_absent``.

        Raises
        ------
        AlreadyExists
            If something has the name, and it was to be absent.
        """
        with translating(self._key):
            assert self.directory is not None
            give_name = rename_if_absent if if_absent else rename
            try:
                give_name(self._temporary_directory, self._temporary, self.directory, self._name)
            except FileNotFoundError:
                if not self._has_its_name():
                    raise
            except FileExistsError as error:
                if not if_absent:
                    raise
                if not self._has_its_name():
                    raise AlreadyExists(f"object {self._key!r} is there already") from error
                os.unlink(self._temporary, dir_fd=self._temporary_directory)
        crashpoint("file.named")
        self._temporary = ""

    def _has_its_name(self) -> bool:
        """Whether it has it already: an NFS server refuses what it was sent twice and has done."""
        with suppress(FileNotFoundError):
            status = os.stat(self._name, dir_fd=self.directory, follow_symlinks=False)
            return status.st_ino == self._inode
        return False

    def forget(self) -> None:
        """Delete what was not published, so that nobody takes it up again."""
        self.discard()

    def discard(self) -> None:
        """Delete what was not published; a second call does nothing."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
        if self._temporary:
            with suppress(OSError):
                os.unlink(self._temporary, dir_fd=self._temporary_directory)
            crashpoint("draft.discarded")
            self._temporary = ""
