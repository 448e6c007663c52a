"""The query parameters of lists and searches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fileroom.client.transport import Query

PAGE_SIZE_MAX: Final = 1000


def page_query(page_size: int | None) -> Query:
    """Ask for pages of a size, of the server's own unless it is given."""
    return [("pageSize", str(min(page_size, PAGE_SIZE_MAX)))] if page_size is not None else []


def search_query(
    filters: Mapping[str, str] | None,
    include_fields: Sequence[str],
    *,
    fuzzy_matching: bool = False,
) -> Query:
    """Ask for the matches of some attributes."""
    return [
        *(filters or {}).items(),
        *(("includefield", field) for field in include_fields),
        *([("fuzzymatching", "true")] if fuzzy_matching else []),
    ]
