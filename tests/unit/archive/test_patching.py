"""Attributes of one instance are replaced: durably, in place, and never over others' changes."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from fileroom.archive import patching
from fileroom.archive.check import check_store
from fileroom.archive.layout import STORE_ID_FILE
from fileroom.archive.patching import patch_instance, patched_file
from fileroom.archive.retrieve import StoreContent, find_instance, open_as_stored
from fileroom.archive.rewriting import RewrittenFiles
from fileroom.archive.storing import StoringRequests
from fileroom.database import schema
from fileroom.database.engine import now_microseconds
from fileroom.database.instances import deleting
from fileroom.errors import Aborted, DataLoss, InvalidArgument, NotFound, Unavailable
from fileroom.names import InstancePath, Uid
from tests.against_pydicom import read_by_pydicom
from tests.corpus import BIG_ENDIAN, DEFLATED, IMPLICIT, minimal_instance
from tests.stored import stored as scanned
from tests.unit.archive.holding import area, drops, rows, store, write_blobs, write_large
from tests.unit.archive.test_storing import begin
from tests.unit.database.rows import all_rows
from tests.unit.transfer.site import instance, uids

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Row

    from fileroom.database.values.stored import StoredInstance
    from tests.unit.transfer.site import Site

PATCH: dict[str, Any] = {"00100020": {"vr": "LO", "Value": ["NEW"]}}
GRACE = 60.0


@pytest.fixture
def requests() -> StoringRequests:
    return StoringRequests()


def content(site: Site) -> StoreContent:
    return StoreContent(
        database=site.database,
        blobs=site.facilities.blobs,
        buckets=site.facilities.buckets,
        store_id=site.store_id,
        blob_prefix=site.blob_prefix,
    )


def path(number: int = 0) -> InstancePath:
    return InstancePath(*map(Uid, uids(number)))


def patch(site: Site, requests: StoringRequests, model: dict[str, Any] = PATCH) -> None:
    patch_instance(content(site), requests, path(), model, grace_seconds=GRACE)


def read(site: Site, number: int = 0) -> bytes:
    found = find_instance(content(site), path(number))
    return b"".join(open_as_stored(content(site), found).pieces)


def table(site: Site, name: str) -> Sequence[Row[*tuple[object, ...]]]:
    with site.database.read() as connection:
        return all_rows(connection, schema.metadata.tables[name])


def kept(row: Row[*tuple[object, ...]]) -> tuple[object, ...]:
    return row.id, row.created_seq, row.storage_class, row.storage_class_updated_at, row.stored_at


def check(site: Site) -> None:
    """No blob is missing, damaged or an orphan."""
    assert list(check_store(site.database, site.facilities.blobs, area(site), deep=True)) == []


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.clause(
    "Fileroom patching",
    "the row of a patched instance keeps its id, its place in listings and its storage class; the"
    " bytes before stay for the grace",
    holds="own rule",
)
def test_instance_is_replaced_in_place(site: Site, requests: StoringRequests, large: bool) -> None:
    records = [write_large(site, 0, writer=1)] if large else write_blobs(site, 3, writer=1)
    store(site, records, writer=1)
    before = rows(site)[0]
    now = now_microseconds()
    patch(site, requests)

    after = rows(site)[0]
    assert kept(after) == kept(before)
    assert after.changed_seq > before.changed_seq
    assert read(site) == instance(uids(0), patient_id="NEW")
    assert after.size == len(read(site))
    (series,) = table(site, "series")
    assert series.changed_seq == after.changed_seq
    assert series.bytes == sum(row.size for row in rows(site))
    (drop,) = table(site, "blob_drops")
    assert (drop.place_key, drop.place_offset) == (before.place_key, before.place_offset)
    assert drop.not_before >= now + int(GRACE * 1_000_000)
    check(site)


def test_study_is_described_and_found_by_what_was_patched(
    site: Site, requests: StoringRequests
) -> None:
    store(site, write_blobs(site, 2, writer=1), writer=1)
    patch(site, requests)

    (study,) = table(site, "studies")
    assert study.patient_id == "NEW"
    assert scanned(read(site)).header == scanned(instance(uids(0), patient_id="NEW")).header
    assert {row.instance_id for row in table(site, "headers")} == {row.id for row in rows(site)}


@pytest.mark.parametrize("syntax", [IMPLICIT, BIG_ENDIAN, DEFLATED])
def test_instance_keeps_its_transfer_syntax_and_its_pixels(
    site: Site, requests: StoringRequests, syntax: str
) -> None:
    root, series, one = uids(0)
    data = minimal_instance(
        study_instance_uid=root,
        series_instance_uid=series,
        sop_instance_uid=one,
        transfer_syntax_uid=syntax,
        rows=64,
        columns=64,
        pixel_data=list(range(4096)),
    )
    storing = begin(site, requests, data)
    assert [outcome.failure for outcome in storing.store()] == [None]
    storing.close()
    patch(site, requests)

    before, after = read_by_pydicom(data), read_by_pydicom(read(site))
    assert after.PatientID == "NEW"
    after.PatientID = before.PatientID
    assert after == before
    assert after.file_meta.TransferSyntaxUID == syntax
    assert rows(site)[0].transfer_syntax_uid == syntax
    check(site)


@pytest.mark.clause(
    "Fileroom patching",
    "a patch that changes no byte leaves the instance as it is: done again, it does nothing",
    holds="own rule",
)
def test_patch_done_again_changes_nothing(site: Site, requests: StoringRequests) -> None:
    store(site, write_blobs(site, 1, writer=1), writer=1)
    patch(site, requests)
    before, files = rows(site), site.blob_files()
    patch(site, requests)

    assert rows(site) == before
    assert site.blob_files() == files
    check(site)


@pytest.mark.clause(
    "Fileroom patching",
    "an instance that others replaced between its reading and the commit of its patch is patched"
    " again from the bytes it has then",
    holds="own rule",
)
def test_change_of_others_is_not_lost(
    site: Site, requests: StoringRequests, monkeypatch: pytest.MonkeyPatch
) -> None:
    store(site, write_blobs(site, 1, writer=1), writer=1)
    add, times = RewrittenFiles.add, []

    def add_then_replaced(files: RewrittenFiles, stored: StoredInstance) -> bool:
        added = add(files, stored)
        times.append(1)
        if len(times) < 3:
            writer = 1 + len(times)
            content = f"OTHER{len(times)}"
            store(site, write_blobs(site, 1, writer=writer, content=content), writer=writer)
        return added

    monkeypatch.setattr(RewrittenFiles, "add", add_then_replaced)
    patch(site, requests, {"00100010": {"vr": "PN", "Value": [{"Alphabetic": "New"}]}})

    assert len(times) == 3
    assert read(site) == instance(uids(0), patient_id="OTHER2", patient_name="New")
    row = rows(site)[0]
    assert (row.place_key, row.place_offset) not in drops(site)
    check(site)


def test_patch_that_never_comes_to_it_gives_up_and_leaves_nothing(
    site: Site, requests: StoringRequests, monkeypatch: pytest.MonkeyPatch
) -> None:
    store(site, write_blobs(site, 1, writer=1), writer=1)
    monkeypatch.setattr(patching, "ATTEMPTS_MAX", 2)
    add, writers = RewrittenFiles.add, iter(range(2, 99))

    def add_then_replaced(files: RewrittenFiles, stored: StoredInstance) -> bool:
        added, writer = add(files, stored), next(writers)
        store(site, write_blobs(site, 1, writer=writer, content=f"O{writer}"), writer=writer)
        return added

    monkeypatch.setattr(RewrittenFiles, "add", add_then_replaced)
    with pytest.raises(Aborted, match="others"):
        patch(site, requests)

    assert read(site) == instance(uids(0), patient_id="O3")
    check(site)


@pytest.mark.clause(
    "Fileroom patching",
    "an instance that is deleted while it is patched stays deleted",
    holds="own rule",
)
def test_deleted_meanwhile_stays_deleted(
    site: Site, requests: StoringRequests, monkeypatch: pytest.MonkeyPatch
) -> None:
    store(site, write_blobs(site, 1, writer=1), writer=1)
    add = RewrittenFiles.add

    def add_then_deleted(files: RewrittenFiles, stored: StoredInstance) -> bool:
        added = add(files, stored)
        site.database.write(
            lambda tx: deleting.delete_instance(
                tx, site.store_id, path(), grace_microseconds=0, known={}
            )
        )
        return added

    monkeypatch.setattr(RewrittenFiles, "add", add_then_deleted)
    with pytest.raises(NotFound):
        patch(site, requests)

    assert rows(site) == []
    assert len(drops(site)) == 2
    check(site)


@pytest.mark.clause(
    "Fileroom patching",
    "stored bytes that differ from their checksum are not patched: a new checksum would make the"
    " damage look whole",
    holds="own rule",
)
def test_damage_is_not_made_to_look_whole(site: Site, requests: StoringRequests) -> None:
    record = write_large(site, 0, writer=1)
    store(site, [record], writer=1)
    blob = site.blobs / record.place.key
    data = bytearray(blob.read_bytes())
    data[10] ^= 1
    blob.chmod(0o600)
    blob.write_bytes(data)
    with pytest.raises(DataLoss, match="checksum"):
        patch(site, requests)

    assert rows(site)[0].place_key == record.place.key


@pytest.mark.parametrize("name", ["00080016", "00080018", "0020000D", "0020000E"])
def test_uids_do_not_change_and_nothing_is_left(
    site: Site, requests: StoringRequests, name: str
) -> None:
    store(site, write_blobs(site, 1, writer=1), writer=1)
    files = site.blob_files()
    with pytest.raises(InvalidArgument, match=name):
        patch(site, requests, {name: {"vr": "UI", "Value": ["1.2"]}})

    assert site.blob_files() == files
    assert list((site.blobs / "tmp").iterdir()) == []


def test_files_that_break_off_are_told_of_and_orphans(site: Site) -> None:
    requests = StoringRequests()
    suspected: list[int] = []
    requests.on_broken_off(suspected.append)
    store(site, write_blobs(site, 1, writer=1), writer=1)
    files = RewrittenFiles(requests, content(site), partial(patched_file, model=PATCH))
    files.add(find_instance(content(site), path()))

    def broken(*_: object) -> None:
        raise Unavailable("no database")

    with pytest.raises(Unavailable):
        files.commit(broken)
    files.close()

    assert suspected == [site.store_id]
    found = check_store(site.database, site.facilities.blobs, area(site), living=requests.living())
    assert [finding.fault for finding in found] == ["ORPHANED"]


def test_missing_disk_of_blobs_is_no_loss(site: Site, requests: StoringRequests) -> None:
    store(site, write_blobs(site, 1, writer=1), writer=1)
    site.facilities.blobs.bucket(site.blob_prefix).delete(STORE_ID_FILE)
    with pytest.raises(Unavailable, match="mounted"):
        patch(site, requests)
