"""Projects over HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fileroom.objectstore.buckets import BucketSettings
from fileroom.settings import Settings
from tests.unit.api.conftest import served

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.unit.api.conftest import ServedDeployment


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedDeployment]:
    root = tmp_path_factory.mktemp("projects")
    bucket = BucketSettings(name="gs://hospital", path=root, project="p-bucket")
    with served(Settings(data=root / "data", workers=1, buckets=(bucket,))) as running:
        yield running


@pytest.mark.clause(
    "Cloud Resource Manager v1, projects.list",
    "the projects are those that own a dataset or a bucket",
    holds="own rule",
)
def test_projects_are_those_that_own_something(server: ServedDeployment) -> None:
    for project, dataset in (("p2", "a"), ("p1", "a"), ("p1", "b"), ("p3", "gone")):
        parent = f"projects/{project}/locations/us-central1/datasets"
        assert server.call("POST", parent, {}, datasetId=dataset).status_code == 200
    server.call("DELETE", "projects/p3/locations/us-central1/datasets/gone")

    assert server.get("projects") == {
        "projects": [
            {"projectId": name, "name": name, "lifecycleState": "ACTIVE"}
            for name in ("p-bucket", "p1", "p2")
        ]
    }
    first = server.get("projects", pageSize="2")
    assert [each["projectId"] for each in first["projects"]] == ["p-bucket", "p1"]
    rest = server.get("projects", pageSize="2", pageToken=first["nextPageToken"])
    assert [each["projectId"] for each in rest["projects"]] == ["p2"]
    assert "nextPageToken" not in rest
    assert server.call("GET", "projects", filter="x").status_code == 400
