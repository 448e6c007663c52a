"""Objects of a cloud, read at one version and checked."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from fileroom.closing import Closing
from fileroom.errors import DataLoss
from fileroom.objectstore.cloud.checksums import Crc32c
from fileroom.objectstore.cloud.faults import Fault, Kind

if TYPE_CHECKING:
    from fileroom.objectstore.cloud.attempts import Attempts
    from fileroom.objectstore.cloud.provider import Content, Provider
    from fileroom.objectstore.contract import ObjectEntry

_READS: Final = 2
"""Of bytes that differ from their checksum: the second shows where they were changed."""


class CloudObject(Closing):
    """One version of an object in a cloud.

    Bytes are checked when all of them are read, at once or piece by piece from the first on; a
    range alone has no checksum.
    """

    def __init__(self, provider: Provider, attempts: Attempts, entry: ObjectEntry) -> None:
        self._provider = provider
        self._attempts = attempts
        self._sums = _Sums()
        self.key = entry.key
        self.size = entry.size
        self.version = entry.version

    def read_at(self, offset: int, length: int) -> bytes:
        """Give bytes; see ``StoredObject.read_at``."""
        wanted = max(0, min(length, self.size - offset))
        if not wanted:
            return b""
        if wanted == self.size:
            return self._read_whole()
        content = self._get(offset, wanted)
        self._sums.take(offset, content)
        if self._sums.position == self.size and not self._sums.agree(content):
            raise self._damaged()
        return content.data

    def recall(self, offset: int, piece: bytes) -> None:
        """Count bytes into the checksum; see ``Resumable``."""
        self._sums.recall(offset, piece)

    def close(self) -> None:
        """Hold nothing: each read is a request of its own."""

    def _read_whole(self) -> bytes:
        for _ in range(_READS):
            content = self._get(0, self.size)
            sums = _Sums()
            sums.take(0, content)
            if sums.agree(content):
                return content.data
        raise self._damaged()

    def _get(self, offset: int, length: int) -> Content:
        def ask() -> Content:
            content = self._provider.get(
                self.key, self.version, offset=offset, length=length, whole=length == self.size
            )
            if len(content.data) != length:
                message = f"{len(content.data)} bytes came, {length} were asked for"
                raise Fault(Kind.PASSING, message)
            return content

        return self._attempts.run(ask, f"object {self.key!r}")

    def _damaged(self) -> DataLoss:
        return DataLoss(
            f"the bytes of object {self.key!r} differ from its checksum, read {_READS} times; "
            "they were changed on the way or where they lie: compare it with its source"
        )


class _Sums:
    """Checksums of the bytes from the first on, as far as they were read in order."""

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self.position = 0
        self._crc32c = Crc32c()
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._needs_md5 = True

    def take(self, offset: int, content: Content) -> None:
        """Take the next bytes; the first begin the check, those of another place end it."""
        if not self._follows(offset):
            return
        self.position += len(content.data)
        # MD5 takes 1.5 ms for each MB, CRC-32C 0.04: the slow one only where there is no other.
        self._needs_md5 = self._needs_md5 and content.crc32c is None and content.md5 is not None
        if content.crc32c is not None:
            self._crc32c.update(content.data)
        elif self._needs_md5:
            self._md5.update(content.data)

    def recall(self, offset: int, piece: bytes) -> None:
        """Take the next bytes, of which it is not known yet by which checksum they are checked."""
        if not self._follows(offset):
            return
        self.position += len(piece)
        self._crc32c.update(piece)
        self._md5.update(piece)

    def _follows(self, offset: int) -> bool:
        """Whether bytes of this place are the next: a header may have been read before them."""
        if offset == 0 and self.position:
            self._begin()
        if offset != self.position:
            self.position = -1
        return offset == self.position

    def agree(self, content: Content) -> bool:
        """Whether the bytes are those of the checksum that came with the last of them."""
        if content.crc32c is not None:
            return self._crc32c.digest() == content.crc32c
        return not self._needs_md5 or self._md5.digest() == content.md5
