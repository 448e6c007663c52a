"""A server whose own bytes are in a bucket: nothing a user sees is different.

What lies in the bucket is looked at by the cloud's own library.
"""

from __future__ import annotations

import itertools
import time
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Final

import httpx2
import pydicom
import pytest

from fileroom.errors import PermissionDenied
from tests.corpus import UID_ROOT, mr_instance
from tests.emulators import S3Emulator, emulators
from tests.fault_tools import wait_paused, wait_until
from tests.server import run_fileroom, running_server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fileroom import Client
    from fileroom.client import Operation
    from fileroom.objectstore.buckets import BucketSettings
    from tests.emulators import Emulator, Emulators
    from tests.server import RunningServer

__all__ = ["emulators"]

KINDS: Final = ("fake-gcs-server", "seaweedfs", "azurite")
DATASET: Final = "projects/p/locations/us-central1/datasets/clouds"
STORE: Final = f"{DATASET}/dicomStores/s"
STUDY: Final = f"{UID_ROOT}.31"
SERIES: Final = f"{STUDY}.1"
QUICKLY: Final = {
    "FILEROOM_COLLECTION_GRACE_SECONDS": "0",
    "FILEROOM_COLLECTION_INTERVAL_SECONDS": "1",
}
LARGE_ROWS: Final = 6000
"""A file of 72 MB, which is stored alone."""
_numbers: Final = itertools.count(1)


def uid(number: int) -> str:
    """Give the SOP Instance UID of a slice."""
    return f"{SERIES}.{number}"


def instance(number: int) -> str:
    """Give the path of a slice."""
    return f"studies/{STUDY}/series/{SERIES}/instances/{uid(number)}"


