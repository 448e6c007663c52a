"""Which frame stands for a study, a series or an instance in a thumbnail (PS3.18 10.4.1.1.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fileroom.archive.frames import read_frames
from fileroom.archive.retrieve import absent, each_stored
from fileroom.database.stored import list_instances_of_series, list_series
from fileroom.dicom.frames import NoPixelData
from fileroom.dicom.media_types import NotAcceptable
from fileroom.errors import NotFound

if TYPE_CHECKING:
    from fileroom.archive.frames import Frames
    from fileroom.archive.retrieve import StoreContent
    from fileroom.names import InstancePath

SERIES_TRIED_MAX: Final = 16
"""Of a study; each costs a query and the opening of one instance."""


def find_representative(content: StoreContent, path: InstancePath) -> Frames:
    """Open the frame that shows most of what is meant: the middle one of the middle instance.

    Of a study that of its first series whose middle instance has frames.

    Raises
    ------
    NotFound
        If there is no such study, series or instance, or nothing that could be shown of it.
    """
    if path.sop_instance_uid is not None:
        frames = _middle_frame(content, path)
        if frames is None:
            raise _nothing_to_show(path)
        return frames
    with content.database.read() as connection:
        series = list_series(connection, content.store_id, path)
    if not series:
        raise absent(path)
    for version in series[:SERIES_TRIED_MAX]:
        with content.database.read() as connection:
            ids = list_instances_of_series(connection, version.series_id)
        middle = len(ids) // 2
        for stored in each_stored(content, ids[middle : middle + 1]):
            frames = _middle_frame(content, stored.path)
            if frames is not None:
                return frames
    raise _nothing_to_show(path)


def _middle_frame(content: StoreContent, path: InstancePath) -> Frames | None:
    """Open the middle frame of an instance, if it has any that can be given alone."""
    try:
        with read_frames(content, path) as frames:
            number = (frames.number_of_frames + 1) // 2
        return read_frames(content, path, [number])
    except (NoPixelData, NotAcceptable):
        return None


def _nothing_to_show(path: InstancePath) -> NotFound:
    return NotFound(f"{path} has no frame that could be shown as a thumbnail", "name")
