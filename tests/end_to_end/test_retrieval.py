"""Retrieval from the real server: by ``fileroom.Client``, and of what is larger than memory."""

from __future__ import annotations

import struct
from io import BytesIO
from typing import TYPE_CHECKING

import psutil
import pydicom
import pytest

from fileroom.errors import DataLoss, InvalidArgument, NotFound
from tests import corpus
from tests.end_to_end.conftest import slices

if TYPE_CHECKING:
    from pathlib import Path

    from fileroom.client import Client
    from tests.end_to_end.conftest import Place

STUDY = f"studies/{corpus.UID_ROOT}.2.1"
SERIES = f"{STUDY}/series/{corpus.UID_ROOT}.5.1"
INSTANCE = f"{SERIES}/instances/{corpus.UID_ROOT}.5.1.1"
RLE = "1.2.840.10008.1.2.5"
JPEG_2000 = "1.2.840.10008.1.2.4.90"
GIGABYTE = 1 << 30


def test_the_client_retrieves_every_form(place: Place, client: Client) -> None:
    files = list(slices(3))
    for number, file in enumerate(files):
        place.put(f"{number}.dcm", file)
    place.import_all()
    retrieval = client.retrieval(place.dicom_store)

    assert list(retrieval.instances(STUDY)) == files
    assert list(retrieval.instances(INSTANCE)) == files[:1]
    (compressed,) = retrieval.instances(INSTANCE, transfer_syntax=RLE)
    assert pydicom.dcmread(BytesIO(compressed)).file_meta.TransferSyntaxUID == RLE
    assert client.retrieve_instance(place.dicom_store, INSTANCE) == files[0]

    pixels = pydicom.dcmread(BytesIO(files[0])).PixelData
    assert retrieval.frames(INSTANCE, [1, 1]) == [pixels, pixels]
    (frame,) = retrieval.frames(INSTANCE, [1], media_type="image/jls")
    assert frame.startswith(b"\xff\xd8")
    assert retrieval.rendered(INSTANCE).startswith(b"\xff\xd8")
    png = retrieval.rendered(
        INSTANCE, 1, media_type="image/png", viewport="8,8", window="100,50,linear"
    )
    assert png.startswith(b"\x89PNG")
    assert len(retrieval.rendered(INSTANCE, quality=5)) < len(retrieval.rendered(INSTANCE))

    (told,) = client.retrieve_metadata(place.dicom_store, INSTANCE)
    uri = told["7FE00010"]["BulkDataURI"]  # type: ignore[index,call-overload]
    assert retrieval.bulk_data(str(uri)) == pixels
    assert retrieval.bulk_data(f"{INSTANCE}/bulkdata/00081032/0/00080104") == b"MR Head "


def test_what_the_client_cannot_have_is_an_error(place: Place, client: Client) -> None:
    retrieval = client.retrieval(place.dicom_store)
    with pytest.raises(NotFound):
        list(retrieval.instances("studies/9.9"))
    with pytest.raises(InvalidArgument, match="is no instance"):
        retrieval.rendered(STUDY)
    with pytest.raises(InvalidArgument, match="no URI of"):
        retrieval.bulk_data("http://evil.example/v1/x/dicomWeb/studies/1/bulkdata/1")
    damaged = corpus.encapsulated_instance(
        study_instance_uid="1.2.3", series_instance_uid="1.2.3.4", sop_instance_uid="1.2.3.4.6"
    )
    place.put("a.dcm", next(slices(1)))
    place.put("b.dcm", damaged)
    place.import_all()
    with pytest.raises((InvalidArgument, DataLoss)):
        list(retrieval.instances("studies/1.2.3", transfer_syntax=RLE))


@pytest.mark.long
@pytest.mark.clause(
    "PS3.18 10.4.1.1.6", "a frame of an instance larger than memory", holds="own rule"
)
def test_a_frame_of_five_gigabytes_takes_no_memory(place: Place, client: Client) -> None:
    frames, frame_bytes = 5 * 1024, 1 << 20
    write_sparse(place.bucket / "large.dcm", frames, frame_bytes)
    operation = place.import_all()
    assert operation.error is None
    server = psutil.Process(place.server.process.pid)
    retrieval = client.retrieval(place.dicom_store)
    path = "studies/1.9/series/1.9.1/instances/1.9.1.1"
    retrieval.frames(path, [1], transfer_syntax="*")
    before = server.memory_info().rss
    for number in (frames, 1, frames // 2):
        (frame,) = retrieval.frames(path, [number], transfer_syntax="*")
        assert frame == number.to_bytes(4, "little") + bytes(frame_bytes - 4)
    assert server.memory_info().rss - before < 64 << 20
    size = 0
    for piece in retrieval.file_pieces(path, "*"):
        size += len(piece)
        if size > GIGABYTE:
            break
    assert server.memory_info().rss - before < 64 << 20


def write_sparse(path: Path, frames: int, frame_bytes: int) -> None:
    """Write an instance of many frames, of which only the beginnings take room on the disk."""
    head = corpus.minimal_instance(
        transfer_syntax_uid=JPEG_2000,
        study_instance_uid="1.9",
        series_instance_uid="1.9.1",
        sop_instance_uid="1.9.1.1",
        number_of_frames=str(frames),
    )
    item = struct.Struct("<HHI")
    with path.open("wb") as file:
        file.write(head)
        file.write(struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OB", 0, 0xFFFFFFFF))
        file.write(item.pack(0xFFFE, 0xE000, 0))
        for number in range(1, frames + 1):
            file.write(item.pack(0xFFFE, 0xE000, frame_bytes) + number.to_bytes(4, "little"))
            file.seek(frame_bytes - 4, 1)
        file.write(item.pack(0xFFFE, 0xE0DD, 0))
