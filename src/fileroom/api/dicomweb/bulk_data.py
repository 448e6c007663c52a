"""WADO-RS: the values that BulkDataURI name (PS3.18 10.4.1.1.5)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fileroom.api.dicomweb.answers import accept, answers_406, instance_path, store_content
from fileroom.api.dicomweb.bodies import one_part, single_part
from fileroom.archive.representations import open_bulk_data
from fileroom.archive.retrieve import find_instance
from fileroom.dicom.media_types import (
    AS_STORED,
    MULTIPART_RELATED,
    OCTET_STREAM,
    MediaType,
    negotiate,
    parse_accept,
)

if TYPE_CHECKING:
    from fileroom.api.calls import Answer, Call


@answers_406
def retrieve_bulk_data(call: Call) -> Answer:
    """Give a value as stored: ``…/instances/{instance}/bulkdata/{tag}[/{item}/{tag}]…``."""
    path = [call.path["tag"], *filter(None, call.path.get("rest", "").split("/"))]
    content = store_content(call)
    stored = find_instance(content, instance_path(call))
    file = open_bulk_data(content, stored, path)
    syntaxes = (AS_STORED, file.transfer_syntax_uid)
    offers = tuple(
        MediaType(name=name, parameters=(*root, ("transfer-syntax", syntax)))
        for name, root in ((MULTIPART_RELATED, (("type", OCTET_STREAM),)), (OCTET_STREAM, ()))
        for syntax in syntaxes
    )
    try:
        chosen = negotiate(parse_accept([accept(call)]), offers, default_transfer_syntax=AS_STORED)
    except BaseException:
        file.pieces.close()
        raise
    media_type = MediaType(
        name=OCTET_STREAM, parameters=(("transfer-syntax", file.transfer_syntax_uid),)
    )
    if chosen.is_multipart:
        return one_part(file, media_type)
    return single_part(call, file, media_type)
