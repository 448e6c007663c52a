"""Objects of a cloud, written whole or not at all."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from fileroom.closing import Aborting
from fileroom.crashpoints import crashpoint
from fileroom.objectstore.cloud.faults import Fault

if TYPE_CHECKING:
    from fileroom.objectstore.cloud.attempts import Attempts
    from fileroom.objectstore.cloud.provider import Provider, Upload
    from fileroom.objectstore.contract import ObjectEntry

logger = logging.getLogger(__name__)

FIRST_PIECE_BYTES: Final = 8 << 20
"""A multiple of 256 KiB, which Cloud Storage asks for, and over the 5 MiB that S3 does."""
LARGEST_PIECE_BYTES: Final = 512 << 20
_PIECES_OF_A_SIZE: Final = 1000
"""Pieces double after so many: S3 takes 10,000 of them, which so are 2.4 TiB."""


class CloudWriting(Aborting):
    """One object written piece by piece; it appears whole at ``commit`` or never."""

    def __init__(self, provider: Provider, attempts: Attempts, key: str) -> None:
        self._provider = provider
        self._attempts = attempts
        self._key = key
        self._waiting = bytearray()
        self._upload: Upload | None = None
        self._pieces = 0

    def write(self, piece: bytes) -> None:
        """Append bytes."""
        self._waiting += piece
        while len(self._waiting) > (size := self._piece_bytes()):
            self._send(bytes(memoryview(self._waiting)[:size]))
            del self._waiting[:size]

    def begin(self) -> None:
        """Begin the upload now, and send a byte of it, though it may be small."""
        self._send(b"0")

    def commit(self) -> ObjectEntry:
        """Make the object durable under its key, in place of one that had it."""
        content = bytes(self._waiting)
        if self._upload is None:
            entry = self._attempts.run(
                lambda: self._provider.put(self._key, content), f"object {self._key!r}"
            )
            crashpoint("object.written")
            return entry
        self._send(content)
        entry = self._attempts.run(self._upload.finish, f"object {self._key!r}")
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

    def _piece_bytes(self) -> int:
        doubled = FIRST_PIECE_BYTES << (self._pieces // _PIECES_OF_A_SIZE)
        return min(doubled, LARGEST_PIECE_BYTES)

    def _send(self, piece: bytes) -> None:
        what = f"object {self._key!r}"
        if self._upload is None:
            self._upload = self._attempts.run(lambda: self._provider.begin(self._key), what)
            crashpoint("upload.begun")
        upload, number = self._upload, self._pieces
        self._attempts.run(lambda: upload.add(number, piece), what)
        crashpoint("upload.added")
        self._pieces += 1
