"""Tokens say where a page begins, and of which listing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fileroom.database.pages import (
    PAGE_SIZE_DEFAULT,
    PAGE_SIZE_MAX,
    decode_page_token,
    encode_page_token,
    page_size_within_limits,
)
from fileroom.errors import InvalidArgument

keys = st.lists(st.integers(-(2**63), 2**63 - 1) | st.text(), max_size=4).map(tuple)


@given(st.text(), keys)
def test_token_gives_back_its_key(listing: str, key: tuple[int | str, ...]) -> None:
    assert decode_page_token(listing, encode_page_token(listing, key)) == key


@given(st.text(), st.text(), keys)
def test_token_is_of_use_for_its_own_listing_only(
    listing: str, other: str, key: tuple[int | str, ...]
) -> None:
    if listing != other:
        with pytest.raises(InvalidArgument, match="another listing"):
            decode_page_token(other, encode_page_token(listing, key))


@given(st.text())
def test_any_other_text_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        decode_page_token("listing", text)
    assert caught.value.detail == "pageToken"


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        (None, PAGE_SIZE_DEFAULT),
        (0, PAGE_SIZE_DEFAULT),
        (7, 7),
        (PAGE_SIZE_MAX + 1, PAGE_SIZE_MAX),
    ],
)
def test_size_of_a_page_stays_within_limits(asked: int | None, given: int) -> None:
    assert page_size_within_limits(asked) == given


def test_negative_page_size_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="negative"):
        page_size_within_limits(-1)
