"""WADO-RS: rendered frames and thumbnails (PS3.18 10.4.1.1.3, 10.4.1.1.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fileroom.api.dicomweb.answers import accept, answers_406, instance_path, store_content
from fileroom.api.dicomweb.bodies import frame_part, frames_answer
from fileroom.api.dicomweb.frames import parse_frames
from fileroom.archive.codecs import PoolCodecs
from fileroom.archive.frames import read_frames
from fileroom.archive.representations import pictures
from fileroom.archive.thumbnails import find_representative
from fileroom.dicom.media_types import (
    MULTIPART_RELATED,
    MediaType,
    NotAcceptable,
    negotiate,
    parse_accept,
)
from fileroom.dicom.pixels.rendering_options import PICTURE_TYPES, parse_rendering_options
from fileroom.errors import InvalidArgument

if TYPE_CHECKING:
    from fileroom.api.calls import Answer, Call
    from fileroom.archive.frames import Frames
    from fileroom.archive.retrieve import StoreContent
    from fileroom.dicom.pixels.rendering_options import PictureType, RenderingOptions

RENDERED_PARAMETERS: Final = ("viewport", "window", "quality")
THUMBNAIL_PARAMETERS: Final = ("viewport",)
THUMBNAIL_VIEWPORT: Final = "128,128"
_OFFERS: Final = (
    *(MediaType(name=name) for name in PICTURE_TYPES),
    *(MediaType(name=MULTIPART_RELATED, parameters=(("type", name),)) for name in PICTURE_TYPES),
)


@answers_406
def retrieve_rendered(call: Call) -> Answer:
    """Give pictures: ``…[/frames/{frames}]/rendered``; several frames come as parts."""
    options = _options(call, RENDERED_PARAMETERS)
    numbers = parse_frames(call.path["frames"]) if "frames" in call.path else None
    content = store_content(call)
    frames = read_frames(content, instance_path(call), numbers)
    if numbers is None and frames.number_of_frames > 1:
        frames.close()
        raise NotAcceptable(
            f"the instance has {frames.number_of_frames} frames, which are no one picture; ask for"
            " …/frames/N/rendered",
            "Accept",
        )
    return _rendered(call, content, frames, options)


@answers_406
def retrieve_thumbnail(call: Call) -> Answer:
    """Give a small picture of a study, a series, an instance or a frame: ``…/thumbnail``."""
    options = _options(call, THUMBNAIL_PARAMETERS, viewport=THUMBNAIL_VIEWPORT)
    content, path = store_content(call), instance_path(call)
    if "frames" in call.path:
        numbers = parse_frames(call.path["frames"])
        if len(numbers) > 1:
            raise InvalidArgument("a thumbnail is of one frame", "frames")
        frames = read_frames(content, path, numbers)
    else:
        frames = find_representative(content, path)
    return _rendered(call, content, frames, options)


def _rendered(
    call: Call, content: StoreContent, frames: Frames, options: RenderingOptions
) -> Answer:
    try:
        chosen = negotiate(parse_accept([accept(call)]), _OFFERS)
        if len(frames.numbers) > 1 and not chosen.is_multipart:
            chosen = MediaType(name=MULTIPART_RELATED, parameters=(("type", chosen.name),))
        picture: PictureType = "image/png" if chosen.root == "image/png" else "image/jpeg"
        codecs = PoolCodecs(call.deployment.render_workers)
        bodies = pictures(content, frames, picture, codecs, options)
        parts = (frame_part(picture, iter((body,)), len(body)) for body in bodies)
        return frames_answer(parts, frames, chosen)
    except BaseException:
        frames.close()
        raise


def _options(call: Call, known: tuple[str, ...], viewport: str | None = None) -> RenderingOptions:
    for name, _ in call.query:
        if name not in known:
            raise InvalidArgument(
                f"{name[:40]!r} is no parameter of rendering here; use {', '.join(known)}",
                name[:40],
            )
    return parse_rendering_options(
        viewport=call.parameter("viewport") or viewport,
        window=call.parameter("window"),
        quality=call.parameter("quality"),
    )
