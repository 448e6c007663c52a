"""Cloud buckets keep what every bucket promises, with emulators in the place of the clouds."""

from __future__ import annotations

import gzip
import json
import random
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, ClassVar, Final

import pytest
from azure.storage.blob import ResourceTypes, generate_account_sas
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from fileroom.errors import Aborted, NotFound, PermissionDenied, Unavailable
from fileroom.objectstore.buckets import open_bucket
from fileroom.objectstore.cloud import CloudBucket, Copy
from fileroom.objectstore.local import LocalBucket
from tests.contracts.object_store import ObjectStoreContract, keys_of
from tests.emulators import ACCESS_KEY, AZURITE_ACCOUNT, AZURITE_KEY, SECRET_KEY, emulators

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from fileroom.objectstore.buckets import BucketSettings
    from fileroom.objectstore.contract import Bucket
    from tests.emulators import Emulator, Emulators

__all__ = ["emulators"]

_NORMALIZED: Final = "no library of Azure sends '.' and '..' in a path: the signature is of another"
_IN_DIRECTORIES: Final = (
    "it keeps objects as files in directories, and so refuses or changes the key"
)
_DROPPED: Final = "it drops the connection, again at each of the attempts: not tried"
_FORGOTTEN: Final = "it passes over ifGenerationMatch of a resumable upload"
_NO_CONDITION: Final = "it passes over ifGenerationMatch, and replaces what is there"
DEVIATIONS: Final = {
    "azurite": {
        "test_an_upload_that_is_aborted_leaves_no_parts": (
            "Azure forgets blocks that were not committed after a week, and has no request for it"
        ),
        "test_a_key_is_taken_as_it_is[dots in the middle]": _NORMALIZED,
        "test_a_key_is_taken_as_it_is[a dot in front]": _NORMALIZED,
        "test_a_key_is_taken_as_it_is[a dot at the end]": _NORMALIZED,
        "test_a_key_is_taken_as_it_is[backslashes]": "it makes slashes of them, as Azure does",
    },
    "fake-gcs-server": {
        "test_what_is_written_only_where_nothing_is_replaces_nothing[large]": _FORGOTTEN,
        "test_what_comes_while_another_is_written_is_not_replaced_by_it[large]": _FORGOTTEN,
    },
    "gcp-storage-emulator": {
        "test_what_is_written_only_where_nothing_is_replaces_nothing[small]": _NO_CONDITION,
        "test_what_is_written_only_where_nothing_is_replaces_nothing[large]": _NO_CONDITION,
        "test_what_comes_while_another_is_written_is_not_replaced_by_it[small]": _NO_CONDITION,
        "test_what_comes_while_another_is_written_is_not_replaced_by_it[large]": _NO_CONDITION,
        "test_a_batch_of_which_something_is_there_is_written_but_for_that": _NO_CONDITION,
        "test_the_cloud_copies_by_itself": (
            "it copies the bytes of now whatever generation is asked for"
        ),
        "test_a_key_is_taken_as_it_is[reserved characters]": "it reads only ASCII in metadata",
        "test_a_key_is_taken_as_it_is[dots in the middle]": _DROPPED,
        "test_a_version_changes_when_the_clouds_library_writes": (
            "it gives the bytes of now whatever generation is asked for"
        ),
        "test_a_reader_gets_bytes_of_its_version_or_none": (
            "it gives the bytes of now whatever generation is asked for"
        ),
    },
    "seaweedfs": {
        "test_what_is_not_there_is_not_found[d/]": "it takes a directory for an empty object",
        "test_a_key_is_taken_as_it_is[an empty segment]": _IN_DIRECTORIES,
        "test_a_key_is_taken_as_it_is[a slash in front]": _IN_DIRECTORIES,
        "test_a_key_is_taken_as_it_is[dots in the middle]": _IN_DIRECTORIES,
        "test_a_key_is_taken_as_it_is[a dot in front]": _IN_DIRECTORIES,
        "test_a_key_is_taken_as_it_is[a dot at the end]": _IN_DIRECTORIES,
        "test_a_key_is_taken_as_it_is[backslashes]": _IN_DIRECTORIES,
    },
}
"""What an emulator does instead of a promise; by the name of the test that holds it."""

