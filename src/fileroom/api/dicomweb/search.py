"""QIDO-RS: the results of a search (PS3.18 10.6)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fileroom.api.calls import Answer
from fileroom.api.dicomweb.answers import (
    JSON,
    answers_406,
    dicom_web_url,
    json_array,
    negotiated,
    store_content,
)
from fileroom.archive.search import search
from fileroom.dicom.levels import Level
from fileroom.dicom.matching import parse_query
from fileroom.dicom.media_types import APPLICATION_DICOM_JSON

if TYPE_CHECKING:
    from fileroom.api.calls import Call


@answers_406
def search_for_studies(call: Call) -> Answer:
    """``…/dicomWeb/studies``."""
    return _search(call, Level.STUDY)


@answers_406
def search_for_series(call: Call) -> Answer:
    """``…/dicomWeb[/studies/{study}]/series``."""
    return _search(call, Level.SERIES)


@answers_406
def search_for_instances(call: Call) -> Answer:
    """``…/dicomWeb[/studies/{study}[/series/{series}]]/instances``."""
    return _search(call, Level.INSTANCE)


def _search(call: Call, level: Level) -> Answer:
    negotiated(call, (JSON,))
    content, path = store_content(call), call.instance_path
    query = parse_query(
        level,
        call.query,
        extended=call.deployment.settings.search == "extended",
        study_instance_uid=None if path is None else path.study_instance_uid,
        series_instance_uid=None if path is None else path.series_instance_uid,
    )
    count, results = search(content, query, dicom_web_url(call))
    if not count:
        return Answer(status=204, media_type=None)
    return Answer(media_type=APPLICATION_DICOM_JSON, body=json_array(results))
