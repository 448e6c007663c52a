"""How far a check has come that may take no longer than it is given.

It goes through the blobs of a store, then through its references, then to the next store. Where
its time is over, the place is noted in a small file, and the next check of the same kind goes on
there. One that comes to its end forgets it.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import msgspec

from fileroom.database.collection import StoreArea
from fileroom.errors import NotFound, Unavailable
from fileroom.objectstore.local import LocalBucket

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

POSITION_FILE: Final = "check-positions.json"

Stretch = tuple[StoreArea, bool]
"""The blobs of a store, or its references."""


class Position(msgspec.Struct, frozen=True, kw_only=True):
    """Up to where all was compared."""

    store_id: int
    blob_prefix: str
    references: bool
    after: str
    """The key of the last blob, or the URI of the last object; empty where none was yet."""


class Course:
    """The way of one check, from where the last of its kind stopped."""

    def __init__(self, directory: Path, kind: str, *, seconds: float | None) -> None:
        self._bucket = LocalBucket(directory)
        self._kind = kind
        self._is_bounded = seconds is not None
        self._deadline = None if seconds is None else time.monotonic() + seconds
        self._positions = _read_positions(self._bucket)
        self.stopped: Position | None = None
        """Where its time was over; None where it came to its end, or has not yet."""
        self.blobs = 0
        """How many were compared."""
        self.references = 0
        """How many objects outside were."""

    def stretches(self, areas: Sequence[StoreArea]) -> Iterator[tuple[Stretch, str]]:
        """Give what is to be gone through, each with the key behind which to begin.

        At least one stretch is begun, and of it at least one blob compared, so that checks of the
        shortest time come to the end as well.
        """
        all_of_them = [(area, references) for area in areas for references in (False, True)]
        begin = self._positions.get(self._kind) if self._is_bounded else None
        first, after = _find(all_of_them, begin)
        for number, (area, references) in enumerate(all_of_them[first:]):
            if number and self.stopped is None and self._is_late():
                self._stop(area, references, "")
            if self.stopped is not None:
                return
            yield (area, references), after if number == 0 else ""

    def pace(self, area: StoreArea, *, references: bool) -> Callable[[str], bool]:
        """Give what hears up to which key all is compared, and says whether to stop there."""

        def is_over(key: str) -> bool:
            if references:
                self.references += 1
            else:
                self.blobs += 1
            if self._is_late():
                self._stop(area, references, key)
            return self.stopped is not None

        return is_over

    def settle(self) -> None:
        """Note where it stopped, or forget where another of its kind did; durable on return."""
        positions = {kind: each for kind, each in self._positions.items() if kind != self._kind}
        if self.stopped is not None:
            positions[self._kind] = self.stopped
        if positions == self._positions:
            return
        if positions:
            self._bucket.write(POSITION_FILE, [msgspec.json.encode(positions)])
        else:
            self._bucket.delete(POSITION_FILE)

    def _is_late(self) -> bool:
        return self._deadline is not None and time.monotonic() >= self._deadline

    def _stop(self, area: StoreArea, references: bool, after: str) -> None:
        self.stopped = Position(
            store_id=area.id, blob_prefix=area.blob_prefix, references=references, after=after
        )


def _find(stretches: Sequence[Stretch], begin: Position | None) -> tuple[int, str]:
    """Give where to begin: the number of the stretch, and the key in it.

    Of a store that is gone it is the next one. A store of another name under its number is one of
    another database: then it is the beginning.
    """
    if begin is None:
        return 0, ""
    for number, (area, references) in enumerate(stretches):
        if area.id == begin.store_id and area.blob_prefix != begin.blob_prefix:
            return 0, ""
        if area.id == begin.store_id and references == begin.references:
            return number, begin.after
        if area.id > begin.store_id:
            return number, ""
    return 0, ""


def _read_positions(bucket: LocalBucket) -> dict[str, Position]:
    """Give by kind of check where each stopped; what cannot be read is a beginning."""
    try:
        with bucket.open(POSITION_FILE) as file:
            return msgspec.json.decode(file.read_at(0, file.size), type=dict[str, Position])
    except (NotFound, Unavailable, msgspec.MsgspecError):  # of a directory that is not there
        return {}
