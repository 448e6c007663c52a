"""Instances become objects in every documented form; each has all its files, or fails alone."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from imagecodecs import jpeg8_decode, png_decode

from fileroom.archive.representations import find_obstacle
from fileroom.crashpoints import listen
from fileroom.database import operations, schema
from fileroom.database.operations import Counters
from fileroom.dicom.media_types import NATIVE_TRANSFER_SYNTAXES, TRANSFER_SYNTAXES
from fileroom.dicom.part10 import scan
from fileroom.dicom.pixels.description import parse_pixel_description
from fileroom.dicom.pixels.frames import reencode_frame
from fileroom.dicom.pixels.render import render_frame
from fileroom.dicom.pixels.syntaxes import JPEG_XL, LOSSY_METHODS
from fileroom.errors import Cancelled, Code, Reason
from fileroom.transfer.executors import WorkerLimits, WorkerPool
from fileroom.transfer.exporting import line, spool
from fileroom.transfer.exporting.job import ExportJob, request_export
from fileroom.transfer.exporting.line import Export
from fileroom.transfer.importing.job import ImportJob, request_import
from fileroom.transfer.options import ExportOptions
from fileroom.transfer.pipeline import Turns, coordinator, run_pipeline
from fileroom.transfer.pools import TRANSCODE_MODULES, WORKER_MODULES
from tests.corpus import EXPLICIT, RLE, mr_instance
from tests.frames import encapsulated
from tests.mixed import (
    COLOUR,
    CORRUPT,
    FRAMES,
    JPEG_2000,
    MIXED,
    SR,
    VIDEO,
    Uids,
    attributes,
    made,
    named,
    numbered,
    own_pictures,
)
from tests.pixels import described, drawn, parsed, stored_frames, transcoded
from tests.places import of_row
from tests.tools import require_tool
from tests.unit.database.rows import STORE, all_rows
from tests.unit.transfer.site import Site, opened_site
from tests.unit.transfer.test_exporting import StoppedExport

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from fileroom.operations.runner import Run
    from fileroom.transfer.exporting.outcomes import ExportOutcome, InstanceToExport
    from fileroom.transfer.options import IfExists
    from fileroom.transfer.pipeline import Batch


def fill(site: Site, contents: dict[Uids, bytes]) -> None:
    """Store instances, as an import does."""
    for number, content in enumerate(contents.values()):
        site.put(f"in/{number:04}.dcm", content)
    name = request_import(site.facilities, STORE, "gs://bucket/in/**", api_version="v1")
    run = site.claim(name)
    assert ImportJob(facilities=site.facilities)(run)
    assert run.read().counters.imported == len(contents)


def requested(
    site: Site, mime_type: str, directory: str = "out", *, if_exists: IfExists = ""
) -> Run:
    name = request_export(
        site.facilities,
        STORE,
        f"gs://bucket/{directory}",
        mime_type=mime_type,
        options=ExportOptions(if_exists=if_exists),
        api_version="v1",
    )
    return site.claim(name)


def run_export(site: Site, run: Run) -> dict[str, Reason]:
    """Run an export to its end and give why which instances failed, by SOP Instance UID."""
    assert ExportJob(facilities=site.facilities)(run)
    with site.database.read() as connection:
        found = operations.first_failures(connection, run.operation.id, 1000)
    return {failure.source.rpartition("/")[2]: failure.reason for failure in found}


def written(site: Site, directory: str = "out") -> dict[str, bytes]:
    out = site.bucket / directory
    return {
        str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()
    }


def name_of(key: Uids, rest: str) -> str:
    return f"{'/'.join(key)}{rest}"


def samples(data: bytes) -> NDArray[Any]:
    pixels: NDArray[Any] = parsed(data).pixel_array
    return pixels


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site that holds an instance of every kind, for tests that change none of them."""
    with opened_site(tmp_path_factory.mktemp("mixed") / "site") as opened:
        fill(opened, MIXED)
        yield opened


# DICOM files


