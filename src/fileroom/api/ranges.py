"""The range of a body that a client asks for (RFC 9110 14.1)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from fileroom.api.errors import status_answer
from fileroom.errors import Code

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fileroom.api.calls import Answer

_RANGE: Final = re.compile(r"bytes=(?:([0-9]{1,18})-([0-9]{0,18})|-([0-9]{1,18}))", re.ASCII)


def find_range(headers: Mapping[str, str], size: int, etag: str | None) -> tuple[int, int] | None:
    """Give the first byte asked for and the one after the last; ``None`` for all of them.

    One range is known: who asks for several gets the whole (RFC 9110 14.2 leaves that free). The
    first is not before the second where none of the bytes is there.
    """
    found = _RANGE.fullmatch(headers.get("range", "").replace(" ", ""))
    condition = headers.get("if-range")
    if found is None or (condition is not None and condition.strip() != etag):
        return None
    first, last, suffix = found.groups()
    if suffix is not None:
        return max(0, size - int(suffix)), size
    stop = min(int(last) + 1, size) if last else size
    if last and int(last) < int(first):
        return None  # no range at all (RFC 9110 14.1.1)
    return int(first), stop


def unsatisfied(size: int) -> Answer:
    """Give the answer to who asks for bytes that a body does not have."""
    return status_answer(
        416,
        Code.OUT_OF_RANGE.name,
        f"Range: the body has {size} bytes, none of which is asked for.",
        headers={"Content-Range": f"bytes */{size}"},
    )
