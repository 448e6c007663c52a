"""Good and hostile clients beside one another, for as long as it takes to see memory grow."""

from __future__ import annotations

import contextlib
import os
import random
import socket
import threading
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from statistics import quantiles
from typing import TYPE_CHECKING

import httpx2
import psutil
import pytest

from tests.corpus import UID_ROOT, minimal_instance
from tests.server import running_server

if TYPE_CHECKING:
    from pathlib import Path

    from fileroom.client import Client
    from tests.server import RunningServer

SECONDS = float(os.environ.get("SOAK_SECONDS", "1200"))
GOOD_CLIENTS = 3
GROWTH_BYTES_MAX = 32 << 20
"""Of the server and the workers that lived all the while, from the end of the first tenth."""
FILLING_STUDIES, FILLING_INSTANCES, FILLING_READS = 800, 100, 20_000
"""What is imported and read before: the database's caches, of 64 MiB for who writes and 8 MiB for
each of eight who read, grow until they are full."""
SLOWER_MAX = 2.0
STORE = "projects/p/locations/us-central1/datasets/soak/dicomStores/s"
MULTIPART = "multipart/related; type=application/dicom; boundary=b"


@dataclass(slots=True)
class Seen:
    """What the clients saw."""

    good: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    """Seconds of each good request, by what was asked."""
    failed: list[str] = field(default_factory=list)
    stored: dict[str, bytes] = field(default_factory=dict)
    """By the UID of an instance that was acknowledged."""
    hostile: dict[str, int] = field(default_factory=lambda: defaultdict(int))


def part(content: bytes) -> bytes:
    return b"--b\r\nContent-Type: application/dicom\r\n\r\n" + content + b"\r\n--b--\r\n"


def good_client(server: RunningServer, seen: Seen, number: int, end: threading.Event) -> None:
    """Store, search, read what was stored, delete nothing."""
    chance = random.Random(number)
    study = f"{UID_ROOT}.99.{number}"
    web = f"/v1/{STORE}/dicomWeb"
    headers = {"Authorization": f"Bearer {server.token}"}
    with httpx2.Client(base_url=server.url, headers=headers, timeout=60, trust_env=False) as client:
        count = 0
        while not end.is_set():
            content = minimal_instance(
                study_instance_uid=study,
                series_instance_uid=f"{study}.0",
                sop_instance_uid=f"{study}.{count}",
            )
            stow = {"Content-Type": MULTIPART, "Accept": "application/dicom+json"}
            stored = client.build_request(
                "POST", f"{web}/studies", content=part(content), headers=stow
            )
            if _ask(client, seen, "store", stored):
                seen.stored[f"{study}.{count}"] = content
            _ask(client, seen, "search", client.build_request("GET", f"{web}/studies?limit=10"))
            uid = f"{study}.{chance.randrange(count + 1)}"
            path = f"{web}/studies/{study}/series/{study}.0/instances/{uid}"
            whole = {"Accept": "application/dicom; transfer-syntax=*"}
            _ask(client, seen, "retrieve", client.build_request("GET", path, headers=whole))
            count += 1
            time.sleep(0.05)


def _ask(client: httpx2.Client, seen: Seen, name: str, request: httpx2.Request) -> bool:
    began = time.monotonic()
    answer = client.send(request)
    seen.good[name].append(time.monotonic() - began)
    if answer.status_code != 200:
        seen.failed.append(f"{name}: {answer.status_code} {answer.text[:200]}")
    return answer.status_code == 200


HEAD = b"Host: localhost\r\nConnection: close\r\n"
WEB = f"/v1/{STORE}/dicomWeb".encode()
KIND = f"Content-Type: {MULTIPART}\r\n".encode()


