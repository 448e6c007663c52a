from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.unit.api.storage.conftest import Storage


def names(storage: Storage, **query: str) -> list[str]:
    answer = storage.server.client.get("/storage/v1/b", params=query)
    assert answer.status_code == 200, answer.text
    return [each["name"] for each in answer.json().get("items", [])]


@pytest.mark.clause(
    "Cloud Storage JSON API, buckets", "the configured buckets are listed, got and made"
)
def test_a_bucket_is_made_listed_and_got(storage: Storage) -> None:
    client, name = storage.server.client, f"{storage.bucket}-made"

    made = client.post("/storage/v1/b", params={"project": "p1"}, json={"name": name})

    assert made.status_code == 200, made.text
    assert (storage.directory.parent / name).is_dir()
    assert client.get(f"/storage/v1/b/{name}").json() == made.json()
    assert made.json() == {
        "kind": "storage#bucket",
        "id": name,
        "name": name,
        "selfLink": f"{storage.server.deployment.settings.public_url}/storage/v1/b/{name}",
        "location": "US-CENTRAL1",
        "locationType": "region",
        "storageClass": "STANDARD",
        "metageneration": "1",
        "etag": "1",
        "fileroom": {"allow": ["delete", "read", "write"], "kind": "directory", "upload": True},
    }
    assert name in names(storage)
    again = client.post("/storage/v1/b", json={"name": name})
    assert (again.status_code, again.json()["error"]["status"]) == (409, "ALREADY_EXISTS")


@pytest.mark.parametrize("body", [{}, {"name": "No"}, {"name": "a/b"}, {"name": "../up"}])
def test_a_bucket_needs_a_name_that_is_one(storage: Storage, body: dict[str, str]) -> None:
    answer = storage.server.client.post("/storage/v1/b", json=body)

    assert answer.status_code == 400, answer.text


def test_what_a_bucket_cannot_be_given_is_refused(storage: Storage) -> None:
    body = {"name": "scans", "encryption": {"defaultKmsKeyName": "k"}}
    answer = storage.server.client.post("/storage/v1/b", json=body)

    assert (answer.status_code, "encryption" in answer.text) == (400, True)


def test_a_bucket_of_a_project_is_listed_for_it_alone(storage: Storage) -> None:
    assert "shared" in names(storage)
    assert "shared" in names(storage, project="p9")
    assert "shared" not in names(storage, project="p1")
    assert "inbox" in names(storage, project="p1")
    assert names(storage, prefix="inb") == ["inbox"]


def test_buckets_are_listed_page_by_page(storage: Storage) -> None:
    expected, found, token = names(storage), [], ""
    while True:
        query = {"maxResults": "1"} | ({"pageToken": token} if token else {})
        page = storage.server.client.get("/storage/v1/b", params=query).json()
        found += [each["name"] for each in page["items"]]
        token = page.get("nextPageToken", "")
        if not token:
            break

    assert found == expected == sorted(expected)
    wrong = storage.server.client.get("/storage/v1/b", params={"pageToken": "x", "prefix": "i"})
    assert wrong.status_code == 400


@pytest.mark.parametrize("path", ["none-there", "none-there/o", "none-there/o/a.dcm"])
def test_a_bucket_that_is_not_there_is_404(storage: Storage, path: str) -> None:
    answer = storage.ask(path)

    assert answer.status_code == 404
    message = answer.json()["error"]["message"]
    assert "The specified bucket does not exist: gs://none-there" in message


@pytest.mark.parametrize("name", ["NO", "a%2Fb", "..", "x"])
def test_what_is_no_name_of_a_bucket_is_400(storage: Storage, name: str) -> None:
    assert storage.server.raw(
        f"GET /storage/v1/b/{name} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
        f"Authorization: Bearer {storage.server.token}\r\n\r\n".encode()
    ).startswith(b"HTTP/1.1 400")


@pytest.mark.parametrize(
    ("bucket", "granted"),
    [
        ("shared", ["storage.objects.get", "storage.buckets.get"]),
        ("inbox", ["storage.objects.create", "storage.buckets.get"]),
    ],
)
def test_the_settings_tell_what_is_permitted(
    storage: Storage, bucket: str, granted: list[str]
) -> None:
    each = ("objects.get", "objects.create", "buckets.get", "buckets.delete")
    asked = {"permissions": [f"storage.{name}" for name in each]}
    answer = storage.server.client.get(f"/storage/v1/b/{bucket}/iam/testPermissions", params=asked)

    assert answer.json() == {
        "kind": "storage#testIamPermissionsResponse",
        "permissions": granted,
    }


def test_every_method_wants_the_token(storage: Storage) -> None:
    request = storage.server.client.build_request("GET", "/storage/v1/b")
    del request.headers["Authorization"]

    assert storage.server.client.send(request).status_code == 401
