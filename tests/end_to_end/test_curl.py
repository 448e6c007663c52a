"""The documented curl commands, with another host and another token and nothing else changed."""

from __future__ import annotations

import json
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.end_to_end.conftest import slices
from tests.tools import require_tool

if TYPE_CHECKING:
    from tests.end_to_end.conftest import Place

IMPORT = """{
  'gcsSource': {
    'uri': 'gs://BUCKET/PATTERN'
  }
}"""
EXPORT = """{
  'gcsDestination': {
    'uriPrefix': 'gs://BUCKET/DIRECTORY'
  }
}"""


@pytest.fixture(scope="module")
def curl() -> str:
    return require_tool("curl")


def post(curl: str, place: Place, verb: str, body: str) -> dict[str, Any]:
    return run(
        curl,
        "-X", "POST",
        "-H", f"Authorization: Bearer {place.server.token}",
        "-H", "Content-Type: application/json; charset=utf-8",
        "--data", body,
        f"{place.server.url}/v1/{place.dicom_store}:{verb}",
    )  # fmt: skip


def poll(curl: str, place: Place, name: str) -> dict[str, Any]:
    for _ in range(200):
        operation = run(
            curl,
            "-X", "GET",
            "-H", f"Authorization: Bearer {place.server.token}",
            f"{place.server.url}/v1/{name}",
        )  # fmt: skip
        if operation.get("done"):
            return operation
        time.sleep(0.1)
    raise AssertionError(f"{name} is not done after 20 s")


def run(curl: str, *arguments: str) -> dict[str, Any]:
    answer = subprocess.run(
        [curl, "--silent", "--show-error", "--noproxy", "*", *arguments],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    body = json.loads(answer.stdout)
    assert isinstance(body, dict)
    return body


@pytest.mark.parametrize(
    ("pattern", "imported"),
    [("*.dcm", 2), ("**.dcm", 4), ("Example?.dcm", 1)],
)
@pytest.mark.clause(
    "Cloud Healthcare v1 dicomStores.import",
    "the documented curl command with *.dcm, **.dcm and Example?.dcm starts an import, and polling "
    "the operation it names shows the counters and the response",
)
@pytest.mark.clause("Cloud Healthcare v1 GcsSource.uri", "? and * never match /", holds="chosen")
def test_documented_curl_imports_what_a_pattern_matches(
    curl: str, place: Place, pattern: str, imported: int
) -> None:
    keys = ("Example1.dcm", "Example10.dcm", "deep/Example2.dcm", "deep/er/x.dcm", "notes.txt")
    for key, content in zip(keys, slices(len(keys)), strict=True):
        place.put(key, content)
    body = IMPORT.replace("BUCKET", place.bucket_id).replace("PATTERN", pattern)

    started = post(curl, place, "import", body)
    operation = poll(curl, place, started["name"])

    assert list(started) == ["name"]
    assert operation["metadata"]["counter"] == {"success": str(imported)}
    assert operation["metadata"]["@type"].endswith("OperationMetadata")
    assert operation["metadata"]["apiMethodName"].endswith("DicomService.ImportDicomData")
    assert operation["response"]["@type"].endswith("ImportDicomDataResponse")
    assert place.client.get_dicom_store_metrics(place.dicom_store).instance_count == imported


@pytest.mark.clause(
    "Cloud Healthcare v1 dicomStores.export",
    "the documented curl command exports every instance to {study}/{series}/{instance}.dcm below "
    "the prefix, byte for byte as it was imported",
)
def test_documented_curl_exports_the_store(curl: str, place: Place) -> None:
    contents = list(slices(3))
    for index, content in enumerate(contents):
        place.put(f"{index}.dcm", content)
    place.import_all()
    body = EXPORT.replace("BUCKET", place.bucket_id).replace("DIRECTORY", "out/here")

    started = post(curl, place, "export", body)
    operation = poll(curl, place, started["name"])

    written = sorted((place.bucket / "out" / "here").glob("*/*/*.dcm"))
    assert operation["metadata"]["counter"] == {"success": "3"}
    assert operation["response"]["@type"].endswith("ExportDicomDataResponse")
    assert sorted(file.read_bytes() for file in written) == sorted(contents)


@pytest.mark.clause(
    "Cloud Healthcare v1 errors",
    "a wrong URI answers 400 with Google's error body, a bucket that is unknown 403",
)
def test_curl_sees_the_error_body(curl: str, place: Place) -> None:
    wrong = post(curl, place, "import", IMPORT.replace("gs://BUCKET/PATTERN", "demo/*.dcm"))
    unknown = IMPORT.replace("BUCKET", "no-such-bucket").replace("PATTERN", "**")
    missing = post(curl, place, "import", unknown)

    assert (wrong["error"]["code"], wrong["error"]["status"]) == (400, "INVALID_ARGUMENT")
    assert "demo/*.dcm" in wrong["error"]["message"]
    assert (missing["error"]["code"], missing["error"]["status"]) == (403, "PERMISSION_DENIED")
    assert "no-such-bucket" in missing["error"]["message"]
