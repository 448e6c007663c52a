"""No patient's name in what Fileroom writes about its work: looked for throughout a test run (S22).

Files of the tests hold names that are nowhere else. Each record that a module of Fileroom logs in a
test's process is looked through, what else a test's processes wrote to the output that pytest
captures, what emulators log, and all that a server of a test leaves beside what it was given to
keep.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from fileroom.telemetry import JsonFormatter

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

PLANTED_NAME: Final = "ZZPHI"
"""A patient's name for tests that look for it themselves."""
NAMES: Final = (
    *(PLANTED_NAME, "Sample^Sam", "Refer^Renate", "Synthetic^Patient", "Referrer^Number"),
    *("Physician^Record", "Physician^Performing", "Physician^Reading", "Operator^One"),
)
"""Names of people in the files of the tests."""
_KEPT: Final = ("blobs", "buckets", "cache", "fileroom.db", "scratch")
"""What of a data directory is there to hold them."""
_CLIENT: Final = "httpx2"
"""Logs the questions that a test itself asks, names and all."""


class Listener(logging.Handler):
    """Keeps those records that tell a name, as they would stand in a log."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(JsonFormatter())
        self._telling: list[str] = []
        self._last: logging.LogRecord | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Look through a record, once."""
        if record is self._last or record.name.startswith(_CLIENT):
            return
        self._last = record
        text = self.format(record)
        if tells(text):
            self._telling.append(text)

    def take(self) -> list[str]:
        """Give what was heard since this was asked last."""
        telling, self._telling = self._telling, []
        return telling


LISTENER: Final = Listener()


def listen() -> None:
    """Hear what is logged in this process from here on, by Fileroom and by libraries.

    What sets logging up takes the root's handlers away, and Fileroom's records are heard still.
    """
    for name in ("fileroom", None):
        logging.getLogger(name).addHandler(LISTENER)


def check_written(log: Path, data: Path) -> None:
    """Look for names in a server's output, and in its data directory beside what it keeps."""
    check_files([log, *_beside(data)])


def check_files(files: Iterable[Path]) -> None:
    """Look for names in files."""
    telling = [str(file) for file in files if tells(file.read_bytes().decode(errors="replace"))]
    assert telling == [], f"a patient's name in {telling}"


def telling_sections(sections: Iterable[tuple[str, str]]) -> list[str]:
    """Give the titles of what pytest captured of a test's output that holds a name.

    Its log is left to the listener, which sees records as they stand in Fileroom's log.
    """
    return [title for title, content in sections if " log " not in title and tells(content)]


def tells(text: str) -> bool:
    """Whether a text holds a name."""
    return any(name in text for name in NAMES)


def _beside(data: Path) -> Iterator[Path]:
    """Give what is in a data directory, dumps of its processes among it, but for what it keeps."""
    for entry in data.iterdir() if data.is_dir() else ():
        if not entry.name.startswith(_KEPT):
            yield from (each for each in (entry, *entry.rglob("*")) if each.is_file())
