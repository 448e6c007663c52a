from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.encaps import generate_frames

from fileroom.dicom.bulk_data import find_bulk_data
from fileroom.dicom.json_instances import (
    OCTET_STREAM,
    BulkPart,
    json_instance,
    parse_json_instances,
)
from fileroom.dicom.json_model import metadata
from fileroom.dicom.media_types import NATIVE_TRANSFER_SYNTAXES
from fileroom.dicom.part10 import scan
from fileroom.dicom.rewriting import PIECE_BYTES
from fileroom.errors import InvalidArgument
from tests.against_pydicom import READ_OTHERWISE, flat, quiet, read_by_pydicom
from tests.corpus import BIG_ENDIAN, DEFLATED, EXPLICIT, IMPLICIT, DataSet, minimal_instance
from tests.data_sets import data_sets
from tests.stored import Source, Stored, real_instances, stored

if TYPE_CHECKING:
    from pydicom import Dataset


Model = dict[str, Any]

MINIMAL: Model = {
    "00020010": {"vr": "UI", "Value": [EXPLICIT]},
    "00080005": {"vr": "CS", "Value": ["ISO_IR 192"]},
    "00080016": {"vr": "UI", "Value": ["1.2.840.10008.5.1.4.1.1.7"]},
    "00080018": {"vr": "UI", "Value": ["1.2.3.4"]},
    "0020000D": {"vr": "UI", "Value": ["1.2.3"]},
    "0020000E": {"vr": "UI", "Value": ["1.2.3.5"]},
}
REFUSED = {
    "GH1301.dcm": "PS3.5 6.1.2.2: CS is ASCII, whatever the character set",
    "TC0355_group_ffff.dcm": "PS3.5 7.8: no element may have this group",
}
"""Files whose JSON breaks a rule that their import does not hold them to."""


def part(data: bytes, media_type: str = OCTET_STREAM) -> BulkPart:
    return BulkPart(media_type=media_type, source=Source(data))


def made(model: Model, **bulk: list[BulkPart]) -> bytes:
    instance = json_instance(model, bulk)
    pieces = list(instance.pieces())
    assert all(len(piece) <= PIECE_BYTES for piece in pieces)
    whole = b"".join(pieces)
    assert instance.size == len(whole)
    scan(whole)
    return whole


def parsed(data: bytes) -> Dataset:
    with quiet():
        return read_by_pydicom(data)


def frames(dataset: Dataset) -> list[bytes]:
    with quiet():
        number = int(dataset.get("NumberOfFrames") or 1)
        return list(generate_frames(dataset.PixelData, number_of_frames=number))


def bulk_parts(instance: Stored, model: Model) -> dict[str, list[BulkPart]]:
    """Give the bulk data of an instance as a client would send them."""
    parts: dict[str, list[BulkPart]] = {}
    for element in model.values():
        if "BulkDataURI" in element:
            path = element["BulkDataURI"].removeprefix("/b/").split("/")
            found = find_bulk_data(instance.header, path)
            values = [b"".join(found.pieces(instance.reader()))]
            if found.encapsulated:
                values = frames(parsed(instance.data))
            parts[element["BulkDataURI"]] = [part(value) for value in values]
        for item in element.get("Value", []) if element["vr"] == "SQ" else []:
            parts |= bulk_parts(instance, item)
    return parts


def sent(instance: Stored) -> bytes:
    """Send the metadata of an instance and its bulk data, and write what they make."""
    told = metadata(instance.header, bulk_data_uri="/b", read=instance.reader())
    told["00080005"] = MINIMAL["00080005"]
    if instance.header.transfer_syntax_uid in {BIG_ENDIAN, DEFLATED}:
        told["00020010"] = MINIMAL["00020010"]
    (model,) = parse_json_instances(msgspec.json.encode([told]))
    return made(model, **bulk_parts(instance, model))


def is_unknown(instance: Stored, key: str) -> bool:
    told: Model = metadata(instance.header, bulk_data_uri="", read=instance.reader())
    return bool(told[key]["vr"] == "UN")


