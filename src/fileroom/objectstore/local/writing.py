"""Objects written under a temporary name, made durable, then named."""

from __future__ import annotations

import os
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING

from fileroom.closing import Aborting, Closing
from fileroom.crashpoints import crashpoint
from fileroom.errors import AlreadyExists, Unavailable
from fileroom.objectstore.local.beneath import (
    BENEATH,
    READABLE,
    SEARCHABLE,
    check_key,
    open_root,
)
from fileroom.objectstore.local.draft import Draft
from fileroom.objectstore.local.durable import (
    check_right_to_write,
    sync_directory,
    translating,
)
from fileroom.objectstore.local.syncing import LaggingSyncs

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from fileroom.objectstore.contract import ObjectEntry

TEMPORARY_DIRECTORY = "tmp"


class Directories(Closing):
    """Directories of one bucket, held open while objects are written into them.

    ``durable`` holds those this process knows to be durable below their parents. A directory that
    another process made counts as durable only after this one has synced its parent, for the
    other may have crashed in between.
    """

    def __init__(
        self, root: Path, *, managed: bool, durable: set[tuple[int, int]], writer: str = ""
    ) -> None:
        self._root = root
        self._managed = managed
        self._writer = writer
        self._durable = durable
        self._open: dict[str, int] = {}
        self._asked: set[str] = set()
        self._changed: set[str] = set()
        self._named: set[tuple[int, int]] = set()
        self._made: list[str] = []
        self._nearest: list[int] = []

    @property
    def managed(self) -> bool:
        """Whether they were laid out beforehand."""
        return self._managed

    def open(self, path: str) -> int:
        """Give a file descriptor of the directory, made if it is missing; it is closed by us.

        Of those on the way only what is to be synced stays open.
        """
        self._asked.add(path)
        missing = []
        above = path
        while above and above not in self._open:
            missing.append(above)
            above = above.rpartition("/")[0]
        if above not in self._open:
            self._open[above] = open_root(self._root, READABLE)
        for below in reversed(missing):
            self._open[below] = self._open_below(self._open[above], below)
            if above not in self._asked and above not in self._changed:
                os.close(self._open.pop(above))
            above = below
        return self._open[path]

    def draft(self, key: str) -> Draft:
        """Begin the object of this key."""
        check_key(key)
        path = key.rpartition("/")[0]
        directory = self.open(path)
        self._changed.add(path)
        if self._managed:
            return Draft(key, directory, self.open(TEMPORARY_DIRECTORY), mode=0o600)
        return Draft(key, directory, directory, mode=0o666, writer=self._writer)

    def begin(self, key: str) -> Draft:
        """Begin an object that may come for hours; until it is placed, no directory is made.

        It lies in the nearest directory above its place that there is.
        """
        if self._managed:
            return self.draft(key)
        check_key(key)
        nearest = self._open_nearest(key.rpartition("/")[0])
        self._nearest.append(nearest)
        return Draft(key, None, nearest, mode=0o666, writer=self._writer)

    def place(self, draft: Draft) -> None:
        """Open the directory in which a draft will have its name, made if it is missing."""
        path = draft.key.rpartition("/")[0]
        draft.directory = self.open(path)
        self._changed.add(path)

    def sync(self) -> None:
        """Make the names durable that drafts and new directories were given."""
        self._sync(self._changed)
        self._durable |= self._named
        self._made.clear()

    def sync_parents(self, drafts: Iterable[Draft]) -> None:
        """Make the names durable that these drafts were given, in directories known to be so."""
        self._sync({draft.key.rpartition("/")[0] for draft in drafts})

    def _sync(self, paths: Iterable[str]) -> None:
        for path in paths:
            sync_directory(self._open[path], f"directory {path!r}")

    def _open_nearest(self, path: str) -> int:
        directory = open_root(self._root, SEARCHABLE)
        for name in path.split("/") if path else ():
            try:
                below = os.open(name, SEARCHABLE | BENEATH, dir_fd=directory)
            except FileNotFoundError:
                break
            except BaseException:
                os.close(directory)
                raise
            os.close(directory)
            directory = below
        return directory

    def _open_below(self, above: int, path: str) -> int:
        made = False
        parent, _, name = path.rpartition("/")
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
                crashpoint("directory.made")
                self._made.append(path)
                self._changed.add(parent)
            directory = os.open(name, READABLE | BENEATH, dir_fd=above)
        if not self._managed:
            status = os.fstat(directory)
            identity = (status.st_dev, status.st_ino)
            if made or identity not in self._durable:
                self._changed.add(parent)
                self._named.add(identity)
        return directory

    def close(self) -> None:
        """Close all, and take back what was made in vain; a second call does nothing."""
        for path in reversed(self._made):
            above, _, name = path.rpartition("/")
            with suppress(OSError):  # what others write into is not empty
                os.rmdir(name, dir_fd=self._open[above])
        self._made.clear()
        for directory in (*self._open.values(), *self._nearest):
            os.close(directory)
        self._open.clear()
        self._nearest.clear()


class ObjectWriter(Aborting):
    """One object written piece by piece; it appears whole at ``commit`` or never."""

    def __init__(self, directories: Directories, key: str, *, if_absent: bool = False) -> None:
        check_right_to_write()
        self._directories = directories
        self._if_absent = if_absent
        with ExitStack() as stack:
            stack.enter_context(directories)
            with translating(key):
                self._draft = directories.begin(key)
            stack.callback(self._draft.discard)
            self._open = stack.pop_all()

    def write(self, piece: bytes) -> None:
        """Append bytes."""
        self._draft.write(piece)

    def commit(self) -> ObjectEntry:
        """Make the object durable and give it its name, in place of one that had it.

        Raises AlreadyExists if one has it, and the object was to be written only if none does.
        """
        with translating(self._draft.key):
            self._directories.place(self._draft)
            if not self._directories.managed:
                self._draft.date()
        entry = self._draft.sync()
        self._draft.publish(if_absent=self._if_absent)
        self._directories.sync()
        self.abort()
        return entry

    def abort(self) -> None:
        """Throw away what is not committed; a second call does nothing."""
        self._open.close()


def write_batch(
    directories: Directories, items: Iterable[tuple[str, bytes]], *, if_absent: bool = False
) -> Sequence[ObjectEntry]:
    """Write many small objects with one sync of each directory; see ``LocalBucket.write_many``."""
    check_right_to_write()
    with ExitStack() as stack:
        stack.enter_context(directories)
        drafts: list[Draft] = []
        taken: list[AlreadyExists] = []
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
            try:
                draft.publish(if_absent=if_absent)
            except AlreadyExists as error:
                taken.append(error)
        directories.sync()
    if taken:
        raise taken[0]
    return entries
