"""Import, and retrieval of a study, with the archive's own bytes in a bucket and in a directory.

Run it as ``python -m benchmarks.blobs_in_a_cloud [SMALL [CT]]``; SeaweedFS stands in for S3, on
this machine and so on the same processors.
"""

from __future__ import annotations

import sys
import tempfile
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import httpx2

from benchmarks.measure import Side, Work, measure
from tests.corpus import UID_ROOT, mr_instance
from tests.emulators import seaweedfs
from tests.server import running_server

if TYPE_CHECKING:
    from fileroom import Client
    from tests.server import RunningServer

DATASET: Final = "projects/demo/locations/us-central1/datasets/blobs"
SIZES: Final = {"small (24 KB)": (100, 2000), "CT-like (529 KB)": (512, 400)}
STUDY: Final = f"{UID_ROOT}.13"
_ROUNDS: Final = 3


def main() -> None:
    """Print a table for each size and each piece of work."""
    counts = [int(given) for given in sys.argv[1:]]
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (directory / "weed").mkdir()
        emulator = stack.enter_context(seaweedfs(directory / "weed"))
        bucket = emulator.new_bucket()
        config = directory / "fileroom.toml"
        config.write_text(
            f'blobs = "{bucket.name}/archive"\n[buckets."{bucket.name}"]\n'
            f'endpoint = "{bucket.endpoint}"\nregion = "{bucket.region}"\n'
            f'credentials = "{bucket.credentials}"\n'
        )
        flags = {"in a directory": (), "in SeaweedFS": (f"--config={config}",)}
        sides = {}
        for number, (name, given) in enumerate(flags.items()):
            server = stack.enter_context(running_server(directory / f"data-{number}", *given))
            client = stack.enter_context(server.client())
            client.wait(client.create_dataset(DATASET))
            sides[name] = server, client
        for number, (name, (rows, count)) in enumerate(SIZES.items()):
            count = counts[number] if number < len(counts) else count
            source = f"source-{number}"
            size = sum(_fill(server, source, rows, count) for server, _ in sides.values())
            for title, work in (("Import", _import), ("Retrieve the study", _retrieve)):
                result = measure(
                    Work(
                        title=f"{title}: {name}",
                        instances=count,
                        size_bytes=size // len(sides),
                        goals={},
                    ),
                    [
                        Side(name=f"blobs {each}", run=partial(work, *at, source))
                        for each, at in sides.items()
                    ],
                    rounds=_ROUNDS,
                    absent={},
                    directory=directory,
                )
                print(result.to_table(), flush=True)
                first, second = result.seconds
                print(f"\n{second} is {1 / result.ratio(second):.2f} times as fast as {first}\n")


def _fill(server: RunningServer, bucket_id: str, rows: int, count: int) -> int:
    bucket = server.make_bucket(bucket_id)
    size = 0
    for number in range(count):
        content = mr_instance(
            rows=rows,
            study_instance_uid=STUDY,
            series_instance_uid=f"{STUDY}.{rows}",
            sop_instance_uid=f"{STUDY}.{rows}.{number}",
        )
        size += (bucket / f"{number:05}.dcm").write_bytes(content)
    return size


def _import(server: RunningServer, client: Client, bucket_id: str, round_number: int) -> float:
    del server
    store = _store(bucket_id, round_number)
    client.create_dicom_store(store)
    began = time.perf_counter()
    ended = client.wait(client.import_(store, f"gs://{bucket_id}/**"), poll_seconds=0.05)
    assert ended.error is None, ended.error
    return time.perf_counter() - began


def _retrieve(server: RunningServer, client: Client, bucket_id: str, round_number: int) -> float:
    del client
    store = _store(bucket_id, round_number)
    headers = {"Authorization": f"Bearer {server.token}", "Accept": "multipart/related"}
    began = time.perf_counter()
    url = f"{server.url}/v1/{store}/dicomWeb/studies/{STUDY}"
    with httpx2.stream("GET", url, headers=headers, timeout=None) as answer:
        answer.raise_for_status()
        for _ in answer.iter_bytes():
            pass
    return time.perf_counter() - began


def _store(bucket_id: str, round_number: int) -> str:
    return f"{DATASET}/dicomStores/{bucket_id}-{round_number}"


if __name__ == "__main__":
    main()