UNUSUAL_KEYS: Final = {
    "reserved characters": "a b+c%2F?#&=é😀'\"<>.dcm",
    "an empty segment": "a//b",
    "a slash in front": "/a",
    "dots in the middle": "a/../b",
    "a dot in front": "./a",
    "a dot at the end": "a/.",
    "a space at the end": "a ",
    "backslashes": "\\back\\slash",
    "1,024 bytes": "/".join(["x" * 127] * 8) + "x",
}
"""Keys that a path or a URL written without care would change."""
LARGE_BYTES: Final = (20 << 20) + 7
PAGE_KEYS: Final = 1000
"""How many keys a page of a listing holds at most in Cloud Storage and S3."""


class CloudBucketContract(ObjectStoreContract):
    """Promises of a bucket in a cloud; ``emulator`` speaks to it by the cloud's own library."""

    emulator_name: ClassVar[str]
    examples = 8

    @pytest.fixture
    def emulator(self, request: pytest.FixtureRequest, emulators: Emulators) -> Emulator:
        deviation = DEVIATIONS.get(self.emulator_name, {}).get(request.node.name)
        if deviation is not None:
            run = deviation is not _DROPPED
            request.applymarker(pytest.mark.xfail(reason=deviation, strict=True, run=run))
        return emulators.running(self.emulator_name)

    @pytest.fixture
    def new_bucket(self, emulator: Emulator) -> Callable[[], Bucket]:
        return lambda: open_bucket(emulator.new_bucket())

    @pytest.fixture
    def place(self, emulator: Emulator) -> BucketSettings:
        """The settings of the bucket of a test."""
        return emulator.new_bucket()

    @pytest.fixture
    def bucket(self, place: BucketSettings) -> Bucket:
        return open_bucket(place)

    def test_the_clouds_library_reads_what_was_written(
        self, bucket: Bucket, place: BucketSettings, emulator: Emulator
    ) -> None:
        bucket.write("d/a", [b"one", b" two"])
        bucket.write_many([("d/b", b"three"), ("e", b"")])

        assert emulator.keys(place) == ["d/a", "d/b", "e"]
        read = [emulator.get(place, key) for key in ("d/a", "d/b", "e")]
        assert read == [b"one two", b"three", b""]

    def test_the_cloud_copies_by_itself(
        self, bucket: Bucket, place: BucketSettings, emulator: Emulator
    ) -> None:
        source = open_bucket(emulator.new_bucket())
        assert isinstance(bucket, CloudBucket)
        assert isinstance(source, CloudBucket)
        entry = source.write("d/a é+ &", [b"content" * 1000])

        def copied(source_key: str, key: str) -> Sequence[str]:
            copy = Copy(
                source=source,
                source_key=source_key,
                version=entry.version,
                size=entry.size,
                key=key,
            )
            return bucket.copy_many([copy])

        assert bucket.copies_from(source)
        assert copied(entry.key, "copied/a é") == ["copied/a é"]
        assert copied("absent", "copied/absent") == []
        assert emulator.get(place, "copied/a é") == b"content" * 1000
        source.write(entry.key, [b"another"])
        assert copied(entry.key, "copied/later") == []
        assert bucket.copies_from(source)
        assert emulator.keys(place) == ["copied/a é"]
        local = LocalBucket(Path("/nowhere"))
        assert not bucket.copies_from(local)

    def test_what_the_clouds_library_wrote_is_read(
        self, bucket: Bucket, place: BucketSettings, emulator: Emulator
    ) -> None:
        version = emulator.put(place, "d/a", b"one two")

        entry = bucket.find("d/a")
        assert entry is not None
        assert (entry.key, entry.size, entry.version) == ("d/a", 7, version)
        assert list(bucket.list("d/")) == [entry]
        assert bucket.read("d/a", version) == b"one two"
        with bucket.open("d/a", version, size=7) as source:
            assert source.read_at(4, 3) == b"two"

    def test_a_version_changes_when_the_clouds_library_writes(
        self, bucket: Bucket, place: BucketSettings, emulator: Emulator
    ) -> None:
        first = bucket.write("a", [b"first"])
        second = emulator.put(place, "a", b"other")

        assert first.version != second
        with bucket.open("a", first.version, size=first.size) as source, pytest.raises(Aborted):
            source.read_at(0, 5)
        with bucket.open("a", first.version, size=first.size) as source, pytest.raises(Aborted):
            source.read_at(1, 2)
        assert bucket.read("a", second) == b"other"

    @pytest.mark.parametrize("key", UNUSUAL_KEYS.values(), ids=UNUSUAL_KEYS)
    def test_a_key_is_taken_as_it_is(
        self, bucket: Bucket, place: BucketSettings, emulator: Emulator, key: str
    ) -> None:
        entry = bucket.write(key, [b"ours"])
        assert emulator.keys(place) == [key] == keys_of(bucket)
        assert emulator.get(place, key) == b"ours"
        assert bucket.find(key) == entry

        emulator.put(place, key, b"theirs")
        assert bucket.read(key) == b"theirs"
        assert bucket.delete(key)
        assert emulator.keys(place) == []

    def test_an_object_may_have_the_key_of_a_directory(
        self, bucket: Bucket, place: BucketSettings, emulator: Emulator
    ) -> None:
        for key in ("a", "a/b", "a/b/c"):
            emulator.put(place, key, key.encode())

        assert keys_of(bucket) == ["a", "a/b", "a/b/c"]
        assert [bucket.read(key) for key in keys_of(bucket)] == [b"a", b"a/b", b"a/b/c"]
        assert bucket.is_directory("a")
        assert bucket.delete("a")
        assert keys_of(bucket) == ["a/b", "a/b/c"]

    def test_what_a_console_makes_for_a_directory_is_no_object(
        self, bucket: Bucket, place: BucketSettings, emulator: Emulator
    ) -> None:
        emulator.put(place, "d/", b"")
        emulator.put(place, "d/a", b"x")

        assert keys_of(bucket) == ["d/a"]

    def test_a_large_object_is_sent_in_parts(
        self, bucket: Bucket, place: BucketSettings, emulator: Emulator
    ) -> None:
        content = random.Random(1).randbytes(LARGE_BYTES)
        pieces = [content[at : at + 3_000_001] for at in range(0, LARGE_BYTES, 3_000_001)]
        entry = bucket.write("ours", pieces)
        assert entry.size == LARGE_BYTES
        assert bucket.find("ours") == entry
        assert emulator.get(place, "ours") == content
        assert bucket.read("ours", entry.version) == content

        emulator.put(place, "theirs", content)
        assert bucket.read("theirs") == content
        with bucket.open("theirs") as source:
            assert source.read_at(LARGE_BYTES - 5, 100) == content[-5:]
        assert emulator.pending_uploads(place) == []

    def test_what_is_kept_packed_comes_as_it_is_kept(
        self, bucket: Bucket, place: BucketSettings, emulator: Emulator
    ) -> None:
        packed = gzip.compress(b"one two" * 1000)
        emulator.put(place, "a", packed, encoding="gzip")

        assert bucket.read("a") == packed
        with bucket.open("a") as source:
            assert source.size == len(packed)
            assert source.read_at(2, 5) == packed[2:7]

    def test_an_upload_that_is_aborted_leaves_no_object(
        self, bucket: Bucket, place: BucketSettings, emulator: Emulator
    ) -> None:
        with bucket.writer("a") as writer:
            for _ in range(5):
                writer.write(bytes(4 << 20))
            assert emulator.keys(place) == []

        assert emulator.keys(place) == keys_of(bucket) == []

    def test_an_upload_that_is_aborted_leaves_no_parts(
        self, bucket: Bucket, place: BucketSettings, emulator: Emulator
    ) -> None:
        with bucket.writer("a") as writer:
            for _ in range(5):
                writer.write(bytes(4 << 20))
        bucket.probe("write")

        assert emulator.pending_uploads(place) == []

    def test_a_listing_goes_on_over_pages(
        self, bucket: Bucket, place: BucketSettings, emulator: Emulator
    ) -> None:
        keys = [f"{number // 600}/{number}" for number in range(1000, 1000 + PAGE_KEYS + 50)]
        versions = [emulator.put(place, key, b"x") for key in keys]

        assert [(entry.key, entry.version) for entry in bucket.list()] == list(
            zip(keys, versions, strict=True)
        )
        assert keys_of(bucket, "", keys[20]) == keys[21:]
        assert keys_of(bucket, "2/", "2/1300") == [key for key in keys if key > "2/1300"][:499]
        assert list(bucket.list_directory()) == ["1/", "2/", "3/"]

    def test_a_bucket_that_is_absent_is_not_found(self, emulator: Emulator) -> None:
        there = emulator.new_bucket()
        bucket = open_bucket(replace(there, name=f"{there.name}-not"))

        for ask in (
            lambda: list(bucket.list()),
            lambda: list(bucket.list_directory()),
            lambda: bucket.is_directory(""),
            lambda: bucket.read("a"),
            lambda: bucket.write("a", [b"x"]),
            lambda: bucket.write("a", [bytes(9 << 20)]),
            lambda: bucket.write_many([("a", b"x")]),
            lambda: bucket.probe("read"),
            lambda: bucket.probe("write"),
        ):
            with pytest.raises(NotFound):
                ask()