@pytest.mark.parametrize("asked", TRANSFER_SYNTAXES)
@pytest.mark.clause(
    "Cloud Healthcare v1 GcsDestination.mimeType",
    "application/dicom in each of the nineteen transfer syntaxes: an instance that can be had so "
    "becomes one file in it, any other fails alone with the reason",
)
def test_every_transfer_syntax_is_exported_or_refused_for_its_reason(
    mixed: Site, asked: str
) -> None:
    run = requested(mixed, f"application/dicom; transfer-syntax={asked}", asked)

    failed = run_export(mixed, run)

    expected = {}
    for key, content in MIXED.items():
        obstacle = find_obstacle(scan(content).header, len(content), asked)
        if obstacle is not None:
            expected[key[2]] = obstacle.reason
    if CORRUPT[2] not in expected and asked != JPEG_2000:
        expected[CORRUPT[2]] = Reason.MALFORMED
    files = written(mixed, asked)
    assert failed == expected
    assert set(files) == {name_of(key, ".dcm") for key in MIXED if key[2] not in expected}
    assert run.read().counters == Counters(
        listed=len(MIXED),
        exported=len(files),
        failed=len(expected),
        bytes=sum(map(len, files.values())),
    )


@pytest.mark.parametrize("asked", TRANSFER_SYNTAXES)
def test_exported_file_is_of_the_syntax_and_pixels_survive_lossless_ones(
    mixed: Site, asked: str
) -> None:
    run_export(mixed, requested(mixed, f"application/dicom; transfer-syntax={asked}", f"f{asked}"))

    for key, content in MIXED.items():
        file = written(mixed, f"f{asked}").get(name_of(key, ".dcm"))
        if file is None:
            continue
        found, before = parsed(file), parsed(content)
        assert found.file_meta.TransferSyntaxUID == asked
        assert found.SOPInstanceUID == key[2]
        assert found.PatientName == before.PatientName
        if before.file_meta.TransferSyntaxUID == asked:
            assert file == content
        elif "Rows" in before and asked not in JPEG_XL | LOSSY_METHODS.keys():
            # pydicom has no decoder of JPEG XL here; the tests of codecs look at it.
            described_now = parse_pixel_description(scan(file).header)
            frames = [
                reencode_frame(frame, described_now, asked, EXPLICIT)
                for frame in stored_frames(file, described_now)
            ]
            assert b"".join(frames) == samples(transcoded_or_same(content)).tobytes()


def transcoded_or_same(content: bytes) -> bytes:
    """Give a file whose pixels are native, so that no other decoder's rounding is compared."""
    stored = scan(content).header.transfer_syntax_uid
    return content if stored in NATIVE_TRANSFER_SYNTAXES else transcoded(content, EXPLICIT)


def test_exported_dicom_files_are_dicom_to_dcmtk(mixed: Site, tmp_path: Path) -> None:
    dcmftest = require_tool("dcmftest")
    run_export(mixed, requested(mixed, f"application/dicom; transfer-syntax={RLE}", "checked"))

    files = sorted((mixed.bucket / "checked").rglob("*.dcm"))
    answer = subprocess.run([dcmftest, *map(str, files)], capture_output=True, text=True)

    assert len(files) >= 5
    assert answer.returncode == 0, answer.stdout


# Frames and pictures


