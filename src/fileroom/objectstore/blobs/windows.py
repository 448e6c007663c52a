"""Runs of packs held in memory, for whoever reads one extent after the other.

A series lies in its pack much as it is read, and a request to a cloud takes as long as some
megabytes do: so the second extent in a row brings those behind it along.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from fileroom.objectstore.contract import StoredObject

WINDOW_BYTES: Final = 4 << 20
WINDOWS_MAX: Final = 8
GAP_BYTES: Final = 1 << 20
"""How much may be passed over from one extent to the next."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Window:
    version: str
    offset: int
    data: bytes


class Windows:
    """The windows of one process; readers in several threads share them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: OrderedDict[str, _Window] = OrderedDict()
        self._ends: OrderedDict[str, int] = OrderedDict()
        """Where the last extent ended that was asked for, of some packs."""
        self._drawing: dict[str, threading.Lock] = {}

    def read(self, pack: StoredObject, offset: int, length: int) -> bytes:
        """Give bytes of a pack; raises as its ``read_at`` does."""
        with self._lock:
            found = self._find(pack, offset, length)
            if found is not None:
                return found
            behind = self._ends.pop(pack.key, None)
            self._ends[pack.key] = offset + length
            if len(self._ends) > WINDOWS_MAX:
                self._ends.popitem(last=False)
            in_a_row = behind is not None and 0 <= offset - behind < GAP_BYTES
            drawing = self._drawing.setdefault(pack.key, threading.Lock()) if in_a_row else None
        if drawing is None or length >= WINDOW_BYTES:
            return pack.read_at(offset, length)
        with drawing:  # who wants what is drawn just now waits for it
            return self._draw(pack, offset, length)

    def forget(self, key: str) -> None:
        """Hold nothing of a pack any more, of which something is erased."""
        with self._lock:
            self._held.pop(key, None)
            self._drawing.pop(key, None)

    def _draw(self, pack: StoredObject, offset: int, length: int) -> bytes:
        with self._lock:
            found = self._find(pack, offset, length)
        if found is not None:
            return found
        data = pack.read_at(offset, WINDOW_BYTES)
        with self._lock:
            self._held[pack.key] = _Window(version=pack.version, offset=offset, data=data)
            self._held.move_to_end(pack.key)
            if len(self._held) > WINDOWS_MAX:
                oldest, _ = self._held.popitem(last=False)
                self._drawing.pop(oldest, None)
        return data[:length]

    def _find(self, pack: StoredObject, offset: int, length: int) -> bytes | None:
        window = self._held.get(pack.key)
        if window is None or window.version != pack.version:
            return None
        start = offset - window.offset
        if start < 0 or start + length > len(window.data):
            return None
        self._ends[pack.key] = offset + length
        return window.data[start : start + length]
