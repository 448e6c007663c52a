"""Why an instance has no frames to give."""

from __future__ import annotations

from fileroom.errors import InvalidArgument, Reason


class NoPixelData(InvalidArgument):
    """The instance has no frames: a report, a document, or an image whose pixels are elsewhere."""

    reason = Reason.NO_PIXEL_DATA
