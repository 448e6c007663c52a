"""No patient's name in what Fileroom writes about its work: looked for throughout a test run (S22).

Files of the tests hold names that are nowhere else. Each record that a module of Fileroom logs in a
test's process is looked through, and all that a server of a test leaves beside what it was given to
keep.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from fileroom.telemetry import JsonFormatter

if TYPE_CHECKING:
    from collections.abc import Iterator
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


class Listener(logging.Handler):
    """Keeps those records that tell a name, as they would stand in a log."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(JsonFormatter())
        self._telling: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Look through a record."""
        text = self.format(record)
        if any(name in text for name in NAMES):
            self._telling.append(text)

    def take(self) -> list[str]:
        """Give what was heard since this was asked last."""
        telling, self._telling = self._telling, []
        return telling


LISTENER: Final = Listener()


def listen() -> None:
    """Hear what is logged in this process from here on."""
    logging.getLogger("fileroom").addHandler(LISTENER)


def check_written(log: Path, data: Path) -> None:
    """Look for names in a server's output, and in its data directory beside what it keeps."""
    telling = [str(file) for file in [log, *_beside(data)] if _tells(file)]
    assert telling == [], f"a patient's name in {telling}"


def _beside(data: Path) -> Iterator[Path]:
    """Give what is in a data directory, dumps of its processes among it, but for what it keeps."""
    for entry in data.iterdir():
        if not entry.name.startswith(_KEPT):
            yield from (each for each in (entry, *entry.rglob("*")) if each.is_file())


def _tells(file: Path) -> bool:
    content = file.read_bytes()
    return any(name.encode() in content for name in NAMES)
