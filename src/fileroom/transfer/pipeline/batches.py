"""Batches of a listing, and what the pipeline asks of the work it moves."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from concurrent.futures import Future

    from fileroom.database.values.operations import DeferredObject
    from fileroom.errors import Reason
    from fileroom.transfer.executors import WorkerLost

logger = logging.getLogger(__name__)

BATCH_OBJECTS_MAX: Final = 250
BATCH_BYTES_MAX: Final = 64 << 20
LARGE_BYTES: Final = 256 << 20
"""Objects over this leave the line at once for the deferred lane."""
FIRST_BATCHES: Final = (8, 32, 128)
"""Objects of an operation's first batches, so that its first instance shows at once."""


class Sized(Protocol):
    """One object of a batch."""

    @property
    def ordinal(self) -> int:
        """Its place in the listing, from 0."""

    @property
    def size(self) -> int:
        """Its length in bytes, as listed."""


ItemT = TypeVar("ItemT", bound=Sized)
OutcomeT = TypeVar("OutcomeT", bound="Weighed")


class Weighed(Protocol):
    """What became of a batch."""

    @property
    def weight_bytes(self) -> int:
        """About what it takes in memory."""

    @property
    def seconds(self) -> float:
        """How long a worker worked on it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch(Generic[ItemT]):
    """Consecutive objects of a listing."""

    items: tuple[ItemT, ...]
    cursor: str
    """Where the listing goes on after them."""

    @property
    def first_ordinal(self) -> int:
        """The ordinal of its first object."""
        return self.items[0].ordinal

    @property
    def next_ordinal(self) -> int:
        """The ordinal after its last object."""
        return self.items[-1].ordinal + 1


@dataclass(frozen=True, slots=True)
class Blame:
    """Objects of a batch that ended their worker, by index, and how."""

    reasons: tuple[tuple[int, Reason], ...] = ()

    def with_item(self, item: int, reason: Reason) -> Blame:
        """Give the same and one more."""
        return Blame((*self.reasons, (item, reason)))


NO_BLAME: Final = Blame()


class Work(Protocol[ItemT, OutcomeT]):
    """What the pipeline moves: an import or an export."""

    @property
    def workers(self) -> int:
        """How many workers it is shared out to, which may change."""

    def batches(self) -> Iterator[Batch[ItemT]]:
        """List from the committed cursor on; runs in a thread of its own."""

    def submit(self, batch: Batch[ItemT], blame: Blame, slow_seconds: float) -> Future[OutcomeT]:
        """Give a batch to a worker; the blamed objects come back as deferred, untouched."""

    def commit(self, batch: Batch[ItemT], outcome: OutcomeT) -> None:
        """Make a batch's outcome durable, with the progress it means, in one transaction."""

    def submit_deferred(self, deferred: DeferredObject) -> Future[OutcomeT]:
        """Give one deferred object to a worker."""

    def commit_deferred(self, deferred: DeferredObject, outcome: OutcomeT | WorkerLost) -> None:
        """Make a deferred object's outcome durable, or put it off again."""

    def due_deferred(self, at_most: int, without: Iterable[int]) -> list[DeferredObject]:
        """Give deferred objects whose time has come."""

    def has_deferred(self) -> bool:
        """Whether any deferred object is left."""

    def discard(self, outcome: OutcomeT) -> None:
        """Throw away what a worker made and nobody will commit."""

    def release(self, outcome: OutcomeT) -> None:
        """Give back what a worker made and will be made again, unless it is committed after all."""

    def abandoned(self) -> None:
        """Hear that a worker was lost over something, or ends it only after it was given up."""


def cut_batches(
    items: Iterable[tuple[ItemT, str]],
    *,
    first_ordinal: int,
    objects_max: int = BATCH_OBJECTS_MAX,
    bytes_max: int = BATCH_BYTES_MAX,
) -> Iterator[Batch[ItemT]]:
    """Cut a listing of objects, each beside its cursor, into batches.

    A batch ends at so many objects or bytes, whichever come first; an object over that is a batch
    of its own. The first batches of an operation are smaller.
    """
    sizes = (min(each, objects_max) for each in (FIRST_BATCHES if first_ordinal == 0 else ()))
    most = next(sizes, objects_max)
    batch: list[ItemT] = []
    size_bytes = 0
    cursor = ""
    for item, after in items:
        if batch and size_bytes + item.size > bytes_max:
            yield Batch(items=tuple(batch), cursor=cursor)
            batch, size_bytes = [], 0
            most = next(sizes, objects_max)
        batch.append(item)
        size_bytes += item.size
        cursor = after
        if len(batch) == most:  # at once: the next object may be long in coming
            yield Batch(items=tuple(batch), cursor=cursor)
            batch, size_bytes = [], 0
            most = next(sizes, objects_max)
    if batch:
        yield Batch(items=tuple(batch), cursor=cursor)
