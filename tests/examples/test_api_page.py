"""Every curl line of docs/reference/api.md does what its method is for."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from fileroom.api.routes import ROUTES
from fileroom.api.wire import Operation
from tests.api_examples import EXAMPLES
from tests.corpus import UID_ROOT
from tests.end_to_end.conftest import slices
from tests.examples.test_examples import value_of
from tests.server import clean_environment
from tests.tools import require_tool

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fileroom.client import Client
    from tests.server import RunningServer

VERBS = {route.method_id: route.verb for route in ROUTES}
RESPONSES = {route.method_id: route.response for route in ROUTES}


def test_examples_are_of_methods() -> None:
    assert EXAMPLES.keys() <= VERBS.keys()


def in_order() -> Iterator[str]:
    """Give the methods as the page has them; what deletes comes last, the smallest first."""
    deleting = [method for method in EXAMPLES if VERBS[method] == "DELETE"]
    yield from (method for method in EXAMPLES if method not in deleting)
    yield from reversed(deleting)


@pytest.fixture
def variables(server: RunningServer, tmp_path: Path) -> dict[str, str]:
    """Give what the page sets, and the files and buckets that its lines name."""
    bucket = server.make_bucket("trial")
    for number, content in enumerate(slices(2), 1):
        (bucket / f"slice-{number}.dcm").write_bytes(content)
    shutil.copy(bucket / "slice-1.dcm", tmp_path)
    server.make_bucket("exported")
    dataset = "projects/demo/locations/us-central1/datasets/radiology"
    series = f"{UID_ROOT}.5.1"
    return {
        "URL": server.url,
        "AUTH": f"Authorization: Bearer {server.token}",
        "LOCATION": f"{server.url}/v1/{dataset.partition('/datasets/')[0]}",
        "DATASET": f"{server.url}/v1/{dataset}",
        "STORE": f"{server.url}/v1/{dataset}/dicomStores/main",
        "BETA": f"{server.url}/v1beta1/{dataset}/dicomStores/main",
        "SERIES": series,
        "INSTANCE": f"{series}.1",
    }


def run(command: str, variables: dict[str, str], directory: Path) -> str:
    """Run a line of the page, and give what the server answered well."""
    strict = f'curl() {{ command curl -sS --fail-with-body "$@"; }}\n{command}'
    ended = subprocess.run(
        [require_tool("bash"), "-c", strict],
        cwd=directory,
        env=clean_environment() | variables,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ended.returncode == 0, (command, ended.stdout, ended.stderr)
    return ended.stdout


def test_every_line_is_answered(
    server: RunningServer, client: Client, variables: dict[str, str], tmp_path: Path
) -> None:
    require_tool("curl")
    imported = ""
    for method in in_order():
        if method == "fileroom.operations.undo":
            imported = f"{server.url}/v1/{imported_alone(server, client, variables)}"
            variables["OPERATION"] = imported
        elif method == "fileroom.operations.ledger":  # an undoing keeps none
            variables["OPERATION"] = imported
        answered = run(EXAMPLES[method], variables, tmp_path)
        if RESPONSES[method] is Operation and method != "datasets.operations.get":
            operation = client.wait(json.loads(answered)["name"], poll_seconds=0.05)
            assert operation.error is None, method
            variables["OPERATION"] = f"{server.url}/v1/{operation.name}"
        if method.endswith(".import"):
            variables["STUDY"] = study_of(client, variables["STORE"].partition("/v1/")[2])
    written = {file.name for file in tmp_path.iterdir()}
    assert {"one.dcm", "one.jpg", "frame.raw", "study.jpg", "study.multipart"} <= written


def imported_alone(server: RunningServer, client: Client, variables: dict[str, str]) -> str:
    """Import what no other line needs, and give the name of that operation."""
    (server.make_bucket("alone") / "slice.dcm").write_bytes(next(slices(1, series=2)))
    dicom_store = variables["STORE"].partition("/v1/")[2]
    started = client.import_(dicom_store, "gs://alone/**")
    return str(client.wait(started, poll_seconds=0.05).name)


def study_of(client: Client, dicom_store: str) -> str:
    """Give the UID of the only study of a store."""
    (study,) = client.search_studies(dicom_store)
    return str(value_of(study, "0020000D"))
