"""Objects of a cloud, written whole or not at all.

What is written only where nothing has its key is refused when it is sent again after an answer
was lost: its own first attempt has the key then. So what stands there is read, and is ours if it
has the very bytes.
"""

from __future__ import annotations

import hashlib
import logging
from itertools import count
from typing import TYPE_CHECKING, Final, TypeVar

from fileroom.closing import Aborting
from fileroom.crashpoints import crashpoint
from fileroom.errors import Aborted, AlreadyExists, NotFound
from fileroom.objectstore.cloud.faults import Fault, Kind
from fileroom.objectstore.cloud.reading import CloudObject

if TYPE_CHECKING:
    from collections.abc import Callable

    from fileroom.objectstore.cloud.attempts import Attempts
    from fileroom.objectstore.cloud.provider import Provider, Upload
    from fileroom.objectstore.contract import ObjectEntry

ResultT = TypeVar("ResultT")
logger = logging.getLogger(__name__)

FIRST_PIECE_BYTES: Final = 8 << 20
"""A multiple of 256 KiB, which Cloud Storage asks for, and over the 5 MiB that S3 does."""
LARGEST_PIECE_BYTES: Final = 512 << 20
_PIECES_OF_A_SIZE: Final = 1000
"""Pieces double after so many: S3 takes 10,000 of them, which so are 2.4 TiB."""


class CloudWriting(Aborting):
    """One object written piece by piece; it appears whole at ``commit`` or never."""

    def __init__(
        self, provider: Provider, attempts: Attempts, key: str, *, if_absent: bool = False
    ) -> None:
        self._provider = provider
        self._attempts = attempts
        self._key = key
        self._if_absent = if_absent
        self._sha256 = hashlib.sha256()
        self._size = 0
        self._waiting = bytearray()
        self._upload: Upload | None = None
        self._pieces = 0

    def write(self, piece: bytes) -> None:
        """Append bytes."""
        if self._if_absent:
            self._sha256.update(piece)
            self._size += len(piece)
        self._waiting += piece
        while len(self._waiting) > (size := self._piece_bytes()):
            self._send(bytes(memoryview(self._waiting)[:size]))
            del self._waiting[:size]

    def begin(self) -> None:
        """Begin the upload now, and send a byte of it, though it may be small."""
        self._send(b"0")

    def commit(self) -> ObjectEntry:
        """Make the object durable under its key; see ``Bucket.write``."""
        content = bytes(self._waiting)
        if self._upload is None:
            entry = self._appear(
                lambda: self._provider.put(self._key, content, if_absent=self._if_absent)
            )
            crashpoint("object.written")
            return entry
        self._send(content)
        entry = self._appear(self._upload.finish)
        crashpoint("upload.finished")
        self._upload = None
        return entry

    def abort(self) -> None:
        """Throw away what is not committed; a second call does nothing."""
        self._waiting.clear()
        if self._upload is None:
            return
        upload, self._upload = self._upload, None
        try:
            upload.abort()
        except Fault as fault:
            logger.warning("an upload was left behind", extra={"cause": fault.message})

    def _appear(self, ask: Callable[[], ObjectEntry]) -> ObjectEntry:
        """Send the request with which the object appears."""
        attempts = count(0)

        def counted() -> ObjectEntry:
            next(attempts)
            return ask()

        try:
            return self._run(counted)
        except AlreadyExists:
            if next(attempts) > 1 and (entry := self._find_written()) is not None:
                return entry
            raise

    def _find_written(self) -> ObjectEntry | None:
        """Give what has the key, if it has the bytes that were written."""
        sha256 = hashlib.sha256()
        try:
            entry = self._run(lambda: self._provider.find(self._key))
            if entry.size != self._size:
                return None
            with CloudObject(self._provider, self._attempts, entry) as standing:
                for offset in range(0, entry.size, FIRST_PIECE_BYTES):
                    sha256.update(standing.read_at(offset, FIRST_PIECE_BYTES))
        except (NotFound, Aborted):
            return None  # somebody else is at it
        return entry if sha256.digest() == self._sha256.digest() else None

    def _run(self, ask: Callable[[], ResultT]) -> ResultT:
        def told() -> ResultT:
            try:
                return ask()
            except Fault as fault:
                if self._if_absent and fault.kind is Kind.CHANGED:
                    raise Fault(Kind.EXISTS, fault.message) from fault
                raise

        return self._attempts.run(told, f"object {self._key!r}")

    def _piece_bytes(self) -> int:
        doubled = FIRST_PIECE_BYTES << (self._pieces // _PIECES_OF_A_SIZE)
        return min(doubled, LARGEST_PIECE_BYTES)

    def _send(self, piece: bytes) -> None:
        if self._upload is None:
            self._upload = self._run(
                lambda: self._provider.begin(self._key, if_absent=self._if_absent)
            )
            crashpoint("upload.begun")
        upload, number = self._upload, self._pieces
        self._run(lambda: upload.add(number, piece))
        crashpoint("upload.added")
        self._pieces += 1
