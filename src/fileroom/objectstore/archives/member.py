"""One file in an archive, and what is wrong with one or the other."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from fileroom.errors import InvalidArgument, Reason

MEMBERS_MAX: Final = 1_000_000
NAME_BYTES_MAX: Final = 1024
RATIO_MAX: Final = 1000
"""Bytes that a byte may inflate to; deflate itself can reach 1,032."""
RATIO_FREE_BYTES: Final = 64 << 20
"""What may inflate at any ratio: a blank image is no bomb."""
STORED: Final = 0
DEFLATED: Final = 8

_DRIVE: Final = re.compile(r"[A-Za-z]:")
_FORBIDDEN: Final = {
    "\0": "NUL",
    "\n": "a line feed",
    "\r": "a carriage return",
    "\\": "a backslash",
}


class BadArchive(InvalidArgument):
    """An archive or one of its members is damaged, or is not safe to read."""

    def __init__(self, message: str, reason: Reason = Reason.MALFORMED) -> None:
        super().__init__(message, reason)
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One file in an archive, as the archive declares it."""

    name: str
    size: int
    compressed_size: int
    crc32: int | None
    """None in a tar, which has no checksum of its members."""
    method: int
    """How it is compressed: 0 is not at all, 8 deflated (APPNOTE 6.3.10, 4.4.5)."""
    offset: int
    """Where it begins: in a zip its local header, in a tar its bytes, after inflating all."""
    end: int
    """Where what follows it in the archive begins."""
    unusable: str = ""
    """Why it cannot be read, and what to do; empty where it can."""


def text_of(name: bytes) -> tuple[str, str]:
    """Give a name that should be UTF-8, and why it is none; empty where it is."""
    try:
        return name.decode(), ""
    except UnicodeDecodeError:
        return name.decode("utf-8", "replace"), "its name is not UTF-8"


def fault_of_name(name: str) -> str:
    """Tell why a member's name can be no object's; empty where it can."""
    if not name:
        return "its name is empty"
    for character, what in _FORBIDDEN.items():
        if character in name:
            return f"its name holds {what}"
    if name.startswith("/") or _DRIVE.match(name):
        return "its name is an absolute path"
    segments = name.split("/")
    if "" in segments:
        return "its name has an empty part ('//')"
    if "." in segments or ".." in segments:
        return "its name has '.' or '..' as a part"
    if len(name.encode()) > NAME_BYTES_MAX:
        return f"its name has more than {NAME_BYTES_MAX} bytes in UTF-8"
    return ""
