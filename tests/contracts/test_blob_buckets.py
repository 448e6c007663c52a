"""The archive's own bytes are kept alike in a directory and in each cloud."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

import pytest

from fileroom.errors import Unavailable
from fileroom.objectstore.blobs.cloud import CloudBlobs
from fileroom.objectstore.blobs.local import LocalBlobs
from fileroom.objectstore.buckets import cloud_address
from fileroom.objectstore.contract import BUCKET_SETTINGS
from tests.contracts.blob_bucket import BlobBucketContract
from tests.emulators import emulators

if TYPE_CHECKING:
    from pathlib import Path

    from fileroom.objectstore.blobs.contract import Blobs
    from tests.emulators import Emulators

__all__ = ["emulators"]


class TestLocalBlobs(BlobBucketContract):
    """Blobs in a directory."""

    @pytest.fixture
    def blobs(self, tmp_path: Path) -> Blobs:
        return LocalBlobs(tmp_path)


class CloudBlobsContract(BlobBucketContract):
    """Blobs in a bucket of a cloud."""

    emulator_name: ClassVar[str]

    @pytest.fixture
    def blobs(self, emulators: Emulators, tmp_path: Path) -> CloudBlobs:
        place = emulators.running(self.emulator_name).new_bucket()
        return CloudBlobs(cloud_address(place), "archive/", tmp_path)

    def test_a_bucket_that_is_gone_is_no_blobs_fault(self, blobs: CloudBlobs) -> None:
        name = f"{blobs.address.bucket}-gone"
        lost = CloudBlobs(replace(blobs.address, bucket=name), "archive/", blobs.scratch)
        bucket = lost.bucket("store")
        for ask in (
            lambda: lost.make("store", ()),
            lambda: bucket.is_directory(""),
            lambda: bucket.open("00/a"),
            lambda: bucket.write("00/a", [b"x"]),
            lambda: bucket.delete("00/a"),
        ):
            with pytest.raises(Unavailable, match="does not exist") as caught:
                ask()
            assert caught.value.detail == BUCKET_SETTINGS


class TestFakeGcsServer(CloudBlobsContract):
    """fake-gcs-server."""

    emulator_name = "fake-gcs-server"


class TestMoto(CloudBlobsContract):
    """moto."""

    emulator_name = "moto"


class TestSeaweedFs(CloudBlobsContract):
    """SeaweedFS, a real object store."""

    emulator_name = "seaweedfs"


class TestAzurite(CloudBlobsContract):
    """azurite."""

    emulator_name = "azurite"
