"""What makes a file survive a power cut, and the end of trust when the disk says no.

The kernel reports a failed write-back once and then drops the pages: a second fsync would report
success over lost bytes. So the first failure ends this process's right to write, and nothing is
retried.
"""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from typing import TYPE_CHECKING, Final, Self

from fileroom.crashpoints import crashpoint
from fileroom.errors import (
    FailedPrecondition,
    FileroomError,
    Internal,
    InvalidArgument,
    PermissionDenied,
    ResourceExhausted,
    Unavailable,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

_SYNC_FILE_RANGE_WRITE = 2
_NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class DurabilityLost(Internal):
    """The disk did not keep what was written; this process must not write again."""


class _RightToWrite:
    """Why this process may no longer write, or None."""

    def __init__(self) -> None:
        self.lost: str | None = None


_right_to_write: Final = _RightToWrite()


def durability_lost() -> str | None:
    """Give why this process may no longer write, or None while it may."""
    return _right_to_write.lost


def end_right_to_write(why: str) -> None:
    """Refuse every later write of this process; also for what a worker process met."""
    if _right_to_write.lost is None:
        _right_to_write.lost = why


def check_right_to_write() -> None:
    """Raise DurabilityLost if the disk did not keep an earlier write."""
    if _right_to_write.lost is not None:
        raise DurabilityLost(
            f"nothing is written since an earlier write was not kept: {_right_to_write.lost}; "
            "check the disk, then restart the server"
        )


def start_write_back(file: int, offset: int, length: int) -> None:
    """Have the kernel begin to write a file's pages, so that a later fdatasync waits less.

    Only a hint: what it could not do, fdatasync does and reports.
    """
    if _sync_file_range is not None:
        _sync_file_range(file, offset, length, _SYNC_FILE_RANGE_WRITE)


def sync_unnamed(file: int, what: str) -> None:
    """Make the bytes of a file that has no name of its own yet durable.

    A full disk leaves the right to write standing: the file is thrown away unread, so no later
    success can stand for its lost pages.
    """
    check_right_to_write()
    try:
        os.fdatasync(file)
    except OSError as error:
        if error.errno in _NO_SPACE:
            raise translated(error, what) from error
        raise _lost(error, what) from error
    crashpoint("file.synced")


def sync_directory(directory: int, what: str) -> None:
    """Make the names in a directory durable."""
    check_right_to_write()
    try:
        os.fsync(directory)
    except OSError as error:
        raise _lost(error, what) from error
    crashpoint("directory.synced")


class translating:
    """Turn the operating system's errors about one object into Fileroom's."""

    __slots__ = ("_key",)

    def __init__(self, key: str) -> None:
        self._key = key

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if isinstance(error, OSError):
            raise translated(error, f"object {self._key!r}") from error


def translated(error: OSError, what: str) -> FileroomError:
    """Give Fileroom's error for one of the operating system's, about ``what``.

    What was looked for and is absent is the caller's to say; here ENOENT is a directory that was
    taken away while it was used.
    """
    why = os.strerror(error.errno) if error.errno else str(error)
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT | errno.EFBIG:
            return ResourceExhausted(
                f"no space to write {what} ({why}); free some or add to it", "NO_SPACE"
            )
        case errno.EACCES | errno.EPERM:
            return PermissionDenied(
                f"the account of the server may not access {what} ({why}); "
                "change the rights of its files"
            )
        case errno.ENOTDIR | errno.EISDIR | errno.EEXIST:
            return FailedPrecondition(
                f"cannot write {what}: a file and a directory would have the same name"
            )
        case errno.ENAMETOOLONG | errno.EILSEQ | errno.EINVAL:
            return InvalidArgument(f"the file system cannot hold the name of {what} ({why})")
        case _:
            return Unavailable(f"cannot access {what} ({why}); is its volume mounted and sound?")


def _lost(error: OSError, what: str) -> DurabilityLost:
    why = f"{what} could not be made durable ({os.strerror(error.errno or errno.EIO)})"
    end_right_to_write(why)
    return DurabilityLost(f"{why}; nothing more is written: check the disk, restart the server")


def _find_sync_file_range() -> Callable[[int, int, int, int], int] | None:
    if sys.platform != "linux":
        return None
    function = getattr(ctypes.CDLL(None), "sync_file_range", None)
    if function is None:
        return None
    function.argtypes = [ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint]
    function.restype = ctypes.c_int
    call: Callable[[int, int, int, int], int] = function
    return call


_sync_file_range: Final = _find_sync_file_range()
