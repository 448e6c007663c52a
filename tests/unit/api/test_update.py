"""PATCH of metadata over HTTP: of an instance at once, of a study or series by an operation."""

from __future__ import annotations

import json
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest

from tests.corpus import minimal_instance
from tests.unit.api.test_delete import INSTANCE, SERIES, STUDY, UIDS, started
from tests.unit.api.test_dicomweb import AS_STORED
from tests.unit.api.test_operations import finish
from tests.unit.api.web import Web

if TYPE_CHECKING:
    import httpx2

    from tests.unit.api.conftest import ServedDeployment

JSON = "application/dicom+json"
PATCH: dict[str, Any] = {"00081030": {"vr": "LO", "Value": ["Knee, corrected"]}}
_numbers = count(700)


def files(**attributes: Any) -> list[bytes]:
    return [
        minimal_instance(
            study_instance_uid=study, series_instance_uid=series, sop_instance_uid=one, **attributes
        )
        for study, series, one in UIDS
    ]


@pytest.fixture
def web(server: ServedDeployment) -> Web:
    web = Web(server, next(_numbers))
    web.add(*files())
    return web


def patch(
    web: Web,
    path: str,
    body: object = PATCH,
    content_type: str = JSON,
    version: str = "v1beta1",
    **headers: str,
) -> httpx2.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return web.server.client.request(
        "PATCH",
        f"/{version}/{web.store}/dicomWeb/{path}/metadata",
        params={"alt": "json"},
        content=content,
        headers={"Content-Type": content_type, "Accept": "application/json"} | headers,
    )


def descriptions(web: Web) -> list[str | None]:
    found = web.get("instances", includefield="StudyDescription").json()
    return sorted(
        (one.get("00081030", {}).get("Value", [None])[0] for one in found),
        key=lambda one: one or "",
    )


@pytest.mark.clause(
    "Cloud Healthcare v1beta1 dicomStores.studies.series.instances.updateMetadata",
    "the body is the attributes in the DICOM JSON Model, an object or an array of one; the answer"
    " is the instance's metadata as they are then",
    holds="chosen",
)
@pytest.mark.parametrize("content_type", [JSON, "application/json; charset=UTF-8"])
@pytest.mark.parametrize("body", [PATCH, [PATCH]])
def test_instance_is_patched_when_the_answer_comes(
    web: Web, body: object, content_type: str
) -> None:
    before = web.get(f"{INSTANCE}/metadata")
    answer = patch(web, INSTANCE, body, content_type)

    assert answer.status_code == 200, answer.text
    (model,) = answer.json()
    assert model == before.json()[0] | PATCH
    after = web.get(f"{INSTANCE}/metadata", known=before.headers["ETag"])
    assert (after.status_code, after.json()) == (200, [model])
    assert after.headers["ETag"] != before.headers["ETag"]
    assert descriptions(web).count("Knee, corrected") == 3  # a study is described by its first
    (first, *others) = (web.get(f"{SERIES}/instances/{uids[2]}", AS_STORED) for uids in UIDS[:2])
    assert first.content == files(study_description="Knee, corrected")[0]
    assert [other.content for other in others] == files()[1:2]


@pytest.mark.clause(
    "Cloud Healthcare v1beta1 dicomStores.studies.updateMetadata",
    "the answer names an operation, whose counter tells the instances",
)
@pytest.mark.parametrize(
    ("path", "method", "updated"),
    [(STUDY, "UpdateStudyMetadata", 3), (SERIES, "UpdateSeriesMetadata", 2)],
)
def test_study_and_series_are_patched_by_an_operation(
    web: Web, path: str, method: str, updated: int
) -> None:
    operation = finish(web.server, started(patch(web, path)))

    assert operation["response"]["@type"] == (
        f"type.googleapis.com/google.cloud.healthcare.v1beta1.dicom.{method}Response"
    )
    metadata = operation["metadata"]
    assert metadata["apiMethodName"].endswith(f"v1beta1.dicom.DicomService.{method}")
    assert metadata["counter"] == {"success": str(updated)}
    told = web.get(f"{STUDY}/metadata").json()
    assert sum(one.get("00081030") == PATCH["00081030"] for one in told) == updated


@pytest.mark.clause(
    "Cloud Healthcare v1beta1 dicomStores.studies.series.instances.updateMetadata",
    "what is not there is 404; what may not change, is no DICOM JSON or of another media type is"
    " 400, and nothing is changed",
    holds="chosen",
)
@pytest.mark.parametrize(
    ("path", "body", "content_type", "status"),
    [
        ("studies/9.9", PATCH, JSON, 404),
        (f"{STUDY}/series/9.9", PATCH, JSON, 404),
        (f"{SERIES}/instances/9.9", PATCH, JSON, 404),
        ("studies/x", PATCH, JSON, 400),
        (INSTANCE, b"{", JSON, 400),
        (INSTANCE, b"", JSON, 400),
        (INSTANCE, [PATCH, PATCH], JSON, 400),
        (INSTANCE, {"00080018": {"vr": "UI", "Value": ["1.2"]}}, JSON, 400),
        (STUDY, {"00080018": {"vr": "UI", "Value": ["1.2"]}}, JSON, 400),
        (INSTANCE, PATCH, "application/dicom", 400),
        (INSTANCE, PATCH, "", 400),
        (INSTANCE, b" " * (11 << 20), JSON, 413),
    ],
)
def test_what_cannot_be_patched(
    web: Web, path: str, body: object, content_type: str, status: int
) -> None:
    answer = patch(web, path, body, content_type)

    assert answer.status_code == status, answer.text
    assert descriptions(web) == [None] * 3


def test_an_answer_that_nobody_takes_is_refused_before(web: Web) -> None:
    assert patch(web, INSTANCE, Accept="image/png").status_code == 406
    assert descriptions(web) == [None] * 3


@pytest.mark.clause(
    "Cloud Healthcare v1beta1 dicomStores.studies.updateMetadata", "v1 has no such method: 405"
)
def test_v1_has_no_patch(web: Web) -> None:
    assert patch(web, STUDY, version="v1").status_code == 405