def decided(path: str, theirs: object, instance: Stored) -> str | None:
    """Give the clause that decides a difference between a file and what its JSON makes."""
    if path == "/(0008,0005)":
        return "PS3.18 F.2: JSON is UTF-8"
    if "\x1b" in str(theirs):
        return "PS3.5 6.1.2.5.3: an escape sequence is no part of the text it switches"
    if "'DERIVED '" in str(theirs):
        return "PS3.5 6.2: leading and trailing spaces of each value are no part of it"
    if path.startswith("/(0001"):
        return "PS3.5 7.8: no element may have this group"
    if instance.header.transfer_syntax_uid == BIG_ENDIAN and int(path[2:6], 16) % 2:
        return "PS3.5 6.2.2: the words of UN have no known length; pydicom guesses"
    return None


@pytest.mark.clause(
    "PS3.18 F.2", "an instance sent as its own metadata and bulk data is the same data set"
)
def test_real_files_come_back_from_their_json() -> None:
    count, unknown = 0, []
    for instance in real_instances():
        if instance.name in READ_OTHERWISE:
            continue
        before = parsed(instance.data)
        if instance.name in REFUSED or is_unknown(instance, "00080016"):
            with pytest.raises(InvalidArgument):
                sent(instance)
            continue
        after = parsed(sent(instance))
        is_native = instance.header.transfer_syntax_uid in NATIVE_TRANSFER_SYNTAXES
        if not is_native and "PixelData" in before:
            assert frames(after) == frames(before), instance.name
            del before.PixelData, after.PixelData
        with quiet():
            theirs, ours = dict(flat(before)), dict(flat(after))
        unknown += [
            (instance.name, path)
            for path in theirs.keys() | ours.keys()
            if theirs.get(path) != ours.get(path)
            and decided(path, theirs.get(path), instance) is None
        ]
        count += 1
    assert not unknown
    assert count > 50


@settings(max_examples=60)
@given(data_sets(), st.sampled_from([EXPLICIT, IMPLICIT]))
def test_any_data_set_comes_back_from_its_json(rows: DataSet, transfer_syntax_uid: str) -> None:
    instance = stored(
        minimal_instance(
            extra=rows,
            specific_character_set="ISO_IR 192",
            transfer_syntax_uid=transfer_syntax_uid,
        )
    )
    data = sent(instance)
    again = stored(data)
    assert again.header.transfer_syntax_uid == transfer_syntax_uid
    one, two = (
        metadata(each.header, bulk_data_uri="/b", read=each.reader()) for each in (instance, again)
    )
    assert one == two
    uris = bulk_parts(instance, one)
    for uri, (was,) in uris.items():
        (now,) = bulk_parts(again, two)[uri]
        assert now.source.read_at(0, 1 << 20) == was.source.read_at(0, 1 << 20)


@pytest.mark.clause(
    "Cloud Healthcare API: Store", "in JSON mode each part of compressed pixel data is a frame"
)
@pytest.mark.parametrize(
    ("media_type", "transfer_syntax_uid"),
    [
        ("image/jpeg", "1.2.840.10008.1.2.4.50"),
        ("image/jpeg", "1.2.840.10008.1.2.4.70"),
        ("image/jls", "1.2.840.10008.1.2.4.80"),
        ("image/jp2", "1.2.840.10008.1.2.4.91"),
        ("image/jpx", "1.2.840.10008.1.2.4.92"),
        ("image/dicom-rle", "1.2.840.10008.1.2.5"),
        (OCTET_STREAM, "1.2.840.10008.1.2.4.202"),
    ],
)
def test_each_part_is_a_frame(media_type: str, transfer_syntax_uid: str) -> None:
    model = MINIMAL | {
        "00020010": {"vr": "UI", "Value": [transfer_syntax_uid]},
        "00280008": {"vr": "IS", "Value": [3]},
        "7FE00010": {"vr": "OW", "BulkDataURI": "b"},
        "FFFCFFFC": {"vr": "OB", "InlineBinary": "AAA="},
    }
    sent_frames = [b"one!", b"odd", b"x" * (3 << 20)]
    dataset = parsed(made(model, b=[part(each, media_type) for each in sent_frames]))
    assert dataset.file_meta.TransferSyntaxUID == transfer_syntax_uid
    assert dataset["PixelData"].VR == "OB"
    assert [each.rstrip(b"\0") for each in frames(dataset)] == sent_frames
    assert dataset.DataSetTrailingPadding == b"\0\0"


@pytest.mark.clause("PS3.10 7.1", "a file made from JSON has file meta information of its own")
def test_the_file_meta_information_says_what_the_data_set_says() -> None:
    meta = parsed(made(MINIMAL | {"00020016": {"vr": "AE", "Value": ["X"]}})).file_meta
    assert meta.MediaStorageSOPInstanceUID == "1.2.3.4"
    assert meta.MediaStorageSOPClassUID == "1.2.840.10008.5.1.4.1.1.7"
    assert meta.FileMetaInformationVersion == b"\0\1"
    assert meta.ImplementationVersionName == "FILEROOM"
    assert "SourceApplicationEntityTitle" not in meta


