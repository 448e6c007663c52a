"""Listings of servers that give keys in some order of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fileroom.errors import FailedPrecondition
from fileroom.objectstore.cloud.listing import Listing
from fileroom.objectstore.cloud.provider import Page
from fileroom.objectstore.contract import ObjectEntry

if TYPE_CHECKING:
    from collections.abc import Callable

_SEGMENTS = st.text("1.-a~", min_size=1, max_size=3).filter(lambda s: s not in {".", ".."})
_KEYS = st.sets(st.lists(_SEGMENTS, min_size=1, max_size=3).map("/".join), max_size=15)


def _entry(key: str) -> ObjectEntry:
    return ObjectEntry(key=key, size=1, version="1")


class _Server:
    """Lists keys a page at a time; one that keeps a tree, by the names of its directories."""

    def __init__(self, keys: set[str], page_size: int, *, keeps_tree: bool) -> None:
        self._order: Callable[[str], list[str]] = lambda key: key.split("/" if keeps_tree else None)
        self._keys = sorted(keys, key=self._order)
        self._page_size = page_size

    def ask(self, prefix: str, start_after: str, token: str, delimiter: str) -> Page:
        """Give a page of what comes after a key in the order of this server."""
        names: dict[str, None] = {}
        for key in self._keys:
            is_over = bool(start_after) and self._order(key) <= self._order(start_after)
            if not key.startswith(prefix) or is_over:
                continue
            head, slash, _ = key[len(prefix) :].partition("/")
            names[f"{prefix}{head}/" if delimiter and slash else key] = None
        found = list(names)
        begin = int(token or 0)
        end = begin + self._page_size
        shown = found[begin:end]
        return Page(
            entries=[_entry(key) for key in shown if not key.endswith("/")],
            directories=[key for key in shown if key.endswith("/")],
            next_token=str(end) if end < len(found) else "",
        )


@given(
    keys=_KEYS,
    page_size=st.integers(1, 4),
    keeps_tree=st.booleans(),
    prefix=st.sampled_from(["", "1", "1.", "1/", "a-", "a/1"]),
    start=st.one_of(_KEYS.map(lambda keys: min(keys, default="")), st.just("")),
)
def test_a_walk_gives_every_key_in_order(
    keys: set[str], page_size: int, keeps_tree: bool, prefix: str, start: str
) -> None:
    # A tree holds no key that is a directory too.
    keys = {key for key in keys if not any(other.startswith(f"{key}/") for other in keys)}
    listing = Listing("s3://b", _Server(keys, page_size, keeps_tree=keeps_tree).ask)
    expected = sorted(key for key in keys if key.startswith(prefix) and key > start)
    assert [entry.key for entry in listing.walk(prefix, start, None)] == expected
    if not keeps_tree:
        assert [entry.key for entry in listing.flat(prefix, start, None)] == expected


def test_a_key_that_comes_too_late_is_an_error_that_says_what_to_do() -> None:
    server = _Server({"1.2/a", "1.2.3/a"}, 1, keeps_tree=True)
    listing = Listing("s3://b", server.ask)
    with pytest.raises(FailedPrecondition, match=r"'1\.2\.3/a' after '1\.2/a'.*ordered = false"):
        list(listing.flat("", "", None))
    assert [entry.key for entry in listing.walk("", "", None)] == ["1.2.3/a", "1.2/a"]


def _answering(*pages: Page) -> Listing:
    waiting = iter(pages)
    return Listing("s3://b", lambda *_: next(waiting))


def test_a_page_that_comes_twice_is_taken_once() -> None:
    page = [_entry("a"), _entry("b")]
    listing = _answering(
        Page(entries=page, next_token="1"),
        Page(entries=page, next_token="2"),
        Page(entries=[_entry("c")]),
    )
    assert [entry.key for entry in listing.flat("", "", None)] == ["a", "b", "c"]


def test_a_listing_that_goes_in_circles_is_an_error() -> None:
    page = Page(entries=[_entry("a")], next_token="1")
    with pytest.raises(FailedPrecondition, match="the same page again"):
        list(_answering(page, page, page).flat("", "", None))


def test_what_a_console_makes_for_a_directory_is_no_object() -> None:
    made = ObjectEntry(key="d/", size=0, version="1")
    listing = _answering(Page(entries=[made, _entry("d/a")]))
    assert [entry.key for entry in listing.flat("", "", None)] == ["d/a"]


def test_a_listing_whose_tokens_are_never_known_ends() -> None:
    """A server that lists from its first key on gives nothing new when it is begun again."""
    asked: list[str] = []

    def ask(_prefix: str, _start: str, token: str, _delimiter: str) -> Page:
        asked.append(token)
        if token:
            raise FailedPrecondition("the token is not known")
        return Page(entries=[_entry("a"), _entry("b")], next_token="1")

    with pytest.raises(FailedPrecondition, match="not known"):
        list(Listing("az://b", ask).flat("", "", None))
    assert asked == ["", "1", "", "1"]