def strangers_requests() -> list[tuple[str, bytes]]:
    """Give what comes from who has no token, each on a connection of its own."""
    return [
        ("a guess", b"GET /v1/projects HTTP/1.1\r\nAuthorization: Bearer x\r\n" + HEAD + b"\r\n"),
        (
            "a forged token",
            b"GET /v1/projects HTTP/1.1\r\nAuthorization: Bearer eyJhbGciOiJub25lIn0.e30.\r\n"
            + HEAD
            + b"\r\n",
        ),
        ("a foreign host", b"GET /v1/projects HTTP/1.1\r\nHost: evil.example\r\n\r\n"),
        ("no HTTP", os.urandom(4096)),
        ("a long head", b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\n" + HEAD + b"\r\n"),
        ("a head without end", b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 150),
    ]


def insiders_requests(server: RunningServer) -> list[tuple[str, bytes]]:
    """Give what comes from who has a token and means no good."""
    owner = f"Authorization: Bearer {server.token}\r\n".encode()
    stow = b"POST " + WEB + b"/studies HTTP/1.1\r\n" + owner + KIND + HEAD
    rubbish = (b"--b\r\n\r\n" + os.urandom(2000) + b"\r\n" for _ in range(50))
    pieces = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in rubbish)
    call = b"POST /v1/" + STORE.encode() + b":import HTTP/1.1\r\nContent-Length: 1000000\r\n"
    return [
        (
            "a terabyte announced",
            stow + b"Content-Length: 1099511627776\r\n\r\n--b\r\n\r\n" + os.urandom(100_000),
        ),
        (
            "parts of rubbish",
            stow + b"Transfer-Encoding: chunked\r\n\r\n" + pieces + b"7\r\n--b--\r\n\r\n0\r\n\r\n",
        ),
        ("deep JSON", call + owner + HEAD + b"\r\n" + b"[" * 1_000_000),
        (
            "an endless search",
            b"GET "
            + WEB
            + b"/instances?PatientName=*"
            + b"a*" * 500
            + b" HTTP/1.1\r\n"
            + owner
            + HEAD
            + b"\r\n",
        ),
        (
            "paths out",
            b"GET " + WEB + b"/studies/..%2f..%2fetc HTTP/1.1\r\n" + owner + HEAD + b"\r\n",
        ),
    ]


def hostile_client(server: RunningServer, seen: Seen, number: int, end: threading.Event) -> None:
    """Send what no good client sends, and hold connections open."""
    chance = random.Random(number)
    port = int(server.url.rpartition(":")[2])
    held: list[socket.socket] = []
    requests = [*strangers_requests(), *insiders_requests(server)]
    while not end.is_set():
        name, request = chance.choice(requests)
        with contextlib.suppress(OSError):
            connection = socket.create_connection(("127.0.0.1", port), timeout=5)
            connection.settimeout(2)
            seen.hostile[name] += 1
            with contextlib.suppress(OSError):
                connection.sendall(request)
                connection.recv(4096)
            held.append(connection)
        if len(held) > 50:
            held.pop(0).close()
        time.sleep(0.05)
    for connection in held:
        connection.close()


def fill(server: RunningServer, client: Client) -> None:
    """Import and read so much that what grows from then on is no cache that comes up."""
    bucket = server.make_bucket("filling")
    for study in range(FILLING_STUDIES):
        directory = bucket / str(study)
        directory.mkdir()
        uid = f"{UID_ROOT}.98.{study}"
        for number in range(FILLING_INSTANCES):
            content = minimal_instance(
                study_instance_uid=uid,
                series_instance_uid=f"{uid}.0",
                sop_instance_uid=f"{uid}.0.{number}",
            )
            (directory / str(number)).write_bytes(content)
    client.wait(client.import_(STORE, "gs://filling/**"))
    chance = random.Random(1)
    headers = {
        "Authorization": f"Bearer {server.token}",
        "Accept": "application/dicom; transfer-syntax=*",
    }
    with (
        httpx2.Client(base_url=server.url, headers=headers, timeout=60, trust_env=False) as http,
        ThreadPoolExecutor(8) as readers,
    ):

        def read(_: int) -> None:
            uid = f"{UID_ROOT}.98.{chance.randrange(FILLING_STUDIES)}"
            instance = f"{uid}.0.{chance.randrange(FILLING_INSTANCES)}"
            path = f"studies/{uid}/series/{uid}.0/instances/{instance}"
            assert http.get(f"/v1/{STORE}/dicomWeb/{path}").status_code == 200

        list(readers.map(read, range(FILLING_READS)))


