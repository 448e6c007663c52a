"""Files of a study opened in order, some ahead of the one that is drawn.

Where frames must be decoded, opening a file takes as long as its first frames do; where blobs are
in a cloud, as long as a request. One after another would leave all workers, or the network, idle.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

from fileroom.errors import NotFound

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from concurrent.futures import Future

    from fileroom.archive.retrieve import InstanceFile
    from fileroom.database.values.stored import StoredInstance

    Open = Callable[[StoredInstance], InstanceFile]

AHEAD_MAX: Final = 8


def opened_files(
    instances: Iterable[StoredInstance], open_: Open, *, ahead: int = 0
) -> Iterator[InstanceFile]:
    """Give files in order, those of instances that are gone left out.

    At most ``AHEAD_MAX`` are opened ahead, each of which may hold ``codecs.WINDOW_BYTES``. Each is
    closed when the next is drawn, and those that were opened ahead in the end. Raises what
    ``open_`` raises of a file when it is that file's turn.
    """
    if not ahead:
        for stored in instances:
            try:
                file = open_(stored)
            except NotFound:
                continue
            with file.pieces:
                yield file
        return
    ahead = min(ahead, AHEAD_MAX)
    begun: deque[Future[InstanceFile]] = deque()
    with ThreadPoolExecutor(ahead, thread_name_prefix="opening") as threads:
        try:
            for stored in instances:
                begun.append(threads.submit(open_, stored))
                if len(begun) > ahead:
                    yield from _file_of(begun.popleft())
            while begun:
                yield from _file_of(begun.popleft())
        finally:
            for left in begun:
                if not left.cancel() and left.exception() is None:
                    left.result().pieces.close()


def _file_of(opening: Future[InstanceFile]) -> Iterator[InstanceFile]:
    try:
        file = opening.result()
    except NotFound:
        return
    with file.pieces:
        yield file
