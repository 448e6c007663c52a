"""``fileroom.Client`` against the real server."""

from __future__ import annotations

import io
import warnings
from typing import TYPE_CHECKING

import numpy as np
import pydicom
import pytest
from pydicom.pixels.processing import convert_color_space
from pydicom.pixels.utils import pixel_array

import fileroom
from fileroom.errors import (
    AlreadyExists,
    Code,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    Reason,
    Unauthenticated,
)
from fileroom.names import InstancePath, parse_name, parse_uid
from tests import corpus
from tests.dicom_files import wheel_files
from tests.end_to_end.conftest import LOCATION, PROJECT, slices
from tests.pixels import described, drawn
from tests.pixels import instance as native_instance

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fileroom.client import Client, Json, JsonObject, Operation
    from tests.end_to_end.conftest import Place
    from tests.server import RunningServer


def first(instance: JsonObject, tag: str) -> Json:
    element = instance[tag]
    assert isinstance(element, dict)
    value = element["Value"]
    assert isinstance(value, list)
    return value[0]


def test_wrong_or_missing_token_is_unauthenticated(server: RunningServer) -> None:
    for token in (None, "wrong"):
        with fileroom.Client(server.url, token) as client, pytest.raises(Unauthenticated):
            list(client.list_locations(PROJECT))


def test_locations_datasets_and_stores(client: Client) -> None:
    location = f"projects/{PROJECT}/locations/{LOCATION}"
    assert location in [str(each.name) for each in client.list_locations(PROJECT)]
    assert client.get_location(location).body["locationId"] == LOCATION

    dataset = f"{location}/datasets/made-by-client"
    created = client.wait(client.create_dataset(dataset, time_zone="Europe/Paris"))
    assert created.response is not None
    assert created.response["name"] == dataset
    with pytest.raises(AlreadyExists, match="made-by-client"):
        client.create_dataset(dataset)
    assert client.get_dataset(dataset).time_zone == "Europe/Paris"
    changes: JsonObject = {"timeZone": "UTC"}
    assert client.patch_dataset(dataset, changes, update_mask=["timeZone"]).time_zone == "UTC"
    assert parse_name(dataset) in [each.name for each in client.list_datasets(location)]

    for number in range(3):
        settings: JsonObject = {"labels": {"parity": "odd" if number % 2 else "even"}}
        client.create_dicom_store(f"{dataset}/dicomStores/s{number}", settings)
    stores = [each.name.dicom_store_id for each in client.list_dicom_stores(dataset, page_size=2)]
    assert stores == ["s0", "s1", "s2"]
    odd = client.list_dicom_stores(dataset, filter_text="labels.parity=odd")
    assert [each.name.dicom_store_id for each in odd] == ["s1"]

    client.delete_dicom_store(f"{dataset}/dicomStores/s0")
    with pytest.raises(NotFound):
        client.get_dicom_store(f"{dataset}/dicomStores/s0")
    client.delete_dataset(dataset)
    with pytest.raises(PermissionDenied, match="or it may not exist"):
        client.get_dataset(dataset)


def test_import_search_retrieve_export(place: Place) -> None:
    contents = list(slices(3))
    for number, content in enumerate(contents):
        place.put(f"{number}.dcm", content)
    seen: list[Operation] = []
    client, store = place.client, place.dicom_store
    operation = client.wait(
        client.import_(store, f"gs://{place.bucket_id}/*.dcm"),
        poll_seconds=0.05,
        on_progress=seen.append,
    )
    assert operation.error is None
    assert operation.account["imported"] == operation.counters.success == operation.total == 3
    assert seen[-1] == operation
    assert client.get_dicom_store_metrics(store).instance_count == 3
    assert operation.name in [each.name for each in client.list_operations(place.dataset)]

    (study,) = client.search_studies(store, limit=10)
    study_uid = parse_uid(str(first(study, "0020000D")))
    assert list(client.search_studies(store, {"PatientID": "nobody"})) == []
    (series,) = client.search_series(store, within=InstancePath(study_uid))
    series_uid = parse_uid(str(first(series, "0020000E")))
    instances = client.search_instances(
        store,
        within=InstancePath(study_uid, series_uid),
        include_fields=["InstanceNumber", "00080018"],
        limit=2,
        offset=1,
    )
    assert len(list(instances)) == 2

    path = InstancePath(study_uid, series_uid, parse_uid(f"{corpus.UID_ROOT}.5.1.1"))
    assert client.retrieve_instance(store, path) == contents[0]
    file = io.BytesIO()
    assert client.retrieve_instance_to(file, store, str(path)) == len(contents[0])
    assert file.getvalue() == contents[0]
    assert len(client.retrieve_metadata(store, InstancePath(study_uid))) == 3
    with pytest.raises(InvalidArgument, match="is no instance"):
        client.retrieve_instance(store, InstancePath(study_uid))
    absent = InstancePath(study_uid, series_uid, parse_uid("1.2.3"))
    with pytest.raises(NotFound):
        client.retrieve_instance(store, absent)

    exported = client.wait(client.export(store, f"gs://{place.bucket_id}/out"), poll_seconds=0.05)
    assert exported.account["exported"] == 3
    assert (place.bucket / "out" / f"{path.study_instance_uid}").is_dir()


