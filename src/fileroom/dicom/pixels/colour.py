"""Samples of any photometric interpretation as red, green and blue.

References
----------
PS3.3 C.7.6.3.1.2 (the equations), ITU-R BT.601
"""

from __future__ import annotations

import numpy as np

from fileroom.dicom.pixels.decode import DecodedFrame

_FULL = np.array(
    [[1, 0, 1.402], [1, -0.114 * 1.772 / 0.587, -0.299 * 1.402 / 0.587], [1, 1.772, 0]]
)
_PARTIAL = _FULL * np.array([255 / 219, 255 / 224, 255 / 224])


def as_rgb(frame: DecodedFrame, bits_stored: int) -> DecodedFrame:
    """Give a frame with YCbCr samples as RGB; any other as it is."""
    colour = frame.photometric_interpretation
    if colour not in {"YBR_FULL", "YBR_PARTIAL"} or frame.samples.shape[2] != 3:
        return frame
    matrix = (_FULL if colour == "YBR_FULL" else _PARTIAL).astype(np.float32)
    middle = 1 << (bits_stored - 1)
    floor = 0 if colour == "YBR_FULL" else 1 << max(0, bits_stored - 4)
    values = frame.samples.astype(np.float32).reshape(-1, 3)
    values -= np.array([floor, middle, middle], np.float32)
    rgb = values @ matrix.T
    rgb += 0.5
    np.clip(rgb, 0, (1 << bits_stored) - 1, out=rgb)
    samples = rgb.astype(frame.samples.dtype).reshape(frame.samples.shape)
    return DecodedFrame(samples=samples, photometric_interpretation="RGB")
