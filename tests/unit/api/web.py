"""What the tests of DICOMweb share: a store with content behind a real server."""

from __future__ import annotations

import re
from itertools import count
from typing import TYPE_CHECKING

from fileroom.archive.retrieve import StoreContent
from fileroom.database.stores import get_dicom_store
from fileroom.names import DicomStoreName, parse_name
from tests.store_content import FilledStore

if TYPE_CHECKING:
    import httpx2

    from tests.unit.api.conftest import ServedDeployment

numbers = count(1)


class Web:
    """The ``dicomWeb`` path of a DICOM store of its own."""

    def __init__(self, server: ServedDeployment, number: int) -> None:
        self.server = server
        self.store = server.make_store(server.make_dataset(f"web-{number}"), "s")

    @property
    def url(self) -> str:
        return f"{self.server.deployment.settings.public_url}/v1/{self.store}/dicomWeb"

    def add(self, *files: bytes) -> None:
        deployment = self.server.deployment
        name = parse_name(self.store)
        assert isinstance(name, DicomStoreName)
        with deployment.database.read() as connection:
            store = get_dicom_store(connection, name)
        content = StoreContent(
            database=deployment.database,
            blobs=deployment.blobs,
            buckets=deployment.buckets,
            store_id=store.id,
            blob_prefix=store.blob_prefix,
        )
        FilledStore(content=content, name=name).add(files, writer=next(numbers))

    def get(
        self, path: str, accept: str | None = None, known: str | None = None, **query: str
    ) -> httpx2.Response:
        headers = {"Accept": "" if accept is None else accept}
        if known is not None:
            headers["If-None-Match"] = known
        return self.server.client.get(
            f"/v1/{self.store}/dicomWeb/{path}", headers=headers, params=query or None
        )


def parts(answer: httpx2.Response) -> list[tuple[str, bytes]]:
    """Give the parts of a multipart answer: type and body, byte for byte (RFC 2046 5.1.1)."""
    found = re.search(r"boundary=([0-9a-f]+)", answer.headers["content-type"])
    assert found is not None
    boundary = f"--{found[1]}".encode()
    first, *middle, last = (b"\r\n" + answer.content).split(b"\r\n" + boundary)
    assert (first, last.strip()) == (b"", b"--")
    result = []
    for part in middle:
        head, _, body = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        result.append((fields["Content-Type"], body))
    return result
