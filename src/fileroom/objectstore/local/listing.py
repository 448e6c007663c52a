"""Walk a directory tree in key order."""

from __future__ import annotations

import logging
import math
import os
import re
import stat
import time
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Final

from fileroom.crashpoints import crashpoint
from fileroom.objectstore.contract import DeadlinePassed, ObjectEntry
from fileroom.objectstore.local.beneath import (
    BENEATH,
    OWN_TEMPORARY_PREFIX,
    PART_PREFIX,
    READABLE,
    TEMPORARY_PREFIX,
    is_valid,
    open_directory,
)
from fileroom.objectstore.local.durable import translated
from fileroom.objectstore.local.reading import ABSENT, entry_of
from fileroom.objectstore.local.sorting import sorted_names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    Doomed = Callable[[str, os.stat_result], bool]
    """Tells by its name and status whether a temporary file is to go."""

PART_SECONDS: Final = 86_400.0
"""How long a large object that has come in part is kept for who goes on with it."""
logger = logging.getLogger(__name__)

NAMES_A_LOOK: Final = 1000
"""Names between two looks at the time."""


@dataclass(frozen=True, slots=True)
class _Level:
    directory: int
    path: str
    """Empty, or ends in a slash."""
    names: Iterator[str]
    """Sorted where that matters; those of directories end in a slash."""


def walk(
    root: Path, prefix: str, start_after: str, deadline: float | None = None
) -> Iterator[ObjectEntry]:
    """Yield the regular files below the root; see ``LocalBucket.list``."""
    path = prefix[: prefix.rfind("/") + 1]
    directory = _find_directory(root, path)
    if directory is None:
        return
    levels = [_level(directory, path, prefix, start_after, deadline)]
    try:
        while levels:
            level = levels[-1]
            name = next(level.names, None)
            if name is None:
                os.close(levels.pop().directory)
            elif name.endswith("/"):
                below = _find_below(level, name)
                if below is not None:
                    path = level.path + name
                    levels.append(_level(below, path, prefix, start_after, deadline))
            elif (entry := _find_entry(level, name)) is not None:
                yield entry
    finally:
        for level in levels:
            os.close(level.directory)


def walk_level(root: Path, prefix: str, start_after: str) -> Iterator[ObjectEntry | str]:
    """Yield what lies directly in one directory; see ``LocalBucket.list_directory``."""
    path = prefix[: prefix.rfind("/") + 1]
    directory = _find_directory(root, path)
    if directory is None:
        return
    level = _level(directory, path, prefix, start_after)
    try:
        for name in level.names:
            if not name.endswith("/"):
                if (entry := _find_entry(level, name)) is not None:
                    yield entry
            elif path + name > start_after and _holds_objects(level, name):
                yield path + name
    finally:
        os.close(directory)


def _holds_objects(level: _Level, name: str) -> bool:
    """Whether an object lies below a directory; no more is read than tells so."""
    waiting = [_Level(level.directory, level.path, iter((name,)))]
    try:
        while waiting:
            within = waiting[-1]
            try:
                found = next(within.names, None)
            except OSError as error:
                raise translated(error, f"directory {within.path!r}") from error
            if found is None:
                waiting.pop()
                if waiting:
                    os.close(within.directory)
            elif not found.endswith("/"):
                return True
            elif (below := _find_below(within, found)) is not None:
                path = within.path + found
                waiting.append(_Level(below, path, _wanted_names(below, path, "", "")))
    finally:
        for within in waiting[1:]:
            os.close(within.directory)
    return False


def changed_before(moment: float) -> Doomed:
    """Choose what no writer has touched since a moment, none of this process."""

    def is_doomed(name: str, status: os.stat_result) -> bool:
        part_before = time.time() - PART_SECONDS if name.startswith(PART_PREFIX) else math.inf
        return not name.startswith(OWN_TEMPORARY_PREFIX) and max(
            status.st_mtime, status.st_atime
        ) <= min(moment, part_before)

    return is_doomed


def written_by(writer: str, below: int) -> Doomed:
    """Choose what writers of a name wrote whose numbers are ``below`` one."""
    pattern = re.compile(re.escape(f"{TEMPORARY_PREFIX}{writer}-") + r"(\d+)-")

    def is_doomed(name: str, status: os.stat_result) -> bool:
        del status
        found = pattern.match(name)
        return found is not None and int(found[1]) < below

    return is_doomed


