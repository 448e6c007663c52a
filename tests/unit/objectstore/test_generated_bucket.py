"""The bucket that scale is measured with holds what it says, and keeps the contract's order."""

from __future__ import annotations

import io
import pickle
from typing import TYPE_CHECKING

import pydicom
import pytest

from fileroom.dicom.part10 import scan
from fileroom.errors import Aborted, NotFound
from fileroom.objectstore.buckets import open_bucket
from tests.generated_bucket import GeneratedBucketSettings, generated_file, generated_key

if TYPE_CHECKING:
    from fileroom.objectstore.contract import Bucket

COUNT = 2345


@pytest.fixture
def bucket() -> Bucket:
    settings = GeneratedBucketSettings(name="gs://generated", count=COUNT)
    return open_bucket(pickle.loads(pickle.dumps(settings)))


def test_it_lists_every_object_once_in_key_order(bucket: Bucket) -> None:
    keys = [entry.key for entry in bucket.list()]
    assert keys == sorted(set(keys))
    assert len(keys) == COUNT
    for number in (0, 999, 1000, COUNT - 1):
        assert [entry.key for entry in bucket.list(start_after=keys[number])] == keys[number + 1 :]
    study = keys[1000].partition("/")[0]
    assert [entry.key for entry in bucket.list(f"{study}/")] == keys[1000:2000]
    assert len(list(bucket.list_directory())) == 3
    assert bucket.is_directory(study)
    assert not bucket.is_directory("none")


def test_an_object_is_read_as_it_is_listed(bucket: Bucket) -> None:
    for entry in list(bucket.list())[:: COUNT // 5]:
        assert bucket.find(entry.key) == entry
        with bucket.open(entry.key, entry.version) as opened:
            data = opened.read_at(0, opened.size)
        assert len(data) == entry.size == opened.size
        assert opened.read_at(100, 50) == data[100:150]
        assert bucket.read(entry.key) == data
    assert bucket.find("absent") is None
    with pytest.raises(NotFound):
        bucket.open(generated_key(COUNT))
    with pytest.raises(Aborted):
        bucket.open(generated_key(0), "2")


def test_each_file_is_an_instance_of_its_own() -> None:
    found = [scan(generated_file(number)).attributes for number in range(1500)]
    assert len({each.sop_instance_uid for each in found}) == 1500
    assert len({each.series_instance_uid for each in found}) == 6
    assert len({each.study_instance_uid for each in found}) == 2
    data_set = pydicom.dcmread(io.BytesIO(generated_file(1200)))
    assert data_set.SOPInstanceUID == data_set.file_meta.MediaStorageSOPInstanceUID
    assert data_set.SOPInstanceUID == found[1200].sop_instance_uid
    assert data_set.pixel_array.shape == (16, 32)
    assert 1000 < len(generated_file(0)) < 2000
