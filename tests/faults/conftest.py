"""One server for the tests that neither end it nor need it otherwise, and a store for each."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING

import pytest

from tests import fault_tools as tools
from tests.fault_tools import Disk

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fileroom.client import Client, Operation
    from tests.fault_tools import Sources
    from tests.server import RunningServer

_numbers = count(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A bucket and an empty DICOM store on a server that others use too."""

    server: RunningServer
    client: Client
    disk: Disk
    bucket_id: str
    bucket: Path
    dicom_store: str

    def start_import(self) -> Operation:
        """Start to import the whole bucket."""
        return self.client.import_(self.dicom_store, f"gs://{self.bucket_id}/**")

    def ended(self, operation: Operation) -> Operation:
        """Wait for the end of an operation."""
        return self.client.wait(operation.name, poll_seconds=0.02)

    def check_imported(self, operation: Operation, sources: Sources) -> None:
        """See that the import took every file that there is, once."""
        tools.check_imported(self.disk, self.client, self.dicom_store, operation, sources)


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RunningServer, Client]]:
    with tools.served(tmp_path_factory.mktemp("faults") / "data") as server_and_client:
        yield server_and_client


@pytest.fixture
def place(served: tuple[RunningServer, Client]) -> Place:
    server, client = served
    number = next(_numbers)
    return Place(
        server=server,
        client=client,
        disk=Disk(server.data),
        bucket_id=f"source-{number}",
        bucket=server.make_bucket(f"source-{number}"),
        dicom_store=tools.make_store(client, f"s{number}"),
    )
