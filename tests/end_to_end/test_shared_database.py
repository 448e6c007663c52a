"""Several servers on one PostgreSQL: any of them shows, cancels, takes over any operation."""

from __future__ import annotations

import itertools
import os
import signal
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import pytest

from fileroom.archive.layout import MARKS
from fileroom.client import Client
from fileroom.errors import Unavailable
from tests.corpus import UID_ROOT, mr_instance
from tests.databases import server
from tests.fault_tools import wait_until
from tests.server import run_fileroom, running_server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fileroom.client import Operation
    from tests.postgresql import PostgresqlServer
    from tests.server import RunningServer

__all__ = ["server"]

DATASET: Final = "projects/p/locations/us-central1/datasets/shared"
STORE: Final = f"{DATASET}/dicomStores/s"
STUDY: Final = f"{UID_ROOT}.41"
TAKEN_OVER_SECONDS: Final = 90
"""A lease of 30 s, and some more on a busy machine."""
QUICKLY: Final = {
    "FILEROOM_COLLECTION_GRACE_SECONDS": "0",
    "FILEROOM_COLLECTION_INTERVAL_SECONDS": "1",
}


def uid(number: int) -> str:
    """Give the SOP Instance UID of a slice."""
    return f"{STUDY}.1.{number}"


def path(number: int) -> str:
    """Give the path of a slice."""
    return f"studies/{STUDY}/series/{STUDY}.1/instances/{uid(number)}"


