"""Delete studies, series and instances, which DICOMweb itself has no transaction for.

References
----------
Cloud Healthcare v1 dicomStores.studies.delete, .series.delete, .instances.delete
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fileroom.api.dicomweb.answers import store_content
from fileroom.api.wire import EMPTY, json_answer
from fileroom.archive import deletion
from fileroom.transfer.changing.deletion import request_delete

if TYPE_CHECKING:
    from fileroom.api.calls import Answer, Call


def delete_study_or_series(call: Call) -> Answer:
    """Hide a study or series at once, and name the operation that deletes what it holds."""
    path = call.instance_path
    assert path is not None
    operation = request_delete(
        call.deployment.facilities,
        call.dicom_store,
        path,
        api_version=call.api_version,
        principal=call.principal.name,
    )
    return json_answer({"name": str(operation)})


def delete_instance(call: Call) -> Answer:
    """Delete one instance, which is gone when this answers."""
    path = call.instance_path
    assert path is not None
    deletion.delete_instance(
        store_content(call), path, grace_seconds=call.deployment.facilities.grace_seconds
    )
    return EMPTY
