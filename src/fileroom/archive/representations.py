"""An instance in the form that is asked for: its file, its frames, pictures of them.

The one path of retrieval and of export: both name a form by a transfer syntax or a picture's media
type, and both learn from ``find_obstacle`` whether it can be had, before anything is sent or
written. What is found wrong with the first frame is raised at once too; with a later one, while the
pieces are drawn.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Final

from fileroom.archive.codecs import Reencoding, Rendering
from fileroom.archive.reading import InstanceReader
from fileroom.archive.retrieve import FilePieces, InstanceFile, each_stored, open_as_stored
from fileroom.dicom.bulk_data import find_bulk_data
from fileroom.dicom.encoding import UNDEFINED_LENGTH
from fileroom.dicom.media_types import AS_STORED, NATIVE_TRANSFER_SYNTAXES
from fileroom.dicom.pixels.description import (
    FRAME_BYTES_MAX,
    find_pixel_description,
    parse_pixel_description,
)
from fileroom.dicom.pixels.failure import PixelError
from fileroom.dicom.pixels.pairs import find_transcoding_obstacle, require_transcodable
from fileroom.dicom.pixels.presentation import Presentations
from fileroom.dicom.pixels.rendering_options import RenderingOptions
from fileroom.dicom.pixels.transcode import transcoded_pieces
from fileroom.dicom.rewriting import Rewriting, native_rewriting
from fileroom.errors import Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from fileroom.archive.codecs import Codecs
    from fileroom.archive.frames import Frame, Frames
    from fileroom.archive.reading import Content
    from fileroom.archive.retrieve import StoreContent
    from fileroom.database.values.stored import ListedInstance, StoredInstance
    from fileroom.dicom.header import Header
    from fileroom.dicom.pixels.description import PixelDescription
    from fileroom.dicom.pixels.rendering_options import PictureType

    OpenFrames = Callable[[StoredInstance], Frames]

TRANSCODED_FILE_BYTES_MAX: Final = 1 << 30
"""As stored; the limit for transcoding a whole instance (Cloud Healthcare quotas, DICOM)."""
CHECKED_INSTANCES_MAX: Final = 1000
"""Of a study, before its first byte is sent: 0.1 s."""
HELD_FRAME_BYTES: Final = 8 << 20
"""A stored frame of no more is read at one go, so that its length is told; others in pieces."""
_DEFAULTS: Final = RenderingOptions()


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameData:
    """One frame, ready to be sent."""

    number: int
    transfer_syntax_uid: str
    pieces: Iterator[bytes]
    size: int | None
    """In bytes, where it is known beforehand."""


def find_obstacle(header: Header, size: int, asked: str) -> PixelError | None:
    """Give why an instance of so many bytes cannot be had in a transfer syntax; ``None`` if it can.

    ``asked`` is a transfer syntax UID, or ``*`` for the stored one.
    """
    stored = header.transfer_syntax_uid
    if asked in {stored, AS_STORED}:
        return None
    obstacle = find_transcoding_obstacle(header, asked)
    if obstacle is not None or {stored, asked} <= NATIVE_TRANSFER_SYNTAXES:
        return obstacle
    if size > TRANSCODED_FILE_BYTES_MAX:
        return PixelError(
            f"an instance of {size} bytes is over the limit of {TRANSCODED_FILE_BYTES_MAX} for"
            " another transfer syntax; use transfer-syntax=*, or retrieve its frames",
            Reason.MEMORY_LIMIT,
        )
    if asked in NATIVE_TRANSFER_SYNTAXES:
        description = parse_pixel_description(header)
        if description.decoded_frame_bytes * description.number_of_frames >= UNDEFINED_LENGTH - 1:
            return PixelError(
                "the decoded pixel data are over 4 GB, which no native transfer syntax can hold;"
                " use transfer-syntax=*, or retrieve its frames",
                Reason.MEMORY_LIMIT,
            )
    return None


# ------------------------------------------------------------------ files


def open_file(
    content: Content,
    stored: StoredInstance,
    asked: str | Sequence[str],
    codecs: Codecs,
    open_frames: OpenFrames,
) -> InstanceFile:
    """Open the file of an instance in a transfer syntax, or as it is stored where that is ``*``.

    Of several the first that it can be had in. ``open_frames`` is called where pixel data must be
    decoded.

    Raises
    ------
    NotFound
        If the instance was deleted meanwhile.
    DataLoss
        If its blob is missing or has another size, or ends the process that decodes it.
    PixelError
        If it cannot be had so.
    """
    acceptable = (asked,) if isinstance(asked, str) else asked
    with ExitStack() as stack:
        reader = stack.enter_context(InstanceReader(content, stored))
        chosen = choose_transfer_syntax(reader, acceptable)
        if chosen in {stored.transfer_syntax_uid, AS_STORED}:
            return open_as_stored(content, stored)
        if {stored.transfer_syntax_uid, chosen} <= NATIVE_TRANSFER_SYNTAXES:
            _ = reader.source  # a blob that is gone is told before anything is sent
            if reader.stored is stored:
                file = _rewritten(reader, chosen)
                stack.pop_all()
                return file
            # Replaced since: the header is of other bytes.
            return open_file(content, reader.stored, acceptable, codecs, open_frames)
    return _transcoded(content, open_frames(stored), chosen, codecs)


def choose_transfer_syntax(reader: InstanceReader, acceptable: Sequence[str]) -> str:
    """Give the first transfer syntax that an instance can be had in; its header may be read.

    Raises
    ------
    PixelError
        If there is none; it tells of the first.
    """
    stored = reader.stored
    obstacle: PixelError | None = None
    for asked in acceptable:
        if asked in {stored.transfer_syntax_uid, AS_STORED}:
            return asked
        found = find_obstacle(reader.header, stored.place.size, asked)
        if found is None:
            return asked
        obstacle = obstacle or found
    assert obstacle is not None, "somebody accepts something"
    raise obstacle


def come_as_stored(found: Iterable[ListedInstance], acceptable: Sequence[str]) -> bool:
    """Tell whether ``open_file`` gives all of these instances as they are stored."""
    liked = acceptable[0]
    return liked == AS_STORED or all(each.transfer_syntax_uid == liked for each in found)


def need_decoding(found: Iterable[ListedInstance], acceptable: Sequence[str]) -> Iterator[int]:
    """Give the ids of those instances whose pixel data may have to be decoded."""
    if AS_STORED in acceptable:
        return iter(())
    native = not NATIVE_TRANSFER_SYNTAXES.isdisjoint(acceptable)
    return (
        each.id
        for each in found
        if each.transfer_syntax_uid not in acceptable
        and not (native and each.transfer_syntax_uid in NATIVE_TRANSFER_SYNTAXES)
    )


def check_first(content: StoreContent, doubtful: Iterable[int], acceptable: Sequence[str]) -> None:
    """Refuse instances of which one can be had in no acceptable transfer syntax.

    Only headers that are in their rows are looked at, and of so many instances: the others are
    looked at when their turn comes.

    Raises
    ------
    PixelError
        That tells of the first.
    """
    for stored in each_stored(content, islice(doubtful, CHECKED_INSTANCES_MAX)):
        if stored.header is not None:
            with InstanceReader(content, stored) as reader:
                choose_transfer_syntax(reader, acceptable)


def _rewritten(reader: InstanceReader, asked: str) -> InstanceFile:
    rewriting = native_rewriting(reader.header, asked)
    return InstanceFile(
        transfer_syntax_uid=asked,
        size=rewriting.size,
        etag=_etag(reader.stored, asked, strong=rewriting.size is not None),
        pieces=FilePieces(rewriting.pieces(reader.read), reader),
        span=(partial(rewriting.pieces, reader.read) if isinstance(rewriting, Rewriting) else None),
    )


def _transcoded(content: Content, frames: Frames, asked: str, codecs: Codecs) -> InstanceFile:
    with ExitStack() as stack:
        stack.enter_context(frames)
        # A reader of its own: of a deflated file each reads forward.
        reader = stack.enter_context(InstanceReader(content, frames.stored))

        reencode = partial(_reencoded, codecs, str(frames.stored.path))
        pieces = transcoded_pieces(frames.header, frames, asked, reader.read, reencode=reencode)
        stack.pop_all()
    return InstanceFile(
        transfer_syntax_uid=asked,
        size=None,
        etag=_etag(frames.stored, asked, strong=False),
        pieces=FilePieces(pieces, reader, frames),
    )


def _reencoded(
    codecs: Codecs,
    what: str,
    frames: Iterable[Frame],
    description: PixelDescription,
    stored: str,
    asked: str,
) -> Iterator[bytes]:
    tasks = (
        Reencoding(
            number=frame.number,
            frame=_bounded(frame),
            description=description,
            stored=stored,
            asked=asked,
        )
        for frame in frames
    )
    return codecs.run(tasks, what)


def _etag(stored: StoredInstance, asked: str, *, strong: bool) -> str | None:
    """Give the ETag of another form; a weak one where another version may encode other bytes."""
    sha256 = stored.place.sha256
    if sha256 is None:
        return None
    return f'{"" if strong else "W/"}"{sha256.hex()}-{asked}"'


# ------------------------------------------------------------------ values


def open_bulk_data(content: Content, stored: StoredInstance, path: Sequence[str]) -> InstanceFile:
    """Open the value at ``tag``, or at ``tag, item counted from 0, tag, …`` within sequences.

    Raises
    ------
    InvalidArgument, NotFound
        As ``find_bulk_data``; also if the instance was deleted meanwhile.
    DataLoss
        If its blob is missing or has another size.
    """
    with ExitStack() as stack:
        reader = stack.enter_context(InstanceReader(content, stored))
        bulk_data = find_bulk_data(reader.header, path)
        _ = reader.source
        if reader.stored is not stored:
            return open_bulk_data(content, reader.stored, path)  # replaced since
        stack.pop_all()
    sha256 = reader.stored.place.sha256
    return InstanceFile(
        transfer_syntax_uid=bulk_data.transfer_syntax_uid,
        size=bulk_data.size,
        etag=None if sha256 is None else f'"{sha256.hex()}-{"-".join(path)}"',
        pieces=FilePieces(bulk_data.pieces(reader.read), reader),
        span=None if bulk_data.encapsulated else partial(bulk_data.pieces, reader.read),
    )


# ------------------------------------------------------------------ frames


def find_frame_obstacle(frames: Frames, asked: str) -> PixelError | None:
    """Give why frames cannot be had in a transfer syntax; ``None`` if they can."""
    if asked in {frames.transfer_syntax_uid, AS_STORED}:
        return None
    try:
        require_transcodable(
            frames.transfer_syntax_uid, asked, find_pixel_description(frames.header)
        )
    except PixelError as error:
        return error
    return None


def frame_data(frames: Frames, asked: str, codecs: Codecs) -> Iterator[FrameData]:
    """Give frames in a transfer syntax, or as they are stored where that is ``*``.

    Native ones are little endian, each begun at a byte of its own. To be drawn while the frames are
    open; whoever closes them closes what is left.

    Raises
    ------
    PixelError
        At once, if they cannot be had so or a first frame is over a limit; while they are drawn,
        if one cannot be decoded.
    """
    obstacle = find_frame_obstacle(frames, asked)
    if obstacle is not None:
        raise obstacle
    stored = frames.transfer_syntax_uid
    if asked in {stored, AS_STORED} or {stored, asked} <= NATIVE_TRANSFER_SYNTAXES:
        return map(partial(_as_stored, stored), frames)
    description = parse_pixel_description(frames.header)
    bodies = _reencoded(codecs, str(frames.stored.path), frames, description, stored, asked)
    return (
        FrameData(number=number, transfer_syntax_uid=asked, pieces=iter((body,)), size=len(body))
        for number, body in zip(frames.numbers, bodies, strict=True)
    )


def _as_stored(transfer_syntax_uid: str, frame: Frame) -> FrameData:
    if frame.size_max > HELD_FRAME_BYTES:
        pieces, size = frame.pieces(), None
    else:
        body = frame.read()
        pieces, size = iter((body,)), len(body)
    return FrameData(
        number=frame.number, transfer_syntax_uid=transfer_syntax_uid, pieces=pieces, size=size
    )


def _bounded(frame: Frame) -> Frame:
    """Refuse a frame to be decoded that lies about its length, before it is read."""
    if frame.size_max > FRAME_BYTES_MAX:
        raise PixelError(
            f"a stored frame takes {frame.size_max} bytes, over the limit of {FRAME_BYTES_MAX};"
            " retrieve it with transfer-syntax=*",
            Reason.MEMORY_LIMIT,
        )
    return frame


# ------------------------------------------------------------------ pictures


def pictures(
    content: Content,
    frames: Frames,
    media_type: PictureType,
    codecs: Codecs,
    options: RenderingOptions = _DEFAULTS,
) -> Iterator[bytes]:
    """Give frames as pictures, in order; to be drawn while the frames are open.

    Raises
    ------
    PixelError
        At once, if there are no pixels or a frame is over a limit; while they are drawn, if one
        cannot be decoded or shown.
    """
    description = parse_pixel_description(frames.header)
    options.require_within_limits(description)
    renderings = _renderings(content, frames, description, media_type, options)
    return codecs.run(renderings, str(frames.stored.path))


def _renderings(
    content: Content,
    frames: Frames,
    description: PixelDescription,
    media_type: PictureType,
    options: RenderingOptions,
) -> Iterator[Rendering]:
    # A reader of its own for lookup tables, which stand before the frames.
    with InstanceReader(content, frames.stored) as reader:
        presentations = Presentations(frames.header, description, reader.read)
        for frame in frames:
            reader.rewind()
            yield Rendering(
                number=frame.number,
                frame=_bounded(frame),
                presentation=presentations.of_frame(frame.number),
                media_type=media_type,
                options=options,
            )