@pytest.mark.clause(
    "Cloud Healthcare v1 GcsDestination.mimeType",
    "application/octet-stream gives each frame uncompressed, or as it is stored: {instance} of a "
    "single frame, {instance}/{frame} of several, without an extension",
)
@pytest.mark.parametrize("syntax", ["*", EXPLICIT])
def test_frames_are_exported_without_extension(mixed: Site, syntax: str) -> None:
    mime_type = f"application/octet-stream; transfer-syntax={syntax}"
    directory = f"octets{len(syntax)}"
    failed = run_export(mixed, requested(mixed, mime_type, directory))

    expected: dict[str, bytes] = {}
    skipped = {SR, VIDEO} if syntax == "*" else {SR, VIDEO, CORRUPT}
    for key, content in MIXED.items():
        if key in skipped:
            continue
        header = scan(content).header
        description = parse_pixel_description(header)
        stored = header.transfer_syntax_uid
        asked = stored if syntax == "*" else EXPLICIT
        frames = stored_frames(content, description)
        for number, frame in enumerate(frames, 1):
            rest = "" if len(frames) == 1 else f"/{number}"
            expected[name_of(key, rest)] = reencode_frame(frame, description, stored, asked)
    found = written(mixed, directory)
    assert found.keys() == expected.keys()
    for name, body in found.items():
        # An encapsulated frame may keep the byte that pads its fragment.
        assert body.removesuffix(b"\0") == expected[name].removesuffix(b"\0")
    assert failed[SR[2]] is Reason.NO_PIXEL_DATA
    assert failed[VIDEO[2]] is Reason.UNSUPPORTED_TRANSCODING
    assert failed.get(CORRUPT[2]) is (None if syntax == "*" else Reason.MALFORMED)


@pytest.mark.parametrize(
    ("mime_type", "extension"),
    [
        ("image/png", "png"),
        ("image/jpeg", "jpg"),
        ("image/jpeg; transfer-syntax=1.2.840.10008.1.2.4.50", "jpg"),
    ],
)
@pytest.mark.clause(
    "Cloud Healthcare v1 GcsDestination.mimeType",
    "image/jpeg and image/png give the rendered picture of each frame: {instance}.{ext} of a "
    "single frame, {instance}/{frame}.{ext} of several; what has no frames fails alone",
)
def test_pictures_are_those_of_the_renderer(mixed: Site, mime_type: str, extension: str) -> None:
    directory = mime_type.replace("/", "-")
    failed = run_export(mixed, requested(mixed, mime_type, directory))

    media_type = mime_type.partition(";")[0]
    expected = {}
    for key in MIXED.keys() - {SR, VIDEO, CORRUPT}:
        pictures = own_pictures(MIXED[key], media_type)
        for number, picture in enumerate(pictures, 1):
            rest = "" if len(pictures) == 1 else f"/{number}"
            expected[name_of(key, f"{rest}.{extension}")] = picture
    found = written(mixed, directory)
    assert found == expected
    decode = png_decode if extension == "png" else jpeg8_decode
    assert decode(found[name_of(numbered(3), f"/2.{extension}")]).shape == (16, 17)
    assert decode(found[name_of(numbered(6), f".{extension}")]).shape == (16, 17, 3)
    assert failed == {
        SR[2]: Reason.NO_PIXEL_DATA,
        VIDEO[2]: Reason.UNSUPPORTED_TRANSCODING,
        CORRUPT[2]: Reason.MALFORMED,
    }


def test_ledger_names_the_file_or_the_directory_of_frames(mixed: Site) -> None:
    run = requested(mixed, "image/png", "told")
    run_export(mixed, run)

    lines = {each.instance[2]: each for each in mixed.ledger(run) if each.instance is not None}
    single, several = lines[numbered(1)[2]], lines[numbered(3)[2]]
    out = written(mixed, "told")
    assert single.destination == f"gs://bucket/told/{name_of(numbered(1), '.png')}"
    assert single.size == len(out[name_of(numbered(1), ".png")])
    assert several.destination == f"gs://bucket/told/{name_of(numbered(3), '/')}"
    assert several.size == sum(len(out[name_of(numbered(3), f"/{n}.png")]) for n in (1, 2, 3))


# One bad instance among others


def damage(site: Site, key: Uids) -> Any:
    with site.database.read() as connection:
        rows = all_rows(connection, schema.instances)
    return of_row(site.blobs, next(row for row in rows if row.sop_instance_uid == key[2]))


def test_damage_at_rest_becomes_no_picture(site: Site) -> None:
    fill(site, {numbered(n): made(numbered(n)) for n in (1, 2)})
    damage(site, numbered(1)).flip_last()

    assert run_export(site, requested(site, "image/png")) == {numbered(1)[2]: Reason.DATA_LOSS}
    assert written(site).keys() == {name_of(numbered(2), ".png")}


