"""One frame as a picture: what a worker does with bytes and gives back as bytes.

References
----------
PS3.18 8.7.4 (rendered media types), 8.3.5 (parameters); PS3.4 N.2 (order of the steps); PS3.3
C.7.6.3.1.2 (photometric interpretations)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fileroom.dicom.pixels.failure import unsupported
from fileroom.dicom.pixels.rendering_options import RenderingOptions

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fileroom.dicom.pixels.decode import DecodedFrame
    from fileroom.dicom.pixels.presentation import Presentation
    from fileroom.dicom.pixels.rendering_options import PictureType

_DEFAULTS = RenderingOptions()


def render_frame(
    frame: bytes,
    presentation: Presentation,
    media_type: PictureType,
    options: RenderingOptions = _DEFAULTS,
) -> bytes:
    """Give a stored frame as a picture of 8 bits.

    A native frame is given in little endian. A window is for grey levels, and passed over in
    colour.

    Raises
    ------
    PixelError
        If it cannot be decoded or shown, or is over a limit.
    InvalidArgument
        If the region of the viewport lies outside the frame.
    """
    # The codecs take a quarter of a second to load: only where a frame is decoded.
    from fileroom.dicom.pixels.decode import decode_frame
    from fileroom.dicom.pixels.picture import through_viewport, write_picture

    options.require_within_limits(presentation.description)
    decoded = decode_frame(frame, presentation.description, presentation.transfer_syntax_uid)
    pixels = _shown(decoded, presentation, options)
    if options.viewport is not None:
        pixels = through_viewport(pixels, options.viewport)
    return write_picture(pixels, media_type, options.quality)


def _shown(
    frame: DecodedFrame, presentation: Presentation, options: RenderingOptions
) -> NDArray[np.uint8]:
    """Give the pixels of a decoded frame in 8 bits, grey or RGB."""
    import numpy as np

    from fileroom.dicom.pixels.colour import as_rgb
    from fileroom.dicom.pixels.decode import stored_values
    from fileroom.dicom.pixels.grayscale import grey_levels
    from fileroom.dicom.pixels.tables import looked_up, palette_bytes

    description = presentation.description
    if presentation.palette is not None:
        index = stored_values(frame.samples, description)[:, :, 0]
        channels = [
            looked_up(palette_bytes(table), table.first, index) for table in presentation.palette
        ]
        return np.stack(channels, axis=-1).astype(np.uint8)
    if frame.samples.shape[2] == 1:
        return grey_levels(frame.samples, presentation, options.window)
    rgb = as_rgb(frame, description.bits_stored)
    if rgb.photometric_interpretation != "RGB" or description.is_float:
        raise unsupported(
            "this photometric interpretation is not rendered; retrieve the frame in its stored form"
        )
    values = stored_values(rgb.samples, description)
    more = description.bits_stored - 8
    if more > 0:
        values = values >> more  # type: ignore[operator]
    elif more < 0:
        values = values.astype(np.uint16) * 255 // ((1 << description.bits_stored) - 1)
    return values.astype(np.uint8)
