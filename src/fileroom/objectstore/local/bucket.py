"""The regular files below one directory, as objects."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import time
from typing import TYPE_CHECKING

from fileroom.crashpoints import crashpoint
from fileroom.errors import Unavailable
from fileroom.objectstore.local.beneath import (
    READABLE,
    check_key,
    directory_beneath,
    is_valid,
    open_root,
)
from fileroom.objectstore.local.drafts import Drafts
from fileroom.objectstore.local.durable import check_right_to_write, translated, translating
from fileroom.objectstore.local.extents import (
    Extent,
    LocalExtent,
    erase_extents,
    is_blank,
)
from fileroom.objectstore.local.listing import changed_before, sweep, walk, walk_level, written_by
from fileroom.objectstore.local.reading import (
    ABSENT,
    LocalObject,
    entry_of,
    find_status,
    open_file,
    open_object,
)
from fileroom.objectstore.local.writing import (
    TEMPORARY_DIRECTORY,
    Directories,
    ObjectWriter,
    write_batch,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from fileroom.objectstore.contract import ObjectEntry, Right


PROBE_NAME = "fileroom-probe"
"""Of a file that is tried and never made."""


class LocalBucket:
    """The regular files below one directory, as objects.

    A key is a path below the root. Symbolic links (also those that stay inside), devices, FIFOs,
    names that are not UTF-8 and names that begin with ``.fileroom-`` are passed over as if absent.

    ``managed`` marks a tree of Fileroom's own that was laid out beforehand: a write makes no
    directory (a missing one means a volume that is not mounted), keeps its temporary files in
    ``tmp/``, and gives rights to the owner alone.
    """

    at_once = 1

    def __init__(self, root: Path, *, managed: bool = False, writer: str = "") -> None:
        self.root = root
        self.managed = managed
        self._writer = writer
        self._durable: set[tuple[int, int]] = set()

    def __reduce__(self) -> tuple[object, ...]:
        return _unpickled, (self.root, self.managed, self._writer)

    @property
    def scratch(self) -> Path:
        """The directory of a managed bucket for what is being made."""
        return self.root / TEMPORARY_DIRECTORY

    def __repr__(self) -> str:
        return f"LocalBucket({str(self.root)!r}, managed={self.managed})"

    def list(
        self, prefix: str = "", start_after: str = "", *, deadline: float | None = None
    ) -> Iterator[ObjectEntry]:
        """Yield the objects whose key begins with ``prefix`` and comes after ``start_after``.

        In strictly rising key order, as cloud buckets list: ``a-b/x`` comes before ``a/x``. Only
        the names in the directories from the root to the current one are held, a million of each
        in memory, and a directory wholly before ``start_after`` is not read.

        Raises
        ------
        PermissionDenied
            At a directory that may not be read: no object is missed silently.
        Unavailable
            If the root is missing or the disk fails.
        DeadlinePassed
            If directories are still read at ``deadline``, a time of ``time.monotonic``.
        """
        return walk(self.root, prefix, start_after, deadline)

    def list_directory(
        self, prefix: str = "", start_after: str = ""
    ) -> Iterator[ObjectEntry | str]:
        """Yield the objects of one level, and as keys that end in ``/`` the directories beside.

        Those that begin with ``prefix``, of which the part up to the last slash is the level, and
        that come after ``start_after``, in the order of ``list``. A directory below which there is
        no object is none. What lies deeper is not read, but for the first object that tells so.

        Raises
        ------
        PermissionDenied, Unavailable
            As ``list`` does.
        """
        return walk_level(self.root, prefix, start_after)

    def find(self, key: str) -> ObjectEntry | None:
        """Give the object of this key, or None."""
        status = find_status(self.root, key)
        if status is None or not stat.S_ISREG(status.st_mode):
            return None
        return entry_of(key, status)

    def has(self, key: str) -> bool:
        """Whether there is an object of this key; False too where not even the root is there."""
        return (self.root / key).is_file()

    def is_directory(self, key: str) -> bool:
        """Whether a directory has this key, written with or without a slash at its end."""
        if not key:
            with translating("/"):
                os.close(open_root(self.root, READABLE))
            return True
        status = find_status(self.root, key.removesuffix("/"))
        return status is not None and stat.S_ISDIR(status.st_mode)

    def open(self, key: str, version: str | None = None, *, size: int | None = None) -> LocalObject:
        """Open one object for reading; a file tells its size itself.

        Raises
        ------
        NotFound
            If there is none.
        Aborted
            If its version is not the one asked for.
        """
        del size
        return open_object(self.root, key, version)

    def open_extent(self, key: str, extent: Extent) -> LocalExtent:
        """Open an extent of an object whose other extents may be erased meanwhile.

        Raises
        ------
        NotFound
            If there is no such object, or the extent was erased.
        DataLoss
            If the object ends before the extent does.
        """
        return LocalExtent(open_file(self.root, key, os.O_RDONLY), key, extent)

    def erase_extents(self, key: str, extents: Iterable[Extent]) -> None:
        """Erase extents of an object.

        They are zeros on return, durably, and on most file systems take no space any more.

        Raises
        ------
        NotFound
            If there is no such object.
        """
        check_right_to_write()
        file = open_file(self.root, key, os.O_RDWR)
        try:
            erase_extents(file, extents, key)
        finally:
            os.close(file)

    def is_blank(self, key: str, extents: Iterable[Extent]) -> bool:
        """Whether nothing but zeros is in some extents of an object; NotFound without one."""
        file = open_file(self.root, key, os.O_RDONLY)
        try:
            return is_blank(file, extents, key)
        finally:
            os.close(file)

    def read(self, key: str, version: str | None = None) -> bytes:
        """Give the whole of one object; raises as ``open`` and ``read_at`` do."""
        with self.open(key, version) as source:
            return source.read_at(0, source.size)

    def writer(self, key: str, *, if_absent: bool = False) -> ObjectWriter:
        """Begin an object whose bytes come piece by piece; raises as ``write`` does."""
        return ObjectWriter(self._directories(), key, if_absent=if_absent)

    def write(self, key: str, pieces: Iterable[bytes], *, if_absent: bool = False) -> ObjectEntry:
        """Write one object, in place of one that has the key; it is durable on return.

        Raises
        ------
        AlreadyExists
            If something has the name, be it a directory or a link, and it was to be absent.
        ResourceExhausted
            If the disk is full.
        FailedPrecondition
            If a directory has the key, or a file stands where a directory is needed.
        DurabilityLost
            If the disk did not keep it: every later write of this process is refused.
        """
        with self.writer(key, if_absent=if_absent) as writer:
            for piece in pieces:
                writer.write(piece)
            return writer.commit()

    def write_many(
        self,
        items: Iterable[tuple[str, bytes]],
        *,
        if_absent: bool = False,
        alive: Callable[[], None] = lambda: None,
    ) -> Sequence[ObjectEntry]:
        """Write a batch of small objects; all are durable on return. Raises as ``write`` does.

        Write-back of each begins while the next is drawn; then all are synced, all are named, and
        each directory is synced once. An error leaves each object whole or absent, some of them
        written. One file stays open for each object: a batch is of some hundreds at most.
        """
        del alive
        return write_batch(self._directories(), items, if_absent=if_absent)

    def drafts(self) -> Drafts:
        """Begin a number of objects that are to be published together, in a managed bucket."""
        if not self.managed:
            raise ValueError("drafts are for buckets whose directories exist")
        return Drafts(self._directories())

    def make_directories(self, keys: Iterable[str]) -> None:
        """Make directories, and those above them, in a managed bucket too; durable on return."""
        check_right_to_write()
        with Directories(self.root, managed=False, durable=self._durable) as directories:
            for key in keys:
                path = key.removesuffix("/")
                check_key(path)
                with translating(key):
                    directories.open(path)
            directories.sync()

    def delete(self, key: str) -> bool:
        """Delete one object; False if there is none. A power cut may undo it."""
        if self.find(key) is None:
            return False
        path, _, name = key.rpartition("/")
        try:
            with directory_beneath(self.root, path) as directory:
                os.unlink(name, dir_fd=directory)
        except OSError as error:
            if error.errno in ABSENT:
                return False
            raise translated(error, f"object {key!r}") from error
        crashpoint("file.deleted")
        return True

    def delete_prefix(self, prefix: str) -> None:
        """Delete the directory ``prefix``, which ends in a slash, with all it holds.

        What is absent already is no error. A power cut may undo some of it.
        """
        path = prefix.removesuffix("/")
        if not prefix.endswith("/") or not is_valid(path):
            raise ValueError(f"{prefix!r} names no directory")
        above, _, name = path.rpartition("/")
        try:
            if self.is_directory(path):
                with directory_beneath(self.root, above) as directory:
                    shutil.rmtree(name, dir_fd=directory)
                crashpoint("directory.deleted")
        except OSError as error:
            if error.errno == errno.ENOTEMPTY:
                raise Unavailable(f"objects are still written below {prefix!r}") from error
            if error.errno not in ABSENT:
                raise translated(error, f"directory {prefix!r}") from error

    def sweep_temporaries(self, prefix: str = "", *, older_than_seconds: float = 3600) -> int:
        """Delete the temporary files that dead writers left, and give how many there were.

        Looks below the directory ``prefix``, in a managed bucket below ``tmp/``. A living writer
        is known by having changed its file lately, one of this process by its name: what a client
        sends slowly may lie for hours.
        """
        path = f"{TEMPORARY_DIRECTORY}/" if self.managed else prefix
        return sweep(self.root, path, changed_before(time.time() - older_than_seconds))

    def as_writer(self, name: str, number: int) -> LocalBucket:
        """Give it for a writer whose temporary files are known by its name and number."""
        bucket = LocalBucket(self.root, managed=self.managed, writer=f"{name}-{number}")
        bucket._durable = self._durable
        return bucket

    def sweep_writers(self, prefix: str, name: str, below: int) -> int:
        """Delete the temporary files of writers of this name whose numbers are ``below`` one."""
        return sweep(self.root, prefix, written_by(name, below))

    def probe(self, right: Right) -> str:
        """Try what a right is for; see ``Bucket.probe``."""
        if right == "read":
            next(self.list(), None)
            return "it was listed"
        with self.writer(PROBE_NAME) as writer:
            writer.write(b"0")
        return "a file was made and thrown away"

    def _directories(self) -> Directories:
        return Directories(
            self.root, managed=self.managed, durable=self._durable, writer=self._writer
        )


def _unpickled(root: Path, managed: bool, writer: str) -> LocalBucket:
    return LocalBucket(root, managed=managed, writer=writer)
