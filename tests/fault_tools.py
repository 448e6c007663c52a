"""What the tests of faults share: files of known outcome, servers that die, and what lies on disk.

A seed decides every moment and every file; it is printed, and ``FAULT_SEED`` gives it again. What
is on disk is read beside the server: rows through a connection that may only read, blobs as files.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import sqlite3
import subprocess
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import psutil

from fileroom.client import Client
from fileroom.database.operations import Counters
from fileroom.errors import Aborted, NotFound
from fileroom.transfer.ledger import DEFERRED, LedgerLine, count_lines, decode_chunk
from tests import corpus
from tests.places import Lying, standing
from tests.server import PROGRAM, RunningServer, clean_environment, free_port, is_ready
from tests.silence import check_written

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from fileroom.client import Operation
    from fileroom.names import OperationName

DATASET: Final = "projects/p1/locations/us-central1/datasets/faults"
BUCKET: Final = "source"
START_SECONDS: Final = 60.0
END_SECONDS: Final = 60.0
GONE_SECONDS: Final = 2.0
"""How long a worker may live on after its server."""
ENVIRONMENT: Final = {
    "FILEROOM_COLLECTION_GRACE_SECONDS": "1",
    "FILEROOM_COLLECTION_INTERVAL_SECONDS": "1",
    "FILEROOM_WORKERS": "1",
}
"""Blobs are collected at once; one worker takes long enough for something to happen meanwhile."""
TWO_WORKERS: Final = {"FILEROOM_WORKERS": "2"}
Uids = tuple[str, str, str]
"""Study, Series and SOP Instance UID."""


def draw_seed() -> int:
    """Give the seed of this test, said on its output."""
    seed = int(os.environ.get("FAULT_SEED") or secrets.randbelow(10**6))
    print(f"FAULT_SEED={seed} repeats what was drawn")
    return seed


def wait_until(
    holds: Callable[[], bool], what: str, *, seconds: float = END_SECONDS, pause: float = 0.02
) -> float:
    """Wait for a condition, and give how long it took."""
    began = time.monotonic()
    while not holds():
        if time.monotonic() - began > seconds:
            raise AssertionError(f"after {seconds:g} s: {what}")
        time.sleep(pause)
    return time.monotonic() - began


# ---------------------------------------------------------------------------------- files

LARGE_BYTES: Final = 96 << 20
SLOW_BYTES: Final = 32 << 20
LARGE_UIDS: Final[Uids] = ("1.2.826.0.1", "1.2.826.0.2", "1.2.826.0.3")
_NO_PIXELS: Final = b"\xe0\x7f\x10\x00OW\0\0\0\0\0\0"
"""An element Pixel Data without a value, in Explicit VR Little Endian."""


@dataclass(frozen=True, slots=True)
class Sources:
    """Files of a bucket, and which instance each one is; a bad one is none."""

    files: dict[str, bytes] = field(default_factory=dict)
    instances: dict[str, Uids] = field(default_factory=dict)
    _keys: dict[Uids, list[str]] = field(default_factory=dict)

    def add(self, key: str, content: bytes, uids: Uids | None) -> None:
        self.files[key] = content
        if uids is not None:
            self.instances[key] = uids
            self._keys.setdefault(uids, []).append(key)

    def write(self, bucket: Path) -> None:
        """Write the files into the directory of a bucket."""
        for key, content in self.files.items():
            path = bucket / key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)

    @property
    def expected(self) -> Counters:
        """What an import of all files into an empty store comes to."""
        first: dict[Uids, bytes] = {}
        results = Counter[str]()
        for key in sorted(self.files):
            uids = self.instances.get(key)
            if uids is None:
                results["failed"] += 1
            elif uids not in first:
                first[uids] = self.files[key]
                results["imported"] += 1
            else:
                results["identical" if first[uids] == self.files[key] else "failed"] += 1
        return Counters(listed=len(self.files), **results)

    def of(self, uids: Uids) -> list[bytes]:
        """Give the files that are this instance."""
        return [self.files[key] for key in self._keys[uids]]


def make_sources(
    count: int, draw: random.Random, *, bytes_max: int = 40_000, mixed: bool = True
) -> Sources:
    """Give instances of some series; if ``mixed``, one in ten is bad or a duplicate."""
    sources = Sources()
    root = f"{corpus.UID_ROOT}.77.{draw.randrange(10**6)}"
    for number in range(count):
        key = f"{draw.choice('abc')}/{draw.choice(('x', 'x-y', 'z'))}/{number:05d}.dcm"
        kind = draw.random() if mixed and sources.instances else 1.0
        if kind < 0.04:
            sources.add(key, _bad(draw), None)
        elif kind < 0.07:
            other = draw.choice(sorted(sources.instances))
            sources.add(key, sources.files[other], sources.instances[other])
        elif kind < 0.10:
            other = draw.choice(sorted(sources.instances))
            content = sources.files[other]
            changed = content[:-1] + bytes([content[-1] ^ 1])
            sources.add(key, changed, sources.instances[other])
        else:
            study = draw.randrange(8)
            series = draw.randrange(3)
            uids = (f"{root}.{study}", f"{root}.{study}.{series}", f"{root}.9.{number}")
            sources.add(key, instance(uids, draw.randbytes(draw.randrange(64, bytes_max))), uids)
    return sources


def add_slow(sources: Sources, count: int) -> None:
    """Add files at the end of the listing that take a worker a while, all of one instance."""
    content = instance(LARGE_UIDS, bytes(SLOW_BYTES))
    for number in range(count):
        sources.add(f"z/slow-{number:03d}.dcm", content, LARGE_UIDS)


def instance(uids: Uids, pixels: bytes) -> bytes:
    """Give a valid file of one instance with these bytes as its pixel data."""
    study, series, sop_instance = uids
    return corpus.minimal_instance(
        study_instance_uid=study,
        series_instance_uid=series,
        sop_instance_uid=sop_instance,
        pixel_data=pixels[: len(pixels) & ~1],
    )


def write_large(path: Path) -> None:
    """Write a valid file that takes a worker some time, and the disk next to nothing."""
    head = instance(LARGE_UIDS, b"").removesuffix(_NO_PIXELS)
    element = _NO_PIXELS[:-4] + LARGE_BYTES.to_bytes(4, "little")
    with path.open("wb") as file:
        file.write(head + element)
        file.truncate(len(head) + len(element) + LARGE_BYTES)


def _bad(draw: random.Random) -> bytes:
    whole = corpus.minimal_instance()
    return draw.choice(
        (
            b"",
            b"no DICOM at all" * 20,
            whole[: len(whole) // 2],
            corpus.minimal_instance(sop_instance_uid=None),
            corpus.minimal_instance(study_instance_uid="1.2.not-a-uid"),
        )
    )


# ---------------------------------------------------------------------------------- servers


def spawn_server(
    data: Path,
    *flags: str,
    environment: Mapping[str, str] | None = None,
    under: Sequence[str] = (),
) -> RunningServer:
    """Start a server, perhaps under another program, and do not wait until it answers.

    All may come in; ``environment`` is beside or before ``ENVIRONMENT``.
    """
    port = free_port()
    log = data.with_name(f"{data.name}-{port}.log")
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*under, PROGRAM, "serve", f"--data={data}", f"--port={port}", "--auth=none", *flags],
            stdout=output,
            stderr=subprocess.STDOUT,
            env=clean_environment() | ENVIRONMENT | dict(environment or {}),
        )
    return RunningServer(url=f"http://127.0.0.1:{port}", data=data, log=log, process=process)


def wait_ready(server: RunningServer) -> None:
    """Wait until a server takes requests."""

    def ready() -> bool:
        if server.process.poll() is not None:
            raise AssertionError(f"the server ended:\n{server.log.read_text()[-4000:]}")
        return is_ready(server.url)

    wait_until(ready, "the server does not answer", seconds=START_SECONDS)


@contextmanager
def served(
    data: Path, *flags: str, environment: Mapping[str, str] | None = None
) -> Iterator[tuple[RunningServer, Client]]:
    """Run a server that all may use, and end it in the end."""
    server = spawn_server(data, *flags, environment=environment)
    try:
        wait_ready(server)
        with Client(server.url) as client:
            yield server, client
    finally:
        end(server)


def end(server: RunningServer) -> None:
    """End a server of ours that may still run, its workers with it; look through what it wrote."""
    if server.process.poll() is None:
        server.process.terminate()
        try:
            server.process.wait(30)
        except subprocess.TimeoutExpired:
            server.kill()
    check_written(server.log, server.data)


def make_store(client: Client, dicom_store_id: str) -> str:
    """Make a store, and the dataset with the first one."""
    if not any(
        str(one.name) == DATASET for one in client.list_datasets(DATASET.rpartition("/datasets")[0])
    ):
        client.wait(client.create_dataset(DATASET), poll_seconds=0.05)
    return str(client.create_dicom_store(f"{DATASET}/dicomStores/{dicom_store_id}").name)


def workers_of(pid: int) -> list[psutil.Process]:
    """Give the worker processes of a server, whether it lives or not.

    A worker is told its pool's process identifier, so one started just before the kill is found
    too, although nobody is its parent any more.
    """
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            line = process.cmdline()
            if any("serve_tasks" in word for word in line) and str(pid) in line:
                found.append(process)
    return found


def kill(server: RunningServer) -> float:
    """Kill a server (SIGKILL) and wait for the end of its workers; give how long they lived on."""
    children = psutil.Process(server.process.pid).children(recursive=True)
    server.kill()

    def gone() -> bool:
        left = [*children, *workers_of(server.process.pid)]
        return not any(_is_alive(process) for process in left)

    return wait_until(gone, "a worker outlives its server", seconds=GONE_SECONDS, pause=0.05)


def _is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


# ---------------------------------------------------------------------------------- what is on disk


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """An operation's row as it stands."""

    row_id: int
    state: str
    fence: int
    next_ordinal: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """An instance's row, and where its bytes lie."""

    uids: Uids
    lying: Lying
    sha256: bytes


