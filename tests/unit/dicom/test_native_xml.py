from __future__ import annotations

import json
import re
import subprocess
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fileroom.dicom.json_model import metadata
from fileroom.dicom.native_xml import encode_native_xml
from fileroom.dicom.part10 import scan
from tests.corpus import mr_instance
from tests.stored import real_instances
from tests.tools import require_tool

if TYPE_CHECKING:
    from pathlib import Path

    from fileroom.dicom.json_model import JsonObject

NAMES = ("FamilyName", "GivenName", "MiddleName", "NamePrefix", "NameSuffix")
NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def parsed(model: JsonObject) -> ET.Element:
    return ET.fromstring(encode_native_xml(model))


def read_back(data_set: ET.Element) -> dict[str, object]:
    """Give the JSON of an XML data set, every value as text (PS3.18 F.3)."""
    model: dict[str, object] = {}
    for attribute in data_set:
        assert attribute.tag == "DicomAttribute"
        element: dict[str, object] = {"vr": attribute.attrib["vr"]}
        values: list[object] = []
        for number, child in enumerate(attribute, 1):
            if child.tag == "BulkData":
                element["BulkDataURI"] = child.attrib.get("uri", "")
                continue
            if child.tag == "InlineBinary":
                element["InlineBinary"] = child.text
                continue
            assert child.attrib["number"] == str(number)
            if child.tag == "Item":
                values.append(read_back(child))
            elif child.tag == "PersonName":
                values.append(
                    {
                        group.tag: "^".join(group.findtext(name) or "" for name in NAMES).rstrip(
                            "^"
                        )
                        for group in child
                    }
                    or None
                )
            else:
                assert child.tag == "Value"
                values.append(child.text)
        if values:
            element["Value"] = values
        key = attribute.attrib["tag"]
        creator = attribute.attrib.get("privateCreator")
        model[f"{key[:4]}[{creator}]{key[6:]}" if creator else key] = element
    return model


def as_text(model: JsonObject) -> dict[str, object]:
    """Give a model with numbers as text and private elements named as XML names them."""
    creators = {
        key[:4] + key[6:]: element.get("Value", [None])[0]  # type: ignore[attr-defined]
        for key, element in model.items()
        if int(key[:4], 16) % 2 and key[4:6] == "00" and key[6] != "0" and element["vr"] == "LO"  # type: ignore[index]
    }
    return {
        f"{key[:4]}[{creators[key[:6]]}]{key[6:]}" if creators.get(key[:6]) else key: {
            name: [_as_text(each) for each in value] if name == "Value" else value
            for name, value in element.items()  # type: ignore[attr-defined]
        }
        for key, element in model.items()
        if key[:4] + key[6:] not in creators or key[4:6] != "00"
    }


def _as_text(value: object) -> object:
    if not isinstance(value, dict):
        return None if value is None else NOT_XML.sub("\ufffd", str(value))
    if value and not next(iter(value))[0].isdigit():
        return {group: _as_text(name.rstrip("^")) for group, name in value.items()}
    return as_text(value)


@pytest.mark.clause("PS3.18 F.3", "the XML of an instance says what its JSON says")
def test_every_real_file_says_the_same_in_xml_as_in_json() -> None:
    count = 0
    for instance in real_instances():
        model = metadata(instance.header, bulk_data_uri="/b", read=instance.reader())
        told = json.loads(msgspec.json.encode(model))
        assert read_back(parsed(model)) == as_text(told), instance.name
        count += 1
    assert count > 50


