"""Files go from each kind of bucket through a DICOM store into each other, byte for byte.

What lies in a cloud is put there and read by the cloud's own library.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

import httpx2
import pytest

from fileroom.objectstore.buckets import BucketSettings
from tests.corpus import UID_ROOT, mr_instance
from tests.emulators import S3Emulator, emulators
from tests.server import run_fileroom, running_server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fileroom import Client
    from fileroom.client import Operation
    from tests.emulators import Emulator, Emulators
    from tests.server import RunningServer

__all__ = ["emulators"]

KINDS: Final = ("directory", "fake-gcs-server", "seaweedfs", "azurite")
DATASET: Final = "projects/p/locations/us-central1/datasets/clouds"
ABSENT: Final = "s3://configured-but-not-there"
LARGE_ROWS: Final = 2400
"""A file of 11.5 MB, which is sent in parts."""
STUDY: Final = f"{UID_ROOT}.11"
_numbers: Final = itertools.count(1)


class Directory:
    """A local bucket, in the terms of an emulator."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def put(self, bucket: BucketSettings, key: str, content: bytes) -> None:
        """Write a file."""
        path = self._path(bucket) / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def get(self, bucket: BucketSettings, key: str) -> bytes:
        """Read a file."""
        return (self._path(bucket) / key).read_bytes()

    def keys(self, bucket: BucketSettings) -> list[str]:
        """List all files."""
        top = self._path(bucket)
        return [str(path.relative_to(top)) for path in top.rglob("*") if path.is_file()]

    def _path(self, bucket: BucketSettings) -> Path:
        return self._root / bucket.name.partition("://")[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A server whose settings name a bucket of each kind."""

    server: RunningServer
    config: Path
    buckets: dict[str, BucketSettings]
    lost: BucketSettings
    """A bucket of SeaweedFS that one test may delete."""
    holders: dict[str, Emulator | Directory]
    contents: dict[str, bytes]

    def new_store(self, client: Client) -> str:
        """Make an empty DICOM store."""
        return str(client.create_dicom_store(f"{DATASET}/dicomStores/s{next(_numbers)}").name)

    def keys(self, kind: str, prefix: str) -> list[str]:
        """Give what lies below a prefix, by the cloud's own library."""
        listed = self.holders[kind].keys(self.buckets[kind])
        return sorted(key for key in listed if key.startswith(prefix))


def _files() -> dict[str, bytes]:
    small = {
        f"in/{number:03}.dcm": mr_instance(
            rows=16,
            study_instance_uid=STUDY,
            series_instance_uid=f"{UID_ROOT}.11.1",
            sop_instance_uid=f"{UID_ROOT}.11.1.{number}",
        )
        for number in range(40)
    }
    large = mr_instance(
        rows=LARGE_ROWS,
        study_instance_uid=STUDY,
        series_instance_uid=f"{UID_ROOT}.11.2",
        sop_instance_uid=f"{UID_ROOT}.11.2.1",
    )
    return small | {"in/large é+ &.dcm": large}


@pytest.fixture(scope="module")
def site(emulators: Emulators, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    directory = tmp_path_factory.mktemp("clouds")
    data = directory / "data"
    (data / "buckets" / "here").mkdir(parents=True)
    buckets = {"directory": BucketSettings(name="gs://here", path=data / "buckets" / "here")}
    holders: dict[str, Emulator | Directory] = {"directory": Directory(data / "buckets")}
    tables, environment = [], {}
    for kind in KINDS[1:]:
        emulator = emulators.running(kind)
        holders[kind], buckets[kind] = emulator, emulator.new_bucket()
        bucket = buckets[kind]
        tables.append(f'[buckets."{bucket.name}"]')
        if bucket.name.startswith("gs://"):
            # Without an endpoint of its own, so that it may be written without credentials.
            environment["STORAGE_EMULATOR_HOST"] = bucket.endpoint
            continue
        tables.append(f'endpoint = "{bucket.endpoint}"\ncredentials = "{bucket.credentials}"')
        if bucket.region:
            tables.append(f'region = "{bucket.region}"')
        if bucket.account:
            tables.append(f'account = "{bucket.account}"')
    there, lost = buckets["seaweedfs"], emulators.running("seaweedfs").new_bucket()
    for name in (ABSENT, lost.name):
        tables.append(f'[buckets."{name}"]\nendpoint = "{there.endpoint}"')
        tables.append(f'region = "{there.region}"\ncredentials = "{there.credentials}"')
    config = directory / "fileroom.toml"
    config.write_text("\n".join(tables))
    contents = _files()
    for kind, key in itertools.product(KINDS, contents):
        holders[kind].put(buckets[kind], key, contents[key])
    with running_server(data, f"--config={config}", environment=environment) as server:
        with server.client() as client:
            client.wait(client.create_dataset(DATASET), poll_seconds=0.05)
        yield Site(
            server=server,
            config=config,
            buckets=buckets,
            lost=lost,
            holders=holders,
            contents=contents,
        )


def _done(client: Client, operation: Operation) -> Operation:
    ended = client.wait(operation, poll_seconds=0.05)
    assert ended.error is None, ended.error
    return ended


@pytest.mark.parametrize("source", KINDS)
def test_an_import_of_any_kind_is_exported_to_every_kind(site: Site, source: str) -> None:
    with site.server.client() as client:
        store = site.new_store(client)
        uri = f"{site.buckets[source].name}/in/**"
        imported = _done(client, client.import_(store, uri))
        assert imported.counters.success == len(site.contents)
        again = _done(client, client.import_(store, uri))
        assert (again.counters.success, again.counters.failure) == (len(site.contents), 0)
        for kind in KINDS:
            prefix = f"out/from {source}/"
            bucket = site.buckets[kind]
            exported = _done(client, client.export(store, f"{bucket.name}/{prefix}"))
            assert exported.counters.success == len(site.contents)
            written = [site.holders[kind].get(bucket, key) for key in site.keys(kind, prefix)]
            assert sorted(written) == sorted(site.contents.values())
    for kind, key in itertools.product(KINDS, site.contents):
        assert site.holders[kind].get(site.buckets[kind], key) == site.contents[key]


@pytest.mark.parametrize("kind", KINDS[1:])
def test_what_is_kept_by_reference_is_copied_by_the_cloud(site: Site, kind: str) -> None:
    bucket, prefix = site.buckets[kind], "out/by reference/"
    with site.server.client() as client:
        store = site.new_store(client)
        _done(client, client.import_(store, f"{bucket.name}/in/**", mode="REFERENCE"))
        exported = _done(client, client.export(store, f"{bucket.name}/{prefix}"))
        assert exported.counters.success == len(site.contents)
    written = [site.holders[kind].get(bucket, key) for key in site.keys(kind, prefix)]
    assert sorted(written) == sorted(site.contents.values())
    assert "the cloud copies nothing by itself" not in site.server.log.read_text()


@pytest.mark.parametrize("kind", KINDS)
def test_patterns_filters_and_frames_work_on_every_kind(site: Site, kind: str) -> None:
    bucket, holder = site.buckets[kind], site.holders[kind]
    with site.server.client() as client:
        store = site.new_store(client)
        some = _done(client, client.import_(store, f"{bucket.name}/in/00?.dcm"))
        assert some.counters.success == 10
        one = _done(client, client.import_(store, f"{bucket.name}/in/012.dcm"))
        assert one.counters.success == 1
        none = client.wait(client.import_(store, f"{bucket.name}/in/none*"), poll_seconds=0.05)
        assert none.error is not None
        assert "no object matches" in none.error.message
        directory = client.wait(client.import_(store, f"{bucket.name}/in"), poll_seconds=0.05)
        assert directory.error is not None
        assert f"use {bucket.name}/in/** for all in it" in directory.error.message
        prefix = "out/frames/"
        operation = client.export(store, f"{bucket.name}/{prefix}", mime_type="image/png")
        assert _done(client, operation).counters.success == 11
        pictures = [holder.get(bucket, key) for key in site.keys(kind, prefix)]
        assert [picture[:4] for picture in pictures] == [b"\x89PNG"] * 11


def test_a_bucket_that_is_configured_and_not_there_is_told(site: Site) -> None:
    with site.server.client() as client:
        store = site.new_store(client)
        _done(client, client.import_(store, f"{site.buckets['directory'].name}/in/**"))
        for operation in (
            client.import_(store, f"{ABSENT}/**"),
            client.export(store, f"{ABSENT}/out"),
        ):
            ended = client.wait(operation, poll_seconds=0.05)
            assert ended.error is not None
            assert f"{ABSENT} does not exist" in ended.error.message
            assert ended.counters.failure == 0


def test_a_bucket_that_is_lost_does_not_make_its_objects_gone(site: Site) -> None:
    """Whoever is told that a source is gone may delete the instance."""
    emulator = site.holders["seaweedfs"]
    assert isinstance(emulator, S3Emulator)
    emulator.put(site.lost, "a.dcm", site.contents["in/000.dcm"])
    with site.server.client() as client:
        store = site.new_store(client)
        _done(client, client.import_(store, f"{site.lost.name}/a.dcm", mode="REFERENCE"))
        address = f"{site.server.url}/v1/{store}/dicomWeb/studies/{STUDY}"
        token = {"Authorization": f"Bearer {site.server.token}"}
        assert httpx2.get(address, headers=token).status_code == 200
        name = site.lost.name.removeprefix("s3://")
        emulator.client.delete_object(Bucket=name, Key="a.dcm")
        gone = httpx2.get(address, headers=token)
        assert (gone.status_code, "is gone" in gone.text) == (500, True)
        emulator.client.delete_bucket(Bucket=name)
        lost = httpx2.get(address, headers=token)
        assert "bring the bucket back" in lost.text
        assert "delete the instance" not in lost.text


@pytest.mark.parametrize("kind", KINDS)
def test_a_check_says_in_words_what_works(site: Site, kind: str) -> None:
    before = site.keys(kind, "")
    bucket = site.buckets[kind]
    environment = {}
    if kind == "fake-gcs-server":
        environment["STORAGE_EMULATOR_HOST"] = bucket.endpoint
    result = run_fileroom(
        "buckets",
        "check",
        bucket.name,
        f"--config={site.config}",
        f"--data={site.server.data}",
        environment=environment,
    )
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["RIGHT", "STATE", "WHAT"]
    assert [line.split()[1] for line in lines[1:3]] == ["works", "works"]
    assert site.keys(kind, "") == before


def test_the_storage_api_shows_every_kind(site: Site) -> None:
    def ask(path: str) -> httpx2.Response:
        token = {"Authorization": f"Bearer {site.server.token}"}
        return httpx2.get(f"{site.server.url}/storage/v1/b{path}", headers=token)

    listed = {each["name"]: each["fileroom"] for each in ask("").json()["items"]}
    for kind, bucket in site.buckets.items():
        name = bucket.name.removeprefix("gs://")
        assert listed[name]["upload"] is (kind == "directory")
        place = f"/{quote(name, safe='')}/o"
        found = ask(f"{place}?prefix=in/0&delimiter=/").json()["items"]
        assert [each["name"] for each in found] == sorted(
            key for key in site.contents if key.startswith("in/0")
        )
        assert all(each["updated"].startswith("20") for each in found)
        assert ask(f"{place}?delimiter=/&prefix=i").json()["prefixes"] == ["in/"]
        key = "in/large é+ &.dcm"
        told = ask(f"{place}/{quote(key, safe='')}").json()
        assert (told["size"], told["bucket"]) == (str(len(site.contents[key])), name)
        media = ask(f"{place}/{quote(key, safe='')}?alt=media")
        assert media.content == site.contents[key]
        if kind != "directory":
            sent = httpx2.post(
                f"{site.server.url}/upload/storage/v1/b{place}?uploadType=media&name=x",
                headers={"Authorization": f"Bearer {site.server.token}"},
                content=b"x",
            )
            assert sent.status_code == 400
            assert "is in a cloud" in sent.json()["error"]["message"]
