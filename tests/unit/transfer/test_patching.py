"""The same attributes of a whole study or series are replaced, slice by slice and to the end."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from fileroom.archive.check import check_store
from fileroom.archive.deletion import delete_instance
from fileroom.archive.patching import patched_file
from fileroom.archive.retrieve import StoreContent, open_as_stored
from fileroom.archive.retrieve import find_instance as find
from fileroom.archive.rewriting import RewrittenFiles
from fileroom.database import operations, schema
from fileroom.database.collection import StoreArea
from fileroom.database.instances import replace_rewritten
from fileroom.database.operations import Kind
from fileroom.errors import Cancelled, InvalidArgument, NotFound, Reason
from fileroom.operations.operation import account, ended_well, ended_with_failures
from fileroom.transfer.changing import patching, rewriting
from fileroom.transfer.changing.patching import PATCH_BYTES_MAX, PatchJob, request_patch
from fileroom.transfer.importing.job import ImportJob
from tests import corpus
from tests.unit.database.rows import STORE
from tests.unit.transfer.site import instance, uids
from tests.unit.transfer.test_changing import OTHER, STUDY, end, fill, import_run, path, rows

if TYPE_CHECKING:
    from collections.abc import Callable

    from fileroom.database.values.stored import StoredInstance
    from fileroom.errors import ObjectFailure
    from fileroom.operations.runner import Run
    from tests.unit.transfer.site import UIDS, Site

NAME = "00100010"
KEYS = [uids(number, series=series) for series in (1, 2) for number in (1, 2, 3)]


def named(name: str) -> dict[str, Any]:
    return {NAME: {"vr": "PN", "Value": [{"Alphabetic": name}]}}


def asked(site: Site, model: object, *prefix: str) -> Run:
    name = request_patch(
        site.facilities,
        STORE,
        path(*prefix),
        json.dumps(model).encode(),
        api_version="v1beta1",
        permission="healthcare.dicomStores.dicomWebUpdate",
    )
    return site.claim(name)


def patch(site: Site, run: Run) -> bool:
    return PatchJob(facilities=site.facilities)(run)


def content(site: Site) -> StoreContent:
    return StoreContent(
        database=site.database,
        blobs=site.facilities.blobs,
        buckets=site.facilities.buckets,
        store_id=site.store_id,
        blob_prefix=site.blob_prefix,
    )


def stored(site: Site, key: UIDS) -> bytes:
    return b"".join(open_as_stored(content(site), find(content(site), path(*key))).pieces)


def failures(site: Site, run: Run) -> list[ObjectFailure]:
    with site.database.read() as connection:
        return list(operations.list_failures(connection, run.operation.name).items)


def counted(run: Run) -> tuple[int, int, int, int]:
    counters = run.read().counters
    return counters.listed, counters.updated, counters.unchanged, counters.failed


def check(site: Site) -> None:
    area = StoreArea(id=site.store_id, blob_prefix=site.blob_prefix)
    assert list(check_store(site.database, site.facilities.blobs, area, deep=True)) == []


@pytest.fixture
def slices_of_two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rewriting, "SLICE_PARTS", 2)


def when_added(
    monkeypatch: pytest.MonkeyPatch, then: Callable[[StoredInstance], None], times: int = 1
) -> None:
    """Have something happen between an instance's reading and its commit."""
    add, left = RewrittenFiles.add, [times]

    def add_then(files: RewrittenFiles, found: StoredInstance) -> bool:
        added = add(files, found)
        if left[0]:
            left[0] -= 1
            then(found)
        return added

    monkeypatch.setattr(RewrittenFiles, "add", add_then)


@pytest.mark.usefixtures("slices_of_two")
@pytest.mark.clause(
    "Cloud Healthcare v1beta1 dicomStores.studies.updateMetadata",
    "every instance of the study or series has the value, no other one is touched, and the counter"
    " tells them all",
)
@pytest.mark.parametrize(("levels", "patched"), [(1, 6), (2, 3)])
def test_all_instances_have_the_same_value(site: Site, levels: int, patched: int) -> None:
    fill(site, *KEYS, uids(9, study=2))
    created = [(row.id, row.created_seq) for row in rows(site, schema.instances)]
    run = asked(site, named("New"), *KEYS[0][:levels])
    assert patch(site, run)

    for number, key in enumerate(KEYS):
        name = "New" if number < patched else "Sample^Sam"
        assert stored(site, key) == instance(key, patient_name=name)
    assert stored(site, uids(9, study=2)) == instance(uids(9, study=2))
    assert [(row.id, row.created_seq) for row in rows(site, schema.instances)] == created
    names = {row.study_instance_uid: row.patient_name for row in rows(site, schema.studies)}
    assert names == {STUDY[0]: "New", OTHER[0]: "Sample^Sam"}
    assert counted(run) == (patched, patched, 0, 0)
    progress = run.read()
    assert progress.total == patched
    kind = Kind.UPDATE_STUDY if levels == 1 else Kind.UPDATE_SERIES
    assert progress.kind is kind
    assert str(ended_well(progress)["@type"]).endswith(f"dicom.{kind}Response")
    check(site)


