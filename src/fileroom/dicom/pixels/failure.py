"""Why pixels are not given."""

from __future__ import annotations

from fileroom.errors import InvalidArgument, Reason


class PixelError(InvalidArgument):
    """An instance or a frame cannot be decoded, transcoded or rendered as asked.

    ``reason`` is ``NO_PIXEL_DATA``, ``UNSUPPORTED_TRANSCODING``, ``MEMORY_LIMIT`` for a frame over
    a limit, or ``MALFORMED`` for attributes or frames that contradict themselves.
    """

    def __init__(self, message: str, reason: Reason) -> None:
        super().__init__(message)
        # Exception pickles as class(*args).
        self.args = (message, reason)
        self.reason = reason


def malformed(message: str) -> PixelError:
    """Refuse what contradicts itself or cannot be read."""
    return PixelError(message, Reason.MALFORMED)


def unsupported(message: str) -> PixelError:
    """Refuse what is not offered."""
    return PixelError(message, Reason.UNSUPPORTED_TRANSCODING)
