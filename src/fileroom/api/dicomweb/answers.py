"""What every DICOMweb handler does: find the store, negotiate, send data sets as JSON or XML."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import wraps
from itertools import chain, islice
from typing import TYPE_CHECKING, Final

import msgspec

from fileroom.api.calls import Answer
from fileroom.api.errors import status_answer
from fileroom.api.multipart import BodyPart, multipart_related
from fileroom.database.stores import get_dicom_store
from fileroom.dicom.media_types import (
    APPLICATION_DICOM_JSON,
    APPLICATION_DICOM_XML,
    MULTIPART_RELATED,
    MediaType,
    NotAcceptable,
    negotiate,
    parse_accept,
)
from fileroom.dicom.native_xml import encode_native_xml
from fileroom.dicom.pixels.failure import PixelError
from fileroom.errors import Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from fileroom.api.calls import Call, Handler
    from fileroom.archive.retrieve import StoreContent
    from fileroom.dicom.json_model import JsonObject
    from fileroom.names import InstancePath

JSON: Final = MediaType(name=APPLICATION_DICOM_JSON)
XML: Final = MediaType(name=MULTIPART_RELATED, parameters=(("type", APPLICATION_DICOM_XML),))
JSON_PIECE_OBJECTS: Final = 200
"""Data sets encoded together; an answer of no more is sent whole, with its length."""
ACCEPTS_KEPT: Final = 128
"""Accept headers whose meaning is kept: clients send the same ones, and 40 offers take 0.2 ms."""
_NOT_AS_ASKED: Final = frozenset({Reason.UNSUPPORTED_TRANSCODING, Reason.MEMORY_LIMIT})
_ETAG = re.compile(r'"[^"]*"')


def answers_406(handler: Handler) -> Handler:
    """Give the handler with HTTP's own status for what ``google.rpc.Code`` has no word for.

    Pixels that cannot be had as asked, or only at the price of a limit, are 406 as well; those that
    are not there, or that contradict themselves, stay 400 (Cloud Healthcare conformance, Retrieve).
    """

    @wraps(handler)
    def answer(call: Call) -> Answer:
        try:
            return handler(call)
        except NotAcceptable as error:
            return status_answer(406, error.code.name, error.message)
        except PixelError as error:
            if error.reason not in _NOT_AS_ASKED:
                raise
            return status_answer(406, error.code.name, error.message)

    return answer


def store_content(call: Call) -> StoreContent:
    """Give where the rows and blobs of the call's DICOM store are."""
    with call.deployment.database.read() as connection:
        store = get_dicom_store(connection, call.dicom_store, permission=call.permission)
    return call.deployment.facilities.content(store)


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


def accept(call: Call) -> str:
    """Give the Accept header; several come joined."""
    return call.headers.get("accept", "")


def negotiated(call: Call, offers: Sequence[MediaType]) -> MediaType:
    """Give the offer that the client's Accept likes best; NotAcceptable where it takes none."""
    return negotiate(parse_accept([accept(call)]), offers)


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


def _as_xml(objects: Iterator[JsonObject]) -> Answer:
    headers = (("Content-Type", APPLICATION_DICOM_XML),)
    parts = (
        BodyPart(headers=headers, pieces=iter((text,)), size=len(text))
        for text in map(encode_native_xml, objects)
    )
    return multipart_related(parts, root=APPLICATION_DICOM_XML)


DATA_SET_FORMS: Final[Mapping[MediaType, Callable[[Iterator[JsonObject]], Answer]]] = {
    JSON: _as_json,
    XML: _as_xml,
}
"""What results and metadata are told in, the default first (PS3.18 8.7.3)."""