class TestAzurite(CloudBucketContract):
    emulator_name = "azurite"


class TestFakeGcsServer(CloudBucketContract):
    emulator_name = "fake-gcs-server"


class TestGcpStorageEmulator(CloudBucketContract):
    emulator_name = "gcp-storage-emulator"
    alphabet = "aB-.~0"
    """It reads only ASCII in metadata."""


class TestMoto(CloudBucketContract):
    emulator_name = "moto"


class TestSeaweedFS(CloudBucketContract):
    emulator_name = "seaweedfs"

    def test_a_server_that_lists_its_directories_is_listed_in_key_order(
        self, bucket: Bucket, place: BucketSettings, emulator: Emulator
    ) -> None:
        for key in ("a-b/x", "a/x", "1.2/x", "1.2.3/x"):
            emulator.put(place, key, b"1")
        expected = ["1.2.3/x", "1.2/x", "a-b/x", "a/x"]
        assert [entry.key for entry in bucket.list()] == expected
        assert [entry.key for entry in bucket.list("", "1.2.3/x")] == expected[1:]
        ordered = open_bucket(replace(place, endpoint=f"{place.endpoint}/", ordered=True))
        assert [entry.key for entry in ordered.list("a")] == ["a-b/x", "a/x"]


# Credentials


@pytest.mark.parametrize("keys", [("nobody", SECRET_KEY), (ACCESS_KEY, "another")])
def test_keys_that_s3_does_not_know_are_a_fault_of_the_environment(
    emulators: Emulators, tmp_path: Path, keys: tuple[str, str]
) -> None:
    place = emulators.running("seaweedfs").new_bucket()
    credentials = _file(tmp_path, _aws_profile("default", *keys))
    bucket = open_bucket(replace(place, credentials=credentials))

    for ask in _asking(bucket):
        with pytest.raises(Unavailable):
            ask()