def slice_of(number: int, rows: int = 16) -> bytes:
    """Make a slice."""
    return mr_instance(
        rows=rows,
        study_instance_uid=STUDY,
        series_instance_uid=f"{STUDY}.1",
        sop_instance_uid=uid(number),
        instance_number=str(number),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """A database, blobs and a bucket that servers share, each with a data directory of its own."""

    database: str
    directory: Path
    numbers: Iterator[int] = field(default_factory=itertools.count)

    @contextmanager
    def serving(self, **environment: str) -> Iterator[tuple[RunningServer, Client]]:
        """Run one more server."""
        chosen = {
            "FILEROOM_DATABASE": self.database,
            "FILEROOM_BLOBS": str(self.directory / "blobs"),
            "FILEROOM_AUTH": "none",
        }
        data = self.directory / f"data-{next(self.numbers)}"
        with (
            running_server(
                data,
                f"--bucket=here={self.directory / 'bucket'}",
                environment=chosen | QUICKLY | environment,
            ) as started,
            Client(started.url) as client,
        ):
            yield started, client

    @contextmanager
    def two(self) -> Iterator[tuple[tuple[RunningServer, Client], tuple[RunningServer, Client]]]:
        """Run two servers, and make the dataset and the DICOM store by the first."""
        with self.serving() as first, self.serving() as second:
            client = first[1]
            client.wait(client.create_dataset(DATASET), poll_seconds=0.05)
            client.create_dicom_store(STORE)
            yield first, second

    def fill(self, count: int, rows: int = 16) -> None:
        """Write slices into the bucket."""
        for number in range(1, count + 1):
            (self.directory / "bucket" / f"{number:05}.dcm").write_bytes(slice_of(number, rows))

    def blobs(self) -> int:
        """Give how many blobs lie there; a mark that came late stays beside them for an hour."""
        return sum(
            1
            for found in (self.directory / "blobs").rglob("*")
            if found.is_file() and not {found.name, found.parent.name} & {".store-id", "tmp", MARKS}
        )

    def check(self) -> str:
        """Compare rows with blobs."""
        return self.run("check", "--deep")

    def run(self, *command: str) -> str:
        """Give what a command says that needs no server."""
        data = self.directory / "data-of-check"
        checked = run_fileroom(
            *(*command, f"--data={data}"),
            environment={
                "FILEROOM_DATABASE": self.database,
                "FILEROOM_BLOBS": str(self.directory / "blobs"),
            },
        )
        return checked.stdout + checked.stderr


@pytest.fixture
def cluster(server: PostgresqlServer, tmp_path: Path) -> Cluster:
    (tmp_path / "bucket").mkdir()
    return Cluster(database=server.new_database(template=False), directory=tmp_path)


def test_what_one_server_stores_the_other_gives(cluster: Cluster) -> None:
    cluster.fill(40)
    with cluster.two() as ((_, one), (_, other)):
        started = one.import_(STORE, "gs://here/**")
        ended = other.wait(started, poll_seconds=0.05)
        assert ended.counters.success == 40
        one.store_instances(STORE, [slice_of(41)])
        for number in range(1, 42):
            assert other.retrieve_instance(STORE, path(number)) == slice_of(number)
        other.wait(other.delete_study(STORE, f"studies/{STUDY}"), poll_seconds=0.05)
        assert not list(one.search_studies(STORE))
        wait_until(lambda: cluster.blobs() == 0, "what was deleted is collected")
        assert cluster.check() == "all instances are there; 0 orphaned blobs\n"
        assert "servers run on the database" in cluster.run("collect-garbage")
    assert "all instances are there; 0 orphaned blobs" in cluster.check()


def test_the_other_server_cancels_and_lists(cluster: Cluster) -> None:
    cluster.fill(600, rows=200)
    with cluster.two() as ((_, one), (_, other)):
        started = one.import_(STORE, "gs://here/**")
        other.cancel_operation(started.name)
        ended = one.wait(started, poll_seconds=0.05)
        assert ended.error is not None
        assert next(iter(other.list_operations(DATASET))).name == ended.name
        assert (
            sum(ended.account[term] for term in ended.account if term != "listed")
            == (ended.account["listed"])
        )


@pytest.mark.parametrize("how", ["killed", "halted"])
@pytest.mark.timeout(300)
def test_the_other_server_goes_on_where_one_was_lost(cluster: Cluster, how: str) -> None:
    cluster.fill(1500, rows=100)
    with cluster.two() as ((first, one), (second, other)):
        started = one.import_(STORE, "gs://here/**")
        wait_until(lambda: other.get_operation(started.name).counters.success > 0, "it has begun")
        lost = _owner_of(cluster, first, second)
        left = other if lost is first else one
        lost.process.send_signal(signal.SIGKILL if how == "killed" else signal.SIGSTOP)
        done = _ended(left, started)
        assert done.error is None
        assert done.account["imported"] == done.account["listed"] == 1500
        if how == "halted":
            lost.process.send_signal(signal.SIGCONT)
            with Client(lost.url) as woken:
                wait_until(lambda: _stores(woken, 2000), "it goes on")
            assert left.get_operation(started.name).account == done.account
        assert left.retrieve_instance(STORE, path(1500)) == slice_of(1500, 100)
        survivor = second if lost is first else first
        wait_until(
            lambda: "blobs compared with rows" in survivor.log.read_text(errors="replace"),
            "what the other left is looked for",
        )
        time.sleep(3)
    assert "all instances are there; 0 orphaned blobs" in _checked(cluster)


def _ended(client: Client, started: Operation) -> Operation:
    deadline = time.monotonic() + TAKEN_OVER_SECONDS
    while not (operation := client.get_operation(started.name)).done:
        assert time.monotonic() < deadline, operation.body
        time.sleep(0.2)
    return operation


def _stores(client: Client, number: int) -> bool:
    try:
        client.store_instances(STORE, [slice_of(number)])
    except Unavailable:
        return False
    return True


def _owner_of(cluster: Cluster, *servers: RunningServer) -> RunningServer:
    """Give the server whose workers have the bucket's files open, or have written last."""
    found = [one for one in servers if "operation claimed" in one.log.read_text(errors="replace")]
    assert len(found) == 1, [one.log.read_text()[-2000:] for one in servers]
    assert os.path.isdir(cluster.directory)
    return found[0]


def _checked(cluster: Cluster) -> str:
    told = ""

    def is_checked() -> bool:
        nonlocal told
        told = cluster.check()
        return "servers run" not in told

    deadline = time.monotonic() + TAKEN_OVER_SECONDS
    while not is_checked():
        assert time.monotonic() < deadline, told
        time.sleep(2)
    return told


def test_a_server_says_what_the_database_needs(tmp_path: Path) -> None:
    refused = run_fileroom(
        *("serve", "--port=0", f"--data={tmp_path / 'data'}"),
        environment={"FILEROOM_DATABASE": f"postgresql://nobody:secret@/x?host={tmp_path}"},
    )
    assert refused.returncode == 1
    assert "UNAVAILABLE: the database did not answer" in refused.stderr
    assert "secret" not in refused.stderr
    shown = run_fileroom(
        "config", "show", environment={"FILEROOM_DATABASE": "postgresql://me:secret@db/x"}
    )
    assert "postgresql://me:***@db/x" in shown.stdout


def test_servers_that_start_and_end_at_a_time_share_one_token(cluster: Cluster) -> None:
    with ExitStack() as stack:
        servers = [stack.enter_context(cluster.serving(FILEROOM_AUTH="token")) for _ in range(3)]
        token = servers[0][0].token
        for each, _ in servers:
            with Client(each.url, token) as client:
                assert list(client.list_datasets(DATASET.rpartition("/datasets")[0])) == []
