"""Which transfer syntax can be had from which, as a table: asked of the code, for every pair."""

from __future__ import annotations

from dataclasses import replace
from string import ascii_lowercase
from typing import TYPE_CHECKING, Final

from fileroom.dicom.media_types import NATIVE_TRANSFER_SYNTAXES, TRANSFER_SYNTAXES
from fileroom.dicom.pixels.pairs import READABLE, find_pair_obstacle
from fileroom.dicom.pixels.syntaxes import JPEG_BASELINE, JPEG_XL_RECOMPRESSION
from tests.corpus import EXPLICIT
from tests.pixels import described

if TYPE_CHECKING:
    from fileroom.dicom.pixels.description import PixelDescription

VIDEO: Final = "1.2.840.10008.1.2.4.102"
_ROOT: Final = "1.2.840.10008."
KINDS: Final[dict[str, PixelDescription | None]] = {
    "grey, 8 bits": described(rows=8, columns=8),
    "grey, 8 bits, signed": described(signed=True, rows=8, columns=8),
    "grey, 12 of 16 bits": described(bits=16, stored=12, rows=8, columns=8),
    "grey, 12 of 16 bits, signed": described(bits=16, stored=12, signed=True, rows=8, columns=8),
    "grey, 16 bits": described(bits=16, rows=8, columns=8),
    "grey, 16 bits, signed": described(bits=16, signed=True, rows=8, columns=8),
    "grey, 32 bits": described(bits=32, rows=8, columns=8),
    "grey, 1 bit": described(bits=1, rows=8, columns=8),
    "RGB, 8 bits": described(colour="RGB", rows=8, columns=8),
    "RGB, 16 bits": described(bits=16, colour="RGB", rows=8, columns=8),
    "YBR_FULL, 8 bits": described(colour="YBR_FULL", rows=8, columns=8),
    "palette, 8 bits": described(colour="PALETTE COLOR", rows=8, columns=8),
    "floating point": replace(
        described(bits=32, rows=8, columns=8), pixel_element="FloatPixelData"
    ),
    "no pixels": None,
}
"""What an instance may hold: one for each rule of the table of pairs."""


def holders(description: PixelDescription | None) -> list[str]:
    """Give the transfer syntaxes that an instance like this can be stored in."""
    possible = {
        uid
        for uid in READABLE
        if uid in NATIVE_TRANSFER_SYNTAXES or find_reason(EXPLICIT, uid, description) is None
    }
    if JPEG_BASELINE in possible:
        possible.add(JPEG_XL_RECOMPRESSION)
    return sorted(possible)


def find_reason(stored: str, asked: str, description: PixelDescription | None) -> str | None:
    """Give why a pair is refused, without the UIDs and without what to do about it."""
    obstacle = find_pair_obstacle(stored, asked, description)
    if obstacle is None:
        return None
    why = obstacle.message.partition("; ")[0].removeprefix(f"{stored} to {asked}: ")
    return why.replace(f"transfer syntax {stored}", "it").replace(f"in {asked}", "in it")


def table() -> str:
    """Give the table in Markdown, and below it what its letters mean."""
    reasons: dict[str, str] = {}
    headings = ["what is stored", "in", *map(_short, TRANSFER_SYNTAXES)]
    lines = [headings, ["---"] * len(headings)]
    for kind, description in KINDS.items():
        alike: dict[tuple[str, ...], list[str]] = {}
        for stored in holders(description):
            cells = tuple(_cell(stored, asked, description, reasons) for asked in TRANSFER_SYNTAXES)
            alike.setdefault(cells, []).append(stored)
        lines += [[kind, _group(stored), *cells] for cells, stored in alike.items()]
    other = [_cell(VIDEO, asked, None, reasons) for asked in TRANSFER_SYNTAXES]
    lines.append(["anything", "video, others", *other])
    rows = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    legend = "\n".join(f"- `{letter}`: {why}" for why, letter in reasons.items())
    return f"{rows}\n\n{legend}"


def _cell(
    stored: str, asked: str, description: PixelDescription | None, reasons: dict[str, str]
) -> str:
    why = "" if stored == asked else find_reason(stored, asked, description)
    if not why:
        return "✓"
    return f"`{reasons.setdefault(why, ascii_lowercase[len(reasons)])}`"


def _group(stored: list[str]) -> str:
    compressed = [uid for uid in stored if uid not in NATIVE_TRANSFER_SYNTAXES]
    native = ["native"] * (len(compressed) < len(stored))
    return ", ".join(native + [_short(uid) for uid in compressed])


def _short(uid: str) -> str:
    return uid.removeprefix(_ROOT)
