"""The query parameters of a rendered frame, parsed and checked.

References
----------
PS3.18 8.3.5.1 (viewport, window, quality); Cloud Healthcare quotas (frames and sides of a viewport)
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from fileroom.dicom.pixels.failure import PixelError
from fileroom.dicom.pixels.windows import Window, WindowFunction
from fileroom.errors import InvalidArgument, Reason

if TYPE_CHECKING:
    from fileroom.dicom.pixels.description import PixelDescription

PictureType = Literal["image/jpeg", "image/png"]
PICTURE_TYPES: Final[tuple[PictureType, ...]] = ("image/jpeg", "image/png")
VIEWPORT_FRAME_BYTES_MAX: Final = 50 << 20
VIEWPORT_SIDE_MAX: Final = 10_000
DEFAULT_QUALITY: Final = 90
_NUMBER = re.compile(r"[+-]?(\d{1,12}(\.\d{0,12})?|\.\d{1,12})([eE][+-]?\d{1,2})?")
_SIDE = re.compile(r"\d{1,6}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """The part of a frame that is shown; negative sizes mirror it."""

    left: float = 0.0
    top: float = 0.0
    width: float | None = None
    """``None`` for what is right of ``left``."""
    height: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Viewport:
    """What a picture must fit into, its aspect ratio kept."""

    width: int
    height: int
    region: Region = Region()


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderingOptions:
    """How a client wants a frame to be rendered."""

    viewport: Viewport | None = None
    window: Window | None = None
    """In place of the instance's own."""
    quality: int = DEFAULT_QUALITY
    """Of JPEG, 1 to 100."""

    def require_within_limits(self, description: PixelDescription) -> None:
        """Refuse a frame that is too large for what is asked.

        Raises
        ------
        PixelError
            ``MEMORY_LIMIT``.
        """
        description.require_decodable()
        if self.viewport is None:
            return
        too_wide = max(description.rows, description.columns) > VIEWPORT_SIDE_MAX
        if too_wide or description.decoded_frame_bytes > VIEWPORT_FRAME_BYTES_MAX:
            raise PixelError(
                f"a frame with a side over {VIEWPORT_SIDE_MAX} pixels, or of more than"
                f" {VIEWPORT_FRAME_BYTES_MAX} bytes, is not scaled; leave out viewport",
                Reason.MEMORY_LIMIT,
            )


def parse_rendering_options(
    viewport: str | None = None, window: str | None = None, quality: str | None = None
) -> RenderingOptions:
    """Give the options that query parameters name; an absent one is ``None``.

    Raises
    ------
    InvalidArgument
        If one of them is not what PS3.18 allows; the detail names it.
    """
    return RenderingOptions(
        viewport=None if viewport is None else parse_viewport(viewport),
        window=None if window is None else parse_window(window),
        quality=DEFAULT_QUALITY if quality is None else _parse_quality(quality),
    )


def parse_viewport(text: str) -> Viewport:
    """Give the viewport that ``vw,vh`` or ``vw,vh,sx,sy,sw,sh`` names (PS3.18 8.3.5.1.3).

    Of the last four each may be empty: from the left or top edge, to the right or bottom one.
    """
    parts = [part.strip() for part in text.split(",")]
    if len(parts) not in {2, 6} or not all(_SIDE.fullmatch(part) for part in parts[:2]):
        raise _wrong_viewport()
    width, height = (int(part) for part in parts[:2])
    if not (0 < width <= VIEWPORT_SIDE_MAX and 0 < height <= VIEWPORT_SIDE_MAX):
        raise _wrong_viewport()
    region = Region()
    if len(parts) == 6:
        left, top, region_width, region_height = (_parse_number(part) for part in parts[2:])
        if min(left or 0, top or 0) < 0 or 0 in {region_width, region_height}:
            raise _wrong_viewport()
        region = Region(left=left or 0.0, top=top or 0.0, width=region_width, height=region_height)
    return Viewport(width=width, height=height, region=region)


def parse_window(text: str) -> Window:
    """Give the window that ``center,width,function`` names (PS3.18 8.3.5.1.4).

    The function is written as in the attribute or in lower case with hyphens; without one it is
    LINEAR.
    """
    parts = [part.strip() for part in text.split(",")]
    wrong = InvalidArgument(
        "window is center,width,function: two numbers, the width at least 1 (over 0 unless"
        " linear), and one of linear, linear-exact, sigmoid",
        "window",
    )
    if len(parts) not in {2, 3} or not all(_NUMBER.fullmatch(part) for part in parts[:2]):
        raise wrong
    name = parts[2] if len(parts) == 3 else "linear"
    try:
        return Window(
            center=float(parts[0]),
            width=float(parts[1]),
            function=WindowFunction(name.upper().replace("-", "_")),
        )
    except ValueError:
        raise wrong from None


def _parse_quality(text: str) -> int:
    if not re.fullmatch(r"\d{1,3}", text) or not 1 <= int(text) <= 100:
        raise InvalidArgument("quality is a whole number from 1 to 100", "quality")
    return int(text)


def _parse_number(text: str) -> float | None:
    if not text:
        return None
    if not _NUMBER.fullmatch(text) or not math.isfinite(float(text)):
        raise _wrong_viewport()
    return float(text)


def _wrong_viewport() -> InvalidArgument:
    return InvalidArgument(
        f"viewport is vw,vh or vw,vh,sx,sy,sw,sh: vw and vh whole numbers from 1 to"
        f" {VIEWPORT_SIDE_MAX}, sx and sy numbers from 0, sw and sh numbers other than 0, each of"
        " the last four or none at all",
        "viewport",
    )
