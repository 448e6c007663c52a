"""Metadata of whole series in files, one a series; any of them may be deleted at any time.

::

    cache/<store id>/<series id>-<changed_seq>-<format>
    cache/tmp-<token>                                       what is being written

    magic, key | length, block | length, block | … | blocks, CRC-32, magic

A file counts only for the very version of a series that its name and its head tell, and only if
its checksum holds: it is named without being synced, so a crash may leave anything in it.
"""

from __future__ import annotations

import logging
import os
import secrets
import struct
import threading
from collections import OrderedDict
from contextlib import suppress
from typing import TYPE_CHECKING, BinaryIO, Final, NamedTuple
from zlib import crc32

from fileroom.archive.metadata.slices import METADATA_FORMAT
from fileroom.closing import Aborting, Closing
from fileroom.errors import DataLoss

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from fileroom.database.values.stored import SeriesVersion

logger = logging.getLogger(__name__)

FILES_MAX: Final = 1 << 16
"""Each file takes a little memory of the server, however few bytes it has."""
_SHARE: Final = 4
"""No series takes more than one part in so many of the whole."""
_BLOCK_BYTES: Final = 4096
"""A file takes whole blocks of the disk."""
_READ_BYTES: Final = 1 << 20
_HEAD: Final = struct.Struct("<8sQQQI")
_LENGTH: Final = struct.Struct("<I")
_END: Final = struct.Struct("<II8s")
_MAGIC: Final = b"FRMETA\x00\x01"
_TEMPORARY: Final = "tmp-"


class _Entry(NamedTuple):
    changed_seq: int
    size: int


_Key = tuple[int, int]
"""Store and series."""


class MetadataCache:
    """The files of a directory, at most ``size_bytes``, those not used for longest going first."""

    def __init__(self, directory: Path, size_bytes: int) -> None:
        self.size_bytes = size_bytes
        self._directory = directory
        self._lock = threading.Lock()
        self._entries: OrderedDict[_Key, _Entry] | None = None
        self._total = 0

    def open(self, version: SeriesVersion) -> CachedSeries | None:
        """Open what is kept of this version of a series; it must be closed."""
        with self._lock:
            entry = self._known().get(_key(version))
            if entry is None or entry.changed_seq != version.changed_seq:
                return None
            self._known().move_to_end(_key(version))
        path = self._path(_key(version), version.changed_seq)
        try:
            file = path.open("rb")
        except OSError:
            file = None
        if file is not None:
            if _is_whole(file, version):
                with suppress(OSError):
                    os.utime(path)  # so that the order outlives the server
                return CachedSeries(file)
            file.close()
        with self._lock:
            self._drop(_key(version), version.changed_seq)
        return None

    def has(self, version: SeriesVersion) -> bool:
        """Tell whether this version of a series is kept, as far as one knows without a look."""
        with self._lock:
            entry = self._known().get(_key(version))
        return entry is not None and entry.changed_seq == version.changed_seq

    def begin(self, version: SeriesVersion) -> CacheWriter:
        """Begin to keep a version of a series."""
        return CacheWriter(self, version)

    def forget_series(self, store_id: int, series_id: int) -> None:
        """Delete what is kept of a series whose rows are gone."""
        with self._lock:
            self._drop((store_id, series_id))

    def forget_store(self, store_id: int) -> None:
        """Delete what is kept of a DICOM store that is gone."""
        with self._lock:
            for key in [key for key in self._known() if key[0] == store_id]:
                self._drop(key)
            with suppress(OSError):
                (self._directory / str(store_id)).rmdir()

    def kept(self) -> Sequence[tuple[int, int, int]]:
        """Give store, series and version of all that is kept."""
        with self._lock:
            return [(*key, entry.changed_seq) for key, entry in self._known().items()]

    def temporary(self) -> Path:
        """Give a new name for a file that is being written."""
        with self._lock:
            self._known()  # the files of an earlier server go before there are any of this one
        with suppress(OSError):  # which whoever opens the file meets too
            self._directory.mkdir(mode=0o700, exist_ok=True)
        return self._directory / f"{_TEMPORARY}{secrets.token_hex(8)}"

    def most_bytes(self) -> int:
        """Give what one file may take."""
        return self.size_bytes // _SHARE

    def keep(self, temporary: Path, version: SeriesVersion, is_current: Callable[[], bool]) -> None:
        """Give a written file its name, unless the series has changed since.

        It is asked under the lock: rows are deleted before ``forget_series`` is called, so a file
        is either not named any more or still deleted.
        """
        size = _taken(temporary.stat().st_size)
        with self._lock:
            known = self._known().get(_key(version))
            newer = known is not None and known.changed_seq >= version.changed_seq
            if newer or not is_current():
                temporary.unlink()
                return
            path = self._path(_key(version), version.changed_seq)
            path.parent.mkdir(mode=0o700, exist_ok=True)
            temporary.rename(path)
            self._drop(_key(version))
            self._known()[_key(version)] = _Entry(version.changed_seq, size)
            self._total += size
            self._make_room()

    def _make_room(self) -> None:
        entries = self._known()
        while entries and (self._total > self.size_bytes or len(entries) > FILES_MAX):
            self._drop(next(iter(entries)))

    def _drop(self, key: _Key, changed_seq: int | None = None) -> None:
        entry = self._known().get(key)
        if entry is None or changed_seq not in {None, entry.changed_seq}:
            return
        del self._known()[key]
        self._total -= entry.size
        with suppress(FileNotFoundError):
            self._path(key, entry.changed_seq).unlink()

    def _path(self, key: _Key, changed_seq: int) -> Path:
        return self._directory / str(key[0]) / f"{key[1]}-{changed_seq}-{METADATA_FORMAT}"

    def _known(self) -> OrderedDict[_Key, _Entry]:
        """Give what is kept, those used last at the end; looked up when first asked for."""
        if self._entries is None:
            found = sorted(_scan(self._directory))
            self._entries = OrderedDict()
            for _, key, entry in found:
                self._drop(key)
                self._entries[key] = entry
                self._total += entry.size
            self._make_room()
        return self._entries


