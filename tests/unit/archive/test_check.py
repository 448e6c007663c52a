"""Rows and blobs are compared: what is missing, what differs, what nobody names."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

from sqlalchemy import update

from fileroom.archive.check import (
    Fault,
    Finding,
    check_store,
    name_instances,
    queue_orphans,
)
from fileroom.archive.reach import Reach, Subset
from fileroom.database import operations, schema
from fileroom.database.instances import record_key
from tests.places import of_place
from tests.unit.archive.holding import (
    area,
    drop,
    drops,
    places,
    rows,
    store,
    write_blobs,
    write_large,
)
from tests.unit.database.rows import HOUR, add_claimed

if TYPE_CHECKING:
    from sqlalchemy import Executable

    from fileroom.database.operations import Operation
    from tests.unit.transfer.site import Site


def ended(site: Site) -> Operation:
    """Give an operation that has ended."""
    operation = running(site)
    site.database.write(
        lambda transaction: operations.finish_operation(
            transaction, operation, listed=0, retention_microseconds=HOUR
        )
    )
    return operation


def running(site: Site) -> Operation:
    return site.database.write(lambda tx: add_claimed(tx, store_id=site.store_id))


def offset(finding: Finding) -> int:
    return 0 if finding.place is None else finding.place.offset


def found(site: Site, *, deep: bool = False) -> dict[tuple[str, int], Fault]:
    store = area(site)
    findings = list(check_store(site.database, site.facilities.blobs, store, deep=deep))
    faults = {(finding.key, offset(finding)): finding.fault for finding in findings}
    assert len(faults) == len(findings)
    return faults


def test_store_whose_blobs_are_as_their_rows_say_has_no_faults(site: Site) -> None:
    writer = ended(site).id
    store(site, write_blobs(site, 10, writer=writer), writer=writer)

    assert found(site, deep=True) == {}


def test_each_damage_is_found(site: Site) -> None:
    writer = ended(site).id
    packs = [write_blobs(site, 3, writer=writer, first=3 * n) for n in range(4)]
    store(site, [record for pack in packs for record in pack], writer=writer)
    _, gone, short, damaged = packs
    (site.blobs / gone[0].place.key).unlink()
    os.truncate(site.blobs / short[0].place.key, short[2].place.offset + 1)
    of_place(site.blobs, damaged[0].place).flip_last()
    of_place(site.blobs, damaged[1].place).lose()
    (orphan,) = write_blobs(site, 1, writer=writer, content="uncommitted")

    quick = found(site)
    assert quick == {
        **dict.fromkeys(places(gone), Fault.MISSING),
        **dict.fromkeys(places(short[2:]), Fault.DIFFERING_SIZE),
        (short[0].place.key, 0): Fault.DAMAGED_FOOTER,
        **dict.fromkeys(places(damaged[1:2]), Fault.MISSING),
        (orphan.place.key, 0): Fault.ORPHANED,
    }
    assert found(site, deep=True) == {
        **quick,
        **dict.fromkeys(places(damaged[:1]), Fault.DIFFERING_CHECKSUM),
    }


def test_each_damage_of_a_large_instance_is_found(site: Site) -> None:
    writer = ended(site).id
    records = [write_large(site, n, writer=writer) for n in range(4)]
    store(site, records, writer=writer)
    paths = [site.blobs / record.place.key for record in records]
    paths[0].unlink()
    paths[1].write_bytes(b"short")
    of_place(site.blobs, records[2].place).flip_last()

    quick = found(site)
    assert quick == {
        (records[0].place.key, 0): Fault.MISSING,
        (records[1].place.key, 0): Fault.DIFFERING_SIZE,
    }
    assert found(site, deep=True) == {
        **quick,
        (records[2].place.key, 0): Fault.DIFFERING_CHECKSUM,
    }


def differing(site: Site) -> dict[str, tuple[str, ...]]:
    """Give by instance which attributes of it the index tells otherwise."""
    findings = check_store(site.database, site.facilities.blobs, area(site), deep=True)
    named = list(name_instances(site.database, findings))
    assert {finding.fault for finding in named} <= {Fault.DIFFERING_ATTRIBUTES}
    return {str(finding.instance).rpartition("/")[2]: finding.attributes for finding in named}


def change(site: Site, statement: Executable) -> None:
    site.database.write(lambda transaction: transaction.execute(statement))


def test_index_that_differs_from_the_bytes_is_found(site: Site) -> None:
    writer = ended(site).id
    records = write_blobs(site, 3, writer=writer)
    large = write_large(site, 3, writer=writer)
    store(site, [*records, large], writer=writer)
    assert differing(site) == {}

    instances = schema.instances.c
    keys = [record_key(record) for record in [*records, large]]
    for number, values in ((1, {"rows": 77, "sop_class_uid": "1.2.3"}), (3, {"rows": 78})):
        row = instances.sop_instance_uid == keys[number][2]
        change(site, update(schema.instances).where(row).values(values))
    assert found(site) == {}
    assert differing(site) == {keys[1][2]: ("SOPClassUID", "Rows"), keys[3][2]: ("Rows",)}


def test_study_is_compared_with_the_instance_that_describes_it(site: Site) -> None:
    writer = ended(site).id
    first = write_blobs(site, 2, writer=writer)
    other = write_blobs(site, 1, writer=writer, first=2, content="another patient")
    store(site, first, writer=writer)
    store(site, other, writer=writer)
    assert differing(site) == {}

    change(site, update(schema.studies).values(patient_id="forged", patient_name="forged"))
    assert differing(site) == {record_key(first[0])[2]: ("PatientID", "PatientName")}


def test_bytes_that_are_no_instance_any_more_are_told(site: Site) -> None:
    """As after a fault of ours: what was stored is there as it was, and cannot be read."""
    writer = ended(site).id
    records = write_blobs(site, 2, writer=writer)
    store(site, records, writer=writer)
    lying = of_place(site.blobs, records[1].place)
    lying.write(b"NONE", 128)
    sha256 = hashlib.sha256(lying.read()).digest()
    row = schema.instances.c.sop_instance_uid == record_key(records[1])[2]
    change(site, update(schema.instances).where(row).values(sha256=sha256))

    (finding,) = check_store(site.database, site.facilities.blobs, area(site), deep=True)
    assert (finding.fault, finding.cause) == (Fault.DIFFERING_ATTRIBUTES, "NOT_DICOM")


def test_subset_reads_its_part_and_looks_at_all(site: Site) -> None:
    writer = ended(site).id
    records = [write_large(site, number, writer=writer) for number in range(12)]
    store(site, records, writer=writer)
    (site.blobs / records[0].place.key).unlink()
    for record in records[1:]:
        of_place(site.blobs, record.place).flip_last()

    read: list[str] = []
    for number in (1, 2, 3):
        reach = Reach(deep=True, subset=Subset(number=number, of=3))
        blobs = site.facilities.blobs
        findings = list(check_store(site.database, blobs, area(site), reach=reach))
        missing = [one.key for one in findings if one.fault is Fault.MISSING]
        damaged = [one.key for one in findings if one.fault is Fault.DIFFERING_CHECKSUM]
        assert missing == [records[0].place.key]
        assert 0 < len(damaged) < 11
        read += damaged
    assert sorted(read) == sorted(record.place.key for record in records[1:])


def test_blob_of_an_operation_that_may_commit_it_is_no_orphan(site: Site) -> None:
    write_blobs(site, 3, writer=running(site).id)

    assert found(site) == {}


def test_blob_of_an_operation_that_began_later_is_no_orphan(site: Site) -> None:
    write_blobs(site, 1, writer=ended(site).id + 1)

    assert found(site) == {}


def test_other_files_are_no_orphans(site: Site) -> None:
    ended(site)
    (site.blobs / "00" / "note.txt").write_bytes(b"somebody's note")
    (site.blobs / "tmp" / ".fileroom-1-2").write_bytes(b"half a blob")

    assert found(site) == {}


def test_blob_that_is_queued_to_be_dropped_is_no_fault(site: Site) -> None:
    writer = ended(site).id
    packed = write_blobs(site, 2, writer=writer)
    large = [write_large(site, n, writer=writer) for n in range(2)]
    for record in [*packed, *large]:
        drop(site, record.place)
    of_place(site.blobs, packed[0].place).lose()
    (site.blobs / large[0].place.key).unlink()

    assert found(site) == {}


def test_orphans_are_queued_to_be_dropped_and_nothing_else(site: Site) -> None:
    writer = ended(site).id
    store(site, write_blobs(site, 5, writer=writer), writer=writer)
    orphans = write_blobs(site, 3, writer=writer, content="uncommitted")
    write_blobs(site, 2, writer=running(site).id, content="at work")

    assert queue_orphans(site.database, site.facilities.blobs, area(site)) == 1
    assert drops(site) == {(orphans[0].place.key, 0)}
    assert queue_orphans(site.database, site.facilities.blobs, area(site)) == 0


def test_member_that_stands_without_a_row_is_an_orphan(site: Site) -> None:
    """As after an older copy of a pack was put back."""
    writer = ended(site).id
    records = write_blobs(site, 3, writer=writer)
    store(site, records[1:], writer=writer)

    assert found(site) == {(records[0].place.key, 0): Fault.ORPHANED}
    assert queue_orphans(site.database, site.facilities.blobs, area(site)) == 1
    assert drops(site) == places(records[:1])
    assert found(site) == {}


def test_row_without_a_blob_is_told_and_kept(site: Site) -> None:
    writer = ended(site).id
    records = write_blobs(site, 2, writer=writer)
    store(site, records, writer=writer)
    (site.blobs / records[0].place.key).unlink()
    queue_orphans(site.database, site.facilities.blobs, area(site))

    assert set(found(site).values()) == {Fault.MISSING}
    assert len(rows(site)) == 2


def test_a_finding_is_named_by_the_instance_whose_row_names_the_place(site: Site) -> None:
    records = write_blobs(site, 3, writer=1)
    store(site, records, writer=1)
    (site.blobs / records[0].place.key).unlink()
    found = check_store(site.database, site.facilities.blobs, area(site))
    named = [str(one.instance) for one in name_instances(site.database, found)]
    assert sorted(named) == sorted(
        "studies/{}/series/{}/instances/{}".format(*record_key(record)) for record in records
    )
