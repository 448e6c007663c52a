"""A full disk makes an operation wait and say why; no object is blamed for it (F5)."""

from __future__ import annotations

import os
import random
import subprocess
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import pytest

from fileroom.database.operations import Counters
from fileroom.errors import Code, ResourceExhausted
from tests import fault_tools as tools
from tests.fault_tools import BUCKET, DATASET, TWO_WORKERS, Disk
from tests.tools import require_tool

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fileroom.client import Client

SIZE_BYTES: Final = 32 << 20
TARGET: Final = "target"


@contextmanager
def small_disk(directory: Path) -> Iterator[Path]:
    """Mount a small file system in memory; the test is skipped where that is not allowed."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk to fill")
    directory.mkdir()
    options = f"size={SIZE_BYTES},mode=0700"
    command = [require_tool("mount"), "-t", "tmpfs", "-o", options, "fileroom-test", str(directory)]
    mounted = subprocess.run(command, capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("mounting a small disk to fill is refused here, even to root")
    try:
        yield directory
    finally:
        subprocess.run([require_tool("umount"), "-l", str(directory)], check=True)


def fill(disk: Path, *, but_bytes: int) -> Path:
    """Take the space of a disk but for some bytes; the file given back is what takes it."""
    ballast = disk / "ballast"
    status = os.statvfs(disk)
    size = status.f_bavail * status.f_frsize - but_bytes
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, size)
    return ballast


@contextmanager
def taking_all_space(disk: Path) -> Iterator[None]:
    """Take every byte that becomes free on a disk, as a log that nobody rotates does."""
    enough = threading.Event()
    ballast = disk / "ballast"

    def take() -> None:
        with ballast.open("wb", buffering=0) as file:
            piece = 1 << 20
            while not enough.is_set():
                try:
                    file.write(bytes(piece))
                except OSError:
                    piece = max(piece // 16, 4096)
                    enough.wait(0.001)

    taker = threading.Thread(target=take)
    taker.start()
    try:
        yield
    finally:
        enough.set()
        taker.join()
        ballast.unlink()


@pytest.mark.clause(
    "Fileroom faults",
    "an import that meets a full disk pauses with the reason, blames no object, and goes on by "
    "itself to exact counters once there is space",
    holds="own rule",
)
def test_import_waits_for_space_for_blobs(tmp_path: Path) -> None:
    sources = tools.make_sources(300, random.Random(tools.draw_seed()))
    data = tmp_path / "data"
    sources.write(data / "buckets" / BUCKET)
    with small_disk(tmp_path / "blobs") as blobs, served(data, blobs) as client:
        disk = Disk(data, blobs)
        store = tools.make_store(client, "s")
        ballast = fill(blobs, but_bytes=3 << 20)
        name = client.import_(store, f"gs://{BUCKET}/**").name
        paused = tools.wait_paused(client, name, "space")
        assert 0 < paused.account["pending"] < sources.expected.listed
        assert paused.account["failed"] <= sources.expected.failed
        ballast.unlink()
        operation = client.wait(name, poll_seconds=0.1)
        tools.check_imported(disk, client, store, operation, sources)
        tools.check_collected(disk)


@pytest.mark.clause(
    "Fileroom faults",
    "the same holds where database and blobs share the disk and nothing at all can be written, "
    "and what cannot be stored is answered with RESOURCE_EXHAUSTED",
    holds="own rule",
)
def test_import_waits_for_space_for_everything(tmp_path: Path) -> None:
    sources = tools.make_sources(600, random.Random(tools.draw_seed()))
    source = tmp_path / "source"
    sources.write(source)
    with small_disk(tmp_path / "disk") as small:
        data = small / "data"
        with tools.served(data, f"--bucket={BUCKET}={source}") as (_, client):
            disk = Disk(data)
            store = tools.make_store(client, "s")
            name = client.import_(store, f"gs://{BUCKET}/**").name
            tools.wait_begun(disk, name)
            with taking_all_space(small):
                tools.wait_paused(client, name, "space")
                tools.wait_until(lambda: is_refused(client), "a store is made on a full disk")
                assert "space" in client.get_operation(name).paused_why
            operation = client.wait(name, poll_seconds=0.1)
            tools.check_imported(disk, client, store, operation, sources)
            tools.check_collected(disk)


@pytest.mark.clause(
    "Fileroom faults",
    "a store that meets a full disk is answered with 507 and leaves nothing, and the same request "
    "succeeds once there is space",
    holds="own rule",
)
def test_store_on_a_full_disk_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    file = tools.instance(tools.LARGE_UIDS, bytes(4 << 20))
    with small_disk(tmp_path / "blobs") as blobs, served(tmp_path / "data", blobs) as client:
        disk = Disk(tmp_path / "data", blobs)
        store = tools.make_store(client, "s")
        ballast = fill(blobs, but_bytes=6 << 20)
        for _ in range(3):
            with pytest.raises(ResourceExhausted, match="no space"):
                client.store_instances(store, [file, file])
        tools.wait_until(lambda: not disk.blob_files() - {ballast}, "parts are left")
        assert client.get_dicom_store_metrics(store).instance_count == 0
        ballast.unlink()
        assert len(client.store_instances(store, [file, file]).stored) == 2
        tools.check_collected(disk)


def is_refused(client: Client) -> bool:
    """Try to make one more store."""
    try:
        client.create_dicom_store(f"{DATASET}/dicomStores/x{time.monotonic_ns()}")
    except ResourceExhausted:
        return True
    return False


@pytest.mark.clause(
    "Fileroom faults",
    "what an import had stored behind the object that it waits with is collected when it is "
    "cancelled while it waits",
    holds="own rule",
)
def test_blobs_of_an_import_cancelled_while_it_waits_are_collected(tmp_path: Path) -> None:
    sources = tools.make_sources(80, random.Random(tools.draw_seed()), mixed=False)
    uids = ("1.2.1", "1.2.2", "1.2.3")
    sources.add("0-does-not-fit.dcm", tools.instance(uids, bytes(SIZE_BYTES)), uids)
    data = tmp_path / "data"
    sources.write(data / "buckets" / BUCKET)
    with small_disk(tmp_path / "blobs") as blobs, served(data, blobs) as client:
        disk = Disk(data, blobs)
        store = tools.make_store(client, "s")
        name = client.import_(store, f"gs://{BUCKET}/**").name
        tools.wait_paused(client, name, "space")
        assert disk.stored(store) == {}
        client.cancel_operation(name)
        operation = client.wait(name, poll_seconds=0.1)
        assert operation.error is not None
        assert operation.error.code is Code.CANCELLED
        tools.check_collected(disk)


@contextmanager
def served(data: Path, blobs: Path) -> Iterator[Client]:
    """Run a server whose blobs lie apart."""
    environment = TWO_WORKERS | {"FILEROOM_BLOBS": str(blobs)}
    with tools.served(data, environment=environment) as (_, client):
        yield client


@pytest.mark.clause(
    "Fileroom faults",
    "an export into a full disk pauses with the reason, blames no instance, and goes on by itself",
    holds="own rule",
)
def test_export_waits_for_space(tmp_path: Path) -> None:
    sources = tools.make_sources(300, random.Random(tools.draw_seed()), mixed=False)
    data = tmp_path / "data"
    sources.write(data / "buckets" / BUCKET)
    with (
        small_disk(tmp_path / "target") as target,
        tools.served(data, f"--bucket={TARGET}={target}") as (
            _,
            client,
        ),
    ):
        store = tools.make_store(client, "s")
        client.wait(client.import_(store, f"gs://{BUCKET}/**"), poll_seconds=0.1)
        ballast = fill(target, but_bytes=3 << 20)
        name = client.export(store, f"gs://{TARGET}/e/").name
        tools.wait_paused(client, name, "space")
        ballast.unlink()
        operation = client.wait(name, poll_seconds=0.1)
        tools.check_account(operation, Counters(listed=300, exported=300))
        tools.check_exported(target / "e", sources)