def test_missing_blob_is_looked_up_again_and_then_fails(site: Site) -> None:
    fill(site, {numbered(n): made(numbered(n)) for n in (1, 2)})
    damage(site, numbered(1)).lose()
    run = requested(site, "image/png")

    assert run_export(site, run) == {numbered(1)[2]: Reason.DATA_LOSS}
    assert [line.result for line in site.ledger(run) if line.ordinal == 0] == ["deferred", "failed"]


def test_frame_that_cannot_be_written_takes_the_others_of_its_instance_back(site: Site) -> None:
    fill(site, {numbered(n): made(numbered(n), FRAMES) for n in (1, 2)})
    (site.bucket / "out" / name_of(numbered(1), "/2.png")).mkdir(parents=True)

    assert run_export(site, requested(site, "image/png")) == {
        numbered(1)[2]: Reason.DESTINATION_DENIED
    }
    assert written(site).keys() == {name_of(numbered(2), f"/{number}.png") for number in (1, 2, 3)}


@pytest.mark.parametrize("together", [2, 250])
def test_frame_that_comes_between_is_not_replaced_and_takes_its_instance_back(
    site: Site, monkeypatch: pytest.MonkeyPatch, together: int
) -> None:
    monkeypatch.setattr("fileroom.transfer.exporting.transcoding.FILES_TOGETHER", together)
    fill(site, {numbered(n): made(numbered(n), FRAMES) for n in (1, 2, 3)})
    rival = site.bucket / "out" / name_of(numbered(2), "/2.png")
    rival.parent.mkdir(parents=True)
    run = requested(site, "image/png", if_exists="FAIL")

    def come(step: str) -> None:
        if step == "file.synced" and not rival.exists():
            rival.write_bytes(b"of a rival")

    with listen(come):
        failed = run_export(site, run)

    assert failed == {numbered(2)[2]: Reason.DESTINATION_EXISTS}
    assert rival.read_bytes() == b"of a rival"
    assert written(site).keys() == {
        *(name_of(numbered(n), f"/{number}.png") for n in (1, 3) for number in (1, 2, 3)),
        name_of(numbered(2), "/2.png"),
    }


def test_fault_of_a_codec_fails_the_instance_alone(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(site, {numbered(1): made(numbered(1)), numbered(2): made(numbered(2), COLOUR)})

    def faulty(frame: bytes, presentation: Any, *rest: Any) -> bytes:
        if presentation.description.samples_per_pixel == 3:
            raise ZeroDivisionError
        return render_frame(frame, presentation, *rest)

    monkeypatch.setattr("fileroom.archive.codecs.render_frame", faulty)

    assert run_export(site, requested(site, "image/png")) == {numbered(2)[2]: Reason.INTERNAL}
    assert written(site).keys() == {name_of(numbered(1), ".png")}


@pytest.mark.clause(
    "Fileroom faults",
    "an instance whose decoding takes more memory than a worker may have fails alone with "
    "MEMORY_LIMIT, and its neighbours are exported",
    holds="own rule",
)
def test_explosion_of_memory_fails_the_instance_alone(site: Site) -> None:
    blank = described(bits=16, rows=8000, columns=8000)
    frame = reencode_frame(bytes(blank.native_frame_bytes), blank, EXPLICIT, RLE)
    poison = encapsulated([[frame]], RLE, **named(numbered(2)), **attributes(blank))
    fill(
        site, {numbered(1): made(numbered(1)), numbered(2): poison, numbered(3): made(numbered(3))}
    )
    limits = WorkerLimits(memory_bytes=120 << 20)
    pool = WorkerPool(1, name="confined", limits=limits, preload=TRANSCODE_MODULES)
    try:
        confined = replace(
            site, facilities=replace(site.facilities, pixel_turns=Turns(pool, lambda: 1))
        )
        failed = run_export(confined, requested(site, "image/png"))
    finally:
        pool.kill_workers()

    assert failed == {numbered(2)[2]: Reason.MEMORY_LIMIT}
    assert written(site).keys() == {name_of(numbered(1), ".png"), name_of(numbered(3), ".png")}


# Bounds


def test_frames_of_any_number_are_written_with_few_files_open(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool, "MEMORY_BYTES", 1000)
    many = described(frames=600, rows=2, columns=2)
    fill(site, {numbered(1): made(numbered(1), many)})
    run = requested(site, "application/octet-stream")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 300, hard))
    try:
        failed = run_export(site, run)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    assert failed == {}
    found = written(site)
    assert len(found) == 600
    frames = [found[name_of(numbered(1), f"/{number}")] for number in range(1, 601)]
    assert b"".join(frames) == np.ascontiguousarray(drawn(many)).tobytes()


