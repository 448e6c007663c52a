"""WADO-RS: instances (PS3.18 10.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fileroom.api.calls import Answer
from fileroom.api.dicomweb.answers import answers_406, instance_path, negotiated, store_content
from fileroom.api.multipart import BodyPart, multipart_related
from fileroom.archive import retrieve
from fileroom.archive.codecs import PoolCodecs
from fileroom.archive.frames import read_frames
from fileroom.archive.representations import open_file
from fileroom.dicom.encoding import EXPLICIT_VR_LITTLE_ENDIAN
from fileroom.dicom.media_types import (
    APPLICATION_DICOM,
    AS_STORED,
    NATIVE_TRANSFER_SYNTAXES,
    MediaType,
    dicom_file,
)

if TYPE_CHECKING:
    from fileroom.api.calls import Call
    from fileroom.archive.retrieve import InstanceFile


@answers_406
def retrieve_instance(call: Call) -> Answer:
    """``…/studies/{study}/series/{series}/instances/{instance}``.

    In the stored transfer syntax where the client takes it. Without a wish it means Explicit VR
    Little Endian, which compressed instances are not given in yet.
    """
    content = store_content(call)
    stored = retrieve.find_instance(content, instance_path(call))
    chosen = negotiated(call, _file_offers(stored.transfer_syntax_uid))
    if chosen.transfer_syntax in {AS_STORED, stored.transfer_syntax_uid}:
        file = retrieve.open_as_stored(content, stored)
    else:
        file = open_file(
            content,
            stored,
            chosen.transfer_syntax or AS_STORED,
            PoolCodecs(call.deployment.render_workers),
            lambda found: read_frames(content, found.path),
        )
    return _multipart(file) if chosen.is_multipart else _single_part(file)


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


def _single_part(file: InstanceFile) -> Answer:
    headers = {} if file.size is None else {"Content-Length": str(file.size)}
    if file.etag is not None:
        headers["ETag"] = file.etag
    return Answer(
        media_type=str(dicom_file(file.transfer_syntax_uid)), body=file.pieces, headers=headers
    )


def _multipart(file: InstanceFile) -> Answer:
    part = BodyPart(
        headers=(("Content-Type", str(dicom_file(file.transfer_syntax_uid))),),
        pieces=file.pieces,
        size=file.size,
    )
    return multipart_related(
        (part,),
        root=APPLICATION_DICOM,
        parameters=(("transfer-syntax", file.transfer_syntax_uid),),
    )