@pytest.mark.usefixtures("slices_of_two")
def test_patch_that_was_stopped_goes_on_after_its_cursor(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(site, *KEYS)
    run = asked(site, named("New"), *STUDY)
    look = type(run).check
    with monkeypatch.context() as stopping:
        stopping.setattr(type(run), "check", lambda run: (look(run), run.stop()))
        assert not patch(site, run)
    assert counted(run) == (2, 2, 0, 0)
    told = account(run.read())
    assert (told["updated"], told["pending"], told["listed"]) == (2, 4, 6)
    again = site.claim(run.operation.name)
    assert patch(site, again)

    assert counted(again) == (6, 6, 0, 0)
    assert patch(site, site.claim(run.operation.name))
    assert counted(again) == (6, 6, 0, 0)
    check(site)


def test_patch_of_what_is_so_already_counts_as_unchanged(site: Site) -> None:
    fill(site, *KEYS)
    first = asked(site, named("New"), *KEYS[0][:2])
    assert patch(site, first)
    end(site, first)
    run = asked(site, named("New"), *STUDY)
    assert patch(site, run)

    assert counted(run) == (6, 3, 3, 0)


@pytest.mark.usefixtures("slices_of_two")
def test_cancelled_patch_keeps_what_is_done(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(site, *KEYS)
    run = asked(site, named("New"), *STUDY)
    when_added(
        monkeypatch,
        lambda _: site.database.write(lambda tx: operations.request_cancel(tx, run.operation.name)),
    )
    with pytest.raises(Cancelled):
        patch(site, run)

    assert counted(run) == (2, 2, 0, 0)
    check(site)


@pytest.mark.clause(
    "Fileroom patching",
    "an instance that cannot hold what a patch of its study has fails alone, with its reason",
    holds="own rule",
)
def test_what_does_not_fit_fails_alone(site: Site) -> None:
    latin, ascii_ = uids(1), uids(2)
    site.put(
        "in/1.dcm",
        corpus.minimal_instance(
            study_instance_uid=latin[0],
            series_instance_uid=latin[1],
            sop_instance_uid=latin[2],
            specific_character_set="ISO_IR 100",
            patient_name="Müller",
        ),
    )
    site.put("in/2.dcm", instance(ascii_))
    run = import_run(site)
    assert ImportJob(facilities=site.facilities)(run)
    end(site, run)
    run = asked(site, named("山田"), *STUDY)
    assert patch(site, run)

    assert counted(run) == (2, 1, 0, 1)
    (failure,) = failures(site, run)
    assert (failure.source, failure.reason) == (str(path(*latin)), Reason.INVALID_VALUE)
    assert "山" not in failure.message
    assert "山田".encode() in stored(site, ascii_)
    progress = run.read()
    reasons = {Reason.INVALID_VALUE: 1}
    status = ended_with_failures(progress, progress.counters, reasons, [failure], "url")
    assert str(status["message"]).startswith("1 of 2 objects could not be updated")
    assert list(site.blobs.glob("tmp/*")) == []


@pytest.mark.usefixtures("slices_of_two")
def test_damaged_and_missing_bytes_fail_alone(site: Site) -> None:
    fill(site, *KEYS)
    first = asked(site, named("First"), *STUDY)
    assert patch(site, first)
    end(site, first)
    blobs = sorted((row.sop_instance_uid, row.place_key) for row in rows(site, schema.instances))
    (site.blobs / blobs[0][1]).unlink()
    damaged = site.blobs / blobs[1][1]
    damaged.chmod(0o600)
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"\1")
    run = asked(site, named("Second"), *STUDY)
    assert patch(site, run)

    assert counted(run) == (6, 4, 0, 2)
    assert [failure.reason for failure in failures(site, run)] == [Reason.DATA_LOSS] * 2


def test_what_others_change_in_between_is_patched_as_it_is_then(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(site, *KEYS)
    run = asked(site, named("New"), *STUDY)
    other: dict[str, Any] = {"00100020": {"vr": "LO", "Value": ["OTHER"]}}

    def change(found: StoredInstance) -> None:
        files = RewrittenFiles(
            site.facilities.requests, content(site), partial(patched_file, model=other)
        )
        files.add(find(content(site), found.path))
        files.commit(
            lambda tx, rewritten: replace_rewritten(
                tx, site.store_id, rewritten, grace_microseconds=0
            )
        )
        files.close()

    when_added(monkeypatch, change)
    assert patch(site, run)

    assert counted(run) == (6, 6, 0, 0)
    expected = instance(KEYS[0], patient_name="New", patient_id="OTHER")
    assert stored(site, KEYS[0]) == expected
    check(site)


def test_what_others_change_again_and_again_fails_and_the_rest_is_patched(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rewriting, "ATTEMPTS_MAX", 2)
    fill(site, *KEYS)
    run = asked(site, named("New"), *STUDY)
    numbers = iter(range(99))

    def change(found: StoredInstance) -> None:
        if found.path != path(*KEYS[0]):
            return
        other: dict[str, Any] = {"00100020": {"vr": "LO", "Value": [f"O{next(numbers)}"]}}
        files = RewrittenFiles(
            site.facilities.requests, content(site), partial(patched_file, model=other)
        )
        add(files, find(content(site), found.path))
        files.commit(
            lambda tx, rewritten: replace_rewritten(
                tx, site.store_id, rewritten, grace_microseconds=0
            )
        )
        files.close()

    add = RewrittenFiles.add
    when_added(monkeypatch, change, times=99)
    assert patch(site, run)

    assert counted(run) == (6, 5, 0, 1)
    (failure,) = failures(site, run)
    assert (failure.source, failure.reason) == (str(path(*KEYS[0])), Reason.SOURCE_CHANGED)
    check(site)


def test_what_is_deleted_in_between_stays_so_and_counts_as_unchanged(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(site, *KEYS)
    run = asked(site, named("New"), *STUDY)

    def delete(found: StoredInstance) -> None:
        delete_instance(content(site), found.path, grace_seconds=0)

    when_added(monkeypatch, delete)
    assert patch(site, run)

    assert counted(run) == (6, 5, 1, 0)
    assert len(rows(site, schema.instances)) == 5
    check(site)


def test_what_is_stored_later_is_not_patched(site: Site) -> None:
    fill(site, KEYS[0])
    run = asked(site, named("New"), *STUDY)
    site.database.write(lambda tx: patching._begin(tx, operation=run.read()))
    site.put("later/1.dcm", instance(KEYS[1]))
    later = import_run(site, "later")
    assert ImportJob(facilities=site.facilities)(later)
    assert patch(site, site.claim(run.operation.name))

    assert stored(site, KEYS[1]) == instance(KEYS[1])
    assert counted(run) == (1, 1, 0, 0)


@pytest.mark.clause(
    "Fileroom patching",
    "the values of a patch are kept with its operation no longer than it runs",
    holds="own rule",
)
@pytest.mark.parametrize("ended_by", ["job", "cancel"])
def test_values_do_not_outlast_the_operation(site: Site, ended_by: str) -> None:
    fill(site, KEYS[0])
    if ended_by == "job":
        run = asked(site, named("Secret"), *STUDY)
        assert patch(site, run)
        assert "Secret" in str(run.read().request)
        end(site, run)
    else:
        name = request_patch(
            site.facilities, STORE, path(*STUDY), json.dumps(named("Secret")).encode(),
            api_version="v1beta1", permission="p",
        )  # fmt: skip
        site.database.write(lambda tx: operations.request_cancel(tx, name))
    (row,) = [row for row in rows(site, schema.operations) if row.kind == "UpdateStudyMetadata"]
    assert row.state == "DONE"
    assert "Secret" not in str(row)
    assert row.request["path"] == str(path(*STUDY))


@pytest.mark.clause(
    "Cloud Healthcare v1beta1 dicomStores.studies.updateMetadata",
    "UIDs that say which instance it is, and pixel data, are refused before anything is changed",
    holds="chosen",
)
@pytest.mark.parametrize(
    ("model", "named_path"),
    [
        ({"00080018": {"vr": "UI", "Value": ["1.2"]}}, "00080018"),
        ({"00080016": {"vr": "UI", "Value": ["1.2"]}}, "00080016"),
        ({"0020000D": {"vr": "UI", "Value": ["1.2"]}}, "0020000D"),
        ({"0020000E": {"vr": "UI", "Value": [KEYS[0][1]]}}, "0020000E"),
        ({"7FE00010": {"vr": "OW", "InlineBinary": "AAA="}}, "7FE00010"),
        ({"00100010": {"vr": "PN", "Value": ["text"]}}, "00100010"),
        ([{}, {}], "expected"),
        ([{"op": "replace", "path": "/00100010", "value": 1}], "eight hexadecimal"),
        ({"00081030": {"vr": "LT", "Value": ["x" * PATCH_BYTES_MAX]}}, "at most"),
    ],
)
def test_what_can_be_done_to_none_is_refused_at_once(
    site: Site, model: object, named_path: str
) -> None:
    fill(site, KEYS[0])
    before = len(rows(site, schema.operations))
    with pytest.raises(InvalidArgument, match=named_path):
        asked(site, model, *STUDY)
    assert len(rows(site, schema.operations)) == before


def test_uids_that_are_as_they_were_may_be_sent_back(site: Site) -> None:
    fill(site, *KEYS)
    model = named("New") | {
        "0020000D": {"vr": "UI", "Value": [KEYS[0][0]]},
        "0020000E": {"vr": "UI", "Value": [KEYS[0][1]]},
    }
    run = asked(site, [model], *KEYS[0][:2])
    assert patch(site, run)

    assert counted(run) == (3, 3, 0, 0)


def test_patch_of_nothing_is_not_found(site: Site) -> None:
    fill(site, KEYS[0])
    for prefix in (OTHER, uids(1, series=2)[:2]):
        with pytest.raises(NotFound):
            asked(site, named("New"), *prefix)
