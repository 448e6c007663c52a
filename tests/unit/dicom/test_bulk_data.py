from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataelem import RawDataElement
from pydicom.encaps import generate_fragments
from pydicom.tag import BaseTag

from fileroom.dicom.bulk_data import BulkData, find_bulk_data
from fileroom.dicom.byte_order import WORD_BYTES, swapped
from fileroom.dicom.json_model import metadata
from fileroom.dicom.rewriting import PIECE_BYTES
from fileroom.errors import DataLoss, InvalidArgument, NotFound
from tests.against_pydicom import READ_OTHERWISE, quiet, read_by_pydicom
from tests.corpus import (
    BIG_ENDIAN,
    DEFLATED,
    EXPLICIT,
    IMPLICIT,
    DataSet,
    Fragments,
    encapsulated_instance,
    minimal_instance,
)
from tests.stored import Source, Stored, real_instances, stored

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydicom import Dataset

    from fileroom.dicom.json_model import JsonObject

ICON = 0x00880200


def bulk_data_paths(model: JsonObject) -> Iterator[tuple[list[str], str]]:
    """Give the path of each BulkDataURI with its VR."""
    for element in model.values():
        assert isinstance(element, dict)
        if "BulkDataURI" in element:
            yield element["BulkDataURI"].removeprefix("/b/").split("/"), element["vr"]
        if element["vr"] == "SQ":
            for item in element.get("Value", []):
                yield from bulk_data_paths(item)


def value(instance: Stored, found: BulkData) -> bytes:
    pieces = list(found.pieces(instance.reader()))
    assert all(len(piece) <= PIECE_BYTES for piece in pieces)
    whole = b"".join(pieces)
    assert found.size in {None, len(whole)}
    return whole


def raw_value(dataset: Dataset, path: list[str]) -> tuple[bytes, bool]:
    """Give what pydicom has at a path, and whether its length is undefined."""
    tag, *rest = path
    element = dataset._dict[BaseTag(int(tag, 16))]
    if not rest:
        if isinstance(element, RawDataElement):
            return element.value or b"", element.length == 0xFFFFFFFF
        # What pydicom has looked at for its own purposes is no longer raw.
        value = element.value.encode() if isinstance(element.value, str) else element.value
        return value or b"", element.is_undefined_length
    return raw_value(dataset[int(tag, 16)].value[int(rest[0])], rest[1:])


@pytest.mark.clause(
    "PS3.18 10.4.1.1.5", "every BulkDataURI of the metadata of real files gives the value"
)
def test_every_uri_that_metadata_tell_gives_what_pydicom_reads() -> None:
    count = 0
    for instance in real_instances():
        if instance.name in READ_OTHERWISE:
            continue
        model = metadata(instance.header, bulk_data_uri="/b", read=instance.reader())
        dataset = read_by_pydicom(instance.data)
        for path, vr in bulk_data_paths(model):
            ours = value(instance, find_bulk_data(instance.header, path))
            with quiet():
                theirs, encapsulated = raw_value(dataset, path)
            if encapsulated:
                theirs = b"".join(list(generate_fragments(theirs))[1:])
            elif instance.header.transfer_syntax_uid == BIG_ENDIAN and vr in WORD_BYTES:
                theirs = swapped(theirs, WORD_BYTES[vr])
            assert ours == theirs, (instance.name, path)
            count += 1
    assert count > 100


@pytest.mark.parametrize("length", [4, 64, 66, 3 << 20])
@pytest.mark.parametrize("transfer_syntax_uid", [EXPLICIT, IMPLICIT, BIG_ENDIAN, DEFLATED])
def test_a_value_is_given_little_endian_from_every_encoding(
    transfer_syntax_uid: str, length: int
) -> None:
    words = [at % 65521 for at in range(length // 2)]
    icon: DataSet = [(0x00280010, "US", 2), (0x7FE00010, "OW", words)]
    instance = stored(
        minimal_instance(
            transfer_syntax_uid=transfer_syntax_uid,
            extra=[(ICON, "SQ", [[], icon])],
            pixel_data=words,
        )
    )
    expected = b"".join(word.to_bytes(2, "little") for word in words)
    for path in (["7FE00010"], ["00880200", "1", "7fe00010"]):
        found = find_bulk_data(instance.header, path)
        assert value(instance, found) == expected
        assert found.size == length
        assert found.transfer_syntax_uid == EXPLICIT


@pytest.mark.clause(
    "PS3.18 8.7.3.3.2",
    "compressed pixel data are given as their fragments hold them, without headers of items",
    holds="chosen",
)
def test_compressed_pixel_data_are_given_without_the_headers_of_items() -> None:
    fragments = (b"\xff\xd8ab", b"cd" * (1 << 20), b"", b"ef")
    data = minimal_instance(
        transfer_syntax_uid="1.2.840.10008.1.2.4.50",
        extra=[(0x7FE00010, "OB", Fragments(fragments, offset_table=bytes(8)))],
    )
    instance = stored(data)
    found = find_bulk_data(instance.header, ["7FE00010"])
    assert (found.encapsulated, found.size) == (True, None)
    assert found.transfer_syntax_uid == "1.2.840.10008.1.2.4.50"
    assert value(instance, found) == b"".join(fragments)


@pytest.mark.parametrize("at", [0, 4, 12])
def test_a_stored_file_that_lost_its_fragments_is_named(at: int) -> None:
    data = encapsulated_instance()
    instance = stored(data)
    cut = instance.header.cuts[-1]
    damaged = data[: cut.offset + at]
    found = find_bulk_data(instance.header, ["7FE00010"])
    if at == 0:
        damaged += bytes(cut.length)
    with pytest.raises(DataLoss, match=r"no fragment|bytes early"):
        list(found.pieces(lambda at, length: Source(damaged).read_at(at, length)))


@pytest.mark.parametrize(
    "path",
    [
        ["7FE00010"],
        ["00080016", "0", "00080016"],
        ["00081140", "2", "00081150"],
        ["00081140", "0", "00081155"],
        ["00081140"],
        ["00020010"],
    ],
)
def test_what_is_not_there_is_not_found(path: list[str]) -> None:
    reference = [(0x00081150, "UI", "1.2")]
    data = minimal_instance(extra=[(0x00081140, "SQ", [reference, reference])])
    assert find_bulk_data(stored(data).header, ["00081140", "1", "00081150"]).part == b"1.2\0"
    with pytest.raises(NotFound, match="/".join(path)):
        find_bulk_data(stored(data).header, path)


@pytest.mark.parametrize(
    "path",
    [
        [],
        [""],
        ["PixelData"],
        ["7FE00010", "0"],
        ["00081140", "-1", "00081150"],
        ["00081140", "01", "00081150"],
        ["00081140", "٣", "00081150"],
        ["00081140", "9" * 5000, "00081150"],
        ["7FE00010\n"],
        ["00081140", "0"] * 65 + ["00081150"],
    ],
)
def test_a_path_of_another_form_is_refused(path: list[str]) -> None:
    with pytest.raises(InvalidArgument, match="eight hexadecimal digits"):
        find_bulk_data(stored(minimal_instance()).header, path)


@settings(max_examples=100)
@given(st.lists(st.text(max_size=9) | st.from_regex("[0-9A-F]{8}|[0-9]", fullmatch=True)))
def test_no_path_does_anything_else(path: list[str]) -> None:
    header = stored(minimal_instance()).header
    with suppress(InvalidArgument, NotFound):
        assert isinstance(find_bulk_data(header, path), BulkData)
