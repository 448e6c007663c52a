"""A check beside a busy server finds what is bad, and no more."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import threading
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Final

import pytest

from fileroom.client import Client
from fileroom.database.sqlite import CHECKPOINT_PAGES, PAGE_BYTES
from tests import corpus
from tests.postgresql import running_postgresql
from tests.server import run_fileroom, running_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from fileroom.client.values import JsonObject

DATASET: Final = "projects/p1/locations/us-central1/datasets/d"
STORE: Final = f"{DATASET}/dicomStores/s"
CHECKS: Final = 4
QUICKLY: Final = {
    "FILEROOM_COLLECTION_GRACE_SECONDS": "0",
    "FILEROOM_COLLECTION_INTERVAL_SECONDS": "1",
}


def slice_of(series: int, number: int, rows: int = 16) -> bytes:
    root = f"{corpus.UID_ROOT}.7.{series}"
    return corpus.mr_instance(
        rows=rows,
        study_instance_uid=f"{root}.1",
        series_instance_uid=f"{root}.2",
        sop_instance_uid=f"{root}.3.{number}",
        instance_number=str(number),
    )


def store_and_delete(client: Client) -> None:
    """Store, replace and delete studies, one after another."""
    for round_number in itertools.count():
        series = 1000 + round_number % 3
        client.store_instances(STORE, [slice_of(series, number) for number in range(5)])
        client.delete_instance(STORE, path_of(series, 1))
        patch: JsonObject = {"00104000": {"vr": "LT", "Value": [f"round {round_number}"]}}
        client.patch_instance(STORE, path_of(series, 2), patch)
        client.wait(client.delete_study(STORE, f"studies/{corpus.UID_ROOT}.7.{series}.1"))
        yield_to_others()


def import_and_delete(client: Client) -> None:
    """Import packs, and delete some of what is in them."""
    for round_number in itertools.count():
        policy = "REPLACE" if round_number % 2 else "KEEP_FIRST"
        started = client.import_(STORE, "gs://here/**", duplicate_policy=policy)
        client.wait(started, poll_seconds=0.05)
        for number in range(0, 40, 3):
            client.delete_instance(STORE, path_of(2000, number))
        yield_to_others()


class Enough(Exception):
    """The checks are done."""


done = threading.Event()


def yield_to_others() -> None:
    if done.is_set():
        raise Enough


def path_of(series: int, number: int) -> str:
    root = f"{corpus.UID_ROOT}.7.{series}"
    return f"studies/{root}.1/series/{root}.2/instances/{root}.3.{number}"


@contextmanager
def working(works: Sequence[Callable[[Client], None]], url: str) -> Iterator[list[BaseException]]:
    """Have clients work until the end, and give what they failed with."""
    failed: list[BaseException] = []

    def run(work: Callable[[Client], None]) -> None:
        try:
            with Client(url) as client:
                work(client)
        except Enough:
            return
        except Exception as error:  # told by the test
            failed.append(error)

    done.clear()
    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    try:
        yield failed
    finally:
        done.set()
        for thread in threads:
            thread.join()


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_check_beside_a_busy_server_finds_what_is_bad_and_no_more(
    tmp_path: Path, database: str
) -> None:
    data, bucket = tmp_path / "data", tmp_path / "bucket"
    bucket.mkdir()
    for number in range(40):
        (bucket / f"{number:02}.dcm").write_bytes(slice_of(2000, number))
    with ExitStack() as stack:
        chosen = dict(QUICKLY)
        if database == "postgresql":
            postgresql = stack.enter_context(running_postgresql())
            chosen["FILEROOM_DATABASE"] = postgresql.new_database(template=False)
        flags = ("--auth=none", f"--bucket=here={bucket}")
        server = stack.enter_context(running_server(data, *flags, environment=chosen))
        client = stack.enter_context(Client(server.url))
        client.wait(client.create_dataset(DATASET), poll_seconds=0.05)
        client.create_dicom_store(STORE)
        kept = [slice_of(1, number) for number in range(3)]
        client.store_instances(STORE, kept)

        def check(*how: str) -> tuple[int, list[tuple[str, str | None]]]:
            told = run_fileroom(
                *("check", f"--data={data}", "--format=json", f"--bucket=here={bucket}", *how),
                environment=chosen,
            )
            assert told.stderr == ""
            report = json.loads(told.stdout)
            assert report["complete"]
            return told.returncode, [
                (finding["fault"], finding["instance"]) for finding in report["findings"]
            ]

        def checks() -> list[tuple[int, list[tuple[str, str | None]]]]:
            return [check(*("--deep",) * (number % 2)) for number in range(CHECKS)]

        with working((store_and_delete, import_and_delete), server.url) as failed:
            assert checks() == [(0, [])] * CHECKS
            sha256 = hashlib.sha256(kept[1]).hexdigest()
            (blob,) = (data / "blobs").rglob(f"{sha256}-*")
            os.truncate(blob, 7)
            bad = [("DIFFERING_OBJECT_SIZE", path_of(1, 1))]
            assert checks() == [(3, bad)] * CHECKS
            blob.unlink()
            assert checks() == [(3, [("MISSING_OBJECT", path_of(1, 1))])] * CHECKS
        assert failed == []
        if database == "sqlite":
            log = (data / "fileroom.db-wal").stat().st_size
            assert log <= 2 * CHECKPOINT_PAGES * PAGE_BYTES
