"""Bodies of WADO-RS: a single part, whole or a range of it, and the parts of a multipart one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fileroom.api.calls import Answer
from fileroom.api.dicomweb.answers import is_unchanged
from fileroom.api.multipart import BodyPart, multipart_related
from fileroom.api.ranges import find_range, unsatisfied
from fileroom.archive.retrieve import FilePieces
from fileroom.closing import close_pieces

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fileroom.api.calls import Call
    from fileroom.archive.frames import Frames
    from fileroom.archive.retrieve import InstanceFile
    from fileroom.dicom.media_types import MediaType


_SAVED: Final = {"Content-Disposition": "attachment"}
"""A browser that is led to a file keeps it, whatever else its bytes may be besides DICOM."""


def single_part(call: Call, file: InstanceFile, media_type: MediaType) -> Answer:
    """Give a file as a body by itself: 200, or 206, 304 and 416 where the client asks for that."""
    headers = dict(_SAVED) if file.etag is None else {**_SAVED, "ETag": file.etag}
    if file.etag is not None and is_unchanged(call, file.etag):
        file.pieces.close()
        return Answer(status=304, media_type=None, headers=headers)
    if file.size is None or file.span is None:
        return Answer(media_type=str(media_type), body=file.pieces, headers=headers)
    headers["Accept-Ranges"] = "bytes"
    asked = find_range(call.headers, file.size, file.etag)
    if asked is None:
        headers["Content-Length"] = str(file.size)
        return Answer(media_type=str(media_type), body=file.pieces, headers=headers)
    start, stop = asked
    if start >= stop:
        file.pieces.close()
        return unsatisfied(file.size)
    headers["Content-Range"] = f"bytes {start}-{stop - 1}/{file.size}"
    headers["Content-Length"] = str(stop - start)
    return Answer(
        status=206,
        media_type=str(media_type),
        body=file.pieces.instead(file.span(start, stop)),
        headers=headers,
    )


def one_part(file: InstanceFile, media_type: MediaType) -> Answer:
    """Give a file as the only part of a multipart body.

    It has no ETag: its boundary is drawn by lot, so that no two bodies are the same.
    """
    return multipart_related(
        (file_part(file, media_type),), root=media_type.name, parameters=media_type.parameters
    )


def file_part(file: InstanceFile, media_type: MediaType) -> BodyPart:
    """Give a file as one of the parts of a body."""
    headers = (("Content-Type", str(media_type)),)
    return BodyPart(headers=headers, pieces=file.pieces, size=file.size)


def announced_part(media_type: MediaType, size: int) -> BodyPart:
    """Give the part that a file of so many bytes will be, without its bytes."""
    return BodyPart(headers=(("Content-Type", str(media_type)),), pieces=iter(()), size=size)


def frame_part(media_type: str, pieces: Iterator[bytes], size: int | None) -> BodyPart:
    """Give a frame as one of the parts of a body."""
    return BodyPart(headers=(("Content-Type", media_type),), pieces=pieces, size=size)


def frames_answer(parts: Iterator[BodyPart], frames: Frames, form: MediaType) -> Answer:
    """Give parts, one for each frame, as the answer that ``form`` tells; it closes the frames.

    The first is drawn at once, so that what is wrong with it is still answered.
    """
    first = next(parts)
    if form.is_multipart and (len(frames.numbers) > 1 or first.size is None):
        return multipart_related(_held(resumed(first, parts), frames), root=form.root)
    if first.size is not None:
        frames.close()
    if form.is_multipart:
        return multipart_related((first,), root=form.root)
    headers = {} if first.size is None else {"Content-Length": str(first.size)}
    return Answer(
        media_type=dict(first.headers)["Content-Type"],
        body=FilePieces(first.pieces, frames),
        headers=headers,
    )


def resumed(first: BodyPart, parts: Iterator[BodyPart]) -> Iterator[BodyPart]:
    """Give parts of which the first was drawn already; closed, it closes them."""
    try:
        yield first
        yield from parts
    finally:
        close_pieces(parts)


def _held(parts: Iterator[BodyPart], frames: Frames) -> Iterator[BodyPart]:
    try:
        yield from parts
    finally:
        close_pieces(parts)  # frames under way are given up before the blob is closed
        frames.close()