def memory(server: RunningServer) -> dict[int, int]:
    """Give the memory of a server and of each of its workers, by process."""
    processes = [psutil.Process(server.process.pid)]
    processes += processes[0].children(recursive=True)
    found = {}
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            found[process.pid] = process.memory_info().rss
    return found


def _told(processes: dict[int, int]) -> str:
    return " + ".join(f"{size >> 20}" for size in processes.values())


def p99(values: list[float]) -> float:
    return quantiles(values, n=100)[-1]


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_good_clients_are_served_beside_hostile_ones(tmp_path: Path) -> None:
    with running_server(tmp_path / "data") as server, server.client() as client:
        client.wait(client.create_dataset(STORE.partition("/dicomStores")[0]))
        client.create_dicom_store(STORE)
        fill(server, client)
        alone, beside = Seen(), Seen()
        _run(server, alone, SECONDS / 10, hostile=0, first=0)
        before = memory(server)
        _run(server, beside, SECONDS * 9 / 10, hostile=2, first=100)
        after = memory(server)
        lost = _lost(server, alone.stored | beside.stored)
        assert list(client.list_locations("p"))

    print(
        f"{SECONDS:.0f} s: {sum(map(len, beside.good.values()))} good requests,"
        f" {sum(beside.hostile.values())} hostile ones of {len(beside.hostile)} kinds;"
        f" {len(alone.stored) + len(beside.stored)} instances, {lost} lost;"
        f" memory {_told(before)}, then {_told(after)} MiB"
    )
    for name, seconds in beside.good.items():
        ratio = p99(seconds) / p99(alone.good[name])
        print(f"{name}: p99 {p99(seconds) * 1000:.0f} ms, {ratio:.2f} of that alone")
    assert alone.failed == beside.failed == []
    assert lost == 0
    # Workers of metadata and pixels start when they are first needed.
    growth = sum(after[pid] - before[pid] for pid in before.keys() & after.keys())
    assert growth < GROWTH_BYTES_MAX
    assert len(after) <= len(before) + (os.cpu_count() or 1) * 2
    for name, seconds in beside.good.items():
        assert p99(seconds) <= SLOWER_MAX * p99(alone.good[name]), name


def _run(server: RunningServer, seen: Seen, seconds: float, *, hostile: int, first: int) -> None:
    end = threading.Event()
    threads = [
        threading.Thread(target=good_client, args=(server, seen, first + number, end))
        for number in range(GOOD_CLIENTS)
    ]
    threads += [
        threading.Thread(target=hostile_client, args=(server, seen, number, end))
        for number in range(hostile)
    ]
    for thread in threads:
        thread.start()
    time.sleep(seconds)
    end.set()
    for thread in threads:
        thread.join()


def _lost(server: RunningServer, stored: dict[str, bytes]) -> int:
    """Give how many of what was acknowledged are not there as they were sent."""
    headers = {
        "Authorization": f"Bearer {server.token}",
        "Accept": "application/dicom; transfer-syntax=*",
    }
    lost = 0
    with httpx2.Client(base_url=server.url, headers=headers, timeout=60, trust_env=False) as client:
        for uid, content in stored.items():
            number = uid.split(".")[-2]
            series = f"studies/{UID_ROOT}.99.{number}/series/{UID_ROOT}.99.{number}.0"
            answer = client.get(f"/v1/{STORE}/dicomWeb/{series}/instances/{uid}")
            lost += answer.content != content
    return lost
