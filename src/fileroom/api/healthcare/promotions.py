"""``dicomStores.promote``: copy in what is kept by reference."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fileroom.api.wire import Message, json_answer
from fileroom.names import parse_instance_path
from fileroom.transfer.changing.promoting import request_promotion

if TYPE_CHECKING:
    from fileroom.api.calls import Answer, Call


class PromoteDicomDataRequest(Message):
    """``PromoteDicomDataRequest``, ours."""

    path: str = ""


def promote(call: Call) -> Answer:
    """Start to copy in what is kept by reference: all of it, or what is below a path."""
    body = call.request_as(PromoteDicomDataRequest)
    operation = request_promotion(
        call.deployment.facilities,
        call.dicom_store,
        parse_instance_path(body.path) if body.path else None,
        api_version=call.api_version,
        principal=call.principal.name,
        permission=call.permission,
    )
    return json_answer({"name": str(operation)})
