"""How far a check goes: which blobs it reads, where it begins, and where it stops."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from fileroom.errors import InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Callable

SUBSETS_MAX: Final = 10_000
_SUBSET: Final = re.compile(r"([0-9]{1,9})/([0-9]{1,9})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Subset:
    """One of some parts of all blobs, which together are everything."""

    number: int
    """From 1 on."""
    of: int

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    def holds(self, key: str) -> bool:
        """Whether the blob of a key, or the object of a URI, is in it: the same in every run."""
        digest = hashlib.sha256(key.encode()).digest()
        return int.from_bytes(digest[:8]) % self.of == self.number - 1


def parse_subset(text: str) -> Subset:
    """Give the subset that is written as in ``2/7``.

    Raises
    ------
    InvalidArgument
        If there is no such part.
    """
    match = _SUBSET.fullmatch(text)
    number, of = map(int, match.groups()) if match else (0, 0)
    if not 1 <= number <= of <= SUBSETS_MAX:
        raise InvalidArgument(
            f"{text!r} is no part of a whole: write n/t, the n-th of t parts, as in 2/7; n from 1"
            f" to t, t to {SUBSETS_MAX}"
        )
    return Subset(number=number, of=of)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """What of a store is compared."""

    deep: bool = False
    """Bytes are read, not only looked for."""
    subset: Subset | None = None
    """What is read then, where that is not everything."""
    after: str = ""
    """The key, or the URI, behind which it begins."""
    is_over: Callable[[str], bool] = lambda _: False
    """Hears up to which key, or URI, all is compared, and says whether to stop there."""

    def reads(self, key: str) -> bool:
        """Whether the bytes of a blob or an object are read."""
        return self.deep and (self.subset is None or self.subset.holds(key))