class Disk:
    """The database and the blobs of a data directory, read beside whatever server runs on it."""

    def __init__(self, data: Path, blobs: Path | None = None) -> None:
        self.data = data
        self.blobs = blobs or data / "blobs"

    @contextmanager
    def _rows(self) -> Iterator[sqlite3.Connection]:
        uri = f"{(self.data / 'fileroom.db').as_uri()}?mode=ro"
        connection = sqlite3.connect(uri, uri=True, timeout=10, isolation_level=None)
        connection.row_factory = sqlite3.Row
        try:
            yield connection
        finally:
            connection.close()

    def standing(self, name: OperationName) -> Standing:
        """Give how far an operation is."""
        with self._rows() as rows:
            row = rows.execute(
                "SELECT id, state, fence, next_ordinal FROM operations WHERE operation_id = ?",
                (name.operation_id,),
            ).fetchone()
        return Standing(
            row_id=row["id"],
            state=row["state"],
            fence=row["fence"],
            next_ordinal=row["next_ordinal"],
        )

    def stored(self, dicom_store: str) -> dict[Uids, Stored]:
        """Give all instances of a store."""
        with self._rows() as rows:
            found = rows.execute(
                "SELECT studies.study_instance_uid, series.series_instance_uid,"
                " instances.sop_instance_uid, place_key, place_offset, size, sha256, blob_prefix"
                " FROM instances JOIN series ON series.id = instances.series_id"
                " JOIN studies ON studies.id = series.study_id"
                " JOIN dicom_stores ON dicom_stores.id = instances.store_id"
                " WHERE dicom_store_id = ?",
                (dicom_store.rpartition("/")[2],),
            ).fetchall()
        stored = [
            Stored(
                uids=(row[0], row[1], row[2]),
                lying=Lying(
                    self.blobs / row["blob_prefix"] / row["place_key"],
                    row["place_offset"],
                    row["size"],
                ),
                sha256=row["sha256"],
            )
            for row in found
        ]
        by_uids = {one.uids: one for one in stored}
        assert len(by_uids) == len(stored), "an instance has two rows"
        return by_uids

    def area(self, dicom_store: str) -> Path:
        """Give the directory of a store's blobs."""
        with self._rows() as rows:
            row = rows.execute(
                "SELECT blob_prefix FROM dicom_stores WHERE dicom_store_id = ?",
                (dicom_store.rpartition("/")[2],),
            ).fetchone()
        return self.blobs / str(row["blob_prefix"])

    def ledger(self, name: OperationName) -> list[LedgerLine]:
        """Give the lines of an operation's ledger, in the order of their objects."""
        with self._rows() as rows:
            chunks = rows.execute(
                "SELECT z, n FROM operation_ledger AS ledger"
                " JOIN operations ON operations.id = ledger.operation_id"
                " WHERE operations.operation_id = ?",
                (name.operation_id,),
            ).fetchall()
        lines: list[LedgerLine] = []
        for chunk in chunks:
            some = decode_chunk(chunk["z"])
            assert len(some) == chunk["n"]
            lines += some
        return sorted(lines, key=lambda line: line.ordinal)

    def deferred(self, name: OperationName) -> int:
        """Give how many objects of an operation are put off."""
        return self._count(
            "operation_deferred JOIN operations ON operations.id = operation_deferred.operation_id"
            " WHERE operations.operation_id = ?",
            name.operation_id,
        )

    def drops(self) -> int:
        """Give how many blobs are queued for collection."""
        return self._count("blob_drops")

    def _count(self, rows_of: str, *values: str) -> int:
        with self._rows() as rows:
            return int(rows.execute(f"SELECT count(*) FROM {rows_of}", values).fetchone()[0])

    def named_places(self) -> set[tuple[str, int]]:
        """Give the places, below the blobs, that the rows of all stores name."""
        with self._rows() as rows:
            return {
                (f"{row['blob_prefix']}/{row['place_key']}", row["place_offset"])
                for row in rows.execute(
                    "SELECT blob_prefix, place_key, place_offset FROM instances"
                    " JOIN dicom_stores ON dicom_stores.id = store_id"
                )
            }

    def standing_places(self) -> set[tuple[str, int]] | None:
        """Give the places, below the blobs, whose bytes are there; None if some go meanwhile."""
        try:
            return {
                (f"{area.name}/{key}", offset)
                for area in self.blobs.iterdir()
                for key, offset in standing(area)
            }
        except (Aborted, NotFound):
            return None

    def blob_files(self) -> set[Path]:
        """Give all files below the blobs but those that say whose they are, or what is deleted."""
        return {
            path
            for path in self.blobs.rglob("*")
            if path.is_file() and path.name != ".store-id" and path.parent.name != "deleted"
        }