def test_frames_of_native_pixel_data_are_joined() -> None:
    model = MINIMAL | {"7FE00010": {"vr": "OW", "BulkDataURI": "b"}}
    data = made(model, b=[part(b"ab" * (1 << 20)), part(b""), part(b"cd")])
    assert parsed(data).PixelData == b"ab" * (1 << 20) + b"cd"


def without(*keys: str) -> Model:
    return {key: value for key, value in MINIMAL.items() if key not in keys}


def nested(depth: int) -> Model:
    model: Model = {}
    for _ in range(depth):
        model = {"00081140": {"vr": "SQ", "Value": [model]}}
    return model


def one(vr: str, *values: object) -> Model:
    return {"00720080": {"vr": vr, "Value": list(values)}}


@pytest.mark.parametrize(
    ("model", "path"),
    [
        *((without(key), key) for key in MINIMAL),
        ({"00080005": {"vr": "CS", "Value": ["ISO_IR 100"]}}, "00080005.Value[0]"),
        ({"00080005": {"vr": "CS", "Value": ["ISO_IR 192", "x"]}}, "00080005"),
        ({"00080018": {"vr": "UI", "Value": ["1.2.x"]}}, "00080018"),
        ({"00080018": {"vr": "UI", "Value": [12]}}, "00080018"),
        *(
            ({"00020010": {"vr": "UI", "Value": [uid]}}, "00020010.Value[0]")
            for uid in (BIG_ENDIAN, DEFLATED, "1.2.840.10008.1.2.4.95", "1.2.3", "")
        ),
        ({"7FE00010": {"vr": "OW", "InlineBinary": "AAAA"}}, "7FE00010"),
        ({"7FE00010": {"vr": "OW", "BulkDataURI": "no"}}, "7FE00010.BulkDataURI"),
        ({"7FE00010": {"vr": "OW", "BulkDataURI": "jpeg"}}, "7FE00010.BulkDataURI"),
        ({"00420011": {"vr": "OB", "BulkDataURI": "two"}}, "00420011.BulkDataURI"),
        ({"00420011": {"vr": "OB", "BulkDataURI": 5}}, "00420011.BulkDataURI"),
        ({"patientname": {"vr": "PN"}}, "$[3]"),
        ({"0010001": {"vr": "PN"}}, "$[3]"),
        ({"FFFEE000": {"vr": "UN"}}, "FFFEE000"),
        ({"00080050": "x"}, "00080050"),
        ({"00080050": {"Value": ["x"]}}, "00080050.vr"),
        ({"00080050": {"vr": "XX"}}, "00080050.vr"),
        ({"00080050": {"vr": ["SH"]}}, "00080050.vr"),
        ({"00080050": {"vr": "SH", "Value": "x"}}, "00080050.Value"),
        ({"00080050": {"vr": "SH", "Value": [{}]}}, "00080050.Value[0]"),
        ({"00080050": {"vr": "SH", "Value": ["a\\b"]}}, "00080050.Value[0]"),
        ({"00080050": {"vr": "SH", "InlineBinary": "AAAA"}}, "00080050.InlineBinary"),
        ({"00080050": {"vr": "SH", "Value": [], "BulkDataURI": "x"}}, "00080050"),
        ({"00080050": {"vr": "SH", "Values": []}}, "00080050"),
        (one("OB", 1), "00720080.Value"),
        ({"00720080": {"vr": "OB", "InlineBinary": "A*=="}}, "00720080.InlineBinary"),
        ({"00720080": {"vr": "OB", "InlineBinary": "é"}}, "00720080.InlineBinary"),
        ({"00720080": {"vr": "OB", "InlineBinary": ["AAAA"]}}, "00720080.InlineBinary"),
        (one("US", 65536), "00720080.Value"),
        (one("US", -1), "00720080.Value"),
        (one("US", 1, None), "00720080.Value[1]"),
        (one("US", 1.5), "00720080.Value[0]"),
        (one("US", True), "00720080.Value[0]"),
        (one("SV", "x"), "00720080.Value[0]"),
        (one("UV", 1 << 64), "00720080.Value"),
        (one("FL", 1e300), "00720080.Value"),
        (one("FD", "inf"), "00720080.Value[0]"),
        (one("IS", 10**12), "00720080.Value[0]"),
        (one("IS", 1e300), "00720080.Value[0]"),
        (one("DS", []), "00720080.Value[0]"),
        (one("DS", 10**400), "00720080.Value[0]"),
        (one("DS", float("nan")), "00720080.Value[0]"),
        (one("AT", "0010"), "00720080.Value[0]"),
        (one("AT", 1), "00720080.Value[0]"),
        (one("LT", "a", "b"), "00720080.Value"),
        (one("CS", "é"), "00720080.Value"),
        (one("LO", "\ud800"), "00720080.Value"),
        (one("PN", "Doe^John"), "00720080.Value[0]"),
        (one("PN", {"Alphabetic": 1}), "00720080.Value[0].Alphabetic"),
        (one("PN", {"Alphabetic": "a=b"}), "00720080.Value[0]"),
        (one("PN", {"Latin": "a"}), "00720080.Value[0]"),
        (one("SQ", "x"), "00720080.Value[0]"),
        (one("SQ", None, {"00080050": {"vr": "SH", "Value": [1]}}),
         "00720080.Value[1].00080050.Value[0]"),
        (nested(65), ".Value"),
    ],
)  # fmt: skip
def test_what_breaks_a_rule_is_named_by_its_path(model: Model, path: str) -> None:
    whole = model if model.keys() & MINIMAL.keys() and len(model) > 1 else MINIMAL | model
    jpeg, two = [part(b"", "image/jpeg")], [part(b"a"), part(b"b")]
    with pytest.raises(InvalidArgument) as raised:
        json_instance(whole, {"jpeg": jpeg, "two": two}, path="$[3]")
    assert raised.value.detail is not None
    assert raised.value.detail.startswith("$")
    assert raised.value.detail.endswith(path)
    assert raised.value.message.startswith(raised.value.detail)


