"""Windows: which part of the values becomes the range from black to white.

References
----------
PS3.3 C.11.2.1.2 (Window Center, Window Width), C.11.2.1.3 (VOI LUT Function)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum


class WindowFunction(StrEnum):
    """VOI LUT Function."""

    LINEAR = "LINEAR"
    LINEAR_EXACT = "LINEAR_EXACT"
    SIGMOID = "SIGMOID"


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A window; one that no picture could be made with is not buildable."""

    center: float
    width: float
    function: WindowFunction = WindowFunction.LINEAR

    def __post_init__(self) -> None:
        least = 1 if self.function is WindowFunction.LINEAR else 0
        wide_enough = self.width >= least if least else self.width > 0
        if not math.isfinite(self.center) or not math.isfinite(self.width) or not wide_enough:
            raise ValueError(
                "a window has a finite center and a width of at least 1, or over 0 for"
                " LINEAR_EXACT and SIGMOID"
            )


def find_window(
    centers: str, widths: str, function: str, *, of_floats: bool = False
) -> Window | None:
    """Give the first window of an instance; ``None`` where it has none that is possible.

    One of floating point samples is exact, whatever it is called: the half and the one that LINEAR
    takes off are steps of integers (PS3.3 C.11.2.1.3.2).
    """
    kind = function or WindowFunction.LINEAR
    if of_floats and kind == WindowFunction.LINEAR:
        kind = WindowFunction.LINEAR_EXACT
    try:
        return Window(
            center=float(centers.split("\\", 1)[0]),
            width=float(widths.split("\\", 1)[0]),
            function=WindowFunction(kind),
        )
    except ValueError:
        return None