class CacheWriter(Aborting):
    """A file of the cache that is being written; a disk that does not take it is no error."""

    def __init__(self, cache: MetadataCache, version: SeriesVersion) -> None:
        self._cache = cache
        self._version = version
        self._path = cache.temporary()
        self._file: BinaryIO | None = None
        self._count = self._crc = self._size = 0
        try:
            self._file = open(self._path, "xb", opener=_open_private)  # noqa: SIM115 - by commit
        except OSError as error:
            _warn(error)
        self._write(_head(version))

    def add(self, block: bytes) -> None:
        """Append a block; beyond the size of one file all of it is given up."""
        self._count += 1
        self._write(_LENGTH.pack(len(block)))
        self._write(block)

    def commit(self, is_current: Callable[[], bool]) -> None:
        """Name the file; raises what ``is_current`` raises."""
        self._write(_END.pack(self._count, self._crc, _MAGIC))
        if self._file is None:
            return
        try:
            self._file.close()
            self._cache.keep(self._path, self._version, is_current)
        except OSError as error:
            _warn(error)
        else:
            self._file = None

    def abort(self) -> None:
        """Delete the file if it has not been named."""
        if self._file is not None:
            with suppress(OSError):
                self._file.close()
            with suppress(OSError):
                self._path.unlink()
            self._file = None

    def _write(self, data: bytes) -> None:
        if self._file is None:
            return
        self._size += len(data)
        self._crc = crc32(data, self._crc)
        if self._size > self._cache.most_bytes():
            self.abort()
            return
        try:
            self._file.write(data)
        except OSError as error:
            _warn(error)
            self.abort()


class CachedSeries(Closing):
    """The metadata of one series, open to be read."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def blocks(self) -> Iterator[bytes]:
        """Give the blocks.

        Raises
        ------
        DataLoss
            If the disk does not give any more what it gave just before.
        """
        self._file.seek(-_END.size, os.SEEK_END)
        count, _, _ = _END.unpack(self._read(_END.size))
        self._file.seek(_HEAD.size)
        for _ in range(count):
            (length,) = _LENGTH.unpack(self._read(_LENGTH.size))
            yield self._read(length)

    def _read(self, length: int) -> bytes:
        try:
            data = self._file.read(length)
        except OSError as error:
            raise DataLoss(f"kept metadata cannot be read: {error.strerror}", "cache") from error
        if len(data) < length:
            raise DataLoss("kept metadata were cut off while they were read", "cache")
        return data

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        self._file.close()


def _key(version: SeriesVersion) -> _Key:
    return version.store_id, version.series_id


def _head(version: SeriesVersion) -> bytes:
    return _HEAD.pack(
        _MAGIC, version.store_id, version.series_id, version.changed_seq, METADATA_FORMAT
    )


def _is_whole(file: BinaryIO, version: SeriesVersion) -> bool:
    """Tell whether a file is what its name says; damage shows before anything of it is sent."""
    try:
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        if size < _HEAD.size + _END.size or file.read(_HEAD.size) != _head(version):
            return False
        crc, left = crc32(_head(version)), size - _HEAD.size - _END.size
        while left:
            data = file.read(min(left, _READ_BYTES))
            if not data:
                return False
            crc, left = crc32(data, crc), left - len(data)
        _, expected, magic = _END.unpack(file.read(_END.size))
    except (OSError, struct.error):
        return False
    return (expected, magic) == (crc, _MAGIC)


def _scan(directory: Path) -> Iterator[tuple[int, _Key, _Entry]]:
    """Give what lies in the cache with the time of its last use; delete what is of no use."""
    for place in directory.iterdir() if directory.is_dir() else ():
        if place.name.startswith(_TEMPORARY):
            place.unlink()
        if not place.name.isdecimal() or not place.is_dir():
            continue
        for file in place.iterdir():
            parts = file.name.split("-")
            if len(parts) != 3 or not all(map(str.isdecimal, parts)):
                continue
            if int(parts[2]) != METADATA_FORMAT:
                file.unlink()
                continue
            status = file.stat()
            entry = _Entry(int(parts[1]), _taken(status.st_size))
            yield status.st_mtime_ns, (int(place.name), int(parts[0])), entry


def _taken(size: int) -> int:
    return -(-size // _BLOCK_BYTES) * _BLOCK_BYTES


def _open_private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _warn(error: OSError) -> None:
    logger.warning("metadata are not kept", extra={"cause": error.strerror})
