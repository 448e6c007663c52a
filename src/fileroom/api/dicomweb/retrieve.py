"""WADO-RS: instances and their metadata (PS3.18 10.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fileroom.api.calls import Answer
from fileroom.api.dicomweb.answers import (
    DATA_SET_FORMS,
    answers_406,
    data_sets_answer,
    dicom_web_url,
    negotiated,
    store_content,
)
from fileroom.api.multipart import BodyPart, multipart_related
from fileroom.archive import retrieve
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
    from fileroom.names import InstancePath


@answers_406
def retrieve_instance(call: Call) -> Answer:
    """``…/studies/{study}/series/{series}/instances/{instance}``.

    In the stored transfer syntax where the client takes it. Without a wish it means Explicit VR
    Little Endian, which compressed instances are not given in yet.
    """
    content = store_content(call)
    stored = retrieve.find_instance(content, _path(call))
    chosen = negotiated(call, _file_offers(stored.transfer_syntax_uid))
    if chosen.transfer_syntax in {AS_STORED, stored.transfer_syntax_uid}:
        file = retrieve.open_as_stored(content, stored)
    else:
        file = retrieve.open_explicit_little_endian(content, stored)
    return _multipart(file) if chosen.is_multipart else _single_part(file)


@answers_406
def retrieve_metadata(call: Call) -> Answer:
    """``…/studies/{study}[/series/{series}[/instances/{instance}]]/metadata``."""
    form = negotiated(call, tuple(DATA_SET_FORMS))
    content, path = store_content(call), _path(call)
    headers = {}
    if path.sop_instance_uid is not None:
        headers["ETag"] = retrieve.metadata_etag(retrieve.find_instance(content, path))
    results = retrieve.metadata(content, path, dicom_web_url(call))
    return data_sets_answer(form, results, headers)


def _path(call: Call) -> InstancePath:
    path = call.instance_path
    assert path is not None, call.method_id
    return path


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
    headers = {"Content-Length": str(file.size)}
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
