"""Exports of what changed since an earlier one, and to where something lies already."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from fileroom.crashpoints import listen
from fileroom.errors import FailedPrecondition, InvalidArgument, NotFound, Reason
from fileroom.transfer.exporting.job import ExportJob, request_export
from fileroom.transfer.importing.job import ImportJob, request_import
from fileroom.transfer.options import ExportOptions, ImportOptions
from tests.unit.database.rows import DATASET, STORE
from tests.unit.transfer.site import Site, instance, uids

if TYPE_CHECKING:
    from pathlib import Path

    from fileroom.names import OperationName
    from fileroom.operations.runner import Run
    from fileroom.transfer.options import IfExists
    from tests.unit.transfer.site import UIDS

PREFIX = "gs://bucket/out"
ONE, TWO, THREE = uids(1), uids(2), uids(3, series=2)
LONG_AGO = 1_000_000_000


def stored(site: Site, contents: dict[UIDS, bytes], policy: Any = "") -> None:
    """Store instances, as an import does."""
    for key, content in contents.items():
        site.put(f"in/{key[2]}.dcm", content)
    name = request_import(
        site.facilities,
        STORE,
        "gs://bucket/in/**",
        options=ImportOptions(duplicate_policy=policy),
        api_version="v1",
    )
    assert ImportJob(facilities=site.facilities)(site.claim(name))


def exported(site: Site, filter_uri: str = "", **options: Any) -> Run:
    """Run an export to its end, and end its operation."""
    mime_type = options.pop("mime_type", "")
    name = request_export(
        site.facilities,
        STORE,
        PREFIX,
        filter_uri=filter_uri,
        mime_type=mime_type,
        options=ExportOptions(**options),
        api_version="v1",
    )
    run = site.claim(name)
    assert ExportJob(facilities=site.facilities)(run)
    return site.end(run)


def begun(site: Site, name: OperationName) -> str:
    """Claim an operation that nobody runs then, and give its name."""
    return str(site.claim(name).operation.name)


def outcome(site: Site, run: Run) -> dict[str, str]:
    """Give what became of each instance, by its SOP Instance UID."""
    return {
        (line.instance or line.source.split("/")[1::2])[2]: str(line.reason or line.result)
        for line in site.ledger(run)
    }


def file_of(site: Site, key: UIDS) -> Path:
    return site.bucket / "out" / key[0] / key[1] / f"{key[2]}.dcm"


def placed(site: Site, key: UIDS, content: bytes) -> Path:
    """Have something lie where a file is exported to, since long ago."""
    path = file_of(site, key)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    os.utime(path, (LONG_AGO, LONG_AGO))
    return path


# Since an earlier export


def test_only_what_changed_since_is_exported(site: Site) -> None:
    stored(site, {ONE: instance(ONE), TWO: instance(TWO)})
    first = exported(site)
    stored(site, {TWO: instance(TWO, patient_id="new"), THREE: instance(THREE)}, "REPLACE")

    second = exported(site, since=str(first.operation.name))
    third = exported(site, since=str(second.operation.name))

    assert outcome(site, first) == {ONE[2]: "exported", TWO[2]: "exported"}
    assert outcome(site, second) == {TWO[2]: "exported", THREE[2]: "exported"}
    assert second.read().total == 2
    assert outcome(site, third) == {}
    assert file_of(site, TWO).read_bytes() == instance(TWO, patient_id="new")


def test_what_is_no_ground_to_go_on_from_is_refused(site: Site) -> None:
    stored(site, {ONE: instance(ONE)})
    site.put("filter", f"studies/{ONE[0]}".encode())
    of_some = str(exported(site, "gs://bucket/filter").operation.name)
    unfinished = begun(site, request_export(site.facilities, STORE, PREFIX, api_version="v1"))
    imported = begun(
        site, request_import(site.facilities, STORE, "gs://bucket/in/**", api_version="v1")
    )

    for since, error in {
        f"{DATASET}/operations/1": NotFound,
        str(STORE): InvalidArgument,
        imported: InvalidArgument,
        unfinished: FailedPrecondition,
        of_some: FailedPrecondition,
    }.items():
        with pytest.raises(error):
            exported(site, since=since)
    assert outcome(site, exported(site, "gs://bucket/filter", since=of_some)) == {}


# Where something lies already


def test_what_is_there_is_overwritten_unless_told_otherwise(site: Site) -> None:
    stored(site, {ONE: instance(ONE)})
    path = placed(site, ONE, b"another")

    assert outcome(site, exported(site)) == {ONE[2]: "exported"}
    assert path.read_bytes() == instance(ONE)


def test_what_is_there_with_the_same_bytes_is_left_alone(site: Site) -> None:
    stored(site, {key: instance(key) for key in (ONE, TWO, THREE)})
    same = placed(site, ONE, instance(ONE))
    other = placed(site, TWO, instance(TWO)[:-1] + b"x")

    run = exported(site, if_exists="SKIP_IDENTICAL")

    assert outcome(site, run) == {
        ONE[2]: "unchanged",
        TWO[2]: "exported",
        THREE[2]: "exported",
    }
    assert run.read().counters.unchanged == 1
    assert same.stat().st_mtime == LONG_AGO
    assert other.read_bytes() == instance(TWO)


def test_what_is_there_fails_its_instance_alone(site: Site) -> None:
    stored(site, {ONE: instance(ONE), TWO: instance(TWO)})
    same = placed(site, ONE, instance(ONE))

    run = exported(site, if_exists="FAIL")

    assert outcome(site, run) == {ONE[2]: Reason.DESTINATION_EXISTS, TWO[2]: "exported"}
    assert same.stat().st_mtime == LONG_AGO


def test_what_the_export_itself_wrote_before_a_crash_does_not_fail(site: Site) -> None:
    stored(site, {ONE: instance(ONE)})
    path = placed(site, ONE, instance(ONE))
    os.utime(path)

    assert outcome(site, exported(site, if_exists="FAIL")) == {ONE[2]: "exported"}


class Rival:
    """Somebody else, who makes files when the export has looked for them already."""

    def __init__(self, *paths: Path, content: bytes = b"of a rival") -> None:
        self.left = list(paths)
        self.content = content

    def __call__(self, step: str) -> None:
        if step == "file.synced":
            while self.left:
                self.left.pop().write_bytes(self.content)


@pytest.mark.parametrize("batch_bytes_max", [None, 100])
@pytest.mark.parametrize("content", [b"of a rival", instance(TWO)[:-1] + b"x"])
def test_what_comes_between_the_look_and_the_write_is_not_replaced(
    site: Site, monkeypatch: pytest.MonkeyPatch, content: bytes, batch_bytes_max: int | None
) -> None:
    if batch_bytes_max is not None:
        monkeypatch.setattr("fileroom.transfer.exporting.worker.BATCH_BYTES_MAX", batch_bytes_max)
    stored(site, {key: instance(key) for key in (ONE, TWO, THREE)})
    path = file_of(site, TWO)
    path.parent.mkdir(parents=True)
    rival = Rival(path, content=content)

    with listen(rival):
        run = exported(site, if_exists="FAIL")

    assert not rival.left
    assert outcome(site, run) == {
        ONE[2]: "exported",
        TWO[2]: Reason.DESTINATION_EXISTS,
        THREE[2]: "exported",
    }
    assert path.read_bytes() == content
    assert file_of(site, ONE).read_bytes() == instance(ONE)
    assert file_of(site, THREE).read_bytes() == instance(THREE)
    assert sorted(site.bucket.glob("**/.fileroom-*")) == []


@pytest.mark.parametrize(
    ("if_exists", "told"),
    [("SKIP_IDENTICAL", "unchanged"), ("FAIL", Reason.DESTINATION_EXISTS), ("", "exported")],
)
def test_the_same_holds_of_files_in_another_form(
    site: Site, if_exists: IfExists, told: str
) -> None:
    mime_type = "application/dicom; transfer-syntax=1.2.840.10008.1.2.1.99"
    stored(site, {ONE: instance(ONE), TWO: instance(TWO)})
    exported(site, mime_type=mime_type)
    os.utime(file_of(site, ONE), (LONG_AGO, LONG_AGO))
    file_of(site, TWO).unlink()

    run = exported(site, mime_type=mime_type, if_exists=if_exists)

    assert outcome(site, run) == {ONE[2]: told, TWO[2]: "exported"}
