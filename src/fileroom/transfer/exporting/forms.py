"""The form in which instances are exported, and the names of their files.

References
----------
Cloud Healthcare v1 ``GoogleCloudHealthcareV1DicomGcsDestination.mimeType`` and ``.uriPrefix``
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from fileroom.dicom.media_types import APPLICATION_DICOM, parse_mime_type

if TYPE_CHECKING:
    from fileroom.dicom.media_types import MediaType

_EXTENSIONS: Final = {
    APPLICATION_DICOM: ".dcm",
    "application/octet-stream": "",
    "image/jpeg": ".jpg",
    "image/png": ".png",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """A documented form, where the files go, and how each is named."""

    media_type: MediaType
    prefix: str
    """What each key begins with."""

    @property
    def is_as_stored(self) -> bool:
        """Whether files are the very bytes that were stored."""
        return self.media_type.is_as_stored

    @property
    def is_whole(self) -> bool:
        """Whether an instance becomes one DICOM file, and not a file for each frame."""
        return self.media_type.name == APPLICATION_DICOM

    def key(self, instance: tuple[str, str, str], frame: int | None = None) -> str:
        """Give the key of an instance's only file, or of one frame, counted from 1, of several."""
        name = "/".join(instance if frame is None else (*instance, str(frame)))
        return f"{self.prefix}{name}{_EXTENSIONS[self.media_type.name]}"

    def directory(self, instance: tuple[str, str, str]) -> str:
        """Give what the keys of an instance's numbered frames begin with."""
        return f"{self.prefix}{'/'.join(instance)}/"


def parse_form(mime_type: str, prefix: str) -> Form:
    """Give the form that a ``mimeType`` names.

    Raises
    ------
    InvalidArgument
        If it is none of the documented ones.
    """
    return Form(media_type=parse_mime_type(mime_type), prefix=prefix)
