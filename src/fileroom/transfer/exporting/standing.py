"""What lies at an export's destination already, and what becomes of it."""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING, Final

from fileroom.transfer.executors import begin_item

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from fileroom.objectstore.contract import Bucket, ObjectEntry
    from fileroom.transfer.options import IfExists

    Pieces = Callable[[], Iterable[bytes]]

CLOCKS_MICROSECONDS: Final = 60_000_000
"""How far the clock of a bucket may be behind ours."""


class Verdict(Enum):
    """What becomes of a file that is to be written."""

    WRITE = auto()
    UNCHANGED = auto()
    """It lies there already, the very same."""
    WRITTEN = auto()
    """This very export has written it, before a crash or an error."""
    TAKEN = auto()
    """Another object has its name, and keeps it."""


class Standing:
    """Tells of each file of an export whether it is to be written.

    What is there is read whole before it counts as the same: no checksum is trusted for it.
    """

    def __init__(self, bucket: Bucket, if_exists: IfExists, begun_at: int) -> None:
        """Take when the export was asked for, in microseconds since 1970."""
        self._bucket = bucket
        self._if_exists = if_exists
        self._begun_at = begun_at

    @property
    def if_absent(self) -> bool:
        """Whether a file is written only where nothing has its name since it was judged."""
        return self._if_exists == "FAIL"

    def judge(self, key: str, size: int, pieces: Pieces) -> Verdict:
        """Judge a file of ``size`` bytes, which ``pieces`` gives; raises as the bucket does."""
        if self._if_exists in {"", "OVERWRITE"}:
            return Verdict.WRITE
        entry = self._bucket.find(key)
        if entry is None:
            return Verdict.WRITE
        is_same = entry.size == size and self._is_same(entry, pieces)
        if self._if_exists == "SKIP_IDENTICAL":
            return Verdict.UNCHANGED if is_same else Verdict.WRITE
        changed = entry.changed or 0
        is_ours = is_same and changed >= self._begun_at - CLOCKS_MICROSECONDS
        return Verdict.WRITTEN if is_ours else Verdict.TAKEN

    def is_written(self, key: str, size: int, pieces: Pieces) -> bool:
        """Whether this very export has written a file, as far as ``judge`` can tell."""
        return self.judge(key, size, pieces) is Verdict.WRITTEN

    def _is_same(self, entry: ObjectEntry, pieces: Pieces) -> bool:
        offset = 0
        with self._bucket.open(entry.key, entry.version, size=entry.size) as standing:
            for piece in pieces():
                begin_item(None)  # the limits of time hold for each piece
                if standing.read_at(offset, len(piece)) != piece:
                    return False
                offset += len(piece)
        return offset == entry.size
