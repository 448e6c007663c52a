"""Fileroom's main job from end to end on real files: import, find, fetch, export, import again.

Run it with ``make demo``. It starts a server of its own on a free port of this machine, keeps its
data in a temporary directory, checks what it shows, and removes everything at the end. The exit
code is 0 only if all of it was verified.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import fileroom
from ct_series import SLICES, draw_ct_series
from fileroom.client import JsonObject, Operation
from fileroom.errors import FileroomError, ObjectFailure

PROJECT, LOCATION, DATASET, DICOM_STORE = "demo", "us-central1", "radiology", "main"
DATASET_NAME = f"projects/{PROJECT}/locations/{LOCATION}/datasets/{DATASET}"
STORE_NAME = f"{DATASET_NAME}/dicomStores/{DICOM_STORE}"
START_SECONDS = 30
STOP_SECONDS = 40
FINISHED_WITH_FAILED_OBJECTS = 3


class NotVerified(Exception):
    """Something the demo shows is not as it must be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A running ``fileroom serve`` and how to speak to it."""

    url: str
    token: str
    data: Path

    def run(self, *arguments: str) -> int:
        """Run ``fileroom`` as a user would, on this terminal, and give its exit code."""
        print(f"\n$ fileroom {' '.join(arguments)}", flush=True)
        environment = os.environ | {
            "FILEROOM_SERVER": self.url,
            "FILEROOM_TOKEN": self.token,
            "FILEROOM_PROJECT": PROJECT,
        }
        return subprocess.run([program(), *arguments], env=environment, check=False).returncode


def main() -> int:
    """Show and verify the main job; give the exit code."""
    started = time.monotonic()
    work = Path(tempfile.mkdtemp(prefix="fileroom-demo-"))
    log = work / "server.log"
    try:
        with running_server(work / "data", log) as server:
            figures = show(server)
    except (NotVerified, FileroomError) as failure:
        print(f"\nNOT VERIFIED: {failure}", file=sys.stderr)
        if log.exists():
            print(f"\nThe server's log:\n{log.read_text()[-4000:]}", file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(work, ignore_errors=True)
    print(f"\nAll verified in {time.monotonic() - started:.0f} s: {figures}.")
    print(HOW_TO_GO_ON)
    return 0


def show(server: Server) -> str:
    """Do the main job step by step and give its figures in one sentence."""
    step(f"A bucket of files: gs://demo is {server.data / 'buckets' / 'demo'}")
    bucket = server.data / "buckets" / "demo"
    sources = fill_bucket(bucket)
    (server.data / "buckets" / "demo-out").mkdir()
    size = sum(file.stat().st_size for file in sources.values())
    print(f"{len(sources)} files, {size / 1e6:.0f} MB: what pydicom tests itself with, and a CT")
    print(f"series of {SLICES} slices. Some files are no DICOM, some are damaged, some are two")
    print("different files of one instance.")

    with fileroom.Client(server.url, server.token) as client:
        step("Import the whole bucket")
        client.wait(client.create_dataset(DATASET_NAME))
        client.create_dicom_store(STORE_NAME)
        first = import_bucket(server, client, len(sources))
        failures = show_failures(client, first)

        step("Find: the studies of the store (QIDO-RS)")
        studies = show_studies(client)

        step("Fetch: one slice of the CT series, byte for byte and as a picture (WADO-RS)")
        fetch_slice(client, sources)

        step("Export the store to gs://demo-out")
        exported = export_store(server, client, first, sources)

        step("Import the same bucket again: nothing is doubled")
        import_again(server, client, first, len(sources))

    step("Stop the server")
    account = first.account
    return (
        f"{len(sources)} objects read at {rate(first):.0f} a second: {account['imported']} new "
        f"instances in {studies} studies, {account['identical']} identical, {failures} failed, "
        f"each with its reason; {exported} instances exported, equal to their sources; a second "
        "import changed nothing"
    )


def rate(operation: Operation) -> float:
    """Give how many objects an operation went through in a second."""
    assert operation.create_time is not None
    assert operation.end_time is not None
    seconds = (operation.end_time - operation.create_time).total_seconds()
    return operation.account["listed"] / seconds


# The bucket


def fill_bucket(bucket: Path) -> dict[str, Path]:
    """Copy pydicom's own test files and draw a CT series; give each file by its key."""
    specification = find_spec("pydicom")
    assert specification is not None
    assert specification.origin is not None
    data = Path(specification.origin).parent / "data"
    for directory in ("test_files", "charset_files", "palettes"):
        shutil.copytree(
            data / directory,
            bucket / "pydicom" / directory,
            ignore=shutil.ignore_patterns("__pycache__", "*.py"),
        )
    (bucket / "ct").mkdir()
    for number, dataset in enumerate(draw_ct_series(), start=1):
        dataset.save_as(bucket / "ct" / f"slice-{number:03}.dcm", enforce_file_format=True)
    return {
        file.relative_to(bucket).as_posix(): file
        for file in sorted(bucket.rglob("*"))
        if file.is_file()
    }


