"""A full disk makes an operation wait and say why; no object is blamed for it (F5)."""

from __future__ import annotations

import os
import random
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import pytest

from fileroom.database.operations import Counters
from tests import fault_tools as tools
from tests.fault_tools import BUCKET, DATASET, QUICK_COLLECTION, Disk
from tests.tools import require_tool

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fileroom.client import Client, Operation
    from fileroom.names import OperationName
    from tests.fault_tools import Sources

SIZE_BYTES: Final = 32 << 20
STORE: Final = f"{DATASET}/dicomStores/s"
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


def wait_paused(client: Client, name: OperationName, sources: Sources) -> Operation:
    """Wait until the operation says that it waits for space; only what is bad may have failed."""

    def paused() -> bool:
        operation = client.get_operation(name)
        assert not operation.done, operation
        assert operation.account["failed"] <= sources.expected.failed
        return "space" in operation.paused_why

    tools.wait_until(paused, "the operation does not say that it waits for space")
    return client.get_operation(name)


def import_beside_a_full_disk(client: Client, disk: Disk, ballast: Path, sources: Sources) -> None:
    """Import, make room once the operation waits for it, and see that nothing is missing."""
    store = tools.make_store(client, "s")
    name = client.import_(store, f"gs://{BUCKET}/**").name
    paused = wait_paused(client, name, sources)
    assert 0 < paused.account["pending"] < sources.expected.listed
    ballast.unlink()
    operation = client.wait(name, poll_seconds=0.1)
    tools.check_imported(disk, client, store, operation, sources)
    tools.check_collected(disk)


@pytest.mark.clause(
    "Fileroom faults",
    "an import meeting a full disk pauses with the reason, blames no object, and goes on by itself "
    "to exact counters once there is space",
    holds="own rule",
)
def test_import_waits_for_space_for_blobs(tmp_path: Path) -> None:
    sources = tools.make_sources(300, random.Random(tools.draw_seed()))
    data, source = tmp_path / "data", tmp_path / "source"
    sources.write(source)
    with small_disk(tmp_path / "blobs") as blobs:
        environment = QUICK_COLLECTION | {"FILEROOM_BLOBS": str(blobs)}
        with tools.served(data, f"--bucket={BUCKET}={source}", environment=environment) as (
            _,
            client,
        ):
            ballast = fill(blobs, but_bytes=3 << 20)
            import_beside_a_full_disk(client, Disk(data, blobs), ballast, sources)


@pytest.mark.clause(
    "Fileroom faults",
    "the same holds where database and blobs share the full disk",
    holds="own rule",
)
def test_import_waits_for_space_for_everything(tmp_path: Path) -> None:
    sources = tools.make_sources(300, random.Random(tools.draw_seed()))
    source = tmp_path / "source"
    sources.write(source)
    with small_disk(tmp_path / "disk") as small:
        data = small / "data"
        with tools.served(
            data, f"--bucket={BUCKET}={source}", environment=QUICK_COLLECTION
        ) as (_, client):
            ballast = fill(small, but_bytes=3 << 20)
            import_beside_a_full_disk(client, Disk(data), ballast, sources)


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
        tools.served(data, f"--bucket={TARGET}={target}", environment=QUICK_COLLECTION) as (
            _,
            client,
        ),
    ):
        store = tools.make_store(client, "s")
        client.wait(client.import_(store, f"gs://{BUCKET}/**"), poll_seconds=0.1)
        ballast = fill(target, but_bytes=3 << 20)
        name = client.export(store, f"gs://{TARGET}/e/").name
        wait_paused(client, name, sources)
        ballast.unlink()
        operation = client.wait(name, poll_seconds=0.1)
        tools.check_account(operation, Counters(listed=300, exported=300))
        tools.check_exported(target / "e", sources)
