from __future__ import annotations

import subprocess
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fileroom.dicom.header import elements, extents, file_meta
from fileroom.dicom.json_model import metadata
from fileroom.dicom.patching import patched
from fileroom.dicom.rewriting import PIECE_BYTES
from fileroom.errors import InvalidArgument
from tests.against_pydicom import READ_OTHERWISE, flat, quiet, read_by_pydicom
from tests.corpus import (
    BIG_ENDIAN,
    DEFLATED,
    EXPLICIT,
    IMPLICIT,
    DataSet,
    Fragments,
    minimal_instance,
    sr_instance,
)
from tests.data_sets import data_sets
from tests.stored import Stored, real_instances, stored
from tests.tools import require_tool

if TYPE_CHECKING:
    from pathlib import Path

    from pydicom import Dataset

Model = dict[str, Any]

ENCODINGS = [EXPLICIT, IMPLICIT, BIG_ENDIAN, DEFLATED]
PATCH: Model = {
    "00080090": {"vr": "PN"},
    "00081030": {"vr": "LO", "Value": ["Patched"]},
    "00081140": {
        "vr": "SQ",
        "Value": [{"00081150": {"vr": "UI", "Value": ["1.2.3"]}, "00280010": {"vr": "US"}}, {}],
    },
    "00100010": {"vr": "PN", "Value": [{"Alphabetic": "New^Name"}]},
    "00189306": {"vr": "FD", "Value": [0.25]},
    "00280009": {"vr": "AT", "Value": ["00181063"]},
    "00720065": {"vr": "OB", "InlineBinary": "AQI="},
    "00720069": {"vr": "OW", "InlineBinary": "AQI="},
}


def changed(instance: Stored, model: Model) -> bytes:
    rewriting = patched(instance.header, model)
    pieces = list(rewriting.pieces(instance.reader()))
    assert all(len(piece) <= PIECE_BYTES for piece in pieces)
    whole = b"".join(pieces)
    assert rewriting.size in {None, len(whole)}
    return whole


def parsed(data: bytes) -> Dataset:
    with quiet():
        return read_by_pydicom(data)


def told(instance: Stored) -> Model:
    return metadata(instance.header, bulk_data_uri="/b", read=instance.reader())


def test_the_extents_of_real_files_are_those_of_their_elements() -> None:
    for instance in real_instances():
        header = instance.header
        found = list(extents(header))
        assert [tag for tag, _, _ in found] == [each.tag for each in elements(header)]
        meta = sum(1 for _ in file_meta(header))
        assert meta
        ends = [start for _, start, _ in found[1:]] + [len(header.skeleton)]
        if instance.name not in READ_OTHERWISE:
            assert [end for _, _, end in found] == ends, instance.name


def test_nothing_named_is_nothing_changed() -> None:
    """But for preamble, group lengths, and padding after the last element."""
    count = 0
    for instance in real_instances():
        data = changed(instance, {})
        if instance.header.transfer_syntax_uid == DEFLATED:
            assert told(stored(data)) == told(instance)
        elif not any(tag & 0xFFFF == 0 for tag, _, _ in extents(instance.header)):
            assert data[128:] == instance.data[128 : len(data)], instance.name
            count += 1
    assert count > 50


@pytest.mark.clause(
    "Cloud Healthcare API v1beta1: Update", "attributes that are named are replaced, others stay"
)
def test_real_files_keep_what_is_not_named() -> None:
    count = 0
    for instance in real_instances():
        if instance.name in READ_OTHERWISE:
            continue
        again = stored(changed(instance, PATCH))
        before, after = told(instance), told(again)
        expected = before | PATCH
        expected |= {key: after[key] for key in ("00720065", "00720069")}
        assert after == dict(sorted(expected.items())), instance.name
        assert again.header.transfer_syntax_uid == instance.header.transfer_syntax_uid
        with quiet():
            theirs, ours = dict(flat(parsed(instance.data))), dict(flat(parsed(again.data)))
        named = {f"/({key[:4]},{key[4:]})" for key in PATCH}
        differing = {
            path.split(")")[0] + ")"
            for path in theirs.keys() | ours.keys()
            if theirs.get(path) != ours.get(path)
        }
        assert differing <= named, instance.name
        assert ours["/(0072,0065)"] == ours["/(0072,0069)"] == b"\1\2"
        count += 1
    assert count > 50


