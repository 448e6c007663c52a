"""Reading an operation again until it is done."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from fileroom.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from fileroom.client.values import Operation

_POLL_SECONDS_FIRST = 0.05
_BACK_OFF_SECONDS_FIRST = 0.25
_BACK_OFF_SECONDS_MAX = 5.0


def poll(
    read: Callable[[], Operation],
    *,
    poll_seconds: float,
    patience_seconds: float,
    on_progress: Callable[[Operation], None] | None = None,
    on_unavailable: Callable[[Unavailable], None] | None = None,
) -> Operation:
    """Give the first reading that is done: soon at first, then every ``poll_seconds``.

    ``Unavailable`` is borne until no reading has come for ``patience_seconds``, with pauses that
    grow, since an operation goes on by itself when its server is back.
    """
    pause_seconds = min(_POLL_SECONDS_FIRST, poll_seconds)
    back_off_seconds = _BACK_OFF_SECONDS_FIRST
    answered_at = time.monotonic()
    while True:
        try:
            operation = read()
        except Unavailable as error:
            if time.monotonic() + back_off_seconds > answered_at + patience_seconds:
                raise
            if on_unavailable is not None:
                on_unavailable(error)
            time.sleep(back_off_seconds)
            back_off_seconds = min(back_off_seconds * 2, _BACK_OFF_SECONDS_MAX)
            continue
        answered_at, back_off_seconds = time.monotonic(), _BACK_OFF_SECONDS_FIRST
        if on_progress is not None:
            on_progress(operation)
        if operation.done:
            return operation
        time.sleep(pause_seconds)
        pause_seconds = min(pause_seconds * 2, poll_seconds)
