"""Directories reached from a bucket's root part by part, never through a symbolic link."""

from __future__ import annotations

import os
import re
import secrets
from contextlib import contextmanager
from typing import TYPE_CHECKING

from fileroom.errors import InvalidArgument, Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TEMPORARY_PREFIX = ".fileroom-"
PART_PREFIX = f"{TEMPORARY_PREFIX}part-"
"""Of what another process may take up."""
_PROCESS = secrets.token_hex(8)
OWN_TEMPORARY_PREFIX = f"{TEMPORARY_PREFIX}{_PROCESS}"
"""Of what this process writes, but for writers that have a name."""
_INVALID = re.compile(rf"(?:^|/)(?:\.{{0,2}}(?:/|\Z)|{re.escape(TEMPORARY_PREFIX)})|\0")
BENEATH = os.O_NOFOLLOW | os.O_CLOEXEC
READABLE = os.O_DIRECTORY | os.O_RDONLY
SEARCHABLE = os.O_DIRECTORY | getattr(os, "O_PATH", os.O_RDONLY)
"""Enough to look up names in a directory; needs the right to search it, not to list it."""


def own_temporary_prefix(writer: str) -> str:
    """Give what the temporary files begin with that this process writes for a writer."""
    return f"{TEMPORARY_PREFIX}{writer}-{_PROCESS}" if writer else OWN_TEMPORARY_PREFIX


def is_valid(key: str) -> bool:
    """Whether a file of this key may exist: a relative path without ``.``, ``..`` or NUL.

    Names that begin with ``.fileroom-`` belong to writers at work.
    """
    if _INVALID.search(key):
        return False
    if key.isascii():
        return True
    try:
        key.encode()
    except UnicodeEncodeError:
        return False
    return True


def check_key(key: str) -> None:
    """Raise InvalidArgument if no file of a local bucket can have this key."""
    if not is_valid(key):
        raise InvalidArgument(
            f"a local bucket cannot hold an object named {key[:200]!r}: the parts between '/' must "
            f"not be empty, '.' or '..', hold NUL or begin with {TEMPORARY_PREFIX!r}"
        )


def open_root(root: Path, flags: int) -> int:
    """Give a file descriptor of the root, which may itself be reached through links."""
    try:
        return os.open(root, flags | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise Unavailable(
            f"the directory {root.name!r} of a bucket is missing; is its volume mounted?"
        ) from error


def open_directory(root: Path, path: str, flags: int = SEARCHABLE) -> int:
    """Give a file descriptor of a directory below the root; the caller closes it.

    Raises
    ------
    OSError
        If there is no such directory; a link in its place counts as none.
    Unavailable
        If the root itself is missing.
    """
    directory = open_root(root, SEARCHABLE if path else flags)
    segments = path.split("/") if path else []
    for depth, segment in enumerate(segments, 1):
        try:
            below = os.open(
                segment,
                (flags if depth == len(segments) else SEARCHABLE) | BENEATH,
                dir_fd=directory,
            )
        finally:
            os.close(directory)
        directory = below
    return directory


@contextmanager
def directory_beneath(root: Path, path: str, flags: int = SEARCHABLE) -> Iterator[int]:
    """Hold a directory below the root open."""
    directory = open_directory(root, path, flags)
    try:
        yield directory
    finally:
        os.close(directory)
