"""An archive as a bucket to read from: its members are its objects.

A member's key is ``study.zip!/series/1.dcm``, its version the archive's. A tar.gz, which can only
be read from its start, is inflated once into a temporary file that the processes of a machine
share.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from fileroom.closing import Closing
from fileroom.errors import Aborted, NotFound, ResourceExhausted
from fileroom.objectstore.archives.central_directory import zip_members
from fileroom.objectstore.archives.inflating import GzipStream
from fileroom.objectstore.archives.member import BadArchive
from fileroom.objectstore.archives.naming import MARKER, ArchiveFormat, find_archive_format
from fileroom.objectstore.archives.ranges import RangeReader, ReadAhead
from fileroom.objectstore.archives.tar import tar_members
from fileroom.objectstore.archives.zip_reading import open_zip_member
from fileroom.objectstore.contract import DeadlinePassed, ObjectEntry, Resumable
from fileroom.objectstore.local import LocalObject
from fileroom.objectstore.local.beneath import TEMPORARY_PREFIX
from fileroom.objectstore.local.durable import translating
from fileroom.objectstore.local.reading import entry_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from fileroom.objectstore.archives.member import Member
    from fileroom.objectstore.contract import Source, StoredObject

_PIECE_BYTES: Final = 1 << 20
_MEMBER_AHEAD_BYTES: Final = 256 << 10
_ARCHIVES_KNOWN: Final = 4
ROOM_LEFT_BYTES: Final = 1 << 30
"""Left to others on the disk on which a tar.gz is inflated."""
_NAME_CHARACTERS_MAX: Final = 800
_LOOK_SECONDS: Final = 0.25
_knowing: Final = threading.Lock()
"""So that two who list one archive at a time share it, and what is inflated of it."""


@dataclass(slots=True)
class _Known:
    """What all who read one version of an archive share."""

    members: dict[str, Member] | None = None
    """By key, in key order; None until they were looked up."""
    finding: threading.RLock = field(default_factory=threading.RLock)


def open_archive(
    source: Source, archive_key: str, spool: Path, *, check: Callable[[], None] = lambda: None
) -> ArchiveBucket:
    """Give the archive of this key as it is now; ``spool`` is a directory for what is inflated.

    ``check`` is called several times a second while members are looked up, which may take minutes;
    what it raises ends that.

    Raises
    ------
    NotFound
        If there is none.
    BadArchive
        If its extension is not one of an archive.
    """
    entry = source.find(archive_key)
    if entry is None:
        raise NotFound(f"the archive {archive_key!r} does not exist")
    known: Callable[..., _Known] = _known_archive
    with _knowing:
        return ArchiveBucket(source, entry, spool, known(source, entry, spool), check)


@lru_cache(maxsize=_ARCHIVES_KNOWN)
def _known_archive(source: Source, entry: ObjectEntry, spool: Path) -> _Known:
    del source, entry, spool  # they tell one archive from others
    return _Known()


class ArchiveBucket:
    """The members of one version of an archive."""

    def __init__(
        self,
        source: Source,
        archive: ObjectEntry,
        spool: Path,
        known: _Known,
        check: Callable[[], None],
    ) -> None:
        archive_format = find_archive_format(archive.key)
        if archive_format is None:
            raise BadArchive(f"{archive.key!r} is no .zip, .tar, .tar.gz or .tgz")
        self.archive = archive
        self._source = source
        self._format = archive_format
        self._spool = spool
        self._known = known
        self._check = check
        self._checked = 0.0

    @property
    def at_once(self) -> int:
        """How many members are best read at a time."""
        return 1 if self._format is ArchiveFormat.TAR_GZIP else self._source.at_once

    def list(
        self, prefix: str = "", start_after: str = "", *, deadline: float | None = None
    ) -> Iterator[ObjectEntry]:
        """Yield members in key order; see ``Source.list``.

        Those that cannot be read are yielded too: ``open`` says why.
        """
        if self._format is ArchiveFormat.TAR_GZIP:
            self._open_inflated().close()  # here, and not in a worker that has a minute
        for key, member in self._members(deadline).items():
            if key > start_after and key.startswith(prefix):
                yield ObjectEntry(key=key, size=member.size, version=self.archive.version)

    def find(self, key: str) -> ObjectEntry | None:
        """Give the member of this key, or None."""
        member = self._members().get(key)
        if member is None:
            return None
        return ObjectEntry(key=key, size=member.size, version=self.archive.version)

    def is_directory(self, key: str) -> bool:
        """Whether members lie below this key; an empty one asks whether the archive is there."""
        if not key:
            return self._source.is_directory("")
        below = f"{key.removesuffix('/')}/"
        return any(each.startswith(below) for each in self._members())

    def open(
        self, key: str, version: str | None = None, *, size: int | None = None
    ) -> StoredObject:
        """Open one member; ``size`` is known already.

        Raises
        ------
        NotFound, Aborted
            As ``Source.open`` does; a member changes when its archive does.
        BadArchive
            If it cannot be read.
        """
        del size
        if version not in {None, self.archive.version}:
            raise Aborted(f"the archive {self.archive.key!r} was changed")
        member = self._members().get(key)
        if member is None:
            raise NotFound(f"{key!r} is no member of the archive")
        if member.unusable:
            raise BadArchive(f"member {member.name!r} cannot be read: {member.unusable}")
        if self._format is ArchiveFormat.TAR_GZIP:
            inflated = self._open_inflated()
            return _Member(inflated, RangeReader(inflated, member, member.offset))
        archive = ReadAhead(self._open_archive(), _MEMBER_AHEAD_BYTES)
        if self._format is ArchiveFormat.TAR:
            return _Member(archive, RangeReader(archive, member, member.offset))
        try:
            return _Member(archive, open_zip_member(archive, member))
        except BaseException:
            archive.close()
            raise

    def _open_archive(self) -> StoredObject:
        archive = self.archive
        return self._source.open(archive.key, archive.version, size=archive.size)

    def _members(self, deadline: float | None = None) -> dict[str, Member]:
        """Give all members by key, in key order; they are looked up once."""
        with self._finding():
            if self._known.members is None:
                keyed: dict[str, Member] = {}
                for number, member in enumerate(self._walk()):
                    key = f"{self.archive.key}{MARKER}{_name_of(member)}"
                    if key in keyed:
                        # Of a zip the last counts, as zip_members says of the others.
                        key = f"{key} ({number})"
                    keyed[key] = member
                    if deadline is not None and time.monotonic() > deadline:
                        raise DeadlinePassed
                    self._check_now_and_then()
                self._known.members = dict(sorted(keyed.items()))
            return self._known.members

    @contextmanager
    def _finding(self) -> Iterator[None]:
        """Wait until nobody else looks the members up."""
        while not self._known.finding.acquire(timeout=_LOOK_SECONDS):
            self._check()
        try:
            yield
        finally:
            self._known.finding.release()

    def _check_now_and_then(self) -> None:
        if time.monotonic() - self._checked >= _LOOK_SECONDS:
            self._check()
            self._checked = time.monotonic()

    def _walk(self) -> Iterator[Member]:
        match self._format:
            case ArchiveFormat.ZIP:
                with self._open_archive() as archive:
                    yield from zip_members(archive)
            case ArchiveFormat.TAR:
                with self._open_archive() as archive:
                    for member, _ in tar_members(archive, ArchiveFormat.TAR):
                        yield member
            case ArchiveFormat.TAR_GZIP:
                with self._open_inflated() as inflated:
                    for member, _ in tar_members(inflated, ArchiveFormat.TAR):
                        yield member

    def _open_inflated(self) -> LocalObject:
        """Open the inflated archive, made if another process has not done so."""
        told = f"{self._source!r} {self.archive.key} {self.archive.version}"
        name = f"{TEMPORARY_PREFIX}archive-{hashlib.sha256(told.encode()).hexdigest()[:32]}"
        path = self._spool / name
        try:
            file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        except FileNotFoundError:
            with self._finding():
                if not path.exists():
                    self._inflate(path)
            with translating(name):
                file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        status = os.fstat(file)
        # What nobody opens for an hour is swept; the time of change is of the version.
        os.utime(file, ns=(time.time_ns(), status.st_mtime_ns))
        entry = entry_of(self.archive.key, status)
        return LocalObject(file, entry.key, entry.size, entry.version)

    def _inflate(self, path: Path) -> None:
        draft = path.with_name(f"{path.name}-{os.getpid()}-{threading.get_ident()}")
        try:
            with translating(path.name), draft.open("wb") as file, self._open_archive() as archive:
                stream = GzipStream(archive)
                while piece := stream.read(_PIECE_BYTES):
                    _check_room(path.parent, self.archive.key)
                    self._check_now_and_then()
                    file.write(piece)
            draft.rename(path)
        finally:
            draft.unlink(missing_ok=True)


def _check_room(directory: Path, archive_key: str) -> None:
    if shutil.disk_usage(directory).free < ROOM_LEFT_BYTES:
        raise ResourceExhausted(
            f"no room is left to inflate {archive_key!r} in {directory}: make room, or write it as"
            " .tar or .zip, which are read where they lie"
        )


class _Member(Closing):
    """A member that closes what it lies in."""

    def __init__(self, archive: StoredObject, member: StoredObject) -> None:
        self._archive = archive
        self._member = member
        self.key = member.key
        self.size = member.size
        self.version = member.version

    def read_at(self, offset: int, length: int) -> bytes:
        """Give bytes; see ``StoredObject.read_at``."""
        return self._member.read_at(offset, length)

    def recall(self, offset: int, piece: bytes) -> None:
        """Count bytes into the checksum; one that is inflated checks what it passes over."""
        if isinstance(self._member, Resumable):
            self._member.recall(offset, piece)

    def close(self) -> None:
        """Close both."""
        self._member.close()
        self._archive.close()


def _name_of(member: Member) -> str:
    """Give the name by which a member is told of, also where it can be no object's."""
    if not member.unusable:
        return member.name
    shown = member.name.encode("unicode_escape").decode()[:_NAME_CHARACTERS_MAX]
    return shown or "(no name)"
