"""One version of a local object, found and read."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

from fileroom.closing import Closing
from fileroom.errors import Aborted, NotFound
from fileroom.objectstore.contract import ObjectEntry
from fileroom.objectstore.local.beneath import BENEATH, directory_beneath, is_valid
from fileroom.objectstore.local.durable import translated, translating

if TYPE_CHECKING:
    from pathlib import Path

ABSENT = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG}
# Should a FIFO take the file's place in between, opening it must not wait for a writer.
_NO_WAIT = os.O_NONBLOCK | os.O_NOCTTY


def entry_of(key: str, status: os.stat_result) -> ObjectEntry:
    """Give the entry of a file of this status."""
    return ObjectEntry(
        key=key,
        size=status.st_size,
        version=_version(status),
        changed=status.st_mtime_ns // 1000,
    )


def _version(status: os.stat_result) -> str:
    return f"{status.st_mtime_ns}-{status.st_size}-{status.st_ino}"


class LocalObject(Closing):
    """One version of an object, open for reading at any offset."""

    def __init__(self, file: int, key: str, size: int, version: str) -> None:
        self._file = file
        self.key = key
        self.size = size
        self.version = version

    def read_at(self, offset: int, length: int) -> bytes:
        """Give ``length`` bytes from ``offset`` on, fewer only at the end of the object.

        Raises
        ------
        Aborted
            If the file was changed since it was opened: bytes of two versions are never mixed.
        """
        wanted = max(0, min(length, self.size - offset))
        pieces: list[bytes] = []
        with translating(self.key):
            while wanted and (piece := os.pread(self._file, wanted, offset)):
                pieces.append(piece)
                offset += len(piece)
                wanted -= len(piece)
            status = os.fstat(self._file)
        if wanted or _version(status) != self.version:
            raise _changed(self.key)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def find_status(root: Path, key: str) -> os.stat_result | None:
    """Give what stands under a key, be it a file, a directory or a link, or None."""
    if not is_valid(key):
        return None
    path, _, name = key.rpartition("/")
    try:
        with directory_beneath(root, path) as directory:
            return os.stat(name, dir_fd=directory, follow_symlinks=False)
    except OSError as error:
        if error.errno in ABSENT:
            return None
        raise translated(error, f"object {key!r}") from error


def open_object(root: Path, key: str, version: str | None) -> LocalObject:
    """Open a regular file; see ``LocalBucket.open``."""
    file = open_file(root, key, os.O_RDONLY)
    status = os.fstat(file)
    found = _version(status)
    if not stat.S_ISREG(status.st_mode) or (version is not None and version != found):
        os.close(file)
        raise _changed(key)
    return LocalObject(file, key, status.st_size, found)


def open_file(root: Path, key: str, access: int) -> int:
    """Give a file descriptor of a regular file; the caller closes it.

    Raises
    ------
    NotFound
        If there is none.
    """
    path, _, name = key.rpartition("/")
    try:
        if not is_valid(key):
            raise FileNotFoundError(errno.ENOENT, "no such key")
        with directory_beneath(root, path) as directory:
            # Opening a device or a FIFO can have effects of its own, so look before.
            if not stat.S_ISREG(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode):
                raise FileNotFoundError(errno.ENOENT, "not a regular file")
            return os.open(name, access | _NO_WAIT | BENEATH, dir_fd=directory)
    except OSError as error:
        if error.errno in ABSENT:
            raise NotFound(f"object {key!r} does not exist") from error
        raise translated(error, f"object {key!r}") from error


def _changed(key: str) -> Aborted:
    return Aborted(f"object {key!r} was changed while it was read; read it again from the start")
