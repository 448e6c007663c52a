"""What every DICOMweb handler does: find the store, negotiate, send data sets as JSON."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import wraps
from itertools import chain, islice
from typing import TYPE_CHECKING, Final

import msgspec

from fileroom.api.calls import Answer
from fileroom.api.errors import status_answer
from fileroom.archive.retrieve import StoreContent
from fileroom.database.stores import get_dicom_store
from fileroom.dicom.media_types import (
    APPLICATION_DICOM_JSON,
    MediaType,
    NotAcceptable,
    negotiate,
    parse_accept,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from fileroom.api.calls import Call, Handler
    from fileroom.dicom.json_model import JsonObject
    from fileroom.names import InstancePath

JSON: Final = MediaType(name=APPLICATION_DICOM_JSON)
JSON_PIECE_OBJECTS: Final = 200
"""Data sets encoded together; an answer of no more is sent whole, with its length."""
_ETAG = re.compile(r'"[^"]*"')


def answers_406(handler: Handler) -> Handler:
    """Give the handler with HTTP's own status for what ``google.rpc.Code`` has no word for."""

    @wraps(handler)
    def answer(call: Call) -> Answer:
        try:
            return handler(call)
        except NotAcceptable as error:
            return status_answer(406, error.code.name, error.message)

    return answer


def store_content(call: Call) -> StoreContent:
    """Give where the rows and blobs of the call's DICOM store are."""
    deployment = call.deployment
    with deployment.database.read() as connection:
        store = get_dicom_store(connection, call.dicom_store, permission=call.permission)
    return StoreContent(
        database=deployment.database,
        blobs=deployment.blobs,
        store_id=store.id,
        blob_prefix=store.blob_prefix,
    )


def instance_path(call: Call) -> InstancePath:
    """Give the study, series or instance of a call's path."""
    path = call.instance_path
    assert path is not None, call.method_id
    return path


def dicom_web_url(call: Call) -> str:
    """Give the URL that all of the store's DICOMweb URLs begin with."""
    return f"{call.base_url}/{call.dicom_store}/dicomWeb"


def is_unchanged(call: Call, etag: str) -> bool:
    """Tell whether the client says that it has what bears this ETag (RFC 9110 13.1.2)."""
    condition = call.headers.get("if-none-match", "")
    known = _ETAG.findall(condition)
    return condition.strip() == "*" or etag.removeprefix("W/") in known


def negotiated(call: Call, offers: Sequence[MediaType]) -> MediaType:
    """Give the offer that the client's Accept likes best; NotAcceptable where it takes none."""
    return negotiate(parse_accept([call.headers.get("accept", "")]), offers)


def data_sets_answer(
    form: MediaType, objects: Iterator[JsonObject], headers: Mapping[str, str]
) -> Answer:
    """Give data sets in the one of ``DATA_SET_FORMS`` that was negotiated."""
    return replace(DATA_SET_FORMS[form](objects), headers=headers)


def _as_json(objects: Iterator[JsonObject]) -> Answer:
    return Answer(media_type=APPLICATION_DICOM_JSON, body=json_array(objects))


def json_array(objects: Iterator[JsonObject]) -> bytes | Iterator[bytes]:
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


DATA_SET_FORMS: Final[Mapping[MediaType, Callable[[Iterator[JsonObject]], Answer]]] = {
    JSON: _as_json,
}
"""What results and metadata are told in, the default first (PS3.18 8.7.3)."""