def slice_of(number: int, rows: int = 16) -> bytes:
    """Make a slice."""
    return mr_instance(
        rows=rows,
        study_instance_uid=STUDY,
        series_instance_uid=SERIES,
        sop_instance_uid=uid(number),
        instance_number=str(number),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A data directory whose blobs are in a bucket, and who looks into that."""

    data: Path
    config: Path
    emulator: Emulator
    bucket: BucketSettings
    environment: dict[str, str]

    @contextmanager
    def serving(self) -> Iterator[tuple[RunningServer, Client]]:
        """Run a server."""
        flag = f"--config={self.config}"
        with (
            running_server(self.data, flag, environment=self.environment) as server,
            server.client() as client,
        ):
            yield server, client

    def blobs(self) -> dict[str, bytes]:
        """Give the blobs by the cloud's own library, but for the marks of stores."""
        keys = self.emulator.keys(self.bucket)
        assert all(key.startswith("archive/") for key in keys)
        found = {}
        for key in keys:
            if not key.endswith("/.store-id"):
                try:
                    found[key] = self.emulator.get(self.bucket, key)
                except Exception:  # each library has an error of its own
                    if key in self.emulator.keys(self.bucket):
                        raise
        return found

    def put(self, key: str, content: bytes) -> None:
        """Write an object into the local bucket ``gs://here``."""
        path = self.data / "buckets" / "here" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def check(self, *flags: str) -> str:
        """Compare rows with blobs while no server runs, and give what is said."""
        checked = run_fileroom(
            *("check", *flags, f"--data={self.data}", f"--config={self.config}"),
            environment=self.environment,
        )
        return checked.stdout + checked.stderr


@pytest.fixture(params=KINDS)
def site(request: pytest.FixtureRequest, emulators: Emulators, tmp_path: Path) -> Site:
    return make_site(emulators.running(request.param), tmp_path)


def make_site(emulator: Emulator, directory: Path) -> Site:
    """Write settings by which an empty data directory keeps its blobs in a new bucket."""
    bucket = emulator.new_bucket()
    environment = dict(QUICKLY)
    lines = [f'blobs = "{bucket.name}/archive"', f'[buckets."{bucket.name}"]']
    if bucket.name.startswith("gs://"):
        environment["STORAGE_EMULATOR_HOST"] = bucket.endpoint
    else:
        lines.append(f'endpoint = "{bucket.endpoint}"\ncredentials = "{bucket.credentials}"')
    if bucket.region:
        lines.append(f'region = "{bucket.region}"')
    if bucket.account:
        lines.append(f'account = "{bucket.account}"')
    config = directory / "fileroom.toml"
    config.write_text("\n".join(lines))
    return Site(
        data=directory / "data",
        config=config,
        emulator=emulator,
        bucket=bucket,
        environment=environment,
    )


def make_store(client: Client) -> None:
    """Make the empty DICOM store."""
    client.wait(client.create_dataset(DATASET), poll_seconds=0.05)
    client.create_dicom_store(STORE)


def done(client: Client, operation: Operation) -> Operation:
    """Wait for an operation that must go well."""
    ended = client.wait(operation, poll_seconds=0.05)
    assert ended.error is None, ended.error
    return ended


def retrieved(client: Client, number: int) -> bytes:
    """Retrieve an instance as it was stored."""
    return client.retrieve_instance(STORE, instance(number))


def test_what_is_imported_and_stored_is_in_the_bucket_and_comes_back(site: Site) -> None:
    contents = {number: slice_of(number) for number in range(1, 40)}
    contents[40] = slice_of(40, LARGE_ROWS)
    for number, content in contents.items():
        site.put(f"{number:03}.dcm", content)
    posted = slice_of(41)
    with site.serving() as (_, client):
        make_store(client)
        imported = done(client, client.import_(STORE, "gs://here/**"))
        assert imported.counters.success == len(contents)
        client.store_instances(STORE, [posted])
        everything = {**contents, 41: posted}
        for number, content in everything.items():
            assert retrieved(client, number) == content
        again = done(client, client.import_(STORE, "gs://here/**"))
        assert (again.counters.success, again.counters.failure) == (len(contents), 0)
        exported = done(client, client.export(STORE, "gs://here/out"))
        assert exported.counters.success == len(everything)
        written = (site.data / "buckets" / "here" / "out").rglob("*.dcm")
        assert sorted(path.read_bytes() for path in written) == sorted(everything.values())
        pictures = client.export(STORE, "gs://here/pictures", mime_type="image/png")
        assert done(client, pictures).counters.success == len(everything)
    blobs = b"".join(site.blobs().values())
    assert all(content in blobs for content in everything.values())
    assert [path for path in (site.data / "scratch").rglob("*") if path.is_file()] == []
    assert not (site.data / "blobs").exists()
    with site.serving() as (_, client):
        assert retrieved(client, 7) == contents[7]
    for flags in ((), ("--deep",)):
        assert "all instances are there; 0 orphaned blobs" in site.check(*flags)
    damage(site, contents[7])


def damage(site: Site, content: bytes) -> None:
    """Change a byte of an instance in its pack, and have it found."""
    key, pack = next((key, blob) for key, blob in site.blobs().items() if content in blob)
    at = pack.index(content) + len(content) - 5
    site.emulator.put(site.bucket, key, pack[:at] + b"?" + pack[at + 1 :])
    assert "all instances are there" in site.check()
    found = site.check("--deep")
    assert f"DIFFERING_OBJECT_CHECKSUM {site.bucket.name}/{key} at byte" in found
    site.emulator.put(site.bucket, key, pack[:100])
    assert f"DIFFERING_OBJECT_SIZE {site.bucket.name}/{key}" in site.check()


def test_frames_metadata_and_pictures_come_from_the_bucket(site: Site) -> None:
    content = slice_of(1)
    with site.serving() as (server, client):
        make_store(client)
        client.store_instances(STORE, [content])
        address = f"{server.url}/v1/{STORE}/dicomWeb/{instance(1)}"
        with httpx2.Client(headers={"Authorization": f"Bearer {server.token}"}) as http:
            frame = http.get(f"{address}/frames/1", headers={"Accept": "*/*"})
            assert frame.status_code == 200
            assert pydicom.dcmread(BytesIO(content)).PixelData in frame.content
            picture = http.get(f"{address}/rendered", headers={"Accept": "image/png"})
            assert picture.content[:4] == b"\x89PNG"
        (told,) = client.retrieve_metadata(STORE, instance(1))
        assert told["00080018"] == {"vr": "UI", "Value": [uid(1)]}


def test_what_is_deleted_is_erased_from_the_bucket(site: Site) -> None:
    contents = {number: slice_of(number) for number in range(1, 9)}
    for number, content in contents.items():
        site.put(f"{number}.dcm", content)
    with site.serving() as (_, client):
        make_store(client)
        done(client, client.import_(STORE, "gs://here/**"))
        client.delete_instance(STORE, instance(3))
        wait_until(lambda: contents[3] not in b"".join(site.blobs().values()), "3 is erased")
        for number in (1, 2, 4, 8):
            assert retrieved(client, number) == contents[number]
        client.patch_instance(STORE, instance(1), {"00100020": {"vr": "LO", "Value": ["NEW-ID"]}})
        wait_until(lambda: contents[1] not in b"".join(site.blobs().values()), "1 is erased")
        assert b"NEW-ID" in retrieved(client, 1)
        done(client, client.delete_study(STORE, f"studies/{STUDY}"))
        wait_until(lambda: site.blobs() == {}, "no blob is left")
        client.store_instances(STORE, [contents[5]])
        client.delete_dicom_store(STORE)
        wait_until(lambda: site.emulator.keys(site.bucket) == [], "nothing is left of the store")


def test_the_bucket_of_the_blobs_is_offered_to_nobody(site: Site) -> None:
    with site.serving() as (_, client):
        make_store(client)
        with pytest.raises(PermissionDenied, match="the archive's own bytes"):
            client.import_(STORE, f"{site.bucket.name}/**")
        with pytest.raises(PermissionDenied, match="the archive's own bytes"):
            client.export(STORE, f"{site.bucket.name}/archive")


def test_a_server_that_is_killed_loses_nothing_and_leaves_nothing(
    emulators: Emulators, tmp_path: Path
) -> None:
    site = make_site(emulators.running("seaweedfs"), tmp_path)
    contents = {number: slice_of(number) for number in range(1, 1201)}
    for number, content in contents.items():
        site.put(f"{number:05}.dcm", content)
    acknowledged: set[int] = set()
    with site.serving() as (server, client):
        make_store(client)
        operation = client.import_(STORE, "gs://here/**")
        for number in range(2001, 2020):
            client.store_instances(STORE, [slice_of(number)])
            acknowledged.add(number)
            if client.get_operation(operation.name).counters.success:
                break
        server.kill()
    with site.serving() as (server, _):
        time.sleep(0.4)
        server.kill()
    with site.serving() as (_, client):
        ended = client.wait(operation, poll_seconds=0.05)
        assert ended.error is None
        assert (ended.counters.success, ended.counters.failure) == (len(contents), 0)
        for number in acknowledged:
            assert retrieved(client, number) == slice_of(number)
        wait_until(lambda: "blobs compared with rows" in _logs(site), "orphans are looked for")
        time.sleep(3)
    assert "all instances are there; 0 orphaned blobs" in site.check("--deep")


def test_a_start_beside_a_bucket_that_is_not_there_warns(
    emulators: Emulators, tmp_path: Path
) -> None:
    site = make_site(emulators.running("moto"), tmp_path)
    site.config.write_text(site.config.read_text().replace(site.bucket.name, "s3://not-there"))
    with site.serving() as (server, _):
        told = server.log.read_text()
    assert "WARNING: the archive's own bytes cannot be kept in s3://not-there/archive" in told
    assert "make the bucket, or correct its name" in told


def test_a_bucket_that_is_away_makes_an_import_wait(emulators: Emulators, tmp_path: Path) -> None:
    emulator = emulators.running("moto")
    site = make_site(emulator, tmp_path)
    assert isinstance(emulator, S3Emulator)
    name = site.bucket.name.removeprefix("s3://")
    site.put("1.dcm", slice_of(1))
    with site.serving() as (_, client):
        make_store(client)
        kept = {key: emulator.get(site.bucket, key) for key in emulator.keys(site.bucket)}
        for key in kept:
            emulator.client.delete_object(Bucket=name, Key=key)
        emulator.client.delete_bucket(Bucket=name)
        operation = client.import_(STORE, "gs://here/**")
        paused = wait_paused(client, operation.name, "does not exist")
        assert paused.counters.failure == 0
        emulator.client.create_bucket(Bucket=name)
        for key, content in kept.items():
            emulator.put(site.bucket, key, content)
        assert done(client, operation).counters.success == 1
        assert retrieved(client, 1) == slice_of(1)


def _logs(site: Site) -> str:
    return "".join(log.read_text() for log in site.data.parent.glob("*.log"))