# The steps


def import_bucket(server: Server, client: fileroom.Client, objects: int) -> Operation:
    """Import ``gs://demo/**`` with the command line, and check that every object is accounted."""
    exit_code = server.run(
        "dicom-stores", "import", "gcs", DICOM_STORE,
        f"--dataset={DATASET}", f"--location={LOCATION}", "--gcs-uri=gs://demo/**",
    )  # fmt: skip
    verify(
        exit_code == FINISHED_WITH_FAILED_OBJECTS,
        f"the import exits {FINISHED_WITH_FAILED_OBJECTS}, finished with failed objects, not "
        f"{exit_code}",
    )
    operation = next(client.list_operations(DATASET_NAME))
    account = operation.account
    print("counters: " + ", ".join(f"{name} {count}" for name, count in account.items()))
    verify(operation.done, "the operation is done")
    verify(account["listed"] == objects, f"all {objects} objects are listed")
    parts = sum(count for name, count in account.items() if name != "listed")
    verify(parts == objects, "every listed object is counted exactly once")
    return operation


def show_failures(client: fileroom.Client, operation: Operation) -> int:
    """Print every object that failed, and check that each one has its reason."""
    failures = list(client.failures(operation.name))
    print(f"\nThe {len(failures)} objects that failed, by reason:")
    groups: dict[tuple[str, str], list[ObjectFailure]] = {}
    for failure in failures:
        groups.setdefault((str(failure.reason), failure.message), []).append(failure)
    for (reason, message), group in sorted(groups.items()):
        print(f"\n  {reason}: {message}")
        for failure in group:
            print(f"    {failure.source.removeprefix('gs://demo/')}{place_in_object(failure)}")
    verify(
        len(failures) == operation.account["failed"] == operation.counters.failure,
        "as many failures are listed as were counted",
    )
    reasons = {str(failure.reason) for failure in failures}
    verify(reasons >= {"NOT_DICOM", "TRUNCATED", "DUPLICATE_DIFFERENT"}, "the known ones are found")
    return len(failures)


def place_in_object(failure: ObjectFailure) -> str:
    """Say where in the object the fault lies, where that is known."""
    place = f"  element {failure.tag}" if failure.tag else ""
    return place if failure.byte_offset is None else f"{place}  at byte {failure.byte_offset}"


def show_studies(client: fileroom.Client) -> int:
    """Print the first studies and check that their number is the store's."""
    studies = list(client.search_studies(STORE_NAME))
    print(f"{'date':8}  {'patient':24}  study instance UID")
    for study in studies[:8]:
        print(f"{value(study, '00080020'):8}  {value(study, '00100010')[:24]:24}  ", end="")
        print(value(study, "0020000D"))
    print(f"… {len(studies)} studies in all")
    metrics = client.get_dicom_store_metrics(STORE_NAME)
    verify(len(studies) == metrics.study_count, "the search finds every study of the store")
    return len(studies)


