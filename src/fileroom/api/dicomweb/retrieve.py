"""WADO-RS: the instances of a study or series, or one, as files (PS3.18 10.4.1.1.1)."""

from __future__ import annotations

from contextlib import contextmanager
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Final

from fileroom.api.dicomweb.answers import (
    ACCEPTS_KEPT,
    accept,
    answers_406,
    instance_path,
    store_content,
)
from fileroom.api.dicomweb.bodies import announced_part, file_part, one_part, resumed, single_part
from fileroom.api.multipart import multipart_related
from fileroom.archive.codecs import PoolCodecs
from fileroom.archive.frames import read_frames
from fileroom.archive.opening_ahead import AHEAD_MAX, opened_files
from fileroom.archive.representations import (
    check_first,
    come_as_stored,
    need_decoding,
    open_file,
)
from fileroom.archive.retrieve import absent, each_stored, find_instance, find_instances
from fileroom.dicom.media_types import (
    APPLICATION_DICOM,
    AS_STORED,
    TRANSFER_SYNTAXES,
    MediaType,
    NotAcceptable,
    dicom_file,
    parse_accept,
    ranked,
)
from fileroom.dicom.pixels.failure import PixelError
from fileroom.errors import Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from fileroom.api.calls import Answer, Call
    from fileroom.archive.retrieve import InstanceFile, StoreContent
    from fileroom.database.values.stored import StoredInstance

    Open = Callable[[StoredInstance], InstanceFile]

_DEFAULT, *_OTHERS = TRANSFER_SYNTAXES
_SYNTAXES: Final = (_DEFAULT, AS_STORED, *_OTHERS)
_MULTIPART: Final = tuple(dicom_file(syntax, multipart=True) for syntax in _SYNTAXES)
_EITHER: Final = (*_MULTIPART, *(dicom_file(syntax) for syntax in _SYNTAXES))


def _ahead(call: Call, to_decode: int) -> int:
    """Give how many files are best opened ahead of the one that is sent."""
    if call.deployment.blobs.is_remote:
        return AHEAD_MAX
    return call.deployment.render_workers.count if to_decode > 1 else 0


@answers_406
def retrieve_instances(call: Call) -> Answer:
    """Give the instances of ``…/studies/{study}[/series/{series}]`` as parts.

    Each instance comes in the form that the client likes best of those it can be had in. If there
    is none for some instance, nothing is sent; if only its bytes tell so, the body breaks off. Its
    length is told where all come as they are stored; a body that changes meanwhile breaks off, too.
    """
    content = store_content(call)
    found = find_instances(content, instance_path(call))
    others = dict.fromkeys(
        each.transfer_syntax_uid for each in found if each.transfer_syntax_uid not in _SYNTAXES
    )
    acceptable = _syntaxes(_liked(accept(call), tuple(others), single=False))
    to_decode = list(need_decoding(found, acceptable))
    with _not_acceptable_without_pixels():
        check_first(content, to_decode, acceptable)
    files = opened_files(
        each_stored(content, (each.id for each in found)),
        partial(_open, call, content, acceptable),
        ahead=_ahead(call, len(to_decode)),
    )
    parts = (file_part(file, dicom_file(file.transfer_syntax_uid)) for file in files)
    with _not_acceptable_without_pixels():
        first = next(parts, None)
    if first is None:
        raise absent(instance_path(call))  # deleted meanwhile
    root = MediaType(name=APPLICATION_DICOM)
    if len(acceptable) == 1 and acceptable[0] != AS_STORED:
        root = dicom_file(acceptable[0])
    announced = None
    if come_as_stored(found, acceptable):
        announced = [
            announced_part(dicom_file(each.transfer_syntax_uid), each.size) for each in found
        ]
    return multipart_related(
        resumed(first, parts), root=root.name, parameters=root.parameters, announced=announced
    )


@answers_406
def retrieve_instance(call: Call) -> Answer:
    """Give the file of ``…/studies/{study}/series/{series}/instances/{instance}``."""
    content = store_content(call)
    stored = find_instance(content, instance_path(call))
    syntax = stored.transfer_syntax_uid
    others = () if syntax in _SYNTAXES else (syntax,)
    liked = _liked(accept(call), others, single=True)
    # The form of the body is that of the first; a syntax it cannot be had in is passed over.
    is_multipart = liked[0].is_multipart
    alike = [offer for offer in liked if offer.is_multipart is is_multipart]
    with _not_acceptable_without_pixels():
        file = _open(call, content, _syntaxes(alike), stored)
    media_type = dicom_file(file.transfer_syntax_uid)
    if is_multipart:
        return one_part(file, media_type)
    return single_part(call, file, media_type)


@contextmanager
def _not_acceptable_without_pixels() -> Iterator[None]:
    """Say that a file without pixel data is there, but not in the form that was asked for."""
    try:
        yield
    except PixelError as error:
        if error.reason is not Reason.NO_PIXEL_DATA:
            raise
        raise NotAcceptable(error.message, "Accept") from error


def _open(
    call: Call, content: StoreContent, acceptable: Sequence[str], stored: StoredInstance
) -> InstanceFile:
    return open_file(
        content,
        stored,
        acceptable,
        PoolCodecs(call.deployment.render_workers),
        lambda found: read_frames(content, found.path),
    )


@lru_cache(ACCEPTS_KEPT)
def _liked(accept: str, others: tuple[str, ...], *, single: bool) -> Sequence[MediaType]:
    """Give the forms that a client takes, those in other transfer syntaxes as well."""
    ways = (True, False) if single else (True,)
    more = (dicom_file(syntax, multipart=way) for way in ways for syntax in others)
    return ranked(parse_accept([accept]), (*(_EITHER if single else _MULTIPART), *more))


def _syntaxes(offers: Sequence[MediaType]) -> list[str]:
    return [offer.transfer_syntax for offer in offers if offer.transfer_syntax is not None]
