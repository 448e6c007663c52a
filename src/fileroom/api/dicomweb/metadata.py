"""WADO-RS: metadata of a study, a series or an instance (PS3.18 10.4.1.1.2)."""

from __future__ import annotations

import secrets
from contextlib import closing
from typing import TYPE_CHECKING

from fileroom.api.calls import Answer, Framed
from fileroom.api.dicomweb.answers import (
    JSON,
    XML,
    answers_406,
    dicom_web_url,
    instance_path,
    is_unchanged,
    negotiated,
    store_content,
)
from fileroom.archive.metadata.slices import PART_MARK, PIECE_BYTES
from fileroom.archive.metadata.telling import OWN_INSTANCES
from fileroom.dicom.media_types import APPLICATION_DICOM_XML, MediaType

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from fileroom.api.calls import Call
    from fileroom.archive.metadata.slices import Form


@answers_406
def retrieve_metadata(call: Call) -> Answer:
    """Give the attributes of all instances of ``…/metadata``, bulk data as links."""
    offer = negotiated(call, (JSON, XML))
    content, metadata = store_content(call), call.deployment.metadata
    found = metadata.find(content, instance_path(call))
    form: Form = "json" if offer is JSON else "xml"
    url = dicom_web_url(call)
    headers = {"ETag": found.etag(form, url)}
    if is_unchanged(call, headers["ETag"]):
        return Answer(status=304, media_type=None, headers=headers)
    texts = metadata.texts(content, found, form, url)
    if offer is JSON:
        media_type, body = offer, _json_array(texts)
    else:
        # Drawn by lot, so that no instance can hold it.
        boundary = secrets.token_hex(16)
        media_type = MediaType(name=XML.name, parameters=(*XML.parameters, ("boundary", boundary)))
        body = _xml_parts(texts, boundary)
    return Answer(
        media_type=str(media_type),
        body=_whole_if_short(body) if found.count <= OWN_INSTANCES else body,
        headers=headers,
    )


def _whole_if_short(pieces: Generator[bytes]) -> bytes | Iterator[bytes]:
    """Give all of a short answer, to be sent with its length; few instances may be long, too."""
    drawn: list[bytes] = []
    for piece in pieces:
        drawn.append(piece)
        if sum(map(len, drawn)) > PIECE_BYTES:
            return Framed(drawn, pieces)
    return b"".join(drawn)


def _json_array(texts: Generator[bytes]) -> Generator[bytes]:
    with closing(texts):
        # Together with the first piece, for an error before it can still be answered.
        yield b"[" + next(texts, b"")
        yield from texts
        yield b"]"


def _xml_parts(texts: Generator[bytes], boundary: str) -> Generator[bytes]:
    delimiter = f"\r\n--{boundary}"
    head = f"{delimiter}\r\nContent-Type: {APPLICATION_DICOM_XML}\r\n\r\n".encode()
    with closing(texts):
        before = len("\r\n")  # the first delimiter begins the body
        for text in texts:
            yield text.replace(PART_MARK, head)[before:]
            before = 0
        yield f"{delimiter}--\r\n"[before:].encode()
