"""Whether this machine and its settings are fit for an archive; nothing is changed by looking.

A server may run meanwhile.
"""

from __future__ import annotations

import os
import resource
import shutil
import statistics
import tempfile
import time
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from fileroom.database.probing import KNOWN_REVISION, probe_database, sqlite_version
from fileroom.dicom.pixels.probing import probe_codecs
from fileroom.errors import FileroomError
from fileroom.objectstore import checking
from fileroom.transfer.executors import probe_executor

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fileroom.settings import Settings
    from fileroom.transfer.executors.probing import Cluster

SQLITE_MIN: Final = (3, 35)
"""The first that gives back the rows that it changed."""
FREE_BYTES_WARN: Final = 10 << 30
FREE_BYTES_FAIL: Final = 256 << 20
OPEN_FILES_MIN: Final = 4096
SYNC_FAST_SECONDS: Final = 20e-6
"""No disk writes 4 KB in less: what says so has written nothing yet."""
SYNC_SLOW_SECONDS: Final = 0.05
CLOCK_APART_SECONDS: Final = 1.0
_SYNCS: Final = 9
_WATCHED_SECONDS: Final = 0.2


class State(StrEnum):
    """How a thing is."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sign:
    """One thing that was looked at."""

    of: str
    state: State
    message: str
    remedy: str = ""


def diagnose(settings: Settings) -> Iterator[Sign]:
    """Look at everything, one thing after another."""
    yield from _database(settings)
    yield from _disks(settings)
    yield _clock()
    yield _open_files()
    yield _codecs()
    yield from _buckets(settings)
    yield from _workers(settings)


def _database(settings: Settings) -> Iterator[Sign]:
    if settings.database is None:
        version = sqlite_version()
        new_enough = tuple(map(int, version.split(".")[:2])) >= SQLITE_MIN
        remedy = "" if new_enough else "use a Python that comes with a newer SQLite"
        yield _sign("sqlite", new_enough, f"version {version}", remedy)
        if not settings.database_path.exists():
            message = f"{settings.database_path} is not there yet: the first start makes it"
            yield Sign(of="database", state=State.WARN, message=message)
            return
    try:
        probed = probe_database(settings.database_place)
    except FileroomError as error:
        remedy = "see that it runs, and that FILEROOM_DATABASE names it"
        yield Sign(of="database", state=State.FAIL, message=error.message, remedy=remedy)
        return
    message = f"version {probed.version}, revision {probed.revision or 'none'}"
    current = probed.revision == KNOWN_REVISION
    newer = probed.revision is not None and probed.revision > KNOWN_REVISION
    yield Sign(
        of="database",
        state=State.OK if current else State.FAIL if newer else State.WARN,
        message=message,
        remedy=""
        if current
        else "a newer Fileroom wrote it: install that one"
        if newer
        else f"the next start brings it to {KNOWN_REVISION}: back it up before",
    )
    remedy = "" if probed.durable else "a power cut may lose what was said to be stored: turn it on"
    yield _sign("durability", probed.durable, probed.how, remedy)
    apart = abs(probed.clock_ahead_seconds)
    agrees = apart < CLOCK_APART_SECONDS
    yield Sign(
        of="database clock",
        state=State.OK if agrees else State.WARN,
        message=f"{apart:.3f} s from this machine's",
        remedy="" if agrees else "have NTP set both",
    )


def _disks(settings: Settings) -> Iterator[Sign]:
    places = {"data": settings.data, "blobs": settings.blobs_directory}
    for name, wanted in places.items():
        if wanted is None:
            continue
        place = next(each for each in (wanted, *wanted.absolute().parents) if each.exists())
        free = shutil.disk_usage(place).free
        state = State.FAIL if free < FREE_BYTES_FAIL else State.WARN
        state = State.OK if free >= FREE_BYTES_WARN else state
        remedy = "" if state is State.OK else "make room, or move it to a larger disk"
        message = f"{free / (1 << 30):,.1f} GB free at {place}"
        yield Sign(of=f"space of {name}", state=state, message=message, remedy=remedy)
        yield _sync(name, place)


def _sync(name: str, place: Path) -> Sign:
    of = f"sync of {name}"
    took = []
    try:
        with tempfile.TemporaryFile(dir=place) as file:
            for _ in range(_SYNCS):
                file.write(bytes(4096))
                file.flush()
                started = time.perf_counter()
                os.fsync(file.fileno())
                took.append(time.perf_counter() - started)
    except OSError as error:
        remedy = f"let the server's user write to {place}, and see to its disk"
        return Sign(of=of, state=State.FAIL, message=str(error.strerror), remedy=remedy)
    seconds = statistics.median(took)
    message = f"4 KB in {seconds * 1000:.2f} ms"
    if seconds < SYNC_FAST_SECONDS:
        remedy = "this is memory, or a disk that only says so: a power cut loses what is in it"
        return Sign(of=of, state=State.WARN, message=message, remedy=remedy)
    if seconds > SYNC_SLOW_SECONDS:
        remedy = "each store waits for some of these: use a faster disk"
        return Sign(of=of, state=State.WARN, message=message, remedy=remedy)
    return Sign(of=of, state=State.OK, message=message)


def _clock() -> Sign:
    wall, steady = time.time(), time.monotonic()
    time.sleep(_WATCHED_SECONDS)
    drift = abs((time.time() - wall) - (time.monotonic() - steady))
    steadily = drift < _WATCHED_SECONDS / 10
    return Sign(
        of="clock",
        state=State.OK if steadily else State.WARN,
        message=f"it moved {drift * 1000:.1f} ms apart from time in {_WATCHED_SECONDS} s",
        remedy="" if steadily else "something sets it just now; have NTP slew it",
    )


def _open_files() -> Sign:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    enough = soft == resource.RLIM_INFINITY or soft >= OPEN_FILES_MIN
    remedy = "" if enough else f"ulimit -n {OPEN_FILES_MIN}, or LimitNOFILE of its service"
    state = State.OK if enough else State.WARN
    return Sign(of="open files", state=state, message=f"at most {soft}", remedy=remedy)


def _codecs() -> Sign:
    probed = dict(probe_codecs())
    broken = {uid: fault for uid, fault in probed.items() if fault}
    faults = "; ".join(f"{uid}: {fault}" for uid, fault in broken.items())
    message = faults or f"a frame went through each of {len(probed)} transfer syntaxes"
    remedy = "install imagecodecs and numpy again" if broken else ""
    return _sign("codecs", not broken, message, remedy)


def _buckets(settings: Settings) -> Iterator[Sign]:
    for bucket in settings.named_buckets:
        for finding in checking.check_bucket(bucket):
            if finding.state is not checking.State.CLOSED:
                works = finding.state is checking.State.WORKS
                of = f"{finding.right} in {bucket.name}"
                yield _sign(of, works, finding.message, "" if works else finding.remedy)


def _workers(settings: Settings) -> Iterator[Sign]:
    own = f"{settings.render_workers} processes to render, {os.cpu_count()} processors"
    try:
        cluster = probe_executor(settings.executor, settings.executor_tls)
    except FileroomError as error:
        remedy = "see that it runs, and that FILEROOM_EXECUTOR and its TLS files name it"
        yield Sign(of="executor", state=State.FAIL, message=error.message, remedy=remedy)
    else:
        if cluster is None:
            own = f"{settings.workers} processes to import, {own}"
        else:
            yield _cluster(cluster)
    yield Sign(of="workers", state=State.OK, message=own)


def _cluster(cluster: Cluster) -> Sign:
    faults = "; ".join(cluster.refused)
    message = f"a Dask cluster of {cluster.workers} workers, {cluster.threads} threads"
    if cluster.refused:
        remedy = "install this version of Fileroom where they run, and start them again"
    else:
        remedy = "" if cluster.workers else "start workers: imports and exports wait for one"
    message = f"{message}; {faults}" if faults else message
    return Sign(
        of="executor", state=State.WARN if remedy else State.OK, message=message, remedy=remedy
    )


def _sign(of: str, is_good: bool, message: str, remedy: str) -> Sign:
    return Sign(of=of, state=State.OK if is_good else State.FAIL, message=message, remedy=remedy)
