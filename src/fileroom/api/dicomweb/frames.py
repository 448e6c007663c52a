"""WADO-RS: frames of an instance, as bulk data (PS3.18 10.4.1.1.6, 8.7.3.3)."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from fileroom.api.dicomweb.answers import (
    ACCEPTS_KEPT,
    accept,
    answers_406,
    instance_path,
    store_content,
)
from fileroom.api.dicomweb.bodies import frame_part, frames_answer
from fileroom.archive.codecs import PoolCodecs
from fileroom.archive.frames import read_frames
from fileroom.archive.representations import find_frame_obstacle, frame_data, pictures
from fileroom.dicom.encoding import EXPLICIT_VR_LITTLE_ENDIAN
from fileroom.dicom.media_types import (
    AS_STORED,
    JPEG_BASELINE,
    MULTIPART_RELATED,
    OCTET_STREAM,
    MediaType,
    NotAcceptable,
    parse_accept,
    ranked,
)
from fileroom.dicom.pixels.description import parse_pixel_description
from fileroom.errors import InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fileroom.api.calls import Answer, Call
    from fileroom.api.multipart import BodyPart
    from fileroom.archive.codecs import Codecs
    from fileroom.archive.frames import Frames
    from fileroom.archive.retrieve import StoreContent
    from fileroom.dicom.pixels.failure import PixelError
    from fileroom.dicom.pixels.rendering_options import PictureType

FRAMES_MAX: Final = 10_000
"""In one request; its first line has room for about as many."""
_NUMBER: Final = re.compile(r"[0-9]{1,10}", re.ASCII)
_ROOT: Final = "1.2.840.10008.1.2."
_PNG: Final = "image/png"
_JPEG: Final = "image/jpeg"
_TYPES: Final[dict[str, tuple[str, ...]]] = {
    OCTET_STREAM: (EXPLICIT_VR_LITTLE_ENDIAN, AS_STORED),
    _JPEG: (JPEG_BASELINE, f"{_ROOT}4.51", f"{_ROOT}4.57", f"{_ROOT}4.70"),
    "image/jls": (f"{_ROOT}4.80", f"{_ROOT}4.81"),
    "image/jp2": (f"{_ROOT}4.90", f"{_ROOT}4.91"),
    "image/jphc": (f"{_ROOT}4.201", f"{_ROOT}4.202", f"{_ROOT}4.203"),
    "image/jxl": (f"{_ROOT}4.110", f"{_ROOT}4.112"),
    "image/dicom-rle": (f"{_ROOT}5",),
    "application/x-deflate": (f"{_ROOT}8.1",),
}
"""Transfer syntaxes by media type, the default first (Cloud Healthcare conformance, Retrieve)."""


def _offer(root: str, syntax: str | None, *, multipart: bool) -> MediaType:
    parameters = () if syntax is None else (("transfer-syntax", syntax),)
    if multipart:
        return MediaType(name=MULTIPART_RELATED, parameters=(("type", root), *parameters))
    return MediaType(name=root, parameters=parameters)


def _offers(*, multipart: bool) -> tuple[MediaType, ...]:
    frames = (
        _offer(root, syntax, multipart=multipart)
        for root, syntaxes in _TYPES.items()
        for syntax in syntaxes
    )
    # PNG is no encoding that DICOM has: it is the frame as rendered.
    return (*frames, _offer(_PNG, None, multipart=multipart))


_MULTIPART: Final = _offers(multipart=True)
_SINGLE: Final = _offers(multipart=False)


@answers_406
def retrieve_frames(call: Call) -> Answer:
    """Give frames in the order asked for, also one twice: ``…/frames/{frames}``."""
    numbers = parse_frames(call.path["frames"])
    content = store_content(call)
    frames = read_frames(content, instance_path(call), numbers)
    try:
        chosen = _choose(call, frames)
        codecs = PoolCodecs(call.deployment.render_workers)
        parts = _parts(content, frames, chosen, codecs)
        return frames_answer(parts, frames, chosen)
    except BaseException:
        frames.close()
        raise


def parse_frames(text: str) -> list[int]:
    """Give the numbers of a list of frames, ``1,2,5``.

    Raises
    ------
    InvalidArgument
        If it is no such list, or one of too many.
    """
    numbers = text.split(",")
    if len(numbers) > FRAMES_MAX or not all(_NUMBER.fullmatch(each) for each in numbers):
        raise InvalidArgument(
            f"frames are a list of at most {FRAMES_MAX} numbers, counted from 1 and separated by"
            " commas",
            "frames",
        )
    return [int(each) for each in numbers]


def _choose(call: Call, frames: Frames) -> MediaType:
    """Give the best liked of the forms that the frames can be had in."""
    liked = _liked(accept(call), frames.transfer_syntax_uid, single=len(frames.numbers) == 1)
    first: PixelError | None = None
    for offer in liked:
        syntax = offer.transfer_syntax
        obstacle = None if syntax is None else find_frame_obstacle(frames, syntax)
        if obstacle is None or _is_picture(offer, frames):
            return offer
        first = first or obstacle
    assert first is not None, "ranked gives one at least"
    raise NotAcceptable(first.message, "Accept") from first


@lru_cache(ACCEPTS_KEPT)
def _liked(accept: str, stored: str, *, single: bool) -> Sequence[MediaType]:
    """Give the forms that a client takes of frames stored in a transfer syntax."""
    # What a type means by itself: the stored encoding, where it is one of that type.
    defaults = {
        root: stored if stored in syntaxes else syntaxes[0] for root, syntaxes in _TYPES.items()
    }
    offers = (*_MULTIPART, *_SINGLE) if single else _MULTIPART
    return ranked(parse_accept([accept]), offers, default_transfer_syntax=defaults)


def _is_picture(chosen: MediaType, frames: Frames) -> bool:
    """Tell whether a frame is given as rendered: as PNG, and as JPEG where it has over 8 bits.

    JPEG baseline cannot hold such samples; who asks for ``image/jpeg`` wants something to look at.
    """
    if chosen.transfer_syntax is None:
        return True
    if chosen.transfer_syntax != JPEG_BASELINE:
        return False
    description = parse_pixel_description(frames.header)
    return (
        description.is_monochrome
        and description.bits_allocated > 8
        and find_frame_obstacle(frames, JPEG_BASELINE) is not None
    )


def _parts(
    content: StoreContent, frames: Frames, chosen: MediaType, codecs: Codecs
) -> Iterator[BodyPart]:
    root, syntax = chosen.root, chosen.transfer_syntax
    if _is_picture(chosen, frames):
        picture: PictureType = "image/png" if root == _PNG else "image/jpeg"
        media_type = str(_offer(root, syntax, multipart=False))
        for body in pictures(content, frames, picture, codecs):
            yield frame_part(media_type, iter((body,)), len(body))
        return
    assert syntax is not None
    for data in frame_data(frames, syntax, codecs):
        media_type = str(_offer(root, data.transfer_syntax_uid, multipart=False))
        yield frame_part(media_type, data.pieces, data.size)
