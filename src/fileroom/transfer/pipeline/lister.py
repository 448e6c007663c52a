"""A thread that lists ahead of the line."""

from __future__ import annotations

import queue
import threading
from typing import TYPE_CHECKING, Final, Generic

from fileroom.transfer.pipeline.batches import Batch, ItemT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


LISTED_BATCHES_MAX: Final = 8
PUT_SECONDS: Final = 0.25
CLOSE_SECONDS: Final = 60.0


class Lister(Generic[ItemT]):
    """A thread that lists ahead of the line, a few batches at most."""

    def __init__(
        self, batches: Callable[[], Iterator[Batch[ItemT]]], changed: threading.Event
    ) -> None:
        self._batches = batches
        self._changed = changed
        self._queue: queue.Queue[Batch[ItemT]] = queue.Queue(LISTED_BATCHES_MAX)
        self._closing = threading.Event()
        self._error: BaseException | None = None
        self._ended = False
        self._thread = threading.Thread(target=self._run, name="lister", daemon=True)
        self._thread.start()

    def take(self) -> Batch[ItemT] | None:
        """Give the next batch if there is one."""
        try:
            return self._queue.get_nowait()
        except queue.Empty:
            return None

    @property
    def exhausted(self) -> bool:
        """Whether all that was listed was taken."""
        return self._ended and self._queue.empty()

    @property
    def error(self) -> BaseException | None:
        """What ended the listing before its end."""
        return self._error

    def close(self) -> None:
        """Stop listing."""
        self._closing.set()
        self._thread.join(CLOSE_SECONDS)

    def _run(self) -> None:
        try:
            for batch in self._batches():
                while not self._closing.is_set():
                    try:
                        self._queue.put(batch, timeout=PUT_SECONDS)
                        break
                    except queue.Full:
                        continue
                if self._closing.is_set():
                    return
                self._changed.set()
        except Exception as error:  # raised again where the coordinator asks for more
            self._error = error
        finally:
            self._ended = True
            self._changed.set()
