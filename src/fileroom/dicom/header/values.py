"""What a header is made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from array import array


class ByteSource(Protocol):
    """Bytes of known size that can be read anywhere."""

    @property
    def size(self) -> int:
        """Number of bytes."""

    def read_at(self, offset: int, length: int) -> bytes:
        """Read; short only at the end."""


@dataclass(frozen=True, slots=True)
class Cut:
    """A value that is not in the skeleton."""

    position: int
    """Where it belongs in the skeleton."""
    offset: int
    """Where it is in the file; in the inflated stream of a deflated data set."""
    length: int


@dataclass(frozen=True, slots=True)
class Fragments:
    """The items of encapsulated pixel data, as a walk over their headers finds them."""

    offset: int
    """Where the header of the first one is, counted as in a cut."""
    lengths: array[int]
    """Of every item; the first holds the basic offset table."""
    extended_offsets: bytes | Cut = b""
    """The value of Extended Offset Table, or where it is."""
    end: int | None = None
    """Where the last one ends, if only the first was looked at and ``lengths`` has no other."""


@dataclass(frozen=True, slots=True)
class Header:
    """File meta information and data set of one instance, without large values."""

    transfer_syntax_uid: str
    skeleton: bytes
    cuts: tuple[Cut, ...]
    in_order: bool = True
    """Whether the groups of the top level rise, as PS3.5 7.1 demands of all tags."""


class Element(NamedTuple):
    """One data element; a tuple, since a header has hundreds and each is made anew."""

    tag: int
    vr: str
    """As written; from the dictionary in implicit VR, ``UN`` if unknown there."""
    value: bytes
    """As encoded, padding included; empty if cut, or a sequence."""
    length: int
    """Bytes of the value in the file, whatever is cut out of it."""
    cut: Cut | None = None
    items: tuple[tuple[Element, ...], ...] | None = None
    """Of a sequence."""
