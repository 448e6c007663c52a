"""DICOM JSON as rows and as pydicom data sets."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

import pydicom
import pytest

from fileroom.client.data_sets import to_data_set
from fileroom.client.rows import to_row
from fileroom.errors import DataLoss

if TYPE_CHECKING:
    from fileroom.client import Json
    from fileroom.client.rows import Value


def element(vr: str, *values: Json) -> Json:
    return {"vr": vr, "Value": list(values)}


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (element("IS", 5), 5),
        (element("IS", "9007199254740993"), 9007199254740993),
        (element("IS", "1A"), "1A"),
        (element("IS", "1_0"), "1_0"),
        (element("IS", 5.0), 5),
        (element("IS", 1.5), 1.5),
        (element("UV", "18446744073709551615"), 18446744073709551615),
        (element("US", 1, 2), [1, 2]),
        (element("DS", 5), 5.0),
        (element("DS", "0.12345678901234567"), 0.12345678901234566),
        (element("DS", 0.5, None), [0.5, None]),
        (element("FD", "-Infinity"), -math.inf),
        (element("PN", {"Alphabetic": "A^B", "Ideographic": "C"}), "A^B"),
        (element("PN", {"Ideographic": "C"}), "C"),
        (element("PN", {}), None),
        (element("CS", "A", "B"), ["A", "B"]),
        (element("DA", "20240102"), "20240102"),
        (element("AT", "00100010"), "00100010"),
        (element("SQ", {"00100020": element("LO", "P1")}), [{"PatientID": "P1"}]),
        ({"vr": "SQ"}, []),
        ({"vr": "LO"}, None),
        (element("LO"), None),
        ({"vr": "OW", "BulkDataURI": "http://h/b"}, "http://h/b"),
        ({"vr": "OD", "InlineBinary": "AAE="}, b"\x00\x01"),
        ("no element", None),
    ],
)
def test_a_value_of_a_row_is_pythons(told: Json, expected: Value) -> None:
    row = to_row({"00081030": told})
    assert row == {"StudyDescription": expected}
    assert type(row["StudyDescription"]) is type(expected)


def test_numbers_that_are_none_are_nan() -> None:
    assert math.isnan(to_row({"00081030": element("FL", "NaN")})["StudyDescription"])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("tag", "key"),
    [
        ("00100010", "PatientName"),
        ("00291008", "00291008"),
        ("60000010", "60000010"),
        ("60020010", "60020010"),
        ("0019FFFF", "0019FFFF"),
        ("no tag", "no tag"),
    ],
)
def test_a_key_is_a_keyword_or_the_tag(tag: str, key: str) -> None:
    assert to_row({tag: element("US", 1)}) == {key: 1}


def test_a_decimal_that_is_none_costs_no_time() -> None:
    text = "1" * 60_000 + "x"
    began = time.perf_counter()
    assert to_row({"00280030": {"vr": "DS", "Value": [text]}}) == {"PixelSpacing": text}
    assert time.perf_counter() - began < 1


def test_inline_binary_that_is_none_is_data_loss() -> None:
    with pytest.raises(DataLoss):
        to_row({"00081030": {"vr": "OD", "InlineBinary": "?"}})


def test_a_data_set_has_what_the_json_tells() -> None:
    data_set = to_data_set(
        {
            "00020010": element("UI", "1.2.840.10008.1.2"),
            "00080018": element("UI", "1.2.3"),
            "00081140": element("SQ", {"00081155": element("UI", "1.2.4")}, {}),
            "00100010": element("PN", {"Alphabetic": "A^B", "Phonetic": "C"}),
            "00101010": {"vr": "AS"},
            "00189073": element("FD", 1.5),
            "00291010": element("LO", "private"),
            "7FE00010": {"vr": "OW", "BulkDataURI": "http://h/b"},
        }
    )
    assert isinstance(data_set, pydicom.Dataset)
    assert data_set.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2"
    assert [item.get("ReferencedSOPInstanceUID") for item in data_set.ReferencedImageSequence] == [
        "1.2.4",
        None,
    ]
    assert str(data_set.PatientName) == "A^B==C"
    assert data_set.PatientAge == ""
    assert data_set.AcquisitionDuration == 1.5
    assert data_set[0x0029, 0x1010].value == "private"
    assert data_set["PixelData"].is_empty


def test_a_value_that_pydicom_cannot_hold_leaves_the_others() -> None:
    item: Json = {"00200013": element("IS", "1A"), "00080018": element("UI", "1.2.3")}
    with pytest.warns(UserWarning, match="00200013 is left without a value"):
        data_set = to_data_set({"00081140": element("SQ", item), "00100020": element("LO", "P")})
    (found,) = data_set.ReferencedImageSequence
    assert (found.InstanceNumber, found.SOPInstanceUID) == (None, "1.2.3")
    assert data_set.PatientID == "P"


@pytest.mark.parametrize("model", [{"0010": element("LO", "a")}, {"00100020": 1}, {"00100020": {}}])
def test_what_is_no_element_is_data_loss(model: dict[str, Json]) -> None:
    with pytest.raises(DataLoss, match="DICOM JSON Model"):
        to_data_set(model)
