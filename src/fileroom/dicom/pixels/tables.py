"""Lookup tables of a header as arrays; no index leaves a table, whatever the samples are.

References
----------
PS3.3 C.11.1.1, C.11.2.1.1 (LUT data), C.7.6.3.1.5 and .6 (palettes), C.7.9.2 (segmented palettes)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

import numpy as np

from fileroom.dicom.pixels.failure import malformed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from fileroom.dicom.pixels.presentation import LookupTable

    Entries = NDArray[np.uint16]

_DISCRETE, _LINEAR, _INDIRECT = range(3)
_INDIRECTIONS_MAX: Final = 1000
_BAND_VALUES: Final = 1 << 20
Given = TypeVar("Given", bound=np.generic)
Looked = TypeVar("Looked", bound=np.generic)


def table_entries(table: LookupTable) -> Entries:
    """Give the entries of a table.

    Raises
    ------
    PixelError
        ``MALFORMED`` if it has fewer than it says.
    """
    words = _numbers(table)
    if table.segmented:
        words = np.fromiter(_expanded(words.tolist(), table), np.uint16)
    if len(words) < table.entries:
        raise malformed("a lookup table has fewer entries than its descriptor says")
    return words[: table.entries]


def looked_up(
    entries: NDArray[np.generic], first: int, values: NDArray[np.generic]
) -> NDArray[np.generic]:
    """Give the entry for each value; those beyond the ends get the first or the last entry."""

    def of_band(band: NDArray[np.generic]) -> NDArray[np.generic]:
        index = np.clip(band.astype(np.int64) - first, 0, len(entries) - 1)
        return entries[index]

    return in_bands(of_band, values, entries.dtype)


def in_bands(
    look_up: Callable[[NDArray[Given]], NDArray[Looked]],
    values: NDArray[Given],
    dtype: np.dtype[Looked],
) -> NDArray[Looked]:
    """Give what a function gives for the values, a million of them at a time.

    An index takes eight bytes for each value: those of a whole slide are more than its pixels.
    """
    found = np.empty(values.shape, dtype)
    rows = max(1, _BAND_VALUES * len(values) // max(1, values.size))
    for start in range(0, len(values), rows):
        found[start : start + rows] = look_up(values[start : start + rows])
    return found


def palette_bytes(table: LookupTable) -> NDArray[np.uint8]:
    """Give the entries of a palette's table in 8 bits."""
    entries = table_entries(table)
    shift = max(0, table.bits - 8)
    narrow: NDArray[np.uint8] = np.minimum(entries >> shift, 255).astype(np.uint8)
    return narrow


def _numbers(table: LookupTable) -> Entries:
    """Give the table's data as numbers: bytes where it has one for each entry, else words."""
    data = table.data
    in_bytes = table.bits <= 8 and (table.segmented or len(data) < 2 * table.entries)
    if in_bytes:
        return np.frombuffer(data, np.uint8).astype(np.uint16)
    return np.frombuffer(data, "<u2", len(data) // 2)


def _expanded(numbers: list[int], table: LookupTable) -> Iterator[int]:
    """Give the entries of a segmented table, at most as many as it says."""
    left = table.entries
    last = 0
    for kind, values in _segments(numbers, table):
        if kind == _DISCRETE:
            segment = values
        else:
            count, end = values
            segment = [round(last + (end - last) * step / count) for step in range(1, count + 1)]
        segment = segment[:left]
        yield from segment
        left -= len(segment)
        if not left:
            return
        last = segment[-1] if segment else last


def _segments(numbers: list[int], table: LookupTable) -> Iterator[tuple[int, list[int]]]:
    """Give discrete and linear segments, indirect ones replaced by what they point at."""
    at = indirections = 0
    unit = 1 if table.bits <= 8 else 2
    while at + 2 < len(numbers):
        kind, count = numbers[at], numbers[at + 1]
        if kind == _INDIRECT:
            indirections += 1
            offset = _offset(numbers[at + 2 : at + (6 if unit == 1 else 4)], unit)
            if indirections > _INDIRECTIONS_MAX or offset % unit or offset // unit >= at:
                raise malformed("a segmented palette points outside what it has given before")
            inner = offset // unit
            for _ in range(count):
                end, segment = _segment(numbers, inner)
                yield segment
                inner = end
            at += 6 if unit == 1 else 4
            continue
        at, segment = _segment(numbers, at)
        yield segment


def _offset(numbers: list[int], unit: int) -> int:
    """Give a byte offset of 32 bits, its least significant part first."""
    return sum(number << (8 * unit * place) for place, number in enumerate(numbers))


def _segment(numbers: list[int], at: int) -> tuple[int, tuple[int, list[int]]]:
    """Give the segment at ``at``, and where the next one starts."""
    header = numbers[at : at + 2]
    if len(header) == 2 and header[0] == _DISCRETE and header[1]:
        end = at + 2 + header[1]
        if end <= len(numbers):
            return end, (_DISCRETE, numbers[at + 2 : end])
    if len(header) == 2 and header[0] == _LINEAR and header[1] and at + 3 <= len(numbers):
        return at + 3, (_LINEAR, [header[1], numbers[at + 2]])
    raise malformed("a segmented palette has a segment of no known kind, or one cut short")
