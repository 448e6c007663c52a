"""A cloud lets nobody in any more, or sends elsewhere; a bucket says so, and goes nowhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from fileroom.errors import FileroomError, PermissionDenied, Unavailable
from fileroom.objectstore.cloud.attempts import DENIED_MAX
from tests.hostile_buckets import (
    Opening,
    bucket,
    filled,
    frozen,
    hostile,
    keys_of,
    opened,
    storage,
    waits,
)
from tests.hostile_dialects import Reply
from tests.hostile_storage import (
    HostileBucket,
    HostileStorage,
    Rule,
    Trap,
    refused,
    refused_as,
    write_credentials,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fileroom.objectstore.cloud import CloudBucket

__all__ = ["bucket", "frozen", "hostile", "opened", "storage", "waits"]

CONTENT: Final = bytes(1000)
HANDFUL: Final = 4


def _asking(bucket: CloudBucket) -> dict[str, Callable[[], object]]:
    return {
        "list": lambda: keys_of(bucket),
        "find": lambda: bucket.find("a"),
        "read": lambda: bucket.read("a"),
        "write": lambda: bucket.write("b", [CONTENT]),
        "write a large one": lambda: bucket.write("b", [bytes(9 << 20)]),
        "delete": lambda: bucket.delete("a"),
        "is_directory": lambda: bucket.is_directory(""),
    }


def test_credentials_that_expired_are_a_fault_of_the_environment(
    bucket: CloudBucket, hostile: HostileBucket
) -> None:
    hostile.put("a", CONTENT)
    hostile.obey(Rule(fault=refused_as("expired")))

    for ask in _asking(bucket).values():
        hostile.requests.clear()
        with pytest.raises(Unavailable, match="fileroom buckets check") as caught:
            ask()
        assert f"{hostile.scheme}://scans" in caught.value.message
        assert len(hostile.asked()) <= HANDFUL


@pytest.mark.parametrize("storage", ["s3", "az"], indirect=True)
def test_credentials_are_read_again_once_they_were_renewed(
    hostile: HostileBucket,
    opened: Opening,
    tmp_path: Path,
) -> None:
    """A token of Cloud Storage is renewed by its key, which lasts."""
    hostile.put("a", CONTENT)
    hostile.obey(Rule(fault=refused_as("expired"), when=lambda asked: asked.identity != "new"))
    file = tmp_path / "credentials"
    bucket = opened(hostile, write_credentials(file, hostile.scheme, "old"))
    with pytest.raises(Unavailable):
        keys_of(bucket)
    write_credentials(file, hostile.scheme, "new")

    assert keys_of(bucket) == ["a"]
    assert bucket.read("a") == CONTENT


def test_an_object_that_may_not_be_read_does_not_keep_others_from_it(
    bucket: CloudBucket, hostile: HostileBucket
) -> None:
    content = filled(hostile, 3)
    hostile.obey(Rule(fault=refused_as("denied"), operation="get", key="d/001"))

    for _ in range(2):
        assert bucket.read("d/000") == content["d/000"]
        with pytest.raises(PermissionDenied, match="scans"):
            bucket.read("d/001")
        assert bucket.read("d/002") == content["d/002"]


def test_a_bucket_that_opens_nothing_any_more_is_a_fault_of_the_environment(
    bucket: CloudBucket, hostile: HostileBucket
) -> None:
    filled(hostile, DENIED_MAX + 5)
    entries = list(bucket.list())
    hostile.obey(Rule(fault=refused_as("denied"), operation="get"))
    errors: list[FileroomError] = []
    for entry in entries:
        try:
            bucket.open(entry.key, entry.version, size=entry.size).read_at(0, entry.size)
        except FileroomError as error:
            errors.append(error)

    assert [type(error) for error in errors[:-6]] == [PermissionDenied] * (DENIED_MAX - 1)
    assert {type(error) for error in errors[-6:]} == {Unavailable}


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_nobody_is_led_to_another_place(
    bucket: CloudBucket, hostile: HostileBucket, status: int
) -> None:
    hostile.put("a", CONTENT)
    with Trap() as trap:
        headers = {"Location": f"{trap.url}/scans/a", "x-amz-bucket-region": "eu-west-1"}
        hostile.obey(Rule(fault=refused(status, "PermanentRedirect", headers=headers)))
        for ask in _asking(bucket).values():
            with pytest.raises(FileroomError):
                ask()
        assert trap.connections == 0


def test_an_upload_is_not_led_to_another_place(
    opened: Opening,
) -> None:
    with HostileStorage("gs") as storage, Trap() as trap:
        hostile = storage.bucket()
        headers = {"Location": f"{trap.url}/upload/storage/v1/b/scans/o?upload_id=1"}
        hostile.obey(
            Rule(fault=lambda _, __: Reply(headers=headers), operation="begin"),
        )
        with pytest.raises(FileroomError):
            opened(hostile, "anonymous").write("a", [bytes(9 << 20)])
        assert trap.connections == 0
