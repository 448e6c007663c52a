"""Import of a bucket of S3 beside import of a directory with the same files.

Run it as ``python -m benchmarks.clouds [SMALL [CT]]``; SeaweedFS stands in for S3, on this machine
and so on the same processors.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from fileroom.objectstore.buckets import open_bucket
from tests.corpus import UID_ROOT, mr_instance
from tests.emulators import seaweedfs
from tests.server import running_server

if TYPE_CHECKING:
    from collections.abc import Callable

    from fileroom import Client
    from fileroom.objectstore.buckets import BucketSettings
    from tests.emulators import Emulator

DATASET: Final = "projects/demo/locations/us-central1/datasets/clouds"
_ROUNDS: Final = 3
_THREADS: Final = 8
SIZES: Final = {"small (24 KB)": (100, 5000), "CT-like (529 KB)": (512, 2000)}


def main() -> None:
    """Print a row for each size: the median of some rounds, each side in turn."""
    counts = [int(given) for given in sys.argv[1:]]
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (directory / "weed").mkdir()
        emulator = stack.enter_context(seaweedfs(directory / "weed"))
        data = directory / "data"
        (data / "buckets").mkdir(parents=True)
        places = {}
        for number, (name, (rows, count)) in enumerate(SIZES.items()):
            count = counts[number] if number < len(counts) else count
            places[name] = (emulator.new_bucket(), f"gs://local-{number}", count)
            _fill(data / "buckets" / f"local-{number}", places[name][0], rows, count)
        config = directory / "fileroom.toml"
        config.write_text("\n".join(_table(bucket) for bucket, _, _ in places.values()))
        server = stack.enter_context(running_server(data, f"--config={config}"))
        client = stack.enter_context(server.client())
        client.wait(client.create_dataset(DATASET))
        print("files | read by boto3 | read alone | import, s3:// | import, directory | ratio")
        for name, (bucket, local, count) in places.items():
            read = statistics.median(_timed(partial(_read, bucket)) for _ in range(_ROUNDS))
            plain = statistics.median(
                _timed(partial(_read_by_boto3, emulator, bucket)) for _ in range(_ROUNDS)
            )
            cloud, here = [], []
            for _ in range(_ROUNDS):
                cloud.append(_timed(partial(_import, client, bucket.name)))
                here.append(_timed(partial(_import, client, local)))
            first, second = statistics.median(cloud), statistics.median(here)
            print(
                f"{count:,} {name} | {count / plain:,.0f}/s | {count / read:,.0f}/s |"
                f" {count / first:,.0f}/s | {count / second:,.0f}/s | {second / first:.2f}"
            )


def _fill(directory: Path, settings: BucketSettings, rows: int, count: int) -> None:
    directory.mkdir()
    bucket = open_bucket(settings)

    def write(number: int) -> None:
        content = mr_instance(
            rows=rows,
            series_instance_uid=f"{UID_ROOT}.12.{rows}",
            sop_instance_uid=f"{UID_ROOT}.12.{rows}.{number}",
        )
        (directory / f"{number:05}.dcm").write_bytes(content)
        bucket.write(f"{number:05}.dcm", [content])

    with ThreadPoolExecutor(_THREADS) as threads:
        list(threads.map(write, range(count)))


def _table(bucket: BucketSettings) -> str:
    return (
        f'[buckets."{bucket.name}"]\nendpoint = "{bucket.endpoint}"\n'
        f'region = "{bucket.region}"\ncredentials = "{bucket.credentials}"'
    )


def _read(settings: BucketSettings) -> None:
    bucket = open_bucket(settings)

    def read(key: str, version: str, size: int) -> None:
        with bucket.open(key, version, size=size) as source:
            source.read_at(0, size)

    with ThreadPoolExecutor(_THREADS) as threads:
        list(threads.map(lambda one: read(one.key, one.version, one.size), bucket.list()))


def _read_by_boto3(emulator: Emulator, settings: BucketSettings) -> None:
    """Read all objects as a program does that knows nothing of Fileroom."""
    with ThreadPoolExecutor(_THREADS) as threads:
        list(threads.map(partial(emulator.get, settings), emulator.keys(settings)))


def _import(client: Client, bucket_name: str) -> None:
    store = f"{DATASET}/dicomStores/s{time.monotonic_ns()}"
    client.create_dicom_store(store)
    ended = client.wait(client.import_(store, f"{bucket_name}/**"), poll_seconds=0.05)
    assert ended.error is None, ended.error


def _timed(work: Callable[[], None]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
