"""Which objects are archives, and how a key names what is in one: ``study.zip!/series/1.dcm``."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final

MARKER: Final = "!/"
"""Between the key of an archive and the name of a member."""


class ArchiveFormat(StrEnum):
    """How an archive holds its members."""

    ZIP = "zip"
    TAR = "tar"
    TAR_GZIP = "tar.gz"


_FORMATS: Final = {
    ".zip": ArchiveFormat.ZIP,
    ".tar": ArchiveFormat.TAR,
    ".tar.gz": ArchiveFormat.TAR_GZIP,
    ".tgz": ArchiveFormat.TAR_GZIP,
}
EXTENSIONS: Final = tuple(_FORMATS)
"""What the key of an archive ends with."""
_MARKED: Final = re.compile(rf"(?:{'|'.join(map(re.escape, _FORMATS))}){MARKER}", re.IGNORECASE)


def find_archive_format(key: str) -> ArchiveFormat | None:
    """Give the format that the extension of a key tells, in either case, or None."""
    lower = key.lower()
    for extension, archive_format in _FORMATS.items():
        if lower.endswith(extension):
            return archive_format
    return None


def split_archive_key(key: str) -> tuple[str, str] | None:
    """Split a key, or the pattern of one, into the archive's and the member's; None without one.

    The first ``!/`` right after an archive's extension counts: archives are not looked for in
    archives. Either part may hold wildcards, and that of the member may be empty.
    """
    marked = _MARKED.search(key)
    if marked is None:
        return None
    return key[: marked.end() - len(MARKER)], key[marked.end() :]
