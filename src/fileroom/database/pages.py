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
INT64_MAX: Final = 2**63 - 1
"""Largest number that a database takes; messages may hold larger ones."""

Key = tuple[int | str, ...]
KeyT = TypeVar("KeyT", bound=Key)


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
    content = msgspec.msgpack.encode((_digest(listing), msgspec.msgpack.encode(key)))
    return base64.urlsafe_b64encode(content).decode()


def decode_page_token(listing: str, token: str, key_type: type[KeyT]) -> KeyT:
    """Give the key that a token of ``listing`` holds, of the type that the listing's keys have.

    Raises
    ------
    InvalidArgument
        If the token is damaged or was made for another listing.
    """
    try:
        content = base64.urlsafe_b64decode(token.encode())
        digest, packed = msgspec.msgpack.decode(content, type=tuple[bytes, bytes])
        key = msgspec.msgpack.decode(packed, type=key_type)
    except (ValueError, binascii.Error, msgspec.MsgspecError) as error:
        raise InvalidArgument("pageToken is not one this server gave", "pageToken") from error
    if any(isinstance(part, int) and part > INT64_MAX for part in key):
        raise InvalidArgument("pageToken is not one this server gave", "pageToken")
    if digest != _digest(listing):
        raise InvalidArgument("pageToken belongs to another listing", "pageToken")
    return key


def _digest(listing: str) -> bytes:
    return hashlib.sha256(listing.encode()).digest()[:8]
