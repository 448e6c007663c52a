"""The archive's own bytes in a cloud that fails or lies: nothing is lost, no instance blamed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from fileroom.archive.check import Fault, check_store
from fileroom.archive.packs import delete_members, open_place
from fileroom.errors import FailedPrecondition, Unavailable
from fileroom.objectstore.blobs import cloud
from fileroom.objectstore.blobs.cloud import CloudBlobs
from fileroom.objectstore.buckets import Buckets
from fileroom.objectstore.local import Extent
from fileroom.transfer.exporting.reading import check_readable
from tests.hostile_buckets import bucket, frozen, hostile, opened, storage, waits
from tests.hostile_storage import HostileBucket, Rule, ended, flipped, refused_as
from tests.unit.archive.holding import area, store, write_blobs
from tests.unit.transfer.site import opened_site

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fileroom.database.instances import InstanceRecord
    from fileroom.objectstore.cloud import CloudBucket
    from tests.unit.transfer.site import Site

__all__ = ["bucket", "frozen", "hostile", "opened", "storage", "waits"]


@pytest.fixture
def blobs(bucket: CloudBucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CloudBlobs:
    """The archive's own bytes in the hostile bucket."""
    bucket._attempts._is_own = True
    monkeypatch.setattr(cloud, "_open_own", lambda _: bucket)
    cloud._bucket_of.cache_clear()
    return CloudBlobs(bucket.address, "", tmp_path / "scratch")


@pytest.fixture
def site(blobs: CloudBlobs, tmp_path: Path) -> Iterator[Site]:
    """A store whose blobs are in that bucket."""
    with opened_site(tmp_path / "site") as made:
        yield replace(made, facilities=replace(made.facilities, blobs=blobs))


def test_a_rotten_pack_is_told_of_and_the_check_goes_on(
    site: Site, blobs: CloudBlobs, hostile: HostileBucket
) -> None:
    packs = [write_blobs(site, 3, writer=1, first=first) for first in (0, 3, 6)]
    store(site, [record for pack in packs for record in pack], writer=1)
    rotten = packs[1][0].place
    key = f"{site.blob_prefix}/{rotten.key}"
    hostile.obey(Rule(fault=flipped(rotten.offset + 200), operation="get", key=key))

    found = list(check_store(site.database, blobs, area(site), deep=True))
    assert {(one.fault, one.key) for one in found} == {(Fault.DIFFERING_CHECKSUM, rotten.key)}
    assert len(found) == 3
    # To write it again would make what is rotten look whole.
    extent = Extent(rotten.offset, rotten.size)
    with pytest.raises(FailedPrecondition, match="restore it from a backup"):
        delete_members(blobs.bucket(site.blob_prefix), rotten.key, [extent])


@pytest.mark.parametrize("fault", ["denied", "closed"])
def test_what_the_bucket_does_not_give_is_no_instances_fault(
    site: Site, blobs: CloudBlobs, hostile: HostileBucket, fault: str
) -> None:
    (record,) = written = write_blobs(site, 1, writer=1)
    store(site, written, writer=1)
    rule = refused_as("denied") if fault == "denied" else ended("closed")
    hostile.obey(Rule(fault=rule, operation="get"))
    with pytest.raises(Unavailable):
        check_readable(blobs.bucket(site.blob_prefix), record.place, Buckets((), None))
    hostile.mend()
    _read(blobs, site, record)


def _read(blobs: CloudBlobs, site: Site, record: InstanceRecord) -> None:
    with open_place(blobs.bucket(site.blob_prefix), record.place) as content:
        assert len(content.read_at(0, record.place.size)) == record.place.size
