"""What holds something open or unfinished, and ends with a ``with``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType


class Closing(ABC):
    """Closed at the end of a ``with``, however it ends."""

    __slots__ = ()

    @abstractmethod
    def close(self) -> None:
        """Give back what is held; a second call does nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class Aborting(Closing):
    """Thrown away at the end of a ``with``, unless it was committed before."""

    __slots__ = ()

    @abstractmethod
    def abort(self) -> None:
        """Throw away what is not committed; a second call does nothing."""

    def close(self) -> None:
        """Abort."""
        self.abort()


def close_pieces(pieces: Iterable[object]) -> None:
    """Free what pieces that nobody will draw hold, such as an open file."""
    close = getattr(pieces, "close", None)
    if close is not None:
        close()