def wait_begun(disk: Disk, name: OperationName) -> None:
    """Wait until some objects of an operation are committed."""
    wait_until(lambda: disk.standing(name).next_ordinal > 0, "no progress", pause=0.005)


def wait_paused(client: Client, name: OperationName, word: str) -> Operation:
    """Wait until an operation says that it waits, and for what."""

    def paused() -> bool:
        operation = client.get_operation(name)
        assert not operation.done, operation
        return word in operation.paused_why

    wait_until(paused, f"the operation does not say that it waits for {word}")
    return client.get_operation(name)


# ---------------------------------------------------------------------------------- what must hold


def check_account(operation: Operation, expected: Counters) -> None:
    """An operation that is done tells exactly what became of every object (I3)."""
    account = operation.account
    listed = account["listed"]
    assert operation.done
    assert sum(account.values()) - listed == listed
    told = {name: count for name, count in account.items() if count}
    wanted = {
        name: getattr(expected, name)
        for name in ("listed", "imported", "identical", "exported", "failed")
        if getattr(expected, name)
    }
    assert told == wanted


def check_ledger(disk: Disk, operation: Operation) -> None:
    """The ledger has one last line for each object, and they come to the counters."""
    lines = disk.ledger(operation.name)
    settled = [line for line in lines if line.result != DEFERRED]
    account = operation.account
    assert len({line.ordinal for line in settled}) == len(settled)
    assert len(settled) == account["listed"] - account["notStarted"]
    counted = count_lines(settled)
    for name in ("imported", "identical", "kept", "replaced", "exported", "failed"):
        assert getattr(counted, name) == operation.account.get(name, 0), name


