"""In what Fileroom is known to differ from Orthanc, and who is right: the table and its page."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.orthanc_answers import Difference

_TABLE: Final = Path(__file__).with_name("conformance") / "orthanc_differences.csv"
RIGHT: Final = frozenset({"Fileroom", "Orthanc", "both"})


@dataclass(frozen=True, slots=True)
class Listed:
    """A row of the table; ``*`` in its first five columns stands for any text.

    Requests and aspects may be several, with ``; `` between them.
    """

    request: str
    accept: str
    aspect: str
    fileroom: str
    orthanc: str
    right: str
    clause: str
    why: str

    def tells(self, difference: Difference) -> bool:
        """Tell whether a difference is this one."""
        return all(
            any(fnmatchcase(getattr(difference, name), pattern) for pattern in patterns)
            for name, patterns in (
                ("request", self.request.split("; ")),
                ("accept", [self.accept]),
                ("aspect", self.aspect.split("; ")),
                ("fileroom", [self.fileroom]),
                ("orthanc", [self.orthanc]),
            )
        )


def listed() -> list[Listed]:
    """Give the rows of the table."""
    with _TABLE.open(newline="", encoding="utf-8") as table:
        return [Listed(**row) for row in csv.DictReader(table)]


def page_rows() -> Iterator[tuple[str, ...]]:
    """Give the rows as the page has them."""
    for row in listed():
        accept = "" if row.accept == "*" else f"<br>`Accept: {row.accept.replace('[*]', '*')}`"
        yield (
            "<br>".join(f"`{request}`" for request in row.request.split("; ")) + accept,
            row.aspect.replace("; ", "<br>").replace("*", "\\*"),
            f"`{row.fileroom}`",
            f"`{row.orthanc}`",
            row.right,
            f"{row.why} ({row.clause})",
        )
