"""A finished file given its name, in place of what had it or only where nothing has it."""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from fileroom.crashpoints import crashpoint
from fileroom.errors import FailedPrecondition

if TYPE_CHECKING:
    from collections.abc import Callable

    RenameIfAbsent = Callable[[int, bytes, int, bytes], None]

_RENAME_NOREPLACE: Final = 1
_NO_SUCH_RENAME: Final = {errno.ENOSYS, errno.EINVAL}
"""What says that kernel or file system knows no such rename; NFS is one that does not."""
_NO_LINKS: Final = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}


def rename(source_directory: int, source: str, directory: int, name: str) -> None:
    """Give a file its name, in place of one that had it."""
    os.rename(source, name, src_dir_fd=source_directory, dst_dir_fd=directory)


def rename_if_absent(source_directory: int, source: str, directory: int, name: str) -> None:
    """Give a file its name at one go, unless something has it: then it raises FileExistsError.

    Where the file system knows no such rename, it is linked under the name, and its old name is
    taken away after: a process that dies in between leaves a temporary file beside the whole one.

    Raises
    ------
    FailedPrecondition
        If the file system can do neither.
    """
    if _rename_if_absent is not None:
        try:
            _rename_if_absent(source_directory, os.fsencode(source), directory, os.fsencode(name))
        except OSError as error:
            if error.errno not in _NO_SUCH_RENAME:
                raise
        else:
            return
    try:
        os.link(
            source,
            name,
            src_dir_fd=source_directory,
            dst_dir_fd=directory,
            follow_symlinks=False,
        )
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        raise FailedPrecondition(
            f"the file system cannot write {name!r} only where nothing has that name: it knows "
            "neither hard links nor a rename that replaces nothing; write to another place"
        ) from error
    crashpoint("file.linked")
    with suppress(FileNotFoundError):  # a sweep came before
        os.unlink(source, dir_fd=source_directory)


def _find_rename_if_absent() -> RenameIfAbsent | None:
    if sys.platform != "linux":
        return None
    function = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if function is None:
        return None
    function.argtypes = [
        *(ctypes.c_int, ctypes.c_char_p),
        *(ctypes.c_int, ctypes.c_char_p),
        ctypes.c_uint,
    ]
    function.restype = ctypes.c_int

    def call(source_directory: int, source: bytes, directory: int, name: bytes) -> None:
        if function(source_directory, source, directory, name, _RENAME_NOREPLACE):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))

    return call


_rename_if_absent: Final = _find_rename_if_absent()
