"""What a cloud lists, in strictly rising key order, whatever order it comes in.

A key that was passed over would never be listed again, for whoever lists goes on after the last
key. So disorder is an error, but of the one kind that is common: servers that keep a tree of
directories list ``1.2/x`` before ``1.2.3/x``, though ``.`` comes before ``/``. Such a server is
listed a level at a time, and each level put in order.
"""

from __future__ import annotations

import heapq
import time
from itertools import pairwise
from typing import TYPE_CHECKING

from fileroom.errors import FailedPrecondition, Unavailable
from fileroom.objectstore.contract import DeadlinePassed, ObjectEntry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fileroom.objectstore.cloud.provider import Page


class _Disorder(FailedPrecondition):
    """A listing that nobody may go on with: not all that is left comes after its last key."""


class Listing:
    """The listings of one bucket; ``ask`` gives a page for prefix, start, token and delimiter."""

    def __init__(self, name: str, ask: Callable[[str, str, str, str], Page]) -> None:
        self._name = name
        self._ask = ask

    def flat(self, prefix: str, start_after: str, deadline: float | None) -> Iterator[ObjectEntry]:
        """Yield all objects, as the cloud lists them.

        A page that is given twice is taken once; a listing that cannot go on, as its token is not
        known any more, begins again behind the last key.

        Raises
        ------
        FailedPrecondition
            If a key comes too late.
        Unavailable
            If a page is out of order in itself.
        """
        last, seen = start_after, set[str]()
        pages = self._pages(prefix, start_after, "", deadline)
        while True:
            try:
                page = next(pages, None)
            except FailedPrecondition as error:
                if last == start_after or isinstance(error, _Disorder):
                    raise  # nothing came since it began, and so nothing would
                start_after = last
                pages = self._pages(prefix, start_after, "", deadline)
                continue
            if page is None:
                return
            fresh = [
                one
                for one in _objects(page)
                if one.key > start_after and one.key.startswith(prefix) and one.key not in seen
            ]
            for before, entry in pairwise(fresh):
                if entry.key <= before.key:
                    # Nothing of this page is told yet, so that it may be asked for again.
                    raise Unavailable(
                        f"{self._name} lists {entry.key!r} after {before.key!r} in one page; it is"
                        " asked again later",
                        "buckets",
                    )
            if fresh and fresh[0].key <= last:
                raise self._disorder(fresh[0].key, last)
            last = fresh[-1].key if fresh else last
            seen = {one.key for one in page.entries}
            yield from fresh

    def walk(self, prefix: str, start_after: str, deadline: float | None) -> Iterator[ObjectEntry]:
        """Yield all objects, level by level."""
        levels = [self._level(prefix, start_after, "", deadline)]
        while levels:
            found = next(levels[-1], None)
            if found is None:
                levels.pop()
            elif isinstance(found, ObjectEntry):
                yield found
            else:
                levels.append(self._level(found, start_after, "", deadline))

    def level(
        self, prefix: str, start_after: str, *, is_ordered: bool
    ) -> Iterator[ObjectEntry | str]:
        """Yield the objects of one level and, as keys that end in ``/``, the directories beside.

        A directory in which ``start_after`` lies is among them.
        """
        return self._level(prefix, start_after, start_after if is_ordered else "", None)

    def _level(
        self, prefix: str, start_after: str, asked_after: str, deadline: float | None
    ) -> Iterator[ObjectEntry | str]:
        """Yield a level of which the cloud is asked for what is after ``asked_after``.

        One that keeps a tree is asked for all: what comes after a key means something else to it.
        Names come in order, or keys do: what is held waits until no name can come before it.
        """
        held: list[tuple[str, ObjectEntry | str]] = []
        last, seen = "", set[str]()
        for page in self._pages(prefix, asked_after, "/", deadline):
            found: list[tuple[str, ObjectEntry | str]] = [(one.key, one) for one in _objects(page)]
            found += [(key, key) for key in page.directories]
            keys = {key for key, _ in found}
            for key, item in sorted(found, key=lambda each: each[0].removesuffix("/")):
                while held and held[0][0] < key.removesuffix("/"):
                    last, waiting = heapq.heappop(held)
                    yield waiting
                leads_on = key.endswith("/") and start_after.startswith(key)
                is_over = key <= start_after and not leads_on
                if key in seen or is_over or not key.startswith(prefix):
                    continue
                if key <= last:
                    raise self._disorder(key, last)
                heapq.heappush(held, (key, item))
            seen = keys
        for _, waiting in sorted(held, key=lambda each: each[0]):
            yield waiting

    def _pages(
        self, prefix: str, start_after: str, delimiter: str, deadline: float | None
    ) -> Iterator[Page]:
        token = ""
        while True:
            page = self._ask(prefix, start_after, token, delimiter)
            yield page
            if not page.next_token:
                return
            if page.next_token == token:
                raise _Disorder(
                    f"{self._name} lists the same page again, so that nobody knows what was passed"
                    " over; start the operation anew once the server lists as it should",
                    "buckets",
                )
            if deadline is not None and time.monotonic() > deadline:
                raise DeadlinePassed
            token = page.next_token

    def _disorder(self, key: str, last: str) -> _Disorder:
        return _Disorder(
            f"{self._name} lists {key!r} after {last!r}: its keys do not come in order, so that"
            f' some would be missed; set ordered = false under [buckets."{self._name}"]',
            "buckets",
        )


def _objects(page: Page) -> Iterator[ObjectEntry]:
    """Give the objects of a page.

    Consoles of clouds make empty objects that end in a slash to show a directory; those are none.
    """
    return (one for one in page.entries if one.size or not one.key.endswith("/"))
