"""The ways the work is done: by Fileroom, by ``cp``, and by Orthanc where it is installed."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import subprocess
import tempfile
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Final

from benchmarks.files import size_bytes
from fileroom.client import Client
from tests.server import free_port, running_server

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from fileroom.client import Operation

DATASET: Final = "projects/benchmark/locations/us-central1/datasets/benchmark"
ORTHANC_DICOMWEB: Final = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
CLIENT_COUNTS: Final = (1, 2, 4, 8)
_POLL_SECONDS: Final = 0.1
_START_SECONDS: Final = 30


class NotDone(Exception):
    """A side did not do the work it was timed for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fileroom:
    """A running embedded server with a bucket to import from and one to export to."""

    client: Client
    url: str
    data: Path
    source: Path
    destination: Path

    def import_(self, dicom_store_id: str, instances: int, objects: str = "source/**") -> float:
        """Import objects into a new DICOM store; give the seconds from request to end."""
        dicom_store = f"{DATASET}/dicomStores/{dicom_store_id}"
        self.client.create_dicom_store(dicom_store)
        began = time.time()
        operation = self.client.import_(dicom_store, f"gs://{objects}")
        return self._seconds(operation, began, instances)

    def export(self, dicom_store_id: str, instances: int) -> float:
        """Export a DICOM store unchanged; give the seconds from request to end."""
        began = time.time()
        operation = self.client.export(
            f"{DATASET}/dicomStores/{dicom_store_id}", "gs://destination/exported"
        )
        seconds = self._seconds(operation, began, instances)
        if size_bytes(self.destination) != size_bytes(self.source):
            raise NotDone("the export does not hold the bytes of the source")
        shutil.rmtree(self.destination / "exported")
        return seconds

    def transcode(self, dicom_store_id: str, instances: int, syntax: str, directory: str) -> float:
        """Export a DICOM store in another transfer syntax; give the seconds from request to end.

        What is in the directory is exported anew.
        """
        shutil.rmtree(self.destination / directory, ignore_errors=True)
        began = time.time()
        operation = self.client.export(
            f"{DATASET}/dicomStores/{dicom_store_id}",
            f"gs://destination/{directory}",
            mime_type=f"application/dicom; transfer-syntax={syntax}",
        )
        seconds = self._seconds(operation, began, instances)
        written = sum(1 for _ in (self.destination / directory).rglob("*.dcm"))
        if written != instances:
            raise NotDone(f"the export has {written} files of {instances} instances")
        return seconds

    def _seconds(self, operation: Operation, began: float, instances: int) -> float:
        """Wait at leisure, so that asking costs the server nothing, and take its own end time."""
        done = self.client.wait(operation, poll_seconds=_POLL_SECONDS)
        if done.error is not None or done.counters.success != instances or done.end_time is None:
            raise NotDone(f"{done.counters} of {instances} instances, {done.error}")
        return done.end_time.timestamp() - began


@contextmanager
def running_fileroom(directory: Path, source: Path) -> Iterator[Fileroom]:
    """Start a server whose data lie below ``directory``, and wait until its workers work."""
    destination = directory / "destination"
    destination.mkdir()
    flags = ("--auth=none", f"--bucket=source={source}", f"--bucket=destination={destination}")
    with running_server(directory / "data", *flags) as server, Client(server.url) as client:
        client.wait(client.create_dataset(DATASET), poll_seconds=_POLL_SECONDS)
        fileroom = Fileroom(
            client=client,
            url=server.url,
            data=server.data,
            source=source,
            destination=destination,
        )
        fileroom.import_("warm-up", 1, "source/series-000/0000.dcm")
        yield fileroom


def copy(source: Path, destination: Path) -> float:
    """Copy a directory with ``cp -r`` and have the disk keep it; give the seconds."""
    began = time.perf_counter()
    subprocess.run(["cp", "-r", str(source), str(destination)], check=True)
    subprocess.run(["sync"], check=True)
    seconds = time.perf_counter() - began
    shutil.rmtree(destination)
    return seconds


