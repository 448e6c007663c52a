"""STOW-RS: what became of the instances that a client sent (PS3.18 10.5)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from fileroom.api.calls import Answer
from fileroom.api.dicomweb.answers import JSON, dicom_web_url, negotiated
from fileroom.api.dicomweb.upload import Upload
from fileroom.dicom.media_types import APPLICATION_DICOM_XML, MediaType, NotAcceptable
from fileroom.dicom.native_xml import encode_native_xml

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fileroom.api.calls import Call
    from fileroom.archive.storing import PartOutcome
    from fileroom.dicom.json_model import JsonObject

PROCESSING_FAILURE: Final = 272
"""The one FailureReason that is given (PS3.7 C.5.4: 0110H); FailureDetail tells the cause."""
FAILURE_DETAIL_CHARACTERS_MAX: Final = 10_240
"""Of VR LT (PS3.5 6.2)."""
_CREATOR: Final = "GOOGLE"
_XML: Final = MediaType(name=APPLICATION_DICOM_XML)


def store_instances(call: Call) -> Answer:
    """Store instances, by ``PUT`` in the place of others; 409 if any was not stored."""
    assert isinstance(call.upload, Upload), call.method_id
    outcomes = list(call.upload.store())
    model = _answer_model(outcomes, dicom_web_url(call))
    media_type = _answer_type(call)
    is_json = media_type is JSON
    return Answer(
        status=409 if any(outcome.failure is not None for outcome in outcomes) else 200,
        media_type=str(media_type),
        body=msgspec.json.encode(model) if is_json else encode_native_xml(model),
    )


def _answer_type(call: Call) -> MediaType:
    """Give JSON to who asks for it, XML to all others: what was stored is not to end in a 406."""
    try:
        return negotiated(call, (_XML, JSON))
    except NotAcceptable:
        return _XML


def _answer_model(outcomes: Iterable[PartOutcome], web_url: str) -> JsonObject:
    """Give the Store Instances Response Module (PS3.18 Table I.2-1)."""
    failed: list[JsonObject] = []
    stored: list[JsonObject] = []
    studies = set()
    for outcome in outcomes:
        if outcome.failure is None:
            studies.add(outcome.study_instance_uid)
            stored.append(
                _referenced(outcome) | {"00081190": _url(_instance_url(outcome, web_url))}
            )
        else:
            failed.append(_failed(outcome))
    model: JsonObject = {}
    if len(studies) == 1:
        model["00081190"] = _url(f"{web_url}/studies/{studies.pop()}")
    if failed:
        model["00081198"] = {"vr": "SQ", "Value": failed}
    if stored:
        model["00081199"] = {"vr": "SQ", "Value": stored}
    return model


def _referenced(outcome: PartOutcome) -> JsonObject:
    uids = {"00081150": outcome.sop_class_uid, "00081155": outcome.sop_instance_uid}
    return {tag: {"vr": "UI", "Value": [uid]} for tag, uid in uids.items() if uid is not None}


def _failed(outcome: PartOutcome) -> JsonObject:
    detail = (outcome.failure or "")[:FAILURE_DETAIL_CHARACTERS_MAX]
    return _referenced(outcome) | {
        "00081197": {"vr": "US", "Value": [PROCESSING_FAILURE]},
        "00090010": {"vr": "LO", "Value": [_CREATOR]},
        "00091097": {"vr": "LT", "Value": [detail]},
    }


def _instance_url(outcome: PartOutcome, web_url: str) -> str:
    return (
        f"{web_url}/studies/{outcome.study_instance_uid}/series/{outcome.series_instance_uid}"
        f"/instances/{outcome.sop_instance_uid}"
    )


def _url(url: str) -> JsonObject:
    return {"vr": "UR", "Value": [url]}
