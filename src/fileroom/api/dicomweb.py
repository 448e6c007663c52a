"""DICOMweb: search (QIDO-RS) and the retrieval of instances and metadata (WADO-RS)."""

from __future__ import annotations

import secrets
from functools import wraps
from itertools import chain, islice
from typing import TYPE_CHECKING, Final

import msgspec

from fileroom.api.calls import Answer, Framed
from fileroom.api.errors import status_answer
from fileroom.archive import retrieve
from fileroom.archive.retrieve import StoreContent
from fileroom.archive.search import search
from fileroom.database.stores import get_dicom_store
from fileroom.dicom.encoding import EXPLICIT_VR_LITTLE_ENDIAN
from fileroom.dicom.levels import Level
from fileroom.dicom.matching import parse_query
from fileroom.dicom.media_types import (
    APPLICATION_DICOM,
    APPLICATION_DICOM_JSON,
    AS_STORED,
    MULTIPART_RELATED,
    NATIVE_TRANSFER_SYNTAXES,
    MediaType,
    NotAcceptable,
    dicom_file,
    negotiate,
    parse_accept,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from fileroom.api.calls import Call, Handler
    from fileroom.archive.retrieve import InstanceFile
    from fileroom.dicom.json_model import JsonObject
    from fileroom.names import InstancePath

JSON_PIECE_OBJECTS: Final = 200
"""Data sets encoded together; an answer of no more is sent whole, with its length."""
_JSON: Final = MediaType(name=APPLICATION_DICOM_JSON)


def _answers_406(handler: Handler) -> Handler:
    """Give the handler with HTTP's own status for what ``google.rpc.Code`` has no word for."""

    @wraps(handler)
    def answer(call: Call) -> Answer:
        try:
            return handler(call)
        except NotAcceptable as error:
            return status_answer(406, error.code.name, error.message)

    return answer


@_answers_406
def search_for_studies(call: Call) -> Answer:
    """``…/dicomWeb/studies``."""
    return _search(call, Level.STUDY)


@_answers_406
def search_for_series(call: Call) -> Answer:
    """``…/dicomWeb[/studies/{study}]/series``."""
    return _search(call, Level.SERIES)


@_answers_406
def search_for_instances(call: Call) -> Answer:
    """``…/dicomWeb[/studies/{study}[/series/{series}]]/instances``."""
    return _search(call, Level.INSTANCE)


@_answers_406
def retrieve_instance(call: Call) -> Answer:
    """``…/studies/{study}/series/{series}/instances/{instance}``.

    In the stored transfer syntax where the client takes it. Without a wish it means Explicit VR
    Little Endian, which compressed instances are not given in yet.
    """
    content = _content(call)
    stored = retrieve.find_instance(content, _path(call))
    chosen = _negotiate(call, _file_offers(stored.transfer_syntax_uid))
    if chosen.transfer_syntax in {AS_STORED, stored.transfer_syntax_uid}:
        file = retrieve.open_as_stored(content, stored)
    else:
        file = retrieve.open_explicit_little_endian(content, stored)
    return _multipart(file) if chosen.is_multipart else _single_part(file)


@_answers_406
def retrieve_metadata(call: Call) -> Answer:
    """``…/studies/{study}[/series/{series}[/instances/{instance}]]/metadata``."""
    _negotiate(call, (_JSON,))
    content, path = _content(call), _path(call)
    headers = {}
    if path.sop_instance_uid is not None:
        headers["ETag"] = retrieve.metadata_etag(retrieve.find_instance(content, path))
    return Answer(
        media_type=APPLICATION_DICOM_JSON,
        body=_json_array(retrieve.metadata(content, path, _dicom_web_url(call))),
        headers=headers,
    )


# ------------------------------------------------------------------ what a call means


def _content(call: Call) -> StoreContent:
    deployment = call.deployment
    with deployment.database.read() as connection:
        store = get_dicom_store(connection, call.dicom_store, permission=call.permission)
    return StoreContent(
        database=deployment.database,
        blobs=deployment.blobs,
        store_id=store.id,
        blob_prefix=store.blob_prefix,
    )


def _path(call: Call) -> InstancePath:
    path = call.instance_path
    assert path is not None, call.method_id
    return path


def _dicom_web_url(call: Call) -> str:
    return f"{call.base_url}/{call.dicom_store}/dicomWeb"


def _negotiate(call: Call, offers: Sequence[MediaType]) -> MediaType:
    return negotiate(parse_accept([call.headers.get("accept", "")]), offers)


def _file_offers(stored: str) -> tuple[MediaType, ...]:
    """Give the forms an instance stored in a transfer syntax is offered in, the default first."""
    syntaxes = [AS_STORED, stored]
    if stored in NATIVE_TRANSFER_SYNTAXES:
        syntaxes.insert(0, EXPLICIT_VR_LITTLE_ENDIAN)
    return tuple(
        dicom_file(syntax, multipart=multipart)
        for syntax in dict.fromkeys(syntaxes)
        for multipart in (True, False)
    )


def _search(call: Call, level: Level) -> Answer:
    _negotiate(call, (_JSON,))
    content, path = _content(call), call.instance_path
    query = parse_query(
        level,
        call.query,
        extended=call.deployment.settings.search == "extended",
        study_instance_uid=None if path is None else path.study_instance_uid,
        series_instance_uid=None if path is None else path.series_instance_uid,
    )
    count, results = search(content, query, _dicom_web_url(call))
    if not count:
        return Answer(status=204, media_type=None)
    return Answer(media_type=APPLICATION_DICOM_JSON, body=_json_array(results))


# ------------------------------------------------------------------ bodies


def _json_array(objects: Iterator[JsonObject]) -> bytes | Iterator[bytes]:
    """Give a JSON array: whole where it is short, else in pieces."""
    first = list(islice(objects, JSON_PIECE_OBJECTS))
    following = list(islice(objects, 1))
    if not following:
        return msgspec.json.encode(first)
    return _json_pieces(first, chain(following, objects))


def _json_pieces(first: list[JsonObject], objects: Iterable[JsonObject]) -> Iterator[bytes]:
    yield msgspec.json.encode(first)[:-1]
    remaining = iter(objects)
    while some := list(islice(remaining, JSON_PIECE_OBJECTS)):
        yield b"," + msgspec.json.encode(some)[1:-1]
    yield b"]"


def _single_part(file: InstanceFile) -> Answer:
    headers = {"Content-Length": str(file.size)}
    if file.etag is not None:
        headers["ETag"] = file.etag
    return Answer(
        media_type=str(dicom_file(file.transfer_syntax_uid)), body=file.pieces, headers=headers
    )


def _multipart(file: InstanceFile) -> Answer:
    # Drawn by lot, so that no instance can hold it.
    boundary = secrets.token_hex(16)
    head = (
        f"--{boundary}\r\nContent-Type: {dicom_file(file.transfer_syntax_uid)}\r\n\r\n"
    ).encode()
    tail = f"\r\n--{boundary}--\r\n".encode()
    media_type = MediaType(
        name=MULTIPART_RELATED,
        parameters=(
            ("type", APPLICATION_DICOM),
            ("transfer-syntax", file.transfer_syntax_uid),
            ("boundary", boundary),
        ),
    )
    return Answer(
        media_type=str(media_type),
        body=Framed((head,), file.pieces, (tail,)),
        headers={"Content-Length": str(len(head) + file.size + len(tail))},
    )