def convert(command: Sequence[str], source: Path, destination: Path) -> float:
    """Run ``command FILE NEW_FILE`` for every file, one process for each core; give the seconds."""
    files = sorted(path for path in source.rglob("*") if path.is_file())
    destination.mkdir()

    def convert_one(numbered: tuple[int, Path]) -> None:
        number, file = numbered
        subprocess.run(
            [*command, str(file), str(destination / f"{number}.dcm")],
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    began = time.perf_counter()
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        for _ in threads.map(convert_one, enumerate(files)):
            pass
    subprocess.run(["sync"], check=True)
    seconds = time.perf_counter() - began
    shutil.rmtree(destination)
    return seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Orthanc:
    """Orthanc as it is installed, each time with an empty archive of its own."""

    program: str
    version: str
    directory: Path

    def store(self, source: Path, clients: int, limit: int | None = None) -> float:
        """Send files over HTTP by so many clients at once; give the seconds."""
        with self._running() as port:
            return _send_all(port, source, clients, limit)

    def best_client_count(self, source: Path, sample: int) -> int:
        """Give the number of clients that sends a sample of the files fastest."""
        return min(CLIENT_COUNTS, key=lambda clients: self.store(source, clients, sample))

    @contextmanager
    def serving(self, source: Path, clients: int) -> Iterator[int]:
        """Run it with its DICOMweb plugin and with the files of a directory; give its port."""
        with self._running((str(ORTHANC_DICOMWEB),)) as port:
            _send_all(port, source, clients)
            yield port

    @contextmanager
    def _running(self, plugins: tuple[str, ...] = ()) -> Iterator[int]:
        port = free_port()
        with tempfile.TemporaryDirectory(dir=self.directory) as name:
            settings = Path(name) / "orthanc.json"
            settings.write_text(
                json.dumps(
                    {
                        "StorageDirectory": f"{name}/storage",
                        "IndexDirectory": f"{name}/index",
                        "HttpPort": port,
                        "DicomServerEnabled": False,
                        "RemoteAccessAllowed": False,
                        "SyncStorageArea": True,
                        "KeepAlive": True,
                        "Plugins": plugins,
                    }
                )
            )
            process = subprocess.Popen(
                [self.program, str(settings)],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            try:
                _wait_for(port, process)
                yield port
            finally:
                process.terminate()
                process.wait()


def find_orthanc(directory: Path) -> Orthanc | None:
    """Give Orthanc if it is installed."""
    program = shutil.which("Orthanc") or shutil.which("Orthanc", path="/usr/sbin")
    if program is None:
        return None
    output = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    version = output.stdout.partition("\n")[0].split()[-1]
    return Orthanc(program=program, version=version, directory=directory)


def _send_all(port: int, source: Path, clients: int, limit: int | None = None) -> float:
    files: SimpleQueue[Path] = SimpleQueue()
    for file in sorted(path for path in source.rglob("*") if path.is_file())[:limit]:
        files.put(file)
    with ThreadPoolExecutor(clients) as threads:
        began = time.perf_counter()
        for future in [threads.submit(_send, port, files) for _ in range(clients)]:
            future.result()
        return time.perf_counter() - began


def fetch(url: str, headers: Mapping[str, str] | None = None) -> tuple[float, bytes]:
    """Give the seconds that a GET takes to its last byte, and the body."""
    request = urllib.request.Request(url, headers=dict(headers or {}))
    began = time.perf_counter()
    with urllib.request.urlopen(request, timeout=300) as answer:
        body: bytes = answer.read()
    return time.perf_counter() - began, body


def _send(port: int, files: SimpleQueue[Path]) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        while True:
            content = files.get_nowait().read_bytes()
            headers = {"Content-Type": "application/dicom"}
            connection.request("POST", "/instances", content, headers)
            answer = connection.getresponse()
            if answer.status != http.client.OK or b'"Success"' not in answer.read():
                raise NotDone(f"Orthanc answered {answer.status}")
    except Empty:
        return
    finally:
        connection.close()


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", "/system")
            connection.getresponse().read()
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise NotDone("Orthanc did not start") from None
            time.sleep(0.05)
        else:
            return
        finally:
            connection.close()