def check_stored(disk: Disk, dicom_store: str, sources: Sources) -> None:
    """Every instance is stored once, with the bytes of one of its sources (I4, I5)."""
    stored = disk.stored(dicom_store)
    assert set(stored) == set(sources.instances.values())
    for uids, one in stored.items():
        content = one.lying.read()
        assert content in sources.of(uids), f"{uids} differs from its source"
        assert len(content) == one.lying.size
        assert hashlib.sha256(content).digest() == one.sha256


def check_imported(
    disk: Disk, client: Client, dicom_store: str, operation: Operation, sources: Sources
) -> None:
    """An import into an empty store that is done took every file that there is, once."""
    check_account(operation, sources.expected)
    check_ledger(disk, operation)
    check_stored(disk, dicom_store, sources)
    assert len(list(client.failures(operation.name))) == sources.expected.failed
    assert disk.deferred(operation.name) == 0
    metrics = client.get_dicom_store_metrics(dicom_store)
    stored = disk.stored(dicom_store).values()
    assert metrics.instance_count == len(stored)
    assert metrics.blob_storage_size_bytes == sum(one.lying.size for one in stored)


def check_exported(directory: Path, sources: Sources) -> None:
    """Below a directory lie exactly the instances, each equal to its source, and nothing else."""
    wanted = {
        "/".join(uids) + ".dcm": sources.files[key] for key, uids in sources.instances.items()
    }
    found = {str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file()}
    assert found - set(wanted) == set(), "files that no instance is"
    assert set(wanted) - found == set(), "instances without a file"
    different = [name for name in wanted if (directory / name).read_bytes() != wanted[name]]
    assert different == []


def check_retrieved(client: Client, dicom_store: str, disk: Disk, some: list[Uids]) -> None:
    """WADO-RS gives instances as they are stored."""
    stored = disk.stored(dicom_store)
    for study, series, sop_instance in some:
        path = f"studies/{study}/series/{series}/instances/{sop_instance}"
        given = client.retrieve_instance(dicom_store, path)
        assert given == stored[study, series, sop_instance].lying.read()


def check_collected(disk: Disk) -> None:
    """Once collection has run, the bytes left are exactly those that rows name (I9, I14)."""
    began = time.monotonic()
    while (standing := disk.standing_places()) != (named := disk.named_places()):
        if standing is not None:
            assert named <= standing, f"rows without bytes: {sorted(named - standing)[:5]}"
        if time.monotonic() - began > 20:
            left = sorted((standing or set()) - named)
            raise AssertionError(f"{len(left)} places are left that no row names: {left[:5]}")
        time.sleep(0.2)
    wait_until(lambda: disk.drops() == 0, "drops are left", seconds=20)
    files = {str(path.relative_to(disk.blobs)) for path in disk.blob_files()}
    assert files == {key for key, _ in named}, "packs are left in which nothing stands"
