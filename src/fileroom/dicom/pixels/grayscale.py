"""From stored values to grey levels: modality, values of interest, presentation.

References
----------
PS3.3 C.11.1 (Modality LUT), C.11.2.1.2 and .3 (windows), C.7.5.1.1.2 (padding); PS3.4 N.2 (order
of the steps)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from fileroom.dicom.pixels.decode import stored_values
from fileroom.dicom.pixels.tables import in_bands, looked_up, table_entries
from fileroom.dicom.pixels.windows import Window, WindowFunction

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fileroom.dicom.pixels.decode import Samples
    from fileroom.dicom.pixels.presentation import Presentation

    Numbers = NDArray[np.float64]

_TABLE_ENTRIES_MAX: Final = 1 << 16
"""Where a frame's values span no more, each is converted once and the frame is looked up."""
_SIGMOID_EXPONENT_MAX: Final = 700.0


def grey_levels(
    samples: Samples, presentation: Presentation, window: Window | None = None
) -> NDArray[np.uint8]:
    """Give the grey levels of a frame's only plane: 0 is black, 255 is white.

    Parameters
    ----------
    window
        In place of the instance's own window or VOI LUT.
    """
    values = np.ascontiguousarray(stored_values(samples, presentation.description)[:, :, 0])
    asked = window
    if asked is None and presentation.voi_lut is None:
        asked = presentation.window or _whole_range(values, presentation)
    if values.dtype.kind == "f":
        return _shown(values.astype(np.float64), presentation, asked)
    least, greatest = values.min(), values.max()
    if int(greatest) - int(least) >= _TABLE_ENTRIES_MAX:
        return _shown(values.astype(np.float64), presentation, asked)
    between = np.arange(int(least), int(greatest) + 1, dtype=np.float64)
    table = _shown(between, presentation, asked)
    unsigned = np.dtype(f"u{values.dtype.itemsize}")  # in which a difference never overflows
    first = least.view(unsigned)
    return in_bands(
        lambda band: np.take(table, band - first), values.view(unsigned), np.dtype(np.uint8)
    )


def _shown(values: Numbers, presentation: Presentation, window: Window | None) -> NDArray[np.uint8]:
    measured = _measured(values, presentation)
    if window is not None:
        levels = windowed(measured, window)
    else:
        assert presentation.voi_lut is not None
        table = presentation.voi_lut
        entries = table_entries(table) / ((1 << table.bits) - 1)
        levels = np.minimum(looked_up(entries, table.first, measured), 1.0)
    if presentation.inverted:
        levels = 1.0 - levels
    return (levels * 255 + 0.5).astype(np.uint8)


def windowed(values: Numbers, window: Window) -> Numbers:
    """Give values from 0 to 1, as the window's function says."""
    center, width = window.center, window.width
    if window.function is WindowFunction.SIGMOID:
        exponent = np.clip(
            -4 * (values - center) / width, -_SIGMOID_EXPONENT_MAX, _SIGMOID_EXPONENT_MAX
        )
        return 1 / (1 + np.exp(exponent))
    if window.function is WindowFunction.LINEAR:
        center, width = center - 0.5, width - 1
    if not width:
        return (values > center).astype(np.float64)
    return np.clip((values - center) / width + 0.5, 0.0, 1.0)


def _measured(values: Numbers, presentation: Presentation) -> Numbers:
    """Give what the modality has measured."""
    if presentation.modality_lut is not None:
        table = presentation.modality_lut
        return looked_up(table_entries(table), table.first, values).astype(np.float64)
    return values * presentation.slope + presentation.intercept


def _whole_range(values: Samples, presentation: Presentation) -> Window:
    """Give the window from the least to the greatest value of a frame, padding left out."""
    if presentation.description.bits_allocated == 1:
        return Window(center=0.5, width=1, function=WindowFunction.LINEAR_EXACT)
    counted = values
    if values.dtype.kind == "f":
        counted = values[np.isfinite(values)]
    elif presentation.padding is not None:
        low, high = presentation.padding
        without = values[np.less(values, low) | np.greater(values, high)]
        counted = without if without.size else values
    ends = np.array([0.0, 0.0])
    if counted.size and presentation.modality_lut is not None:
        measured = _measured(np.unique(counted).astype(np.float64), presentation)
        ends = np.array([measured.min(), measured.max()])
    elif counted.size:
        ends = _measured(np.array([counted.min(), counted.max()], np.float64), presentation)
    low_end, high_end = float(ends.min()), float(ends.max())
    width = high_end - low_end
    if not np.isfinite(width) or width <= 0:
        # A frame of one value is black.
        width = 1.0
    return Window(center=low_end + width / 2, width=width, function=WindowFunction.LINEAR_EXACT)
