"""What no row names any more is told of beside the blobs, until its bytes are gone."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest

from fileroom.archive import deletion
from fileroom.archive.check import Fault, check_store, queue_orphans
from fileroom.archive.collect import Collector
from fileroom.archive.layout import MARKS, find_identity
from fileroom.archive.marks import mark_deletions, read_mark
from fileroom.archive.retrieve import StoreContent
from fileroom.database import stores
from fileroom.errors import DataLoss
from fileroom.names import InstancePath, Uid
from tests.unit.archive.holding import area, drops, store, write_blobs
from tests.unit.database.rows import STORE
from tests.unit.transfer.site import uids

if TYPE_CHECKING:
    from fileroom.database.instances import InstanceRecord
    from fileroom.database.marks import MarkedDrop
    from tests.unit.transfer.site import Site


def stored(site: Site, count: int, *, writer: int = 1, content: str = "P") -> list[InstanceRecord]:
    records = write_blobs(site, count, writer=writer, content=content)
    store(site, records, writer=writer)
    return records


def delete(site: Site, number: int, *, grace_seconds: float = 3600) -> None:
    content = StoreContent(
        database=site.database,
        blobs=site.facilities.blobs,
        buckets=site.facilities.buckets,
        store_id=site.store_id,
        blob_prefix=site.blob_prefix,
    )
    path = InstancePath(*map(Uid, uids(number)))
    deletion.delete_instance(content, path, grace_seconds=grace_seconds)


def marks(site: Site) -> list[str]:
    bucket = site.facilities.blobs.bucket(site.blob_prefix)
    return [entry.key for entry in bucket.list() if entry.key.startswith(f"{MARKS}/")]


def marked(site: Site) -> list[MarkedDrop]:
    bucket = site.facilities.blobs.bucket(site.blob_prefix)
    return [drop for key in marks(site) for drop in read_mark(bucket, key)]


def collect(site: Site) -> None:
    blobs = site.facilities.blobs
    Collector(site.database, blobs, interval_seconds=0.01, after_crash=False).collect()


def test_deleted_instance_is_marked_when_its_deletion_returns(site: Site) -> None:
    records = stored(site, 3)
    delete(site, 1)

    (drop,) = marked(site)
    place = records[1].place
    assert (drop.place, drop.place_key, drop.place_offset) == (place.kind, place.key, place.offset)
    assert (drop.size, drop.instance) == (place.size, uids(1))


def test_replaced_instance_is_marked_by_the_collector(site: Site) -> None:
    old = stored(site, 2)
    stored(site, 2, writer=2, content="Q")
    assert marked(site) == []

    assert mark_deletions(site.database, site.facilities.blobs) == 2
    assert mark_deletions(site.database, site.facilities.blobs) == 0
    assert {(drop.place_key, drop.place_offset) for drop in marked(site)} == {
        (record.place.key, record.place.offset) for record in old
    }


def test_what_never_had_a_row_needs_no_mark(site: Site) -> None:
    stored(site, 2)
    stored(site, 2, writer=1)  # identical: the second blobs are of no use

    assert len(drops(site)) == 2
    assert mark_deletions(site.database, site.facilities.blobs) == 0


def test_mark_goes_with_the_last_bytes_that_it_tells_of(site: Site) -> None:
    stored(site, 3)
    stored(site, 2, writer=2, content="Q")
    mark_deletions(site.database, site.facilities.blobs)
    assert len(marks(site)) == 1
    collect(site)

    assert drops(site) == set()
    assert marks(site) == []


def test_mark_stays_while_any_of_its_bytes_do(site: Site) -> None:
    stored(site, 2)
    delete(site, 0)
    collect(site)

    assert len(marks(site)) == 1
    assert len(marked(site)) == 1


def test_mark_that_a_crash_left_is_collected_once_it_is_old(site: Site) -> None:
    blobs = site.facilities.blobs
    key = f"{MARKS}/left"
    blobs.bucket(site.blob_prefix).write(key, [b'{"form":1,"drops":[]}'])
    assert list(check_store(site.database, blobs, area(site))) == []

    an_hour_ago = time.time() - 7200
    os.utime(site.blobs / key, (an_hour_ago, an_hour_ago))
    (finding,) = check_store(site.database, blobs, area(site))
    assert (finding.fault, finding.key) == (Fault.ORPHANED, key)
    queue_orphans(site.database, blobs, area(site))
    collect(site)
    assert marks(site) == []


def test_old_mark_that_is_needed_is_no_orphan(site: Site) -> None:
    stored(site, 2)
    delete(site, 0)
    (key,) = marks(site)
    os.utime(site.blobs / key, (0, 0))

    assert list(check_store(site.database, site.facilities.blobs, area(site))) == []


def test_damaged_mark_says_so(site: Site) -> None:
    bucket = site.facilities.blobs.bucket(site.blob_prefix)
    bucket.write(f"{MARKS}/bad", [b'{"form":1'])
    with pytest.raises(DataLoss, match="the mark deleted/bad is damaged"):
        read_mark(bucket, f"{MARKS}/bad")


def test_store_is_said_to_be_deleted_before_its_blobs_go(site: Site) -> None:
    stored(site, 2)
    site.database.write(lambda transaction: stores.delete_dicom_store(transaction, STORE))
    blobs = site.facilities.blobs
    collector = Collector(site.database, blobs, interval_seconds=0.01, after_crash=False)
    collector.stop()  # which leaves off after the first slice
    collector.collect()

    identity = find_identity(blobs, site.blob_prefix)
    assert identity is not None
    assert identity.deleted