def sweep(root: Path, path: str, is_doomed: Doomed) -> int:
    """Delete some temporary files below a directory; see ``LocalBucket.sweep_temporaries``."""
    swept = 0
    directory = _find_directory(root, path)
    if directory is not None:
        for _, _, names, below in os.fwalk(".", dir_fd=directory):
            swept += _sweep(below, names, is_doomed)
        os.close(directory)
    # What was written before its directories were made lies in one above.
    while path:
        path = path[: path.rstrip("/").rfind("/") + 1]
        above = _find_directory(root, path)
        if above is not None:
            swept += _sweep(above, os.listdir(above), is_doomed)
            os.close(above)
    return swept


def _sweep(directory: int, names: Iterable[str], is_doomed: Doomed) -> int:
    swept = 0
    for name in names:
        if name.startswith(TEMPORARY_PREFIX):
            with suppress(OSError):
                status = os.stat(name, dir_fd=directory, follow_symlinks=False)
                if is_doomed(name, status):
                    os.unlink(name, dir_fd=directory)
                    crashpoint("temporary.swept")
                    swept += 1
    return swept


def _find_directory(root: Path, path: str) -> int | None:
    if path and not is_valid(path[:-1]):
        return None
    try:
        return open_directory(root, path[:-1], READABLE)
    except OSError as error:
        if error.errno in ABSENT:
            return None
        raise translated(error, f"directory {path!r}") from error


def _find_below(level: _Level, name: str) -> int | None:
    try:
        return os.open(name[:-1], READABLE | BENEATH, dir_fd=level.directory)
    except OSError as error:
        if error.errno in ABSENT:
            return None
        raise translated(error, f"directory {level.path + name!r}") from error


def _find_entry(level: _Level, name: str) -> ObjectEntry | None:
    key = level.path + name
    try:
        status = os.stat(name, dir_fd=level.directory, follow_symlinks=False)
    except OSError as error:
        if error.errno in ABSENT:
            return None
        raise translated(error, f"object {key!r}") from error
    return entry_of(key, status) if stat.S_ISREG(status.st_mode) else None


def _level(
    directory: int, path: str, prefix: str, start_after: str, deadline: float | None = None
) -> _Level:
    """Read the names of one directory that can lead to a wanted key.

    The slash after the name of a directory puts ``a-b/x`` before ``a/x``, as the keys stand.
    """
    try:
        wanted = _wanted_names(directory, path, prefix, start_after)
        names = sorted_names(wanted if deadline is None else _until(deadline, wanted))
    except DeadlinePassed:
        os.close(directory)
        raise
    except OSError as error:
        os.close(directory)
        raise translated(error, f"directory {path!r}") from error
    return _Level(directory, path, names)


def _until(deadline: float, names: Iterator[str]) -> Iterator[str]:
    """Give names while there is time; DeadlinePassed then."""
    for number, name in enumerate(chain(("",), names)):
        if number % NAMES_A_LOOK == 0 and time.monotonic() > deadline:
            raise DeadlinePassed
        if name:
            yield name


def _wanted_names(directory: int, path: str, prefix: str, start_after: str) -> Iterator[str]:
    passed_over = 0
    with os.scandir(directory) as entries:
        for entry in entries:
            if entry.name.startswith(TEMPORARY_PREFIX):
                continue
            if not entry.name.isprintable() and not is_valid(entry.name):
                passed_over += 1
            elif entry.is_dir(follow_symlinks=False):
                key = f"{path}{entry.name}/"
                wanted = key.startswith(prefix) or prefix.startswith(key)
                if wanted and (key > start_after or start_after.startswith(key)):
                    yield f"{entry.name}/"
            elif entry.is_file(follow_symlinks=False):
                key = path + entry.name
                if key > start_after and key.startswith(prefix):
                    yield entry.name
            else:
                passed_over += 1
    if passed_over:
        logger.warning(
            "directory entries that are no regular files, or not named in UTF-8, are passed over",
            extra={"passed_over": passed_over},
        )
