"""Pages of a listing: a token says where the next one begins, and of which listing."""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

import msgspec

from fileroom.errors import InvalidArgument

T = TypeVar("T")

PAGE_SIZE_DEFAULT: Final = 100
PAGE_SIZE_MAX: Final = 1000

Key = tuple[int | str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[T]):
    """Some items of a listing; ``next_page_token`` is empty on the last page."""

    items: tuple[T, ...]
    next_page_token: str = ""


def page_size_within_limits(page_size: int | None) -> int:
    """Give the size of a page: the default where none is asked, never over the maximum."""
    if page_size is not None and page_size < 0:
        raise InvalidArgument("pageSize must not be negative", "pageSize")
    return min(page_size or PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX)


def encode_page_token(listing: str, key: Key) -> str:
    """Give the token of the page that begins after ``key``; it is of use for ``listing`` only."""
    content = msgspec.msgpack.encode((_digest(listing), key))
    return base64.urlsafe_b64encode(content).decode()


def decode_page_token(listing: str, token: str) -> Key:
    """Give the key that a token of ``listing`` holds.

    Raises
    ------
    InvalidArgument
        If the token is damaged or was made for another listing.
    """
    try:
        digest, key = msgspec.msgpack.decode(
            base64.urlsafe_b64decode(token.encode()), type=tuple[bytes, Key]
        )
    except (ValueError, binascii.Error, msgspec.MsgspecError) as error:
        raise InvalidArgument("pageToken is not one this server gave", "pageToken") from error
    if digest != _digest(listing):
        raise InvalidArgument("pageToken belongs to another listing", "pageToken")
    return key


def _digest(listing: str) -> bytes:
    return hashlib.sha256(listing.encode()).digest()[:8]
