"""What an import would list, over HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.unit.api.conftest import ServedDeployment


@pytest.fixture(scope="module")
def store(server: ServedDeployment) -> str:
    directory = server.deployment.settings.data / "buckets" / "previewed"
    directory.mkdir()
    for name in ("a.dcm", "b.dcm", "c.txt"):
        (directory / name).write_bytes(b"123")
    return server.make_store(server.make_dataset("previewed"), "s")


@pytest.mark.clause(
    "Fileroom dicomStores.previewImport",
    "what an import would list is counted within some 2 s, and a pattern without match explained",
    holds="own rule",
)
def test_what_an_import_would_list_is_told(server: ServedDeployment, store: str) -> None:
    def preview(uri: str) -> Any:
        answer = server.call("POST", f"{store}:previewImport", {"gcsSource": {"uri": uri}})
        assert answer.status_code == 200, answer.text
        return answer.json()

    assert preview("gs://previewed/**.dcm") == {
        "count": "2",
        "sizeBytes": "6",
        "samples": ["gs://previewed/a.dcm", "gs://previewed/b.dcm"],
    }
    assert preview("gs://previewed/**.png") == {
        "explanation": "no object matches gs://previewed/**.png"
    }
    assert preview("gs://previewed/**/a*")["explanation"].startswith("invalid URI")


def test_what_the_store_may_not_read_is_403(server: ServedDeployment, store: str) -> None:
    body = {"gcsSource": {"uri": "gs://nowhere/**"}}

    assert server.call("POST", f"{store}:previewImport", body).status_code == 403


def test_a_store_that_is_not_there_is_404(server: ServedDeployment, store: str) -> None:
    body = {"gcsSource": {"uri": "gs://previewed/**"}}

    assert server.call("POST", f"{store}x:previewImport", body).status_code == 404
    assert server.call("POST", f"{store}:previewImport").status_code == 400
