"""An object that its worker dies over, or that is not there any more, costs itself alone (I11)."""

from __future__ import annotations

import os
import random
import signal
from typing import TYPE_CHECKING, Final

import psutil
import pytest

from fileroom.database.operations import Counters
from fileroom.errors import Reason
from tests import fault_tools as tools
from tests.fault_tools import BUCKET, LARGE_UIDS, Disk

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fault_tools import Sources
    from tests.faults.conftest import Place
    from tests.server import RunningServer

ALL: Final = f"gs://{BUCKET}/**"
LARGE: Final = "b-large.dcm"


def worker_at(server: RunningServer, path: Path) -> psutil.Process:
    """Wait until a worker has a file open, and give the worker."""
    found: list[psutil.Process] = []

    def at_work() -> bool:
        for worker in tools.workers_of(server.process.pid):
            try:
                files = {file.path for file in worker.open_files()}
            except psutil.Error:
                continue
            if str(path) in files:
                found.append(worker)
        return bool(found)

    tools.wait_until(at_work, f"no worker reads {path.name}", pause=0.002)
    return found[0]


def neighbours(draw: random.Random) -> Sources:
    """Give small good files, some of them before the large one and some behind it."""
    sources = tools.make_sources(40, draw, mixed=False)
    renamed = tools.Sources()
    for number, (key, content) in enumerate(sources.files.items()):
        renamed.add(f"{'ac'[number % 2]}{number}.dcm", content, sources.instances[key])
    return renamed


@pytest.mark.parametrize("deaths", [1, 2])
@pytest.mark.clause(
    "Fileroom faults",
    "an object over which a worker dies is tried once more, alone; dying again it fails with "
    "WORKER_CRASHED, and its neighbours and the server notice nothing",
    holds="own rule",
)
def test_object_its_worker_dies_over_fails_alone(tmp_path: Path, deaths: int) -> None:
    sources = neighbours(random.Random(tools.draw_seed()))
    data = tmp_path / "data"
    bucket = data / "buckets" / BUCKET
    sources.write(bucket)
    tools.write_large(bucket / LARGE)
    disk = Disk(data)
    with tools.served(data) as (server, client):
        store = tools.make_store(client, "s")
        started = client.import_(store, ALL)
        killed = []
        for _ in range(deaths):
            worker = worker_at(server, bucket / LARGE)
            worker.kill()
            worker.wait(10)
            killed.append(worker.pid)
        operation = client.wait(started.name, poll_seconds=0.05)
        failures = list(client.failures(operation.name))
        lost = deaths == 2
        expected = Counters(listed=41, imported=40 if lost else 41, failed=1 if lost else 0)
        tools.check_account(operation, expected)
        tools.check_ledger(disk, operation)
        assert [(one.source, one.reason) for one in failures] == (
            [(f"gs://{BUCKET}/{LARGE}", Reason.WORKER_CRASHED)] if lost else []
        )
        assert set(disk.stored(store)) - {LARGE_UIDS} == set(sources.instances.values())
        assert server.process.poll() is None
        assert len(set(killed)) == deaths
    with tools.served(data):
        tools.check_collected(disk)


@pytest.mark.long
@pytest.mark.timeout(200)
@pytest.mark.clause(
    "Fileroom faults",
    "a worker that hangs is ended after a minute; its object is tried once more and imported",
    holds="own rule",
)
def test_worker_that_hangs_is_replaced(tmp_path: Path) -> None:
    sources = neighbours(random.Random(tools.draw_seed()))
    data = tmp_path / "data"
    bucket = data / "buckets" / BUCKET
    sources.write(bucket)
    tools.write_large(bucket / LARGE)
    disk = Disk(data)
    with tools.served(data) as (server, client):
        store = tools.make_store(client, "s")
        started = client.import_(store, ALL)
        os.kill(worker_at(server, bucket / LARGE).pid, signal.SIGSTOP)
        operation = client.wait(started.name, poll_seconds=0.5)
        tools.check_account(operation, Counters(listed=41, imported=41))
        assert set(disk.stored(store)) == {*sources.instances.values(), LARGE_UIDS}


@pytest.mark.clause(
    "Fileroom faults",
    "an object deleted after it was listed fails with SOURCE_NOT_FOUND; one that was rewritten is "
    "read as it stands then; both cost nobody else",
    holds="own rule",
)
def test_objects_that_change_after_the_listing(place: Place, tmp_path: Path) -> None:
    draw = random.Random(tools.draw_seed())
    client, bucket = place.client, place.bucket
    sources = neighbours(draw)
    gone, changed = sorted(sources.files)[-2:]
    sources.write(bucket)
    tools.write_large(bucket / LARGE)
    uids = sources.instances[changed]
    rewritten = tools.instance(uids, draw.randbytes(5000))
    (tmp_path / "rewritten").write_bytes(rewritten)
    started = place.start_import()
    worker = worker_at(place.server, bucket / LARGE)
    os.kill(worker.pid, signal.SIGSTOP)
    try:
        tools.wait_until(lambda: client.get_operation(started.name).total == 41, "not counted")
        (bucket / gone).unlink()
        (tmp_path / "rewritten").rename(bucket / changed)
    finally:
        os.kill(worker.pid, signal.SIGCONT)
    operation = place.ended(started)
    failures = list(client.failures(operation.name))
    tools.check_account(operation, Counters(listed=41, imported=40, failed=1))
    tools.check_ledger(place.disk, operation)
    assert [(one.source, one.reason) for one in failures] == [
        (f"gs://{place.bucket_id}/{gone}", Reason.SOURCE_NOT_FOUND)
    ]
    stored = place.disk.stored(place.dicom_store)
    assert stored[uids].lying.read() == rewritten
    assert set(stored) == {*sources.instances.values(), LARGE_UIDS} - {sources.instances[gone]}


@pytest.mark.clause(
    "Fileroom faults",
    "what is no regular file is passed over: a FIFO hangs nobody, a link leads nowhere",
    holds="own rule",
)
def test_what_is_no_regular_file_is_passed_over(place: Place) -> None:
    sources = neighbours(random.Random(tools.draw_seed()))
    sources.write(place.bucket)
    os.mkfifo(place.bucket / "b-fifo.dcm")
    (place.bucket / "b-link.dcm").symlink_to(place.bucket / min(sources.files))
    (place.bucket / "b-nowhere.dcm").symlink_to(place.bucket / "nowhere")

    operation = place.ended(place.start_import())

    tools.check_account(operation, Counters(listed=40, imported=40))


@pytest.mark.clause(
    "Fileroom faults",
    "an object that the server may not read fails with SOURCE_DENIED, alone",
    holds="own rule",
)
def test_unreadable_object_fails_alone(place: Place) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may read every file: the rights of one cannot be taken away")
    sources = neighbours(random.Random(tools.draw_seed()))
    sources.write(place.bucket)
    denied = min(sources.files)
    (place.bucket / denied).chmod(0)

    operation = place.ended(place.start_import())

    tools.check_account(operation, Counters(listed=40, imported=39, failed=1))
    assert [(one.source, one.reason) for one in place.client.failures(operation.name)] == [
        (f"gs://{place.bucket_id}/{denied}", Reason.SOURCE_DENIED)
    ]
