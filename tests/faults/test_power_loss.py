"""Power is cut after every single call: what was promised is there, what is there is whole (F4).

The same recording with one kind of sync left out must be found wanting, or the model is blind.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from fileroom.archive.ingest import Writer
from fileroom.archive.layout import FAN_OUT, STORE_ID_FILE, StoreIdentity, make_blob_bucket
from fileroom.database.instances import Place, PlaceKind, record_key
from fileroom.database.values.stored import StoredInstance
from fileroom.dicom.part10 import scan
from fileroom.names import InstancePath, Uid
from fileroom.objectstore.blobs.local import LocalBlobs
from fileroom.objectstore.buckets import Buckets, BucketSettings
from fileroom.objectstore.local import LocalBucket
from fileroom.transfer.exporting.forms import parse_form
from fileroom.transfer.exporting.outcomes import InstanceToExport
from fileroom.transfer.exporting.transcoding import TranscodeTask, transcode_batch
from fileroom.transfer.exporting.worker import ExportTask, export_batch
from fileroom.transfer.importing.reading import ListedObject
from fileroom.transfer.importing.tasks import ImportTask
from fileroom.transfer.importing.worker import import_batch
from tests import fault_tools as tools
from tests.faults.power_loss import Recording, recorded
from tests.mixed import MIXED, numbered

PREFIX: Final = "store"
Record = Callable[[Path, pytest.MonkeyPatch, str | None], Recording]


def record_store(root: Path, patch: pytest.MonkeyPatch, leave_out: str | None) -> Recording:
    """Make the directories of a store."""
    root.mkdir()
    with recorded(root, patch, leave_out=leave_out) as recording:
        make_blob_bucket(LocalBlobs(root), PREFIX, StoreIdentity())
        directories = [f"{number:02x}" for number in range(FAN_OUT)]
        recording.promise(f"{PREFIX}/{name}" for name in (*directories, "tmp", STORE_ID_FILE))
    return recording


def record_import(root: Path, patch: pytest.MonkeyPatch, leave_out: str | None) -> Recording:
    """Import a batch, some of it written before by an attempt that was cut off.

    One object is large enough for a file of its own.
    """
    root.mkdir()
    make_blob_bucket(LocalBlobs(root), PREFIX, StoreIdentity())
    task = import_task(root)
    import_batch(replace(task, objects=task.objects[:5]))
    with recorded(root, patch, leave_out=leave_out) as recording:
        outcome = import_batch(task)
        recording.promise({f"{PREFIX}/{record.place.key}" for record in outcome.records})
    assert {record.place.kind for record in outcome.records} == {
        PlaceKind.OWN_BLOB,
        PlaceKind.PACK,
    }
    return recording


def record_export(root: Path, patch: pytest.MonkeyPatch, leave_out: str | None) -> Recording:
    """Export a batch into directories that are not there yet, and over an object that is."""
    blobs = root.with_name(f"{root.name}-blobs")
    blobs.mkdir()
    make_blob_bucket(LocalBlobs(blobs), PREFIX, StoreIdentity())
    records = import_batch(import_task(blobs)).records
    instances = tuple(
        InstanceToExport(
            ordinal=record.ordinal,
            id=record.ordinal,
            instance=record_key(record),
            place=record.place,
            key=f"e/{'/'.join(record_key(record))}.dcm",
        )
        for record in {record_key(record): record for record in records}.values()
    )
    root.mkdir()
    LocalBucket(root).write(instances[0].key, [b"an older object"])
    with recorded(root, patch, leave_out=leave_out) as recording:
        outcome = export_batch(
            ExportTask(
                blobs=LocalBlobs(blobs).bucket(PREFIX),
                buckets=Buckets([], None),
                destination=BucketSettings(name="gs://target", path=root),
                writer=("1", 1),
                instances=instances,
            )
        )
        assert len(outcome.exported) == len(instances)
        recording.promise(instance.key for instance in outcome.exported)
    return recording


def record_transcoding(root: Path, patch: pytest.MonkeyPatch, leave_out: str | None) -> Recording:
    """Export pictures, those of a multi-frame instance in a directory of its own."""
    blobs = root.with_name(f"{root.name}-blobs")
    blobs.mkdir()
    make_blob_bucket(LocalBlobs(blobs), PREFIX, StoreIdentity())
    form = parse_form("image/png", "e/")
    root.mkdir()
    rows = [held(blobs, number) for number in (1, 3, 5)]
    instances = [
        InstanceToExport(
            ordinal=ordinal,
            id=row.id,
            instance=numbered(row.id),
            place=row.place,
            key=form.key(numbered(row.id)),
        )
        for ordinal, row in enumerate(rows)
    ]
    with recorded(root, patch, leave_out=leave_out) as recording:
        outcome = transcode_batch(
            TranscodeTask(
                blobs=LocalBlobs(blobs),
                blob_prefix=PREFIX,
                buckets=Buckets([], None),
                destination=BucketSettings(name="gs://target", path=root),
                writer=("1", 1),
                form=form,
                instances=tuple(instances),
                rows=tuple(rows),
            )
        )
        assert len(outcome.exported) == len(instances)
        frames = [(numbered(number), frame) for number in (3, 5) for frame in (1, 2, 3)]
        recording.promise([instances[0].key, *(form.key(*each) for each in frames)])
    return recording


def held(blobs: Path, number: int) -> StoredInstance:
    """Keep an instance in a blob of its own."""
    content, key = MIXED[numbered(number)], f"00/{number}"
    LocalBlobs(blobs).bucket(PREFIX).write(key, [content])
    return StoredInstance(
        id=number,
        path=InstancePath(*map(Uid, numbered(number))),
        transfer_syntax_uid=scan(content).header.transfer_syntax_uid,
        place=Place(key=key, size=len(content), sha256=hashlib.sha256(content).digest()),
        series_id=1,
        series_changed_seq=1,
    )


def record_request(root: Path, patch: pytest.MonkeyPatch, leave_out: str | None) -> Recording:
    """Spool the parts of a request, throw one away, and publish the others in two slices."""
    root.mkdir()
    make_blob_bucket(LocalBlobs(root), PREFIX, StoreIdentity())
    with recorded(root, patch, leave_out=leave_out) as recording:
        drafts = LocalBlobs(root).bucket(PREFIX).drafts()
        parts = []
        for number in range(8):
            part = drafts.begin(f"{number % 2:02x}")
            part.write(b"some")
            part.write(b"more" * number)
            part.rest()
            parts.append((part, f"{number % 2:02x}/part-{number}"))
        drafts.discard(parts.pop()[0])
        for some in (parts[:5], parts[5:]):
            drafts.publish(some)
            recording.promise(f"{PREFIX}/{key}" for _, key in some)
        drafts.close()
    return recording


def import_task(root: Path) -> ImportTask:
    """Give a batch for a worker."""
    source = root.with_name(f"{root.name}-source")
    tools.make_sources(20, random.Random(1), bytes_max=2000).write(source)
    tools.write_large(source / "large.dcm")
    return ImportTask(
        source=BucketSettings(name="gs://source", path=source),
        writer=Writer(bucket=LocalBlobs(root).bucket(PREFIX), number=7),
        objects=tuple(
            ListedObject(ordinal=ordinal, key=one.key, size=one.size, version=one.version)
            for ordinal, one in enumerate(LocalBucket(source).list())
        ),
        slow_seconds=60.0,
    )


RECORDS: Final = (
    record_store,
    record_import,
    record_request,
    record_export,
    record_transcoding,
)


@pytest.mark.parametrize("record", RECORDS)
@pytest.mark.clause(
    "Fileroom faults",
    "whenever the power is cut, what was promised to be durable is there and whole, and no object "
    "is there in part",
    holds="own rule",
)
def test_what_was_promised_survives_a_power_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record: Record
) -> None:
    draw = random.Random(tools.draw_seed())

    recording = record(tmp_path / "root", monkeypatch, None)

    assert any(event.paths for event in recording.events)
    assert recording.violations(draw) == []


@pytest.mark.parametrize("record", RECORDS)
@pytest.mark.parametrize("leave_out", ["fdatasync", "fsync"])
def test_power_cut_shows_a_sync_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record: Record, leave_out: str
) -> None:
    draw = random.Random(tools.draw_seed())

    recording = record(tmp_path / "root", monkeypatch, leave_out)

    assert recording.violations(draw) != []
