"""What every kind of bucket does, whatever holds its bytes.

Keys are texts of 1 to 1,024 bytes in UTF-8, ordered by those bytes. An object has a size and a
version; the version changes whenever the bytes do, and a read at a version gives bytes of that
version or none. What is written is there whole or not at all, and durable once the call returns.

Errors are the same for all kinds: ``NotFound`` without such an object or bucket, ``Aborted`` where
another version is there, ``AlreadyExists`` where something has the key of what is written only
``if_absent``, ``PermissionDenied`` where the credentials do not allow it,
``ResourceExhausted`` for a quota or a full disk, ``DataLoss`` for bytes that differ from their
checksum in two reads, and ``Unavailable`` for a fault of the environment, such as credentials that
are not valid any more: then no object is to blame, and the same call may succeed later.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, Protocol, Self, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from types import TracebackType


BUCKET_SETTINGS: Final = "BUCKET_SETTINGS"
"""Detail of an ``Unavailable`` that a bucket's settings or credentials cause, and no object."""
Right = Literal["read", "write", "delete"]
"""What the settings open a bucket for."""


class DeadlinePassed(Exception):
    """A listing took longer than its caller has time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectEntry:
    """One object as a listing shows it."""

    key: str
    size: int
    version: str
    """Differs whenever the bytes do: of a file its time of change, size and inode; of an object in
    a cloud its generation (``gs://``) or ETag (``s3://``, ``az://``)."""
    changed: int | None = field(default=None, compare=False)
    """When, in microseconds since 1970, as far as is told."""


class Held(Protocol):
    """Given back at the end of a ``with``."""

    def __enter__(self) -> Self:
        """Give itself."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close it, or abort what is not committed."""


class StoredObject(Held, Protocol):
    """One version of an object, open for reading at any offset."""

    key: str
    size: int
    version: str

    def read_at(self, offset: int, length: int) -> bytes:
        """Give ``length`` bytes from ``offset`` on, fewer only at the end of the object.

        Raises
        ------
        Aborted
            If the object is no longer this version: bytes of two versions are never mixed.
        DataLoss
            If the bytes differ from the object's checksum, read twice.
        """

    def close(self) -> None:
        """Give back what it holds; a second call does nothing."""


@runtime_checkable
class Resumable(Protocol):
    """An object whose checksum is compared once all of it was read in order, from the first on."""

    def recall(self, offset: int, piece: bytes) -> None:
        """Count bytes into the checksum that were read before it was opened."""


class Writing(Held, Protocol):
    """One object written piece by piece; it appears whole at ``commit`` or never."""

    def write(self, piece: bytes) -> None:
        """Append bytes."""

    def commit(self) -> ObjectEntry:
        """Make the object durable under its key, in place of one that had it."""

    def abort(self) -> None:
        """Throw away what is not committed; a second call does nothing."""


class Source(Protocol):
    """What objects are read from: a bucket, or an archive in one."""

    @property
    def at_once(self) -> int:
        """How many objects are best read or written at a time, as far as is known now."""

    def list(
        self, prefix: str = "", start_after: str = "", *, deadline: float | None = None
    ) -> Iterator[ObjectEntry]:
        """Yield the objects whose key begins with ``prefix`` and comes after ``start_after``.

        In strictly rising key order.

        Raises
        ------
        DeadlinePassed
            If nothing was found by ``deadline``, a time of ``time.monotonic``.
        """

    def find(self, key: str) -> ObjectEntry | None:
        """Give the object of this key, or None."""

    def is_directory(self, key: str) -> bool:
        """Whether objects lie below this key, written with or without a slash at its end.

        An empty key asks whether the bucket answers at all: it raises if not.
        """

    def open(
        self, key: str, version: str | None = None, *, size: int | None = None
    ) -> StoredObject:
        """Open one object for reading; ``size``, where it is known, spares a request.

        Raises
        ------
        NotFound
            If there is none.
        Aborted
            If its version is not the one asked for.
        """


class Bucket(Source, Protocol):
    """A bucket; it pickles, and a process needs one of each only."""

    def list_directory(
        self, prefix: str = "", start_after: str = ""
    ) -> Iterator[ObjectEntry | str]:
        """Yield the objects of one level, and as keys that end in ``/`` the directories beside.

        Those that begin with ``prefix``, of which the part up to the last slash is the level, and
        that come after ``start_after``, in the order of ``list``.
        """

    def read(self, key: str, version: str | None = None) -> bytes:
        """Give the whole of one object; raises as ``open`` and ``read_at`` do."""

    def writer(self, key: str, *, if_absent: bool = False) -> Writing:
        """Begin an object whose bytes come piece by piece; raises as ``write`` does."""

    def write(self, key: str, pieces: Iterable[bytes], *, if_absent: bool = False) -> ObjectEntry:
        """Write one object, in place of one that has the key; it is durable on return.

        Raises
        ------
        AlreadyExists
            If it was to be written only ``if_absent``, and something had the key when the object
            would have appeared. What it is stays as it is.
        """

    def write_many(
        self,
        items: Iterable[tuple[str, bytes]],
        *,
        if_absent: bool = False,
        alive: Callable[[], None] = ...,
    ) -> Sequence[ObjectEntry]:
        """Write a batch of small objects; all are durable on return.

        ``alive`` is called while a cloud is waited for.
        An error leaves each object whole or absent, some of them written; ``AlreadyExists`` leaves
        those durable that are written.
        """

    def delete(self, key: str) -> bool:
        """Delete one object; False if there is none."""

    def sweep_temporaries(self, prefix: str = "", *, older_than_seconds: float = 3600) -> int:
        """Delete what dead writers left below ``prefix``, and give how many there were."""

    def as_writer(self, name: str, number: int) -> Bucket:
        """Give it for a writer whose unfinished objects are to be known from others'.

        Of writers of one name the one of the highest number is the last.
        """

    def sweep_writers(self, prefix: str, name: str, below: int) -> int:
        """Delete what writers of a name left unfinished below ``prefix``, and give how many.

        Those whose numbers are ``below`` one: what they are at, if they write yet, is lost to them.
        """

    def probe(self, right: Right) -> str:
        """Try what a right is for, leaving no trace, and tell in words what was done.

        Raises
        ------
        FileroomError
            As the same work on objects would.
        """
