"""``dicomStores.previewImport``: what an import would list, told while its URI is typed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fileroom.api.wire import ImportDicomDataRequest, Message, int64, json_answer
from fileroom.errors import InvalidArgument
from fileroom.transfer.importing.matches import preview_import

if TYPE_CHECKING:
    from fileroom.api.calls import Answer, Call


class PreviewImportResponse(Message):
    """``PreviewImportResponse``, ours."""

    count: str = ""
    size_bytes: str = ""
    samples: tuple[str, ...] = ()
    more: bool = False
    explanation: str = ""


def preview(call: Call) -> Answer:
    """Count what an import would list, within some 2 s and without reading an object."""
    source = call.request_as(ImportDicomDataRequest).gcs_source
    if source is None or not source.uri:
        raise InvalidArgument(
            "gcs_source.uri is required, as in {'gcsSource': {'uri': 'gs://BUCKET/**.dcm'}}",
            "gcs_source.uri",
        )
    found = preview_import(call.deployment.facilities, call.dicom_store, source.uri)
    return json_answer(
        PreviewImportResponse(
            count=int64(found.count),
            size_bytes=int64(found.size_bytes),
            samples=found.samples,
            more=found.more,
            explanation=found.explanation,
        )
    )
