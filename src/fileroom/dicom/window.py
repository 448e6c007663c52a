"""The part of an object that is held while it is walked, and what is kept of it."""

from __future__ import annotations

import re
import struct
from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fileroom.dicom.encoding import EXPLICIT_LITTLE, ITEM, KEPT_VALUE_BYTES
from fileroom.dicom.header import Cut, Fragments
from fileroom.dicom.refusal import Refused
from fileroom.errors import Reason

if TYPE_CHECKING:
    from fileroom.dicom.header import ByteSource

UNKNOWN_SIZE = 1 << 62
"""Size of a source whose end is known only once it is met."""
_MARGIN_BYTES = KEPT_VALUE_BYTES + 32
"""A kept value with the headers around it never reaches further than this."""
_CUT_COST_BYTES = 64
_PADDING_BYTES_MAX = 16 << 20
_NOT_ZERO = re.compile(rb"[^\0]")
_DELIMITER = struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
"""Ends encapsulated pixel data, which are little endian always (PS3.5 A.4)."""
_ITEM_DELIMITER = struct.pack("<HHI", 0xFFFE, 0xE00D, 0)
"""Stands before the other where a sequence ends, such as the signatures after pixel data."""
_STRAY_DELIMITERS = frozenset(
    struct.pack(order + "HHI", 0xFFFE, element, 0) for order in "<>" for element in (0xE00D, 0xE0DD)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one object may cost.

    There is no bound on elements and items by number: each is kept and has at least 8 bytes, so
    that ``kept_bytes`` holds them to 8.4 million.
    """

    nesting: int = 64
    """Sequences within one another."""
    fragments: int = 20_000_000
    """Fragments of encapsulated pixel data, whose headers are read and not kept."""
    kept_bytes: int = 64 << 20
    """Skeleton, and 64 bytes for each cut: what one takes in memory."""
    inflated_bytes: int = 4 << 30
    """A deflated data set once inflated: more costs only time, but that without end."""
    inflated_bytes_always: int = 256 << 20
    """So far whatever the size of the object, and ``inflated_ratio`` times its size beyond."""
    inflated_ratio: int = 100
    first_window_bytes: int = 256 << 10
    window_bytes: int = 4 << 20
    """How much of the object is held at a time."""
    fragment_window_bytes: int = 4 << 10
    """How much is read at a time where fragments longer than this are passed over."""

    def inflated_bytes_max(self, size: int) -> int:
        """Give how far the deflated data set of an object of that size is inflated."""
        return min(self.inflated_bytes, self.inflated_bytes_always + self.inflated_ratio * size)

    def __post_init__(self) -> None:
        assert min(self.first_window_bytes, self.window_bytes) > _MARGIN_BYTES


class Window:
    """A stretch of the object; every position counts from the object's start.

    Attributes
    ----------
    buffer, base
        What is held, and the position of its first byte.
    end
        Up to here elements may start: what is kept of them is then held whole.
    size
        Of the object; comes down from ``UNKNOWN_SIZE`` when the end is met.
    """

    __slots__ = ("_kept", "_kept_from", "_limits", "_next_bytes", "_source", "base", "buffer",
                 "cuts", "end", "size")  # fmt: skip

    def __init__(self, source: bytes | ByteSource, limits: Limits) -> None:
        self._limits = limits
        self._kept = bytearray()
        self.cuts: list[Cut] = []
        self._open(source)

    def _open(self, source: bytes | ByteSource) -> None:
        self.base = self._kept_from = 0
        self._next_bytes = self._limits.first_window_bytes
        if isinstance(source, bytes):
            self._source = None
            self.buffer = source
            self.size = len(source)
            self.end = min(self.size, self._limits.window_bytes)
        else:
            self._source = source
            self.buffer = b""
            self.size = source.size
            self.end = 0

    def switch(self, position: int, source: ByteSource) -> None:
        """Keep up to ``position``, then go on at the start of another source."""
        self.keep_to(position)
        self._open(source)

    def start(self, position: int) -> None:
        """Keep nothing before ``position``."""
        self._kept_from = position

    def hold(self, position: int) -> int:
        """Hold what follows ``position``; give its index in the buffer."""
        if position >= self.end < self.size:
            self.load(position)
        return position - self.base

    def load(self, position: int) -> None:
        """Keep up to ``position`` and hold the stretch from there."""
        self.keep_to(position)
        if self._source is None:
            # Bytes are walked in stretches too, so that what is kept is checked on the way.
            self.end = min(position + self._limits.window_bytes, self.size)
            return
        self._read(position, self._next_bytes)
        self._next_bytes = min(self._next_bytes * 4, self._limits.window_bytes)
        held_end = self.base + len(self.buffer)
        self.end = held_end if held_end >= self.size else held_end - _MARGIN_BYTES

    def _read(self, position: int, length: int) -> None:
        """Hold ``length`` bytes from ``position``; those held already are not read again."""
        assert self._source is not None
        length = min(length, self.size - position)
        held = self.buffer[position - self.base :] if position >= self.base else b""
        self.base = position
        self.buffer = held
        if len(held) >= length:
            return
        self.buffer += self._source.read_at(position + len(held), length - len(held))
        if len(self.buffer) < length:
            # An inflated stream has ended, and knows its size now.
            self.size = self._source.size
            held_end = position + len(self.buffer)
            if held_end < self.size:
                raise Refused(
                    f"the object is over after {held_end} of its {self.size} bytes",
                    Reason.TRUNCATED,
                    None,
                    held_end,
                )

    def fragment_header(self, position: int, passed_bytes: int) -> int:
        """Hold the eight bytes at ``position`` and little more after a long fragment.

        Everything before is either kept already or will be cut. Gives the index in the buffer.
        """
        if position + 8 > self.base + len(self.buffer) and self._source is not None:
            few = self._limits.fragment_window_bytes
            self._read(position, few if passed_bytes > few else self._limits.window_bytes)
            self.end = position
        return position - self.base

    def pass_fragments(self, position: int) -> Fragments | None:
        """Cut out the fragments at ``position`` unread; the delimiter after them is kept.

        Only the header of the first is looked at, and whether the object ends with the delimiter:
        None if it does not, since then only a walk tells where the fragments end.
        """
        self.keep_to(position)
        at = self.fragment_header(position, 0)
        first = self.buffer[at : at + 8]
        end = self.size - len(_DELIMITER)
        last = self._last(len(_ITEM_DELIMITER + _DELIMITER))
        if len(first) < 8 or not last.endswith(_DELIMITER) or last.startswith(_ITEM_DELIMITER):
            return None
        group, element, length = EXPLICIT_LITTLE.unpack_item(first, 0)
        if group << 16 | element != ITEM or position + 8 + length > end:
            return None
        self.cut(position, end - position)
        self.fragment_header(end, length)
        return Fragments(position, array("I", [length]), end=end)

    def _last(self, length: int) -> bytes:
        if self._source is None:
            return self.buffer[-length:]
        return self._source.read_at(self.size - length, length)

    def keep_to(self, position: int) -> None:
        """Take over what is not yet kept, up to ``position``, which is held."""
        if position > self._kept_from:
            self._kept += self.buffer[self._kept_from - self.base : position - self.base]
            self._kept_from = position
        if len(self._kept) + _CUT_COST_BYTES * len(self.cuts) > self._limits.kept_bytes:
            raise Refused(
                f"the header is larger than {self._limits.kept_bytes} bytes even without its "
                "large values",
                Reason.HEADER_LIMIT,
                None,
                position,
            )

    def cut(self, position: int, length: int) -> None:
        """Leave out the value at ``position``, up to which all is kept now."""
        self.keep_to(position)
        self.cuts.append(Cut(len(self._kept), position, length))
        self._kept_from = position + length

    def only_padding_from(self, position: int) -> bool:
        """Tell whether nothing but padding follows; if so, the object ends there.

        Padding is NUL bytes, as media of fixed blocks leave them, and stray delimiters, which
        some writers put after the last element.
        """
        self.keep_to(position)
        at = position - self.base
        while self.buffer[at : at + 8] in _STRAY_DELIMITERS:
            at += 8
        last = self.base + at + _PADDING_BYTES_MAX
        while not _NOT_ZERO.search(self.buffer, at):
            held_end = self.base + len(self.buffer)
            if held_end >= self.size:
                self.size = self.end = position
                return True
            if held_end > last:
                break
            self._read(held_end, self._limits.window_bytes)
            at = 0
        return False

    def skeleton(self) -> bytes:
        """Give what was kept."""
        return bytes(self._kept)