def test_s3_lets_nobody_in_without_a_name(emulators: Emulators) -> None:
    place = emulators.running("seaweedfs").new_bucket()
    bucket = open_bucket(replace(place, credentials="anonymous"))

    for ask in _asking(bucket):
        with pytest.raises(PermissionDenied):
            ask()


def test_a_profile_of_aws_names_the_keys(
    emulators: Emulators, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = _aws_profile("scans", ACCESS_KEY, SECRET_KEY) + _aws_profile("default", "no", "body")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", _file(tmp_path, shared))
    place = emulators.running("seaweedfs").new_bucket()
    bucket = open_bucket(replace(place, credentials="profile:scans"))

    assert bucket.read(bucket.write("a", [b"x"]).key) == b"x"


def test_the_environment_of_aws_names_the_keys(
    emulators: Emulators, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
    place = emulators.running("seaweedfs").new_bucket()
    bucket = open_bucket(replace(place, credentials="default"))

    assert bucket.read(bucket.write("a", [b"x"]).key) == b"x"


def _signature(permission: str, *, lasts: timedelta = timedelta(hours=1)) -> str:
    return generate_account_sas(
        AZURITE_ACCOUNT,
        AZURITE_KEY,
        ResourceTypes(container=True, object=True),
        permission,
        datetime.now(UTC) + lasts,
        start=datetime.now(UTC) - timedelta(days=1),
    )


@pytest.mark.parametrize("form", ["key", "connection string", "signature"])
def test_a_file_holds_what_azure_gives_out(emulators: Emulators, tmp_path: Path, form: str) -> None:
    emulator = emulators.running("azurite")
    given = {
        "key": f"{AZURITE_KEY}\n",
        "connection string": (
            f"DefaultEndpointsProtocol=http;AccountName={AZURITE_ACCOUNT};"
            f"AccountKey={AZURITE_KEY};BlobEndpoint={emulator.endpoint};"
        ),
        "signature": f"?{_signature('rwdlac')}",
    }
    place = replace(emulator.new_bucket(), credentials=_file(tmp_path, given[form]))
    bucket = open_bucket(place)

    assert bucket.read(bucket.write("a", [b"x"]).key) == b"x"
    assert bucket.write("b", [bytes(20 << 20)]).size == 20 << 20
    assert keys_of(bucket) == ["a", "b"]
    assert bucket.delete("a")


def test_a_pack_of_little_over_64_mb_is_read_by_one_request(emulators: Emulators) -> None:
    emulator = emulators.running("azurite")
    place = emulator.new_bucket()
    content = bytes(68_000_000)
    emulator.put(place, "pack", content)
    assert open_bucket(place).read("pack") == content


def test_a_signature_allows_what_it_says(emulators: Emulators, tmp_path: Path) -> None:
    emulator = emulators.running("azurite")
    place = replace(emulator.new_bucket(), credentials=_file(tmp_path, _signature("rl")))
    emulator.put(place, "a", b"x")
    bucket = open_bucket(place)

    assert bucket.read("a") == b"x"
    for ask in (
        lambda: bucket.write("b", [b"x"]),
        lambda: bucket.write("b", [bytes(20 << 20)]),
        lambda: bucket.delete("a"),
        lambda: bucket.probe("write"),
        lambda: bucket.probe("delete"),
    ):
        with pytest.raises(PermissionDenied):
            ask()
    assert emulator.keys(place) == ["a"]


def test_the_key_of_a_service_account_is_changed_for_a_token(
    emulators: Emulators, tmp_path: Path
) -> None:
    with _token_server() as (token_uri, asked):
        place = emulators.running("fake-gcs-server").new_bucket()
        credentials = _file(tmp_path, _service_account(token_uri))
        bucket = open_bucket(replace(place, credentials=credentials))

        assert bucket.read(bucket.write("a", [b"x"]).key) == b"x"
        assert len(asked) == 1


def test_a_key_that_azure_does_not_know_is_refused(emulators: Emulators, tmp_path: Path) -> None:
    place = emulators.running("azurite").new_bucket()
    bucket = open_bucket(replace(place, credentials=_file(tmp_path, "YW5vdGhlcg==")))

    # Azure itself says AuthenticationFailed, of which Unavailable is made.
    for ask in (lambda: list(bucket.list()), lambda: bucket.write("a", [b"x"])):
        with pytest.raises(PermissionDenied, match="403 AuthorizationFailure"):
            ask()


@pytest.mark.parametrize("name", ["moto", "azurite", "fake-gcs-server"])
@pytest.mark.parametrize("content", [None, "", "no credentials"])
def test_a_file_without_credentials_is_a_fault_of_the_environment(
    emulators: Emulators, tmp_path: Path, name: str, content: str | None
) -> None:
    path = str(tmp_path / "absent") if content is None else _file(tmp_path, content)
    bucket = open_bucket(replace(emulators.running(name).new_bucket(), credentials=path))

    for ask in _asking(bucket):
        with pytest.raises(Unavailable):
            ask()


def _asking(bucket: Bucket) -> list[Callable[[], object]]:
    return [
        lambda: list(bucket.list()),
        lambda: bucket.is_directory(""),
        lambda: bucket.read("a"),
        lambda: bucket.write("a", [b"x"]),
        lambda: bucket.probe("read"),
        lambda: bucket.probe("write"),
        lambda: bucket.probe("delete"),
    ]


def _file(directory: Path, content: str) -> str:
    path = directory / "credentials"
    path.write_text(content)
    return str(path)


def _aws_profile(name: str, access_key: str, secret_key: str) -> str:
    return f"[{name}]\naws_access_key_id={access_key}\naws_secret_access_key={secret_key}\n"


def _service_account(token_uri: str) -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )
    account = {
        "type": "service_account",
        "client_email": "fileroom@p1.example.com",
        "private_key": key.decode(),
        "token_uri": token_uri,
    }
    return json.dumps(account)


@contextmanager
def _token_server() -> Iterator[tuple[str, list[bytes]]]:
    """Run what gives out tokens, and collect what it was asked."""
    asked: list[bytes] = []

    class Tokens(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(self.rfile.read(int(self.headers["Content-Length"])))
            body = b'{"access_token": "token", "expires_in": 3600, "token_type": "Bearer"}'
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Tokens) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/token", asked
        finally:
            server.shutdown()
            thread.join()
