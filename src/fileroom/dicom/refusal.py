"""Why an object is not taken in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fileroom.errors import InvalidArgument

if TYPE_CHECKING:
    from fileroom.errors import Reason


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