def test_batches_to_be_transcoded_are_small(site: Site) -> None:
    fill(site, {numbered(n): mr_instance(rows=8, **named(numbered(n))) for n in range(40)})
    run = requested(site, "image/png")

    sizes = [len(batch.items) for batch in Export(site.facilities, run).batches()]

    assert sizes == [8, 16, 16]
    assert max(sizes) == line.TRANSCODED_OBJECTS_MAX


def test_export_goes_on_after_a_stop_where_it_left_off(site: Site) -> None:
    keys = [numbered(n) for n in range(60)]
    fill(site, {key: made(key) for key in keys})
    first = requested(site, "image/png")
    assert not run_pipeline(first, StoppedExport(site.facilities, first))
    assert 0 < first.read().next_ordinal < len(keys)
    second = site.claim(first.operation.name)

    assert run_export(site, second) == {}
    assert second.read().counters.exported == len(keys)
    assert written(site).keys() == {name_of(key, ".png") for key in keys}


def test_cancelled_export_ends_between_batches_and_leaves_whole_files(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coordinator, "CHECK_SECONDS", 0.0)
    keys = [numbered(n) for n in range(300)]
    fill(site, {key: made(key, FRAMES) for key in keys})
    run = requested(site, "image/png")

    class CancelledExport(Export):
        def commit(self, batch: Batch[InstanceToExport], outcome: ExportOutcome) -> None:
            super().commit(batch, outcome)
            site.database.write(
                lambda transaction: operations.request_cancel(transaction, run.operation.name)
            )

    with pytest.raises(Cancelled):
        run_pipeline(run, CancelledExport(site.facilities, run))

    assert run.read().counters.exported < len(keys)
    for name, content in written(site).items():
        assert png_decode(content).shape == (16, 17), name


def test_code_of_a_refused_form_is_told(site: Site) -> None:
    fill(site, {numbered(7): MIXED[SR]})
    run = requested(site, "image/png")
    run_export(site, run)

    with site.database.read() as connection:
        (failure,) = operations.first_failures(connection, run.operation.id, 10)
    assert failure.code is Code.INVALID_ARGUMENT
    assert failure.source == f"studies/{SR[0]}/series/{SR[1]}/instances/{SR[2]}"


def test_long_header_is_read_from_the_blob(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line, "HANDED_HEADER_BYTES", 10)
    fill(site, {numbered(1): made(numbered(1))})

    assert run_export(site, requested(site, "image/png")) == {}
    (picture,) = written(site).values()
    assert [picture] == own_pictures(made(numbered(1)), "image/png")


def test_workers_that_copy_load_no_codec() -> None:
    loaded = subprocess.run(
        [
            *(sys.executable, "-c"),
            "import importlib, sys\n"
            f"for module in {WORKER_MODULES!r}: importlib.import_module(module)\n"
            "print(sys.modules.keys() & {'numpy', 'imagecodecs', 'rle', 'sqlalchemy'})",
        ],
        capture_output=True,
        text=True,
        check=True,
    )

    assert loaded.stdout == "set()\n"