def fetch_slice(client: fileroom.Client, sources: dict[str, Path]) -> None:
    """Find the slice in the middle of the CT series, fetch it and compare it with its file."""
    (study,) = client.search_studies(STORE_NAME, {"PatientID": "DEMO-1"})
    (series,) = client.search_series(STORE_NAME, within=f"studies/{value(study, '0020000D')}")
    path = f"studies/{value(study, '0020000D')}/series/{value(series, '0020000E')}"
    slices = list(client.search_instances(STORE_NAME, within=path))
    verify(len(slices) == SLICES, f"the series has {SLICES} instances")
    (middle,) = (each for each in slices if value(each, "00200013") == str(SLICES // 2))
    path = f"{path}/instances/{value(middle, '00080018')}"
    print(f"GET …/dicomWeb/{path}")
    fetched = client.retrieve_instance(STORE_NAME, path)
    source = sources[f"ct/slice-{SLICES // 2:03}.dcm"].read_bytes()
    verify(fetched == source, "the instance fetched equals its file")
    print(f"{len(fetched):,} bytes, SHA-256 {sha256(fetched)}: the same as its file")
    picture = client.retrieval(STORE_NAME).rendered(path)
    verify(picture.startswith(b"\xff\xd8\xff"), "the instance rendered is a JPEG")
    print(f"GET …/rendered: a JPEG of {len(picture):,} bytes")


def export_store(
    server: Server, client: fileroom.Client, imported: Operation, sources: dict[str, Path]
) -> int:
    """Export the store with the command line, and compare every file with its source."""
    exit_code = server.run(
        "dicom-stores", "export", "gcs", DICOM_STORE,
        f"--dataset={DATASET}", f"--location={LOCATION}", "--gcs-uri-prefix=gs://demo-out",
    )  # fmt: skip
    verify(exit_code == 0, f"the export exits 0, not {exit_code}")
    operation = next(client.list_operations(DATASET_NAME))
    known = {sha256(file.read_bytes()) for file in sources.values()}
    bucket = server.data / "buckets" / "demo-out"
    exported = {
        file.relative_to(bucket).as_posix(): sha256(file.read_bytes())
        for file in bucket.rglob("*.dcm")
    }
    count = imported.account["imported"]
    verify(operation.account["exported"] == count, "every instance is exported")
    verify(len(exported) == count, "each instance is one file, {study}/{series}/{instance}.dcm")
    verify(set(exported.values()) <= known, "every exported file equals a file of gs://demo")
    verify(len(set(exported.values())) == count, "no two exported files are the same")
    print(f"{len(exported)} files {{study}}/{{series}}/{{instance}}.dcm, each equal to its source")
    return len(exported)


def import_again(server: Server, client: fileroom.Client, first: Operation, objects: int) -> None:
    """Import the bucket once more, and check that all that was stored is found identical."""
    before = client.get_dicom_store_metrics(STORE_NAME)
    second = import_bucket(server, client, objects)
    after = client.get_dicom_store_metrics(STORE_NAME)
    verify(second.account.get("imported", 0) == 0, "nothing is imported twice")
    stored = first.account["imported"] + first.account.get("identical", 0)
    verify(second.account["identical"] == stored, "every instance is found identical")
    verify(second.account["failed"] == first.account["failed"], "the same objects fail again")
    verify(after.body == before.body, "the store holds what it held")
    print(f"{stored} identical, none new; the store still holds {after.instance_count} instances")


# The server


@contextmanager
def running_server(data: Path, log: Path) -> Iterator[Server]:
    """Start the embedded server on a free loopback port, and end it by its process id."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    step(f"Start the embedded server on {url}")
    with log.open("wb") as output:
        process = subprocess.Popen(
            [program(), "serve", f"--data={data}", f"--port={port}"],
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_until_ready(url, process)
        token = subprocess.run(
            [program(), "auth", "print-access-token", f"--data={data}"],
            check=True,
            capture_output=True,
            text=True,
        ).stdout.strip()
        yield Server(url=url, token=token, data=data)
        process.terminate()
        verify(process.wait(STOP_SECONDS) == 0, "the server ends by itself when asked to")
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def wait_until_ready(url: str, process: subprocess.Popen[bytes]) -> None:
    """Wait until the server answers."""
    deadline = time.monotonic() + START_SECONDS
    while not is_ready(url):
        verify(process.poll() is None, "the server stays up once started")
        verify(time.monotonic() < deadline, f"the server answers within {START_SECONDS} s")
        time.sleep(0.05)


def is_ready(url: str) -> bool:
    """Ask the server whether it takes requests."""
    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def program() -> str:
    """Give the path of the ``fileroom`` program that is installed beside this Python."""
    return str(Path(sys.executable).parent / "fileroom")


# Small things


def step(title: str) -> None:
    """Print a heading."""
    print(f"\n== {title}", flush=True)


def verify(holds: bool, promise: str) -> None:
    """Stop the demo unless a promise holds."""
    if not holds:
        raise NotVerified(promise)


def value(attributes: JsonObject, tag: str) -> str:
    """Give the first value of an attribute in the DICOM JSON Model; "" if it has none."""
    match attributes.get(tag):
        case {"Value": [{"Alphabetic": str(name)}, *_]}:
            return name
        case {"Value": [first, *_]}:
            return str(first)
        case _:
            return ""


def sha256(content: bytes) -> str:
    """Give the SHA-256 of some bytes, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


HOW_TO_GO_ON = """
To go on:
  make serve                                a server on http://127.0.0.1:8080, data in demo-data/
  cp -r YOUR-FILES demo-data/buckets/NAME   a directory there is the bucket gs://NAME

  curl -H "Authorization: Bearer $(.venv/bin/fileroom auth print-access-token --data demo-data)" \\
      http://127.0.0.1:8080/v1/projects/demo/locations/us-central1/datasets

  export CLOUDSDK_API_ENDPOINT_OVERRIDES_HEALTHCARE=http://127.0.0.1:8080/
  export CLOUDSDK_AUTH_ACCESS_TOKEN_FILE=demo-data/access-token
  gcloud healthcare datasets list --project=demo --location=us-central1

README.md has the import and the export, also for Python and Node.js."""

if __name__ == "__main__":
    sys.exit(main())
