"""How much studies and series hold, and how the bytes of instances are kept.

References
----------
Cloud Healthcare v1 dicomWeb.studies.getStudyMetrics, .series.getSeriesMetrics,
.instances.getStorageInfo, .setBlobStorageSettings
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fileroom.api.dicomweb.answers import store_content
from fileroom.api.healthcare.storage_classes import parse_storage_class
from fileroom.api.wire import (
    BlobStorageInfo,
    SeriesMetrics,
    SetBlobStorageSettingsRequest,
    StorageInfo,
    StudyMetrics,
    int64,
    json_answer,
    timestamp,
)
from fileroom.database import content_metrics
from fileroom.errors import InvalidArgument
from fileroom.transfer.changing.storage_class import request_storage_class

if TYPE_CHECKING:
    from fileroom.api.calls import Answer, Call
    from fileroom.database.content_metrics import ContentMetrics


def get_study_metrics(call: Call) -> Answer:
    """Give what a study holds."""
    metrics = _metrics(call)
    return json_answer(
        StudyMetrics(
            study=_resource(call),
            series_count=int64(metrics.series_count),
            instance_count=int64(metrics.instance_count),
            blob_storage_size_bytes=int64(metrics.size_bytes),
        )
    )


def get_series_metrics(call: Call) -> Answer:
    """Give what a series holds."""
    metrics = _metrics(call)
    return json_answer(
        SeriesMetrics(
            series=_resource(call),
            instance_count=int64(metrics.instance_count),
            blob_storage_size_bytes=int64(metrics.size_bytes),
        )
    )


def get_storage_info(call: Call) -> Answer:
    """Give how large an instance is, and in which storage class it is kept since when."""
    path, store = call.instance_path, store_content(call)
    assert path is not None
    with store.database.read() as connection:
        info = content_metrics.get_storage_info(connection, store.store_id, path)
    return json_answer(
        StorageInfo(
            referenced_resource=_resource(call),
            blob_storage_info=BlobStorageInfo(
                size_bytes=int64(info.size_bytes),
                storage_class=info.storage_class,
                storage_class_update_time=timestamp(info.updated_at),
            ),
        )
    )


def set_blob_storage_settings(call: Call) -> Answer:
    """Start to set the storage class of a study, series or instance."""
    body = call.request_as(SetBlobStorageSettingsRequest)
    if body.filter_config is not None:
        raise InvalidArgument(
            "filter_config goes with a DICOM store; a path names what it is about already",
            "filter_config",
        )
    operation = request_storage_class(
        call.deployment.facilities,
        call.dicom_store,
        parse_storage_class(body.blob_storage_settings),
        path=call.instance_path,
        api_version=call.api_version,
        principal=call.principal.name,
        permission=call.permission,
    )
    return json_answer({"name": str(operation)})


def _metrics(call: Call) -> ContentMetrics:
    path, store = call.instance_path, store_content(call)
    assert path is not None
    with store.database.read() as connection:
        return content_metrics.get_content_metrics(connection, store.store_id, path)


def _resource(call: Call) -> str:
    return f"{call.dicom_store}/dicomWeb/{call.instance_path}"
