"""Import by reference beside import by copy and ``cp``: speed, bytes read, and what is told after.

Run it as ``python -m benchmarks.by_reference [SMALL [CT]]``. Every instance that was imported by
reference is then retrieved and compared with its file, two files are spoilt, and ``fileroom check``
is asked which.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import psutil

from benchmarks.measure import Side, Work, measure
from tests.corpus import UID_ROOT, mr_instance
from tests.server import run_fileroom, running_server

if TYPE_CHECKING:
    from fileroom import Client
    from tests.server import RunningServer

DATASET: Final = "projects/demo/locations/us-central1/datasets/references"
SIZES: Final = {"small (24 KB)": (100, 5000), "CT-like (529 KB)": (512, 2000)}
_ROUNDS: Final = 3
_INSTANCE: Final = (
    "studies/{StudyInstanceUID}/series/{SeriesInstanceUID}/instances/{SOPInstanceUID}"
)


def main() -> None:
    """Print a table for each size, then what was read, retrieved and found."""
    counts = [int(given) for given in sys.argv[1:]]
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        spoilt: list[Path] = []
        with ExitStack() as stack:
            server = stack.enter_context(running_server(directory / "data"))
            client = stack.enter_context(server.client())
            client.wait(client.create_dataset(DATASET))
            for number, (title, (rows, count)) in enumerate(SIZES.items()):
                count = counts[number] if number < len(counts) else count
                bucket = server.make_bucket(f"source-{number}")
                _fill(bucket, rows, count)
                _measure(server, client, bucket, title, count, directory)
                print(_read_of_each(server, client, bucket, count))
                print(_compared(client, bucket, count), flush=True)
                spoilt += _spoil(bucket)
        print(_found(directory / "data", spoilt))


def _measure(
    server: RunningServer, client: Client, bucket: Path, title: str, count: int, directory: Path
) -> None:
    size = sum(path.stat().st_size for path in bucket.iterdir())
    result = measure(
        Work(title=title, instances=count, size_bytes=size, goals={}),
        [
            Side(name="by reference", run=partial(_import, client, bucket.name, "REFERENCE")),
            Side(name="by copy", run=partial(_import, client, bucket.name, "COPY")),
            Side(name="cp -r", run=partial(_cp, bucket, directory / "copied", "")),
            Side(name="cp -r, then sync", run=partial(_cp, bucket, directory / "copied", "sync")),
        ],
        rounds=_ROUNDS,
        absent={},
        directory=server.data,
    )
    print(result.to_table())
    first, *others = result.seconds
    ratios = ", ".join(f"{result.ratio(other):.2f}x {other}" for other in others)
    print(f"\n{first} is {ratios}")


def _fill(bucket: Path, rows: int, count: int) -> None:
    for number in range(count):
        content = mr_instance(
            rows=rows,
            series_instance_uid=f"{UID_ROOT}.14.{rows}",
            sop_instance_uid=f"{UID_ROOT}.14.{rows}.{number}",
        )
        (bucket / f"{number:05}.dcm").write_bytes(content)


def _import(client: Client, bucket_id: str, mode: str, round_number: int) -> float:
    store = f"{DATASET}/dicomStores/{bucket_id}-{mode.lower()}-{round_number}"
    client.create_dicom_store(store)
    began = time.perf_counter()
    operation = client.import_(store, f"gs://{bucket_id}/**", mode=mode)
    ended = client.wait(operation, poll_seconds=0.05)
    assert ended.error is None, ended.error
    return time.perf_counter() - began


def _cp(bucket: Path, copied: Path, then: str, round_number: int) -> float:
    del round_number
    began = time.perf_counter()
    subprocess.run(["cp", "-r", bucket, copied], check=True)
    if then:
        subprocess.run([then], check=True)
    seconds = time.perf_counter() - began
    shutil.rmtree(copied)
    return seconds


def _read_of_each(server: RunningServer, client: Client, bucket: Path, count: int) -> str:
    """Tell how many bytes the server and its workers read of each file, by either mode."""
    told = []
    for mode in ("REFERENCE", "COPY"):
        before = _bytes_read(server)
        _import(client, bucket.name, mode, _ROUNDS)
        told.append(f"{(_bytes_read(server) - before) / count:,.0f} {mode.lower()}")
    size = sum(path.stat().st_size for path in bucket.iterdir()) / count
    return f"bytes read for each instance of {size:,.0f}: {', '.join(told)}"


def _bytes_read(server: RunningServer) -> int:
    """Give what the server's processes read so far, from files and from one another."""
    top = psutil.Process(server.process.pid)
    processes = [top, *top.children(recursive=True)]
    return sum(process.io_counters().read_chars for process in processes)


def _compared(client: Client, bucket: Path, count: int) -> str:
    """Retrieve every instance that is kept by reference, and compare it with its file."""
    store = f"{DATASET}/dicomStores/{bucket.name}-reference-0"
    equal = 0
    for row in client.search_instances(store).rows():
        uid = str(row["SOPInstanceUID"])
        content = client.retrieve_instance(store, _INSTANCE.format_map(row))
        file = bucket / f"{int(uid.rpartition('.')[2]):05}.dcm"
        equal += content == file.read_bytes()
    assert equal == count, f"{equal} of {count}"
    return f"{equal:,} instances retrieved, each equal to its file"


def _spoil(bucket: Path) -> list[Path]:
    """Change a file and delete another one."""
    changed, gone, *_ = sorted(bucket.iterdir())
    changed.write_bytes(changed.read_bytes() + b"x")
    gone.unlink()
    return [changed, gone]


def _found(data: Path, spoilt: list[Path]) -> str:
    """Tell what ``fileroom check`` says of the files that were spoilt, and that it says no more."""
    checked = run_fileroom("check", f"--data={data}", seconds=600)
    lines = [line for line in checked.stdout.splitlines() if line.startswith("SOURCE_")]
    uris = {line.split()[1] for line in lines}
    wanted = {f"gs://{path.parent.name}/{path.name}" for path in spoilt}
    assert uris == wanted, checked.stdout
    return f"fileroom check names the {len(wanted)} files that were spoilt, and no others"


if __name__ == "__main__":
    main()
