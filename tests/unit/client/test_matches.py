from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from fileroom.client import Client
from fileroom.client.transport import MATCHES_OF_PAGE
from fileroom.errors import InvalidArgument, Unknown
from tests.unit.client.scripted_server import Scripted, scripted_server

if TYPE_CHECKING:
    from fileroom.client import Json, JsonObject

STORE = "projects/p/locations/us-central1/datasets/d/dicomStores/s"
STUDIES = f"/v1/{STORE}/dicomWeb/studies"
NOTHING = Scripted(204, b"")


def study(number: int) -> JsonObject:
    return {"0020000D": {"vr": "UI", "Value": [f"1.{number}"]}}


def page(first: int, count: int, total: int | None = None) -> Scripted:
    content = json.dumps([study(number) for number in range(first, first + count)]).encode()
    headers = {} if total is None else {"X-Total-Count": str(total)}
    return Scripted(200, content, "application/dicom+json", headers)


def test_nothing_is_asked_before_the_first_match_and_pages_as_they_are_reached() -> None:
    size = MATCHES_OF_PAGE
    answers = (page(0, size, size + 1), page(size, 1, size + 1))
    with scripted_server(*answers) as script, Client(script.url) as client:
        found = client.search_studies(STORE, {"PatientID": "P"}, fuzzy_matching=True)
        assert script.requests == []
        drawn = iter(found)
        assert [next(drawn) for _ in range(size)] == [study(number) for number in range(size)]
        assert len(script.requests) == 1
        assert list(drawn) == [study(size)]
    query = f"{STUDIES}?PatientID=P&fuzzymatching=true&limit={size}"
    assert [path for _, path, _ in script.requests] == [query, f"{query}&offset={size}"]


def test_a_server_that_tells_no_total_is_asked_until_a_page_is_empty() -> None:
    with scripted_server(page(0, 2), page(2, 1), NOTHING) as script, Client(script.url) as client:
        assert len(list(client.search_studies(STORE))) == 3
    offsets = [path.partition("&offset=")[2] for _, path, _ in script.requests]
    assert offsets == ["", "2", "3"]


def test_a_server_that_gives_a_page_twice_is_asked_no_more() -> None:
    with (
        scripted_server(page(0, 2), page(0, 2)) as script,
        Client(script.url) as client,
        pytest.raises(Unknown, match="one page of a search twice"),
    ):
        list(client.search_studies(STORE))


def test_a_page_that_a_deletion_made_short_is_not_the_last() -> None:
    answers = (page(0, 998, 1003), page(998, 3, 1001))
    with scripted_server(*answers) as script, Client(script.url) as client:
        assert len(list(client.search_studies(STORE))) == 1001


def test_limit_bounds_the_total_over_pages() -> None:
    size = MATCHES_OF_PAGE
    answers = (page(5, size, 9999), page(size + 5, 7, 9999))
    with scripted_server(*answers) as script, Client(script.url) as client:
        found = list(client.search_studies(STORE, limit=size + 7, offset=5))
    assert found == [study(number) for number in range(5, size + 12)]
    assert [path for _, path, _ in script.requests] == [
        f"{STUDIES}?limit={size}&offset=5",
        f"{STUDIES}?limit=7&offset={size + 5}",
    ]


def test_a_limit_of_nothing_asks_nothing() -> None:
    with scripted_server(page(0, 1)) as script, Client(script.url) as client:
        assert list(client.search_studies(STORE, limit=0)) == []
    assert script.requests == []


def test_a_limit_that_the_server_refuses_is_its_error() -> None:
    refusal = Scripted(400, b'{"error": {"status": "INVALID_ARGUMENT", "message": "limit"}}')
    with (
        scripted_server(refusal) as script,
        Client(script.url) as client,
        pytest.raises(InvalidArgument, match="limit"),
    ):
        list(client.search_studies(STORE, limit=-1))
    assert [path for _, path, _ in script.requests] == [f"{STUDIES}?limit=-1"]


def test_iterating_again_asks_again() -> None:
    with scripted_server(page(0, 1, 1), NOTHING) as script, Client(script.url) as client:
        found = client.search_studies(STORE)
        assert [list(found), list(found)] == [[study(0)], []]


@pytest.mark.parametrize("content", [b"<html>", b"{}", b"7"])
def test_what_is_no_dicom_json_is_not_taken_for_no_match(content: bytes) -> None:
    with (
        scripted_server(Scripted(200, content)) as script,
        Client(script.url) as client,
        pytest.raises(Unknown, match="is it a Fileroom server"),
    ):
        list(client.search_studies(STORE))


def test_metadata_have_the_same_forms() -> None:
    name: Json = {"vr": "PN", "Value": [{"Alphabetic": "Sample^Sam"}]}
    syntax: Json = {"vr": "UI", "Value": ["1.2.840.10008.1.2.1"]}
    content = json.dumps([{"00020010": syntax, "00100010": name}]).encode()
    answer = Scripted(200, content, "application/dicom+json")
    with scripted_server(answer) as script, Client(script.url) as client:
        metadata = client.retrieval(STORE).metadata("studies/1.2")
        assert script.requests == []
        assert list(metadata) == client.retrieve_metadata(STORE, "studies/1.2")
        (row,) = metadata.rows()
        (data_set,) = metadata.data_sets()
    assert row == {"TransferSyntaxUID": "1.2.840.10008.1.2.1", "PatientName": "Sample^Sam"}
    assert data_set.PatientName == "Sample^Sam"
    assert data_set.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"
    assert "TransferSyntaxUID" not in data_set
    assert script.requests[0][:2] == ("GET", f"{STUDIES}/1.2/metadata")


def test_the_client_is_imported_without_pydicom_and_numpy() -> None:
    code = "import sys, fileroom.client; print({'pydicom', 'numpy'} & set(sys.modules))"
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert ended.stdout == "set()\n"
