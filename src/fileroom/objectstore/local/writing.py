"""Objects written under a temporary name, made durable, then named."""

from __future__ import annotations

import itertools
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Final, Self

from fileroom.closing import Closing
from fileroom.errors import Unavailable
from fileroom.objectstore.local.beneath import (
    BENEATH,
    OWN_TEMPORARY_PREFIX,
    READABLE,
    check_key,
    open_root,
)
from fileroom.objectstore.local.durable import (
    check_right_to_write,
    start_write_back,
    sync_directory,
    sync_unnamed,
    translating,
)
from fileroom.objectstore.local.reading import LocalObject, ObjectEntry, entry_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from concurrent.futures import Future
    from pathlib import Path
    from types import TracebackType

TEMPORARY_DIRECTORY = "tmp"
_WRITE_BACK_BYTES = 8 << 20
_SYNC_THREADS = 4
_SYNC_GROUP_BYTES = 16 << 20
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL
_numbers: Final = itertools.count()


class Directories(Closing):
    """Directories of one bucket, held open while objects are written into them.

    ``durable`` holds those this process knows to be durable below their parents. A directory that
    another process made counts as durable only after this one has synced its parent, for the
    other may have crashed in between.
    """

    def __init__(self, root: Path, *, managed: bool, durable: set[tuple[int, int]]) -> None:
        self._root = root
        self._managed = managed
        self._durable = durable
        self._open: dict[str, int] = {}
        self._changed: set[str] = set()
        self._named: set[tuple[int, int]] = set()

    def open(self, path: str) -> int:
        """Give a file descriptor of the directory, made if it is missing; it is closed by us."""
        directory = self._open.get(path)
        if directory is None:
            if path:
                above, _, name = path.rpartition("/")
                directory = self._open_below(self.open(above), name, path)
            else:
                directory = open_root(self._root, READABLE)
            self._open[path] = directory
        return directory

    def draft(self, key: str) -> Draft:
        """Begin the object of this key."""
        check_key(key)
        path = key.rpartition("/")[0]
        directory = self.open(path)
        self._changed.add(path)
        if self._managed:
            return Draft(key, directory, self.open(TEMPORARY_DIRECTORY), mode=0o600)
        return Draft(key, directory, directory, mode=0o666)

    def sync(self) -> None:
        """Make the names durable that drafts and new directories were given."""
        self._sync(self._changed)
        self._durable |= self._named

    def sync_parents(self, drafts: Iterable[Draft]) -> None:
        """Make the names durable that these drafts were given, in directories known to be so."""
        self._sync({draft.key.rpartition("/")[0] for draft in drafts})

    def _sync(self, paths: Iterable[str]) -> None:
        for path in paths:
            sync_directory(self._open[path], f"directory {path!r}")

    def _open_below(self, above: int, name: str, path: str) -> int:
        made = False
        try:
            directory = os.open(name, READABLE | BENEATH, dir_fd=above)
        except FileNotFoundError as error:
            if self._managed:
                raise Unavailable(
                    f"directory {path!r} of Fileroom's own data is missing; is the volume mounted?"
                ) from error
            with suppress(FileExistsError):
                os.mkdir(name, dir_fd=above)
                made = True
            directory = os.open(name, READABLE | BENEATH, dir_fd=above)
        if not self._managed:
            status = os.fstat(directory)
            identity = (status.st_dev, status.st_ino)
            if made or identity not in self._durable:
                self._changed.add(path.rpartition("/")[0])
                self._named.add(identity)
        return directory

    def close(self) -> None:
        """Close all; a second call does nothing."""
        for directory in self._open.values():
            os.close(directory)
        self._open.clear()


