"""What guards a browser against what somebody else stored, on every route, and CORS."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fileroom.api.routes import ROUTES
from fileroom.settings import Settings
from tests.corpus import ENCAPSULATED_PDF, UID_ROOT, minimal_instance
from tests.security.asking import path_of
from tests.unit.api.conftest import served

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx2

    from tests.security.conftest import Hospitals
    from tests.unit.api.conftest import ServedDeployment

VIEWER = "https://viewer.example.org"
SVG = b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>"


def check_guards(answer: httpx2.Response) -> None:
    """See that a browser shows nothing of this as a page of the server's."""
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert "no-store" in answer.headers["Cache-Control"]
    assert "server" not in answer.headers


def test_every_route_guards_the_browser_whatever_it_answers(hospitals: Hospitals) -> None:
    client = hospitals.server.client
    for route in ROUTES:
        if route.verb == "DELETE":
            continue
        for headers in ({}, {"Authorization": "Bearer guess"}):
            path = path_of(route, hospitals.theirs)
            answer = client.request(route.verb, path, content=b"{}", headers=headers)
            check_guards(answer)
            if answer.content:
                kind = answer.headers["Content-Type"].partition(";")[0]
                assert kind not in {"text/html", "image/svg+xml", "application/xhtml+xml"}, path


@pytest.fixture(scope="module")
def viewed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedDeployment]:
    data = tmp_path_factory.mktemp("viewed") / "data"
    with served(Settings(data=data, workers=1, cors_origins=(VIEWER,))) as running:
        yield running


@pytest.mark.parametrize("mime_type", ["image/svg+xml", "text/html", "text/xml", "application/pdf"])
def test_a_document_that_was_stored_never_becomes_a_page(
    viewed: ServedDeployment, mime_type: str
) -> None:
    """A file may say that its document is HTML or SVG: a browser must not run it as ours."""
    store = viewed.make_store(
        viewed.make_dataset(mime_type.replace("/", "-").replace("+", "-")), "s"
    )
    study = f"{UID_ROOT}.4711"
    content = minimal_instance(
        sop_class_uid=ENCAPSULATED_PDF,
        modality="DOC",
        patient_name="<script>alert(1)</script>",
        study_instance_uid=study,
        series_instance_uid=f"{study}.1",
        sop_instance_uid=f"{study}.1.1",
        extra=[(0x00420011, "OB", SVG + b" " * 4096), (0x00420012, "LO", mime_type.encode())],
    )
    web = f"/v1/{store}/dicomWeb"
    stored = viewed.client.post(
        f"{web}/studies", content=content, headers={"Content-Type": "application/dicom"}
    )
    assert stored.status_code == 200, stored.text
    instance = f"{web}/studies/{study}/series/{study}.1/instances/{study}.1.1"
    metadata = viewed.client.get(f"{instance}/metadata").json()
    link = metadata[0]["00420011"]["BulkDataURI"].partition("/v1/")[2]

    for path in (f"/v1/{link}", f"{instance}/rendered", instance, f"{instance}/metadata"):
        for accept in ("*/*", "text/html", "image/svg+xml", "text/html,*/*;q=0.1"):
            answer = viewed.client.get(path, headers={"Accept": accept})
            check_guards(answer)
            kind = answer.headers.get("Content-Type", "").partition(";")[0]
            assert kind not in {"text/html", "image/svg+xml", "text/xml", "application/xhtml+xml"}
            if kind in {"application/dicom", "application/octet-stream", "application/pdf"}:
                assert answer.headers["Content-Disposition"].startswith("attachment")


@pytest.mark.parametrize(
    "origin",
    ["https://evil.example", "null", "http://viewer.example.org", f"{VIEWER}.evil.example", "*"],
)
def test_other_origins_are_told_nothing(viewed: ServedDeployment, origin: str) -> None:
    asked = viewed.client.get("/v1/projects", headers={"Origin": origin})
    preflight = viewed.client.options(
        "/v1/projects",
        headers={"Origin": origin, "Access-Control-Request-Method": "GET"},
    )

    for answer in (asked, preflight):
        assert "access-control-allow-origin" not in answer.headers
        assert "access-control-allow-credentials" not in answer.headers


def test_a_configured_origin_is_answered_by_name_and_without_cookies(
    viewed: ServedDeployment,
) -> None:
    asked = viewed.client.get("/v1/projects", headers={"Origin": VIEWER})
    preflight = viewed.client.options(
        "/v1/projects",
        headers={"Origin": VIEWER, "Access-Control-Request-Method": "POST"},
    )

    for answer in (asked, preflight):
        assert answer.headers["Access-Control-Allow-Origin"] == VIEWER
        assert "Origin" in answer.headers["Vary"]
        assert "access-control-allow-credentials" not in answer.headers
    assert preflight.headers["Access-Control-Max-Age"] == "3600"


def test_without_a_setting_no_origin_is(hospitals: Hospitals) -> None:
    answer = hospitals.server.client.get("/v1/projects", headers={"Origin": VIEWER})

    assert "access-control-allow-origin" not in answer.headers
