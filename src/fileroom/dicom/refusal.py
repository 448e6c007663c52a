"""Why an object is not taken in."""

from __future__ import annotations

from fileroom.errors import InvalidArgument, Reason


class Refused(InvalidArgument):
    """An object is no DICOM instance that can be stored.

    ``tag`` is eight upper-case hexadecimal digits; ``byte_offset`` counts from the start of the
    object, or of the inflated stream for a deflated data set. The message names neither and
    holds no attribute value.
    """

    def __init__(
        self, message: str, reason: Reason, tag: str | None = None, byte_offset: int | None = None
    ) -> None:
        super().__init__(message)
        # Exception pickles as class(*args).
        self.args = (message, reason, tag, byte_offset)
        self.reason = reason
        self.tag = tag
        self.byte_offset = byte_offset


def refused(message: str, reason: Reason, tag: int, position: int) -> Refused:
    """Refuse an object because of the element ``tag`` (negative: none) at ``position``."""
    return Refused(message, reason, f"{tag:08X}" if tag >= 0 else None, position)


def truncated(tag: int, position: int) -> Refused:
    """Refuse an object that is over before the element at ``position`` is."""
    return refused("the object ends inside an element", Reason.TRUNCATED, tag, position)


def truncated_header(tag: int, position: int, size: int) -> Refused:
    """Refuse an object of ``size`` bytes that may be over before even the tag is known."""
    return truncated(tag if size - position >= 8 else -1, position)
