"""A server with buckets of every kind, and what asks it as google-cloud-storage would."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from fileroom.objectstore.buckets import BucketSettings
from fileroom.settings import Settings
from tests.unit.api.conftest import served

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import httpx2

    from tests.unit.api.conftest import ServedDeployment

_numbers = count(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Storage:
    """A bucket of its own for a test, and its routes."""

    server: ServedDeployment
    bucket: str
    directory: Path

    def put(self, *keys: str, content: bytes = b"x") -> None:
        """Write objects beside the server."""
        for key in keys:
            path = self.directory / key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)

    def ask(
        self, path: str, headers: dict[str, str] | None = None, /, **query: str
    ) -> httpx2.Response:
        """Ask for something; ``path`` begins with the bucket."""
        url = f"/storage/v1/b/{path}"
        return self.server.client.get(url, headers=headers, params=query)

    def page(self, **query: str) -> Any:
        """Give a page of the bucket's objects."""
        answer = self.ask(f"{self.bucket}/o", **query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def names(self, **query: str) -> list[str]:
        """Give the names on one page."""
        return [each["name"] for each in self.page(**query).get("items", [])]

    def object(
        self, key: str, headers: dict[str, str] | None = None, /, **query: str
    ) -> httpx2.Response:
        """Ask for one object."""
        return self.ask(f"{self.bucket}/o/{quote(key, safe='')}", headers, **query)

    def upload(
        self, content: bytes, headers: dict[str, str] | None = None, /, **query: str
    ) -> httpx2.Response:
        """Send an object in one request."""
        return self.server.client.post(
            f"/upload/storage/v1/b/{self.bucket}/o",
            params={"uploadType": "media", **query},
            headers=headers,
            content=content,
        )


@pytest.fixture(scope="module")
def storage_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedDeployment]:
    root = tmp_path_factory.mktemp("storage")
    for name in ("shared", "inbox"):
        (root / name).mkdir()
    buckets = (
        BucketSettings(
            name="gs://shared", path=root / "shared", allow=frozenset({"read"}), project="p9"
        ),
        BucketSettings(name="gs://inbox", path=root / "inbox", allow=frozenset({"write"})),
    )
    with served(Settings(data=root / "data", workers=1, buckets=buckets)) as running:
        yield running


@pytest.fixture
def storage(storage_server: ServedDeployment) -> Storage:
    bucket = f"scans-{next(_numbers)}"
    directory = storage_server.deployment.settings.data / "buckets" / bucket
    directory.mkdir()
    return Storage(server=storage_server, bucket=bucket, directory=directory)
