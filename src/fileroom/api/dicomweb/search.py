"""QIDO-RS: the results of a search (PS3.18 10.6)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fileroom.api.calls import Answer
from fileroom.api.dicomweb.answers import (
    DATA_SET_FORMS,
    answers_406,
    data_sets_answer,
    dicom_web_url,
    negotiated,
    store_content,
)
from fileroom.archive.search import search
from fileroom.dicom.levels import Level
from fileroom.dicom.matching import parse_query

if TYPE_CHECKING:
    from fileroom.api.calls import Call

TOTAL_COUNT: Final = "X-Total-Count"
"""How many results there are without ``limit`` and ``offset``, where the header is there."""


@answers_406
def search_for_studies(call: Call) -> Answer:
    """Search for studies: ``…/dicomWeb/studies``."""
    return _search(call, Level.STUDY)


@answers_406
def search_for_series(call: Call) -> Answer:
    """Search for series: ``…/dicomWeb[/studies/{study}]/series``."""
    return _search(call, Level.SERIES)


@answers_406
def search_for_instances(call: Call) -> Answer:
    """Search for instances: ``…[/studies/{study}[/series/{series}]]/instances``."""
    return _search(call, Level.INSTANCE)


def _search(call: Call, level: Level) -> Answer:
    form = negotiated(call, tuple(DATA_SET_FORMS))
    content, path = store_content(call), call.instance_path
    extended = call.deployment.settings.search == "extended"
    query = parse_query(
        level,
        call.query,
        extended=extended,
        study_instance_uid=None if path is None else path.study_instance_uid,
        series_instance_uid=None if path is None else path.series_instance_uid,
    )
    found = search(content, query, dicom_web_url(call), counting=extended)
    headers = {} if found.total is None else {TOTAL_COUNT: str(found.total)}
    if not found.count:
        return Answer(status=204, media_type=None, headers=headers)
    return data_sets_answer(form, found.results, headers)