def test_failures_come_page_by_page_with_their_reasons(place: Place) -> None:
    place.put("good.dcm", next(slices(1)))
    for number in range(5):
        place.put(f"{number}.dcm", b"")
    place.put("text.dcm", b"no DICOM at all")
    operation = place.import_all()
    assert operation.partly_failed
    assert operation.error is not None
    assert operation.error.code is Code.UNKNOWN
    failures = list(place.client.failures(operation.name, page_size=2))
    assert [failure.source.rpartition("/")[2] for failure in failures] == [
        *(f"{number}.dcm" for number in range(5)),
        "text.dcm",
    ]
    (text,) = place.client.failures(operation.name, reason=Reason.NOT_DICOM)
    assert text == failures[-1]
    told = list(place.client.ledger(operation.name))
    assert [line["source"] for line in told if line["result"] == "failed"] == [
        failure.source for failure in failures
    ]
    assert text.code is Code.INVALID_ARGUMENT


def test_cancel_of_an_ended_operation_changes_nothing(place: Place) -> None:
    place.put("good.dcm", next(slices(1)))
    operation = place.import_all()
    place.client.cancel_operation(operation.name)
    assert place.client.get_operation(operation.name).error is None


def test_a_search_gives_all_that_match_beyond_one_page(place: Place) -> None:
    study = f"studies/{corpus.UID_ROOT}.2.1"
    for number, content in enumerate(slices(1203)):
        place.put(f"{number}.dcm", content)
    assert place.import_all().error is None
    found = place.client.search_instances(place.dicom_store, include_fields=["Columns"])

    rows = list(found.rows())
    assert len({row["SOPInstanceUID"] for row in rows}) == len(rows) == 1203
    assert {row["Columns"] for row in rows} == {16}
    some = place.client.search_instances(place.dicom_store, within=study, limit=1001, offset=202)
    assert [row["SOPInstanceUID"] for row in some.rows()] == [
        row["SOPInstanceUID"] for row in rows[202:]
    ]
    data_sets = {data_set.SOPInstanceUID: data_set for data_set in found.data_sets()}
    assert {data_set.Columns for data_set in data_sets.values()} == {16}
    retrieval = place.client.retrieval(place.dicom_store)
    assert len(list(retrieval.metadata(study))) == 1203


# Frames as arrays

PIXELS = "studies/{StudyInstanceUID}/series/{SeriesInstanceUID}/instances/{SOPInstanceUID}"


def stored_and_asked(
    place: Place, content: bytes, numbers: list[int] | None = None
) -> tuple[NDArray[np.generic], NDArray[np.generic]]:
    """Store a file, and give its frames by pydicom and by the client."""
    result = place.client.store_instances(place.dicom_store, [content], replace=True)
    assert not result.refused
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data_set = pydicom.dcmread(io.BytesIO(content))
        expected = data_set.pixel_array
    if int(data_set.get("NumberOfFrames") or 1) == 1:
        expected = expected[np.newaxis]
    uids = {key: data_set[key].value for key in ("StudyInstanceUID", "SeriesInstanceUID")}
    path = PIXELS.format(SOPInstanceUID=data_set.SOPInstanceUID, **uids)
    return expected, place.client.retrieval(place.dicom_store).pixels(path, numbers)


@pytest.mark.parametrize(
    "name",
    [
        "CT_small.dcm",  # 16 bits, signed
        "MR_small_bigendian.dcm",
        "MR_small_RLE.dcm",
        "MR_small_jp2klossless.dcm",
        "examples_jpeg2k.dcm",  # YBR_RCT
        "examples_overlay.dcm",  # what is beyond Bits Stored is no part of a value
        "examples_palette.dcm",
        "examples_rgb_color.dcm",
        "examples_ybr_color.dcm",  # JPEG of several frames
        "image_dfl.dcm",  # a deflated data set
        "liver_1frame.dcm",  # one bit
        "rtdose.dcm",  # 32 bits, several frames
        "rtdose_rle.dcm",
        "SC_rgb_jpeg_dcmtk.dcm",
        "SC_rgb_rle_16bit_2frame.dcm",  # Planar Configuration 1, which its decoded frames have not
        "SC_rgb_small_odd.dcm",
    ],
)
def test_pixels_are_those_that_pydicom_reads(place: Place, name: str) -> None:
    (file,) = (file for file in wheel_files() if file.name == name)
    expected, pixels = stored_and_asked(place, file.read_bytes())
    assert pixels.dtype == expected.dtype.newbyteorder("=")
    np.testing.assert_array_equal(pixels, expected)


