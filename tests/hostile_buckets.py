"""Fixtures: buckets whose clouds are hostile, and what of them is not yet as it should be."""

from __future__ import annotations

import gc
import time
import warnings
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import TYPE_CHECKING, Final

import pytest
from azure.storage.blob import _download

from fileroom.objectstore.cloud import CloudAddress, CloudBucket, az, http, s3
from tests.hostile_dialects import SCHEMES
from tests.hostile_storage import HostileBucket, HostileStorage, write_credentials

if TYPE_CHECKING:
    from pathlib import Path

IDLE_SECONDS: Final = 0.3
Opening = Callable[[HostileBucket, str], CloudBucket]


class Waits:
    """Notes how long it should have waited, and waits a moment."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.seconds.append(seconds)
        time.sleep(0.001)


@pytest.fixture(scope="module", autouse=True)
def frozen() -> Iterator[None]:
    """Have the collector look at what these tests make, and at nothing older."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(params=SCHEMES)
def storage(request: pytest.FixtureRequest) -> Iterator[HostileStorage]:
    with HostileStorage(request.param) as started:
        yield started


@pytest.fixture
def hostile(storage: HostileStorage) -> HostileBucket:
    return storage.bucket()


@pytest.fixture
def waits() -> Waits:
    return Waits()


@pytest.fixture
def opened(waits: Waits, monkeypatch: pytest.MonkeyPatch) -> Iterator[Opening]:
    """Give what opens a bucket that waits for a moment only, and is impatient."""
    for module in (az, http, s3):
        monkeypatch.setattr(module, "IDLE_SECONDS", IDLE_SECONDS)
    # Azure's library repeats reads by itself, a second apart.
    monkeypatch.setattr(_download, "time", SimpleNamespace(sleep=lambda _: None))
    made: list[CloudBucket] = []

    def open_(hostile: HostileBucket, credentials: str) -> CloudBucket:
        settings = hostile.settings(credentials)
        address = CloudAddress(
            scheme=hostile.scheme,
            bucket=hostile.name,
            endpoint=settings.endpoint,
            region=settings.region,
            credentials=credentials,
        )
        bucket = CloudBucket(address)
        bucket._attempts._sleep = waits.sleep
        made.append(bucket)
        return bucket

    yield open_
    for bucket in made:
        bucket.__dict__.clear()
    with warnings.catch_warnings():
        # A bucket lives as long as its process, so nothing closes its connections.
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture
def bucket(
    hostile: HostileBucket,
    opened: Opening,
    tmp_path: Path,
) -> CloudBucket:
    if hostile.scheme == "s3":
        return opened(hostile, write_credentials(tmp_path / "credentials", "s3", "key"))
    return opened(hostile, "anonymous")


def keys_of(bucket: CloudBucket, *, start_after: str = "") -> list[str]:
    return [entry.key for entry in bucket.list(start_after=start_after)]


def filled(hostile: HostileBucket, number: int) -> dict[str, bytes]:
    content = {f"d/{each:03}": bytes([each % 256]) * (each + 1) for each in range(number)}
    for key, data in content.items():
        hostile.put(key, data)
    return content