def test_what_is_as_deep_as_it_may_be_is_taken() -> None:
    made(MINIMAL | nested(64))


def test_a_part_serves_one_element_of_an_instance() -> None:
    model = MINIMAL | {
        "00420011": {"vr": "OB", "BulkDataURI": "b"},
        "00420012": {"vr": "OB", "BulkDataURI": "b"},
    }
    assert json_instance(
        MINIMAL | {"00420011": model["00420011"]}, {"b": [part(b"x")]}
    ).bulk_data_uris == {"b"}
    with pytest.raises(InvalidArgument, match="named once"):
        json_instance(model, {"b": [part(b"x")]})


def test_elements_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fileroom.dicom.json_reading.ELEMENTS_MAX", 20)
    made(MINIMAL | {"00081140": {"vr": "SQ", "Value": [{}] * 13}})
    with pytest.raises(InvalidArgument, match="more than 20 elements"):
        made(MINIMAL | {"00081140": {"vr": "SQ", "Value": [{}, {}, *[MINIMAL] * 2]}})


@pytest.mark.clause("PS3.5 6.2", "a decimal string has at most 16 characters, an integer string 12")
@settings(max_examples=200)
@given(st.floats(-1e308, 1e308) | st.integers(-(10**30), 10**30))
def test_a_number_fits_a_decimal_string_and_keeps_what_there_is_room_for(value: float) -> None:
    element = stored(made(MINIMAL | one("DS", value))).header
    text = find_bulk_data(element, ["00720080"]).part
    assert isinstance(text, bytes)
    assert len(text) <= 16
    assert float(text) == pytest.approx(value, rel=1e-8)


@pytest.mark.parametrize(
    "document",
    [b"", b"{}", b"[]", b"[1]", b"[{}", b"\xff", b"[" * 100_000, b"[{}," * 2 + b"null]", b"[NaN]"],
)
def test_a_body_that_is_no_array_of_instances_is_refused(document: bytes) -> None:
    with pytest.raises(InvalidArgument):
        parse_json_instances(document)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["vr", "Value", "BulkDataURI", "InlineBinary", "00081140", "00080050"]),
            inner | st.sampled_from(["SQ", "PN", "OB", "DS", "FL", "b"]),
            max_size=3,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=150)
@given(JSON)
def test_whatever_is_sent_is_written_or_refused(content: object) -> None:
    with suppress(InvalidArgument):
        made(MINIMAL | {"00720080": content}, b=[part(b"x")])
