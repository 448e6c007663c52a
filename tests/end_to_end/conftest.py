"""One real server for each process of the test run, and a store of its own for each test."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner, Result

from fileroom.cli.program import program
from tests import corpus
from tests.server import RunningServer, running_server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fileroom.client import Client, Operation

PROJECT = "p1"
LOCATION = "us-central1"
_numbers = count(1)
Fileroom = Callable[..., Result]
"""Runs the program, as its owner would."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A bucket with files and an empty DICOM store to import them into."""

    server: RunningServer
    client: Client
    bucket_id: str
    bucket: Path
    dataset_id: str
    dicom_store_id: str

    @property
    def dataset(self) -> str:
        return f"projects/{PROJECT}/locations/{LOCATION}/datasets/{self.dataset_id}"

    @property
    def dicom_store(self) -> str:
        return f"{self.dataset}/dicomStores/{self.dicom_store_id}"

    def put(self, key: str, content: bytes) -> None:
        """Write an object into the bucket."""
        path = self.bucket / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def import_all(self, pattern: str = "**") -> Operation:
        """Import what matches in the bucket, to the end."""
        started = self.client.import_(self.dicom_store, f"gs://{self.bucket_id}/{pattern}")
        return self.client.wait(started, poll_seconds=0.1)


def slices(number: int, *, series: int = 1) -> Iterator[bytes]:
    """Give small MR slices of one series."""
    for index in range(1, number + 1):
        yield corpus.mr_instance(
            rows=16,
            series_instance_uid=f"{corpus.UID_ROOT}.5.{series}",
            sop_instance_uid=f"{corpus.UID_ROOT}.5.{series}.{index}",
            instance_number=str(index),
        )


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server with token authentication that lives as long as the test process."""
    with running_server(tmp_path_factory.mktemp("server") / "data") as started:
        yield started


@pytest.fixture(scope="session")
def client(server: RunningServer) -> Iterator[Client]:
    """Fileroom's own client, to prepare and to look."""
    with server.client() as opened:
        yield opened


@pytest.fixture
def place(server: RunningServer, client: Client) -> Place:
    """Give a fresh bucket, a fresh dataset and a fresh store."""
    number = next(_numbers)
    made = Place(
        server=server,
        client=client,
        bucket_id=f"bucket-{number}",
        bucket=server.make_bucket(f"bucket-{number}"),
        dataset_id=f"dataset-{number}",
        dicom_store_id=f"store-{number}",
    )
    client.wait(client.create_dataset(made.dataset), poll_seconds=0.1)
    client.create_dicom_store(made.dicom_store)
    return made


@pytest.fixture
def fileroom(server: RunningServer, monkeypatch: pytest.MonkeyPatch) -> Fileroom:
    """Run the program as the owner of the data directory would."""
    monkeypatch.setenv("FILEROOM_SERVER", server.url)
    monkeypatch.setenv("FILEROOM_DATA", str(server.data))
    monkeypatch.setenv("CLOUDSDK_CORE_PROJECT", PROJECT)
    for name in ("FILEROOM_TOKEN", "FILEROOM_PROJECT", "FILEROOM_LOCATION"):
        monkeypatch.delenv(name, raising=False)

    def run(*arguments: str) -> Result:
        result = CliRunner().invoke(program, arguments)
        if isinstance(result.exception, Exception):
            raise result.exception
        return result

    return run
