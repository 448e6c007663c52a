"""A page of a bucket's objects, in key order."""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Final

from fileroom.api.storage.globs import Glob
from fileroom.database.pages import (
    PAGE_SIZE_MAX,
    decode_page_token,
    encode_page_token,
    page_size_within_limits,
)
from fileroom.errors import InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fileroom.api.calls import Call
    from fileroom.objectstore.contract import Bucket, ObjectEntry

DELIMITER: Final = "/"
PAGE_SECONDS: Final = 2.0
"""A page is cut short rather than looked for longer, as where a pattern matches next to nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Which objects a client asks for."""

    prefix: str
    """What their names begin with."""
    glob: Glob | None
    is_one_level: bool
    """Whether what lies deeper is told by its directory."""
    start: str
    end: str
    """The first name that is too far; empty for none."""
    after: str
    """Where the page before ended."""
    size: int
    listing: str
    """What a page token is of use for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectPage:
    """Some objects and directories; fewer than asked for, perhaps none, before the last page."""

    entries: list[ObjectEntry]
    directories: list[str]
    next_page_token: str


def parse_asked(call: Call) -> Asked:
    """Give what a query asks for.

    Raises
    ------
    InvalidArgument
        If its delimiter, its pattern or its page token is not one that is known.
    """
    delimiter = call.parameter("delimiter") or ""
    if delimiter not in {"", DELIMITER}:
        raise InvalidArgument(f"delimiter {delimiter[:20]!r}: use '/' or none", "delimiter")
    names = ("prefix", "delimiter", "matchGlob", "startOffset", "endOffset")
    texts = {name: call.parameter(name) or "" for name in names}
    listing = f"objects of {call.path['bucket']}: {texts}"
    after = ""
    if token := call.parameter("pageToken"):
        (after,) = decode_page_token(listing, token, tuple[str])
    return Asked(
        prefix=texts["prefix"],
        glob=Glob(texts["matchGlob"]) if texts["matchGlob"] else None,
        is_one_level=bool(delimiter),
        start=texts["startOffset"],
        end=texts["endOffset"],
        after=after,
        size=page_size_within_limits(
            call.whole_number("maxResults", "max_results") or PAGE_SIZE_MAX
        ),
        listing=listing,
    )


def read_page(bucket: Bucket, asked: Asked) -> ObjectPage:
    """Give the page, read no further than it needs to be."""
    deadline = time.monotonic() + PAGE_SECONDS
    entries: list[ObjectEntry] = []
    directories: list[str] = []
    last = ""
    for each in _candidates(bucket, asked):
        key = each if isinstance(each, str) else each.key
        if asked.end and key >= asked.end:
            break
        if len(entries) + len(directories) >= asked.size or time.monotonic() > deadline:
            token = encode_page_token(asked.listing, (last or asked.after,))
            if last:
                return ObjectPage(entries=entries, directories=directories, next_page_token=token)
        if asked.glob is None or asked.glob.matches(key):
            if isinstance(each, str):
                directories.append(each)
            else:
                entries.append(each)
        last = key
    return ObjectPage(entries=entries, directories=directories, next_page_token="")


def _candidates(bucket: Bucket, asked: Asked) -> Iterator[ObjectEntry | str]:
    """Give objects, and directories where one level is asked for, in key order."""
    prefix = _narrowed(asked)
    if prefix is None:
        return
    if asked.start and not asked.after:
        yield from _at_start(bucket, asked, prefix)
    # The page before may have ended with the directory around the start, whose name is less.
    start_after = max(asked.start, asked.after)
    if not asked.is_one_level:
        yield from bucket.list(prefix, start_after)
        return
    for each in bucket.list_directory(prefix, start_after):
        if isinstance(each, str) and not _is_within(bucket, asked, each):
            continue
        yield each


def _narrowed(asked: Asked) -> str | None:
    """Give what all wanted names begin with; ``None`` where there can be none."""
    if asked.glob is None or asked.prefix.startswith(asked.glob.prefix):
        return asked.prefix
    if not asked.glob.prefix.startswith(asked.prefix):
        return None
    if asked.is_one_level:  # a directory's own name may be shorter than the pattern's beginning
        return asked.prefix
    return asked.glob.prefix


def _at_start(bucket: Bucket, asked: Asked, prefix: str) -> Iterator[ObjectEntry | str]:
    """Give the object of the very name at which the listing begins, or the directory around it."""
    if not asked.start.startswith(prefix):
        return
    level = prefix[: prefix.rfind(DELIMITER) + 1]
    name, slash, _ = asked.start.removeprefix(level).partition(DELIMITER)
    if asked.is_one_level and slash:
        directory = f"{level}{name}/"
        if _is_within(bucket, asked, directory):
            yield directory
    elif (entry := bucket.find(asked.start)) is not None:
        yield entry


def _is_within(bucket: Bucket, asked: Asked, directory: str) -> bool:
    """Whether a directory that lies across the start or the end holds an object between them."""
    if not (asked.start.startswith(directory) or asked.end.startswith(directory)):
        return True
    exact = bucket.find(asked.start) if asked.start.startswith(directory) else None
    following = bucket.list(directory, asked.start)
    first = next(chain([exact] if exact is not None else [], following), None)
    return first is not None and (not asked.end or first.key < asked.end)