@settings(max_examples=60)
@given(data_sets(), data_sets(), st.sampled_from(ENCODINGS), st.booleans())
def test_any_data_set_is_replaced_in_any_encoding(
    rows: DataSet, new_rows: DataSet, transfer_syntax_uid: str, undefined_lengths: bool
) -> None:
    def instance(rows: DataSet) -> Stored:
        return stored(
            minimal_instance(
                extra=rows,
                specific_character_set="ISO_IR 192",
                transfer_syntax_uid=transfer_syntax_uid,
                undefined_lengths=undefined_lengths,
            )
        )

    old = instance(rows)
    patch = {key: value for key, value in told(instance(new_rows)).items() if is_sendable(value)}
    again = stored(changed(old, patch))
    assert told(again) == dict(sorted((told(old) | patch).items()))


def is_sendable(element: Model) -> bool:
    if "BulkDataURI" in element:
        return False
    items = element.get("Value", []) if element["vr"] == "SQ" else []
    return all(is_sendable(each) for item in items for each in item.values())


def test_compressed_pixel_data_are_copied_untouched() -> None:
    pixels = Fragments((b"\xff\xd8" + b"x" * (3 << 20), b"ab"), offset_table=bytes(8))
    icon = Fragments((b"icon" * 40,))
    instance = stored(
        minimal_instance(
            transfer_syntax_uid="1.2.840.10008.1.2.4.50",
            extra=[
                (0x00880200, "SQ", [[(0x7FE00010, "OB", icon)]]),
                (0x7FE00010, "OB", pixels),
                (0xFFFCFFFC, "OB", b"\0\0"),
            ],
        )
    )
    before, after = parsed(instance.data), parsed(changed(instance, PATCH))
    assert after.PixelData == before.PixelData
    assert after.IconImageSequence[0].PixelData == before.IconImageSequence[0].PixelData
    assert after.DataSetTrailingPadding == b"\0\0"
    assert after.PatientName == "New^Name"


@pytest.mark.clause(
    "PS3.3 C.12.1.1.2", "new text is written in the character set the instance has", holds="chosen"
)
@pytest.mark.parametrize(
    ("character_set", "stored_name", "name", "expected"),
    [
        ("ISO_IR 100", "Sample", "Müller", "ISO_IR 100"),
        ("ISO_IR 144", "Sample", "Иванов", "ISO_IR 144"),
        ("ISO_IR 192", "Ünal", "山田", "ISO_IR 192"),
        ("GB18030", "Sample", "王", "GB18030"),
        ("ISO_IR 100", "Sample", "山田", "ISO_IR 192"),
        ("\\ISO 2022 IR 87", "Sample", "山田", "ISO_IR 192"),
        (None, "Sample", "Müller", "ISO_IR 192"),
        (None, "Sample", "Muller", None),
    ],
)
def test_new_text_is_written_in_a_character_set_that_has_it(
    character_set: str | None, stored_name: str, name: str, expected: str | None
) -> None:
    data = minimal_instance(specific_character_set=character_set, patient_name=stored_name)
    patch: Model = {
        "00080005": {"vr": "CS", "Value": ["ISO_IR 192"]},
        "00100010": {"vr": "PN", "Value": [{"Alphabetic": name}]},
    }
    result = parsed(changed(stored(data), patch))
    assert result.get("SpecificCharacterSet") == expected
    with quiet():
        assert result.PatientName == name


