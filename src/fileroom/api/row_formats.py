"""Which form a list is asked for in that is given whole: NDJSON, CSV, Parquet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fileroom.errors import InvalidArgument
from fileroom.rows import CSV, NDJSON, PARQUET

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fileroom.api.calls import Call

_BY_NAME: Final = {"ndjson": NDJSON, "csv": CSV, "parquet": PARQUET}


def asked_type(call: Call, offered: Sequence[str], *, in_pages: bool = False) -> str | None:
    """Give the type asked for by ``format`` or ``Accept``; None where none of these is.

    ``in_pages`` tells that ``json``, a page of it, is offered as well.

    Raises
    ------
    InvalidArgument
        If ``format`` is none of those offered.
    """
    named = {name: each for name, each in _BY_NAME.items() if each in offered}
    asked = call.parameter("format")
    if in_pages and asked == "json":
        return None
    if asked is None:
        accept = call.headers.get("accept", "").lower()
        return next((each for each in offered if each in accept), None)
    if asked not in named:
        known = [*(["json"] if in_pages else []), *named]
        raise InvalidArgument(f"format must be one of {', '.join(known)}", "format")
    return named[asked]