def test_colour_that_no_lossy_codec_made_stays_as_it_is_stored(place: Place) -> None:
    (file,) = (file for file in wheel_files() if file.name == "SC_ybr_full_422_uncompressed.dcm")
    as_rgb, pixels = stored_and_asked(place, file.read_bytes())
    raw = pixel_array(pydicom.dcmread(file), raw=True)
    np.testing.assert_array_equal(pixels, raw[np.newaxis])
    np.testing.assert_array_equal(convert_color_space(pixels, "YBR_FULL", "RGB"), as_rgb)


@pytest.mark.parametrize("planar", [0, 1])
@pytest.mark.parametrize("colour", ["RGB", "YBR_FULL"])
def test_pixels_of_a_planar_configuration(place: Place, planar: int, colour: str) -> None:
    description = described(colour=colour, frames=3)
    pixels = drawn(description)
    written = np.moveaxis(pixels, -1, 1) if planar else pixels
    content = native_instance(description, written, pixel_data=written.tobytes())
    content = content.replace(
        b"\x28\0\x06\0US\x02\0\0\0", b"\x28\0\x06\0US\x02\0" + bytes([planar, 0])
    )
    _, asked = stored_and_asked(place, content, [3, 1, 3])
    np.testing.assert_array_equal(asked, pixels[[2, 0, 2]])


@pytest.mark.parametrize(
    ("bits", "stored", "signed"), [(8, 8, True), (16, 12, True), (16, 10, False)]
)
@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.70"])
def test_pixels_of_jpeg_ls_and_lossless_jpeg(
    place: Place, bits: int, stored: int, signed: bool, syntax: str
) -> None:
    description = described(bits=bits, stored=stored, signed=signed)
    pixels = drawn(description)
    stored_and_asked(place, native_instance(description, pixels))
    retrieval = place.client.retrieval(place.dicom_store)
    (row,) = place.client.search_instances(place.dicom_store).rows()
    path = PIXELS.format_map(row)
    (compressed,) = retrieval.instances(path, transfer_syntax=syntax)
    place.client.store_instances(place.dicom_store, [compressed], replace=True)
    (data_set,) = retrieval.metadata(path).data_sets()
    assert data_set.file_meta.TransferSyntaxUID == syntax
    np.testing.assert_array_equal(retrieval.pixels(path), pixels[..., 0])


def test_pixels_of_one_bit_where_frames_share_a_byte(place: Place) -> None:
    bits = np.random.default_rng(1).integers(0, 2, (1003, 3, 5)).astype(np.uint8)
    packed = np.packbits(bits.reshape(-1), bitorder="little").tobytes()
    description = described(bits=1, frames=len(bits), rows=3, columns=5)
    content = native_instance(description, bits, pixel_data=packed + b"\0" * (len(packed) % 2))
    expected, pixels = stored_and_asked(place, content)
    np.testing.assert_array_equal(pixels, expected)
    np.testing.assert_array_equal(pixels, bits)


@pytest.mark.parametrize(
    ("tag", "vr", "dtype"), [(0x7FE00008, "OF", "<f4"), (0x7FE00009, "OD", "<f8")]
)
def test_pixels_of_floating_point(place: Place, tag: int, vr: str, dtype: str) -> None:
    values = np.random.default_rng(2).normal(size=(2, 5, 7)).astype(dtype)
    description = described(frames=2, rows=5, columns=7)
    content = native_instance(
        description,
        values,
        ((tag, vr, values.tobytes()),),
        pixel_data=None,
        bits_allocated=8 * values.itemsize,
        **dict.fromkeys(("bits_stored", "high_bit", "pixel_representation")),
    )
    place.client.store_instances(place.dicom_store, [content])
    (row,) = place.client.search_instances(place.dicom_store).rows()
    pixels = place.client.retrieval(place.dicom_store).pixels(PIXELS.format_map(row))
    assert pixels.dtype == values.dtype
    np.testing.assert_array_equal(pixels, values)


def test_pixels_that_are_not_there_are_refused(place: Place) -> None:
    place.client.store_instances(place.dicom_store, [corpus.sr_instance()])
    (row,) = place.client.search_instances(place.dicom_store).rows()
    retrieval = place.client.retrieval(place.dicom_store)
    path = PIXELS.format_map(row)
    with pytest.raises(InvalidArgument, match="no pixel data"):
        retrieval.pixels(path)
    with pytest.raises(InvalidArgument, match="is no instance"):
        retrieval.pixels(path.partition("/series")[0])
    with pytest.raises(NotFound):
        retrieval.pixels(f"{path}.9")
