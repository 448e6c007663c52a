"""What the archive asks of the place that keeps its own bytes, whatever kind of place it is.

Each DICOM store has a bucket of its own there, whose keys the rows name. An object in it never gets
other bytes; extents of one may be erased. What is being made lies in ``scratch``, a directory of
this machine, until it is whole.

Errors are those of ``objectstore.contract``. Whatever keeps all objects from being read or written,
be it a full disk or credentials that were taken away, is ``ResourceExhausted`` or ``Unavailable``:
no instance is to blame for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from fileroom.objectstore.contract import Held

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from fileroom.objectstore.contract import ObjectEntry, StoredObject, Writing
    from fileroom.objectstore.local import Extent
    from fileroom.objectstore.local.draft import Draft
    from fileroom.objectstore.local.parts import Hear, Part


class BlobExtent(Held, Protocol):
    """One extent of an object, open for reading at any offset within it."""

    size: int

    def read_at(self, offset: int, length: int) -> bytes:
        """Give ``length`` bytes from ``offset`` of the extent on, fewer only at its end.

        Raises
        ------
        Aborted
            If the extent is erased meanwhile.
        """

    def close(self) -> None:
        """Give back what it holds; a second call does nothing."""


class Drafts(Held, Protocol):
    """Objects that come one after another, and are published together or never.

    Few files are open at a time, however many objects there are; what is not published is gone
    once this is closed.
    """

    def begin(self, directory: str) -> Draft:
        """Begin an object that will lie in a directory; ``rest`` once its bytes are all there."""

    def take_up(self, directory: str, name: str, of: str, hear: Hear) -> Part:
        """Begin a large object, or go on where its last writer on this machine ended.

        ``of`` tells in one line what object in which version ``name`` is; of another one nothing
        is taken up. How far it has come is its ``size``; ``hear`` hears those bytes. Should they
        not be as they were left, it has come nowhere, whatever was heard.
        """

    def discard(self, draft: Draft) -> None:
        """Throw one away; of what was taken up the next writer may take up what is noted."""

    def forget(self, draft: Draft) -> None:
        """Throw one away, so that nobody takes it up again."""

    def publish(
        self, named: Sequence[tuple[Draft, str]], *, alive: Callable[[], None] = ...
    ) -> None:
        """Make some of them durable under these keys, which are in the directories they have.

        ``alive`` is called while that takes its time.
        """

    def close(self) -> None:
        """Throw away what is not published; a second call does nothing."""


class BlobBucket(Protocol):
    """The blobs of one DICOM store; it pickles."""

    @property
    def scratch(self) -> Path:
        """A directory of this machine for what is being made."""

    def list(self, *, start_after: str = "") -> Iterator[ObjectEntry]:
        """Yield all objects in strictly rising key order, or those whose key comes after one."""

    def find(self, key: str) -> ObjectEntry | None:
        """Give the object of this key, or None."""

    def has(self, key: str) -> bool:
        """Whether there is this object, which is never deleted: what was seen may be taken so."""

    def is_directory(self, key: str) -> bool:
        """Whether objects lie below a key; an empty one asks whether the place answers at all."""

    def open(self, key: str) -> StoredObject:
        """Open one object for reading; NotFound without one."""

    def open_extent(self, key: str, extent: Extent) -> BlobExtent:
        """Open an extent of an object whose other extents may be erased meanwhile.

        Raises
        ------
        NotFound
            If there is no such object, or the extent was erased.
        DataLoss
            If the object ends before the extent does.
        """

    def erase_extents(self, key: str, extents: Iterable[Extent]) -> None:
        """Make extents of an object zeros, durably; NotFound without one. May be repeated."""

    def is_blank(self, key: str, extents: Iterable[Extent]) -> bool:
        """Whether nothing but zeros is in some extents of an object; NotFound without one."""

    def write(self, key: str, pieces: Iterable[bytes]) -> ObjectEntry:
        """Write one object, in place of one that has the key; it is durable on return."""

    def writer(self, key: str) -> Writing:
        """Begin an object whose bytes come piece by piece; raises as ``write`` does."""

    def drafts(self) -> Drafts:
        """Begin a number of objects that are to be published together."""

    def delete(self, key: str) -> bool:
        """Delete one object; False if there is none. A power cut may undo it."""

    def sweep_temporaries(self, *, older_than_seconds: float = ...) -> int:
        """Delete what dead writers of this machine left in ``scratch``; give how many."""


class Blobs(Protocol):
    """The blobs of all DICOM stores; it pickles."""

    @property
    def is_remote(self) -> bool:
        """Whether each read is a request over a network, of which some are best made at a time."""

    def bucket(self, blob_prefix: str) -> BlobBucket:
        """Give the blobs of one store."""

    def list_prefixes(self) -> Iterator[str]:
        """Yield the prefixes below which there is anything, in order."""

    def make(self, blob_prefix: str, directories: Iterable[str]) -> None:
        """Make the place of a store, durably, so that no later write has to; may be repeated."""

    def delete(self, blob_prefix: str, *, sparing: str = "") -> None:
        """Delete all of a store's blobs, or all but the object of one key.

        What is absent already is no error.
        """

    def name_of(self, path: str) -> str:
        """Give how an operator finds what has this path, ``blob_prefix/key``."""
