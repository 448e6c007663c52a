"""Slices of instances told in order, some ahead of the one that is drawn.

A slice that comes back short is asked for again from where it stopped. An object that a worker is
lost over is tried once more alone, and then fails; nobody else's does.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from fileroom.archive.metadata.slices import SLICE_HEADER_BYTES, SLICE_INSTANCES, Slice, tell_slice
from fileroom.archive.reading import missing
from fileroom.archive.workers import refusal, result_of
from fileroom.database.stored import find_stored_instances
from fileroom.database.values.stored import StoredInstance
from fileroom.dicom.header import header_size
from fileroom.errors import NotFound, WorkerLost

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from concurrent.futures import Future

    from fileroom.archive.metadata.slices import Form, Told
    from fileroom.archive.retrieve import StoreContent
    from fileroom.archive.workers import RequestWorkers
    from fileroom.database.values.stored import SeriesVersion

OWN_INSTANCES: Final = 50
"""A request for no more is answered by the server's own threads: a worker would save it nothing."""
OWN_HEADER_BYTES: Final = 2 << 20
"""What the headers of a slice may have, taken apart, to be told by the server itself."""
_OWN_THREADS: Final = 2
"""More would keep the event loop waiting for the interpreter's lock (measured with 8: 0.2 s)."""
Instances = tuple[StoredInstance, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceSlice:
    """Some instances, being told or to be told."""

    instances: Instances
    own: bool = False
    """Whether the thread that draws it tells it."""
    begun: Future[Told] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesSlice(InstanceSlice):
    """Some instances of one series."""

    version: SeriesVersion
    is_last: bool = False
    """Whether it is the last of its series."""


class Teller:
    """Tells slices, in workers or in a thread of the server."""

    def __init__(self, workers: RequestWorkers) -> None:
        self.count = workers.count
        self._workers = workers
        self._own = threading.BoundedSemaphore(_OWN_THREADS)

    def blocks(self, content: StoreContent, slice_: InstanceSlice, form: Form) -> Iterator[bytes]:
        """Give a slice's text, compressed, in one or more blocks; instances gone are left out.

        Raises
        ------
        ResourceExhausted, DataLoss
            If an instance cannot be told; see ``refusal``.
        Unavailable
            If the workers cannot work.
        """
        begun = slice_.begun
        left = deque([(slice_.instances, False)])
        while left:
            some, once_more = left.popleft()
            if not some:
                continue
            try:
                if slice_.own:
                    told = self._tell(content, some, form)
                else:
                    told = result_of(begun or self.begin(content, some, form))
            except WorkerLost as error:
                if once_more or error.item is None:
                    what = f"the metadata of {some[error.item or 0].path}"
                    raise refusal(error, what) from error
                at = error.item
                left.extendleft([(some[at + 1 :], False), (some[at : at + 1], True)])
                left.appendleft((some[:at], False))
                continue
            finally:
                begun = None
            if told.count:
                yield told.block
            rest = some[told.count :]
            left.appendleft((_found_again(content, rest) if told.moved else rest, False))

    def _tell(self, content: StoreContent, instances: Instances, form: Form) -> Told:
        with self._own:
            return tell_slice(self._slice(content, instances, form))

    def begin(self, content: StoreContent, instances: Instances, form: Form) -> Future[Told]:
        """Have a worker tell a slice."""
        return self._workers.submit(tell_slice, self._slice(content, instances, form))

    def _slice(self, content: StoreContent, instances: Instances, form: Form) -> Slice:
        return Slice(
            blobs=content.blobs,
            blob_prefix=content.blob_prefix,
            buckets=content.buckets,
            instances=instances,
            form=form,
            begin_item=self._workers.begin_item,
        )


def slices_of(content: StoreContent, ids: Sequence[int]) -> Iterator[Instances]:
    """Give instances with their headers in slices, those gone left out."""
    for at in range(0, len(ids), SLICE_INSTANCES):
        with content.database.read() as connection:
            rows = find_stored_instances(connection, ids[at : at + SLICE_INSTANCES])
        some: list[StoredInstance] = []
        size = 0
        for stored in rows:
            if stored is None:
                continue
            some.append(stored)
            size += len(stored.header or b"")
            if size >= SLICE_HEADER_BYTES:
                yield tuple(some)
                some, size = [], 0
        if some:
            yield tuple(some)


def is_light(instances: Instances) -> bool:
    """Tell whether instances are little work: all are in their rows, and none grows large."""
    if any(stored.header is None for stored in instances):
        return False
    sizes = sum(header_size(stored.header) for stored in instances if stored.header is not None)
    return sizes <= OWN_HEADER_BYTES


def _found_again(content: StoreContent, instances: Instances) -> Instances:
    """Read the row of the first again: its bytes are at another place, or it is gone."""
    try:
        moved = content.find_again(instances[0])
    except NotFound:
        return instances[1:]
    if moved.place == instances[0].place:
        content.note_damage(moved)
        raise missing(moved)
    return (moved, *instances[1:])
