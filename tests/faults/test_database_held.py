"""Another process holds the lock of SQLite's writer for ten seconds, as a backup may (F19)."""

from __future__ import annotations

import random
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING, Final

import pytest

from tests import corpus
from tests import fault_tools as tools
from tests.fault_tools import BUCKET, TWO_WORKERS, Disk

if TYPE_CHECKING:
    from pathlib import Path

HELD_SECONDS: Final = 10.0


@pytest.mark.clause(
    "Fileroom faults",
    "while another process holds SQLite for ten seconds an import and a store wait; both come "
    "through, and nothing is counted failed",
    holds="own rule",
)
def test_import_and_store_outwait_another_writer(tmp_path: Path) -> None:
    sources = tools.make_sources(300, random.Random(tools.draw_seed()), mixed=False)
    data = tmp_path / "data"
    sources.write(data / "buckets" / BUCKET)
    root = f"{corpus.UID_ROOT}.19"
    files = [tools.instance((root, f"{root}.1", f"{root}.1.{n}"), b"some") for n in (1, 2)]
    disk = Disk(data)
    with (
        tools.served(data, environment=TWO_WORKERS) as (_, client),
        ThreadPoolExecutor(1) as pool,
        closing(sqlite3.connect(data / "fileroom.db", timeout=60, isolation_level=None)) as other,
    ):
        into, beside = tools.make_store(client, "s"), tools.make_store(client, "t")
        name = client.import_(into, f"gs://{BUCKET}/**").name
        tools.wait_until(lambda: disk.standing(name).fence > 0, "nobody claims it", pause=0.002)
        other.execute("BEGIN IMMEDIATE")
        began = time.monotonic()
        before = disk.standing(name).next_ordinal
        storing = pool.submit(client.store_instances, beside, files)
        time.sleep(HELD_SECONDS - 0.5)
        assert disk.standing(name).next_ordinal == before < sources.expected.listed
        assert not storing.done()
        time.sleep(max(0.0, began + HELD_SECONDS - time.monotonic()))
        other.execute("ROLLBACK")
        assert len(storing.result(30).stored) == len(files)
        operation = client.wait(name, poll_seconds=0.1)
        tools.check_imported(disk, client, into, operation, sources)
        assert client.get_dicom_store_metrics(beside).instance_count == len(files)