@pytest.mark.parametrize(
    ("character_set", "charset", "stored_text"),
    [("ISO_IR 100", "latin-1", "Ünal"), ("\\ISO 2022 IR 87", "iso2022_jp", "山田")],
)
def test_text_that_would_have_to_be_converted_is_refused(
    character_set: str, charset: str, stored_text: str
) -> None:
    item: DataSet = [(0x00080104, "LO", stored_text)]
    data = minimal_instance(
        specific_character_set=character_set, charset=charset, extra=[(0x00081032, "SQ", [item])]
    )
    patch: Model = {"00100010": {"vr": "PN", "Value": [{"Alphabetic": "王"}]}}
    with pytest.raises(InvalidArgument, match="character set"):
        patched(stored(data).header, patch)


@pytest.mark.clause(
    "Cloud Healthcare API v1beta1: Update", "study, series and instance UIDs do not change"
)
@pytest.mark.parametrize("key", ["0020000D", "0020000E", "00080018", "00080016"])
def test_the_uids_of_an_instance_may_be_named_but_not_changed(key: str) -> None:
    instance = stored(minimal_instance())
    same = told(instance)[key]
    assert told(stored(changed(instance, {key: same}))) == told(instance)
    for other in ({"vr": "UI", "Value": ["1.2.3"]}, {"vr": "UI"}):
        with pytest.raises(InvalidArgument, match=key):
            patched(instance.header, {key: other})


@pytest.mark.parametrize(
    ("patch", "path"),
    [
        ({"00020010": {"vr": "UI", "Value": [IMPLICIT]}}, "$.00020010"),
        ({"7FE00010": {"vr": "OW", "InlineBinary": "AAAA"}}, "$.7FE00010"),
        ({"7FE00010": {"vr": "OW"}}, "$.7FE00010"),
        ({"00420011": {"vr": "OB", "BulkDataURI": "x"}}, "$.00420011.BulkDataURI"),
        ({"00100010": {"vr": "PN", "Value": ["x"]}}, "$.00100010.Value[0]"),
        ({"PatientName": {"vr": "PN"}}, "$"),
    ],
)
def test_what_cannot_be_patched_is_named_by_its_path(patch: Model, path: str) -> None:
    with pytest.raises(InvalidArgument) as raised:
        patched(stored(minimal_instance()).header, patch)
    assert raised.value.detail == path


def test_where_no_vr_is_written_none_is_contradicted() -> None:
    instance = stored(minimal_instance(transfer_syntax_uid=IMPLICIT))
    patches: list[Model] = [
        {"00081140": {"vr": "LO", "Value": ["x"]}},
        {"00100020": {"vr": "SQ", "Value": [{}]}},
    ]
    for patch in patches:
        with pytest.raises(InvalidArgument, match="Implicit VR has only"):
            patched(instance.header, patch)


@pytest.mark.parametrize("transfer_syntax_uid", ENCODINGS)
def test_dcmtk_reads_a_patched_file_without_complaint(
    transfer_syntax_uid: str, tmp_path: Path
) -> None:
    dcmdump = require_tool("dcmdump")
    file = tmp_path / "patched.dcm"
    instance = stored(sr_instance(findings=5, transfer_syntax_uid=transfer_syntax_uid))
    file.write_bytes(changed(instance, PATCH))
    run = subprocess.run([dcmdump, "+P", "0010,0010", file], capture_output=True, text=True)
    assert (run.returncode, run.stderr) == (0, "")
    assert "New^Name" in run.stdout


@settings(max_examples=80)
@given(
    st.dictionaries(
        st.sampled_from(["00081140", "00100010", "00280010", "FFFEE000", "7FE00010", "x"]),
        st.fixed_dictionaries(
            {"vr": st.sampled_from(["SQ", "PN", "US", "UN", "LO", "??"])},
            optional={
                "Value": st.lists(
                    st.none() | st.integers() | st.text(max_size=3) | st.just({}), max_size=2
                ),
                "InlineBinary": st.text("AB=", max_size=4),
            },
        ),
    )
)
def test_whatever_is_named_is_written_or_refused(patch: Model) -> None:
    instance = stored(minimal_instance())
    with suppress(InvalidArgument):
        stored(changed(instance, patch))