class Draft:
    """A file being written, under a temporary name until it is published."""

    __slots__ = ("_directory", "_file", "_inode", "_key", "_size", "_temporary",
                 "_temporary_directory", "_written_back")  # fmt: skip

    def __init__(self, key: str, directory: int, temporary_directory: int, mode: int) -> None:
        self._key = key
        self._directory = directory
        self._temporary_directory = temporary_directory
        self._temporary = f"{OWN_TEMPORARY_PREFIX}-{next(_numbers)}"
        self._size = self._written_back = self._inode = 0
        self._file = os.open(self._temporary, _NEW_FILE | BENEATH, mode, dir_fd=temporary_directory)

    @property
    def key(self) -> str:
        """The key it will have once it is published."""
        return self._key

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

    def rename(self, name: str) -> None:
        """Choose another name in the same directory for what is not yet published."""
        directory, slash, _ = self._key.rpartition("/")
        if "/" in name:
            raise ValueError(f"{name!r} leads into another directory")
        check_key(key := f"{directory}{slash}{name}")
        self._key = key

    def publish(self) -> None:
        """Give the file its own name, in place of one that had it."""
        name = self._key.rpartition("/")[2]
        with translating(self._key):
            try:
                os.rename(
                    self._temporary,
                    name,
                    src_dir_fd=self._temporary_directory,
                    dst_dir_fd=self._directory,
                )
            except FileNotFoundError:
                # So an NFS server answers a request sent twice, though it has done the first.
                if os.stat(name, dir_fd=self._directory).st_ino != self._inode:
                    raise
        self._temporary = ""

    def discard(self) -> None:
        """Delete what was not published; a second call does nothing."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
        if self._temporary:
            with suppress(OSError):
                os.unlink(self._temporary, dir_fd=self._temporary_directory)
            self._temporary = ""


class ObjectWriter:
    """One object written piece by piece; it appears whole at ``commit`` or never."""

    def __init__(self, directories: Directories, key: str) -> None:
        check_right_to_write()
        self._directories = directories
        with ExitStack() as stack:
            stack.enter_context(directories)
            with translating(key):
                self._draft = directories.draft(key)
            stack.callback(self._draft.discard)
            self._open = stack.pop_all()

    def write(self, piece: bytes) -> None:
        """Append bytes."""
        self._draft.write(piece)

    def commit(self, name: str | None = None) -> ObjectEntry:
        """Make the object durable and give it its name, in place of one that had it.

        ``name`` takes the place of the key's last segment, where only the bytes decide it.
        """
        if name is not None:
            self._draft.rename(name)
        entry = self._draft.sync()
        self._draft.publish()
        self._directories.sync()
        self.abort()
        return entry

    def abort(self) -> None:
        """Throw away what is not committed; a second call does nothing."""
        self._open.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.abort()


def write_batch(
    directories: Directories, items: Iterable[tuple[str, bytes]]
) -> Sequence[ObjectEntry]:
    """Write many small objects with one sync of each directory; see ``LocalBucket.write_many``."""
    check_right_to_write()
    with ExitStack() as stack:
        stack.enter_context(directories)
        drafts = []
        with LaggingSyncs() as syncs:
            for key, content in items:
                with translating(key):
                    draft = directories.draft(key)
                stack.callback(draft.discard)
                draft.write(content)
                draft.start_write_back()
                syncs.add(draft, len(content))
                drafts.append(draft)
            entries = syncs.finish()
        for draft in drafts:
            draft.publish()
        directories.sync()
    return entries


class LaggingSyncs:
    """Makes files durable in threads, in groups, each a group after its write-back began.

    Little is left to wait for by then, and the caller goes on with the next objects meanwhile. A
    bare loop of two processes that synced each CT 16 files later wrote 540 a second, with all
    syncs at the end 380, ``cp -r && sync`` 466. A batch of small files is one group, for every
    commit of the file system's journal holds up who makes the next file.
    """

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_SYNC_THREADS)
        self._written_back: list[Draft] = []
        self._current: list[Draft] = []
        self._current_bytes = 0
        self._syncs: list[Future[ObjectEntry]] = []

    def add(self, draft: Draft, size_bytes: int) -> None:
        """Take a file that is written."""
        self._current.append(draft)
        self._current_bytes += size_bytes
        if self._current_bytes >= _SYNC_GROUP_BYTES:
            self._submit()
            self._written_back, self._current, self._current_bytes = self._current, [], 0

    def finish(self) -> list[ObjectEntry]:
        """Wait until all are durable, in the order in which they came."""
        self._submit()
        self._written_back = self._current
        self._submit()
        return [sync.result() for sync in self._syncs]

    def _submit(self) -> None:
        self._syncs += [self._threads.submit(draft.sync) for draft in self._written_back]
        self._written_back = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._threads.shutdown(cancel_futures=True)
