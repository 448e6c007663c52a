"""Replace attributes of what is stored, which DICOMweb itself has no transaction for.

References
----------
Cloud Healthcare v1beta1 dicomStores.studies.updateMetadata, .series.updateMetadata,
.instances.updateMetadata
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from fileroom.api.dicomweb.answers import (
    JSON,
    XML,
    answers_406,
    instance_path,
    negotiated,
    store_content,
)
from fileroom.api.dicomweb.metadata import retrieve_metadata
from fileroom.api.wire import json_answer
from fileroom.archive.patching import patch_instance
from fileroom.dicom.media_types import APPLICATION_DICOM_JSON, find_media_type
from fileroom.dicom.patching import parse_patch
from fileroom.errors import InvalidArgument
from fileroom.transfer.changing.patching import request_patch

if TYPE_CHECKING:
    from fileroom.api.calls import Answer, Call

_MEDIA_TYPES: Final = frozenset({APPLICATION_DICOM_JSON, "application/json"})
"""Google's generated clients send whatever they are given as the latter."""


@answers_406
def update_metadata(call: Call) -> Answer:
    """Replace attributes of what is stored: ``PATCH …/metadata``.

    Of an instance the metadata come back as they are then; of others an operation is named.
    """
    _check_type(call)
    path, facilities = instance_path(call), call.deployment.facilities
    if path.sop_instance_uid is None:
        operation = request_patch(
            facilities,
            call.dicom_store,
            path,
            call.body,
            api_version=call.api_version,
            principal=call.principal.name,
            permission=call.permission,
        )
        return json_answer({"name": str(operation)})
    # What was changed is not to end in a 406.
    negotiated(call, (JSON, XML))
    patch_instance(
        store_content(call),
        facilities.requests,
        path,
        parse_patch(call.body),
        grace_seconds=facilities.grace_seconds,
    )
    # What the client knew of the old ones is no reason to keep the new ones from it.
    headers = {name: value for name, value in call.headers.items() if name != "if-none-match"}
    return retrieve_metadata(replace(call, headers=headers))


def _check_type(call: Call) -> None:
    text = call.headers.get("content-type", "")
    media_type = find_media_type(text)
    if media_type is None or media_type.name not in _MEDIA_TYPES:
        raise InvalidArgument(
            f"Content-Type {text[:100]!r} is not read here; use {APPLICATION_DICOM_JSON}",
            "Content-Type",
        )
