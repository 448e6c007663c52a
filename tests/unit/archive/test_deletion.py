"""One instance is deleted at once; what it described is described by another one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fileroom.archive import deletion
from fileroom.archive.retrieve import StoreContent, find_instance, open_as_stored
from fileroom.database import schema
from fileroom.errors import NotFound
from fileroom.names import InstancePath, Uid
from tests.places import of_place
from tests.unit.archive.holding import drops, places, store, write_blobs
from tests.unit.database.rows import add_operation, all_rows
from tests.unit.transfer.site import uids

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Row, Table

    from fileroom.database.instances import InstanceRecord
    from tests.unit.transfer.site import Site


def content(site: Site) -> StoreContent:
    return StoreContent(
        database=site.database,
        blobs=site.facilities.blobs,
        buckets=site.facilities.buckets,
        store_id=site.store_id,
        blob_prefix=site.blob_prefix,
    )


def path(number: int) -> InstancePath:
    return InstancePath(*map(Uid, uids(number)))


def delete(site: Site, number: int) -> None:
    deletion.delete_instance(content(site), path(number), grace_seconds=60)


def rows(site: Site, table: Table) -> Sequence[Row[*tuple[object, ...]]]:
    with site.database.read() as connection:
        return all_rows(connection, table)


def filled(site: Site, *patients: str) -> list[InstanceRecord]:
    """Store instances of one series, each of a patient of its own."""
    records = [
        record
        for number, patient in enumerate(patients)
        for record in write_blobs(site, 1, writer=number + 1, content=patient, first=number)
    ]
    store(site, records, writer=1)
    return records


def test_deleted_instance_is_gone_and_its_bytes_wait_for_the_grace(site: Site) -> None:
    records = filled(site, "A", "B")
    delete(site, 1)

    assert [row.sop_instance_uid for row in rows(site, schema.instances)] == [uids(0)[2]]
    assert len(rows(site, schema.headers)) == 1
    (series,) = rows(site, schema.series)
    assert (series.instance_count, series.bytes) == (1, records[0].place.size)
    assert drops(site) == places(records[1:])
    assert site.standing() == places(records)
    with pytest.raises(NotFound):
        find_instance(content(site), path(1))
    with pytest.raises(NotFound):
        delete(site, 1)


def test_download_that_is_under_way_ends_whole(site: Site) -> None:
    (record,) = filled(site, "A")
    whole = of_place(site.blobs, record.place).read()
    file = open_as_stored(content(site), find_instance(content(site), path(0)))
    delete(site, 0)

    assert b"".join(file.pieces) == whole


def test_next_instance_describes_study_and_series(site: Site) -> None:
    filled(site, "A", "B", "C")
    delete(site, 0)

    (study,), (series,) = rows(site, schema.studies), rows(site, schema.series)
    first = rows(site, schema.instances)[0]
    assert study.described_by == series.described_by == first.id
    assert study.patient_id == "B"
    delete(site, 2)
    assert rows(site, schema.studies)[0].patient_id == "B"


def test_damaged_neighbour_keeps_nobody_from_deleting(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    records = filled(site, "A", "B")
    (site.blobs / records[1].place.key).unlink()
    delete(site, 0)

    (study,) = rows(site, schema.studies)
    assert study.described_by == rows(site, schema.instances)[0].id
    assert study.patient_id == "A"
    assert "keeps its attributes" in caplog.text


def test_last_instance_takes_series_and_study_with_it(site: Site) -> None:
    filled(site, "A")
    delete(site, 0)

    assert not any(rows(site, table) for table in (schema.instances, schema.series, schema.studies))


@pytest.mark.parametrize("importing", [False, True])
def test_tombstone_is_written_only_while_an_import_could_heed_it(
    site: Site, importing: bool
) -> None:
    filled(site, "A")
    if importing:
        site.database.write(lambda tx: add_operation(tx, store_id=site.store_id))
    delete(site, 0)

    found = [
        (row.study_instance_uid, row.series_instance_uid, row.sop_instance_uid)
        for row in rows(site, schema.tombstones)
    ]
    assert found == ([uids(0)] if importing else [])