@pytest.mark.clause("PS3.19 A.1", "values are numbered, names split, items nested, blocks not sent")
def test_each_kind_of_value_has_its_element() -> None:
    model: JsonObject = {
        "00080008": {"vr": "CS", "Value": ["MPG", None, "XR3"]},
        "00080050": {"vr": "SH"},
        "00081140": {"vr": "SQ", "Value": [{"00081150": {"vr": "UI", "Value": ["1.2"]}}, {}]},
        "00090010": {"vr": "LO", "Value": ['A "&" B']},
        "00091002": {"vr": "DS", "Value": [0.5, 1e-05]},
        "000911FF": {"vr": "UN", "BulkDataURI": "http://x/?a=1&b"},
        "00100010": {
            "vr": "PN",
            "Value": [{"Alphabetic": "Wang^XiaoDong^^Dr.^jr", "Ideographic": "王^小東"}, None],
        },
        "00720067": {"vr": "OF", "InlineBinary": "AAAAPw=="},
        "60003000": {"vr": "OW", "BulkDataURI": "/bulk"},
    }
    assert encode_native_xml(model).decode() == (
        '<?xml version="1.0" encoding="UTF-8"?><NativeDicomModel xml:space="preserve">'
        '<DicomAttribute tag="00080008" vr="CS" keyword="ImageType"><Value number="1">MPG</Value>'
        '<Value number="2"></Value><Value number="3">XR3</Value></DicomAttribute>'
        '<DicomAttribute tag="00080050" vr="SH" keyword="AccessionNumber"></DicomAttribute>'
        '<DicomAttribute tag="00081140" vr="SQ" keyword="ReferencedImageSequence">'
        '<Item number="1"><DicomAttribute tag="00081150" vr="UI" keyword="ReferencedSOPClassUID">'
        '<Value number="1">1.2</Value></DicomAttribute></Item><Item number="2"></Item>'
        "</DicomAttribute>"
        '<DicomAttribute tag="00090002" vr="DS" privateCreator="A &quot;&amp;&quot; B">'
        '<Value number="1">0.5</Value><Value number="2">1e-05</Value></DicomAttribute>'
        '<DicomAttribute tag="000911FF" vr="UN"><BulkData uri="http://x/?a=1&amp;b"/>'
        "</DicomAttribute>"
        '<DicomAttribute tag="00100010" vr="PN" keyword="PatientName"><PersonName number="1">'
        "<Alphabetic><FamilyName>Wang</FamilyName><GivenName>XiaoDong</GivenName>"
        "<NamePrefix>Dr.</NamePrefix><NameSuffix>jr</NameSuffix></Alphabetic><Ideographic>"
        "<FamilyName>王</FamilyName><GivenName>小東</GivenName></Ideographic></PersonName>"
        '<PersonName number="2"></PersonName></DicomAttribute>'
        '<DicomAttribute tag="00720067" vr="OF" keyword="SelectorOFValue">'
        "<InlineBinary>AAAAPw==</InlineBinary></DicomAttribute>"
        '<DicomAttribute tag="60003000" vr="OW" keyword="OverlayData"><BulkData uri="/bulk"/>'
        "</DicomAttribute></NativeDicomModel>"
    )


@pytest.mark.clause(
    "Cloud Healthcare API: Store", "the XML answer has plain names and FailureDetail of GOOGLE"
)
def test_the_answer_to_a_store_is_found_by_plain_names() -> None:
    failed: JsonObject = {
        "00090010": {"vr": "LO", "Value": ["GOOGLE"]},
        "00091097": {"vr": "LT", "Value": ["already exists"]},
        "00081197": {"vr": "US", "Value": [272]},
    }
    stored: JsonObject = {"00081190": {"vr": "UR", "Value": ["https://x/studies/1"]}}
    root = parsed(
        {
            "00081198": {"vr": "SQ", "Value": [failed]},
            "00081199": {"vr": "SQ", "Value": [stored]},
        }
    )
    assert root.tag == "NativeDicomModel"
    detail = root.find(".//DicomAttribute[@keyword='FailureDetail']")
    assert detail is not None
    assert detail.attrib["tag"] == "00090097"
    assert detail.attrib["privateCreator"] == "GOOGLE"
    assert detail.findtext("Value") == "already exists"
    url = root.find("DicomAttribute[@keyword='ReferencedSOPSequence']//*[@keyword='RetrieveURL']")
    assert url is not None
    assert url[0].text == "https://x/studies/1"


@settings(max_examples=200)
@given(st.text(st.characters(codec=None), min_size=1))
def test_any_text_is_well_formed_and_comes_back_but_for_what_xml_cannot_hold(text: str) -> None:
    expected = NOT_XML.sub("\ufffd", text)
    root = parsed(
        {
            "00090010": {"vr": "LO", "Value": [text]},
            "00091001": {"vr": "UT", "Value": [text]},
            "00100010": {"vr": "PN", "Value": [{"Phonetic": f"{text.replace('^', '')}^x"}]},
        }
    )
    assert root[0].attrib["privateCreator"] == expected
    assert root[0].findtext("Value") == expected
    assert (root.findtext(".//FamilyName") or "") == expected.replace("^", "")


def test_dcmtk_says_the_same(tmp_path: Path) -> None:
    dcm2xml = require_tool("dcm2xml")
    data = mr_instance()
    file = tmp_path / "mr.dcm"
    file.write_bytes(data)
    out = subprocess.run(
        [dcm2xml, "--native-format", str(file)], capture_output=True, check=True, text=False
    ).stdout
    ours = read_back(parsed(metadata(scan(data).header, bulk_data_uri="/b", read=lambda *_: b"")))
    for key, theirs in read_back(ET.fromstring(out)).items():
        if ("[" not in key and int(key[:4], 16) % 2) or key == "7FE00010":
            # Private creators are told by their elements; bulk data have a URI of ours.
            continue
        here = ours[key]
        assert isinstance(here, dict)
        assert isinstance(theirs, dict)
        assert _numbers(here.get("Value")) == _numbers(theirs.get("Value")), key


def _numbers(values: object) -> object:
    """Give numbers that are written as text, for decimals differ in their zeros."""
    if not isinstance(values, list):
        return values
    try:
        return [float(value) for value in values]
    except (TypeError, ValueError):
        return values
