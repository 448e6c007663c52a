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

Key = tuple[int, str]

keys = st.tuples(st.integers(-(2**63), 2**63 - 1), st.text())


@given(st.text(), keys)
def test_token_gives_back_its_key(listing: str, key: Key) -> None:
    assert decode_page_token(listing, encode_page_token(listing, key), tuple[int, str]) == key


@given(st.text(), st.text(), keys)
def test_token_is_of_use_for_its_own_listing_only(listing: str, other: str, key: Key) -> None:
    if listing != other:
        with pytest.raises(InvalidArgument, match="another listing"):
            decode_page_token(other, encode_page_token(listing, key), tuple[int, str])


@given(st.text(), keys)
def test_token_with_a_key_of_another_kind_is_refused(listing: str, key: Key) -> None:
    with pytest.raises(InvalidArgument, match="not one this server gave"):
        decode_page_token(listing, encode_page_token(listing, key), tuple[str])


@pytest.mark.parametrize("number", [2**63, 2**64 - 1])
def test_number_that_no_row_has_is_refused(number: int) -> None:
    token = encode_page_token("listing", (number, ""))
    with pytest.raises(InvalidArgument, match="not one this server gave"):
        decode_page_token("listing", token, tuple[int, str])


@given(st.text())
def test_any_other_text_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        decode_page_token("listing", text, tuple[int, str])
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
