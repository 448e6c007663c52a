"""What the quick check costs an instance: ``python -m benchmarks.check_quickly INSTANCES``.

Rows and packs are those of an archive of small instances, made without an import: packs of 250
files of 132 bytes, whose rows are copies of one. The check is timed in processes of its own,
three times, their start included.
"""

from __future__ import annotations

import sqlite3
import statistics
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Final

from fileroom.archive.packs import PackWriter
from fileroom.client import Client
from fileroom.objectstore.blobs.local import LocalBlobs
from tests.corpus import mr_instance
from tests.server import run_fileroom, running_server

if TYPE_CHECKING:
    from collections.abc import Iterator

DATASET: Final = "projects/demo/locations/us-central1/datasets/many"
STORE: Final = f"{DATASET}/dicomStores/s"
OF_A_PACK: Final = 250
ROUNDS: Final = 3


def main() -> None:
    """Print what an instance took, each time and in the middle."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    with tempfile.TemporaryDirectory() as name:
        data = Path(name) / "data"
        with running_server(data, "--auth=none") as server, Client(server.url) as client:
            client.wait(client.create_dataset(DATASET))
            client.create_dicom_store(STORE)
            client.store_instances(STORE, [mr_instance(rows=16)])
        _fill(data, count)
        taken = []
        for _ in range(ROUNDS):
            began = time.monotonic()
            told = run_fileroom("check", f"--data={data}", seconds=3600)
            taken.append((time.monotonic() - began) / count * 1e6)
            if told.returncode:
                raise SystemExit(told.stdout + told.stderr)
    each = ", ".join(f"{one:.1f}" for one in taken)
    print(f"{count} instances: {statistics.median(taken):.1f} µs each ({each})")


def _fill(data: Path, count: int) -> None:
    """Write packs, and rows that name what is in them."""
    with closing(sqlite3.connect(data / "fileroom.db")) as database:
        (prefix,) = database.execute("SELECT blob_prefix FROM dicom_stores").fetchone()
        names = [row[1] for row in database.execute("PRAGMA table_info(instances)")]
        own = ("id", "sop_instance_uid", "changed_seq", "place", "place_key", "place_offset")
        copied = [name for name in names if name not in {*own, "size", "sha256"}]
        quoted = ", ".join(f'"{name}"' for name in copied)
        statement = (
            f"INSERT INTO instances ({', '.join(own)}, size, sha256, {quoted})"
            f" SELECT ?, ?, ?, 1, ?, ?, ?, ?, {quoted} FROM instances WHERE id = 1"
        )
        for number in range(0, count, OF_A_PACK):
            database.executemany(statement, _pack(data / "blobs", prefix, number))
        database.commit()


def _pack(root: Path, prefix: str, first: int) -> Iterator[tuple[object, ...]]:
    with PackWriter(LocalBlobs(root).bucket(prefix), 1, first) as pack:
        for number in range(first, first + OF_A_PACK):
            place = pack.add(bytes(128) + b"DICM")
            yield (
                *(number + 2, f"1.2.{number}", first + 1, place.key, place.offset),
                *(place.size, place.sha256),
            )
        pack.commit()


if __name__ == "__main__":
    main()
