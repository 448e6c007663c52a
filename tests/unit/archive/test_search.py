from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import delete, func, select

from fileroom.archive.search import search
from fileroom.database import schema
from fileroom.dicom.levels import Level
from fileroom.dicom.matching import parse_query
from fileroom.names import Uid
from tests.corpus import DataSet, minimal_instance, mr_instance
from tests.places import root_of
from tests.store_content import FilledStore, filled_store

if TYPE_CHECKING:
    from collections.abc import Iterator

URL = "http://h/v1/dicomWeb"
REQUEST: DataSet = [
    (0x00321060, "LO", "a procedure"),
    (0x00400007, "LO", "a step"),
]
NOTHING: dict[str, Any] = dict.fromkeys(
    (
        "study_date",
        "study_time",
        "accession_number",
        "referring_physician_name",
        "patient_name",
        "patient_id",
        "patient_birth_date",
        "patient_sex",
        "study_id",
        "modality",
        "series_number",
        "instance_number",
    )
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FilledStore]:
    files = [
        minimal_instance(
            study_instance_uid="1.2.1",
            series_instance_uid="1.2.1.1",
            sop_instance_uid="1.2.1.1.1",
            specific_character_set="ISO_IR 100",
            timezone_offset_from_utc="+0100",
            patient_name="Müller^Jörg".encode("latin_1"),
            patient_id="A\\B",
            study_description="Überblick".encode("latin_1"),
            charset="latin_1",
            modality="CT",
            series_description="A series",
            rows=512,
            columns=256,
            bits_allocated=16,
            number_of_frames="3",
            extra=[
                (0x00080080, "LO", "Hôpital".encode("latin_1")),
                (0x00180015, "CS", "CHEST"),
                (0x00400244, "DA", "20240102"),
                (0x00400275, "SQ", [REQUEST]),
            ],
        ),
        minimal_instance(
            study_instance_uid="1.2.2",
            series_instance_uid="1.2.2.1",
            sop_instance_uid="1.2.2.1.1",
            **NOTHING,
        ),
    ]
    with filled_store(tmp_path_factory.mktemp("archive-search"), files) as filled:
        yield filled


def results(
    store: FilledStore, level: Level, *parameters: tuple[str, str], **within: str
) -> list[dict[str, object]]:
    uids = {name: Uid(value) for name, value in within.items()}
    query = parse_query(level, parameters, extended=True, **uids)
    answer = search(store.content, query, URL, counting=True)
    found = list(answer.results)
    assert len(found) == answer.count
    for each in found:
        assert list(each) == sorted(each)
    return found


def values(vr: str, *told: object) -> dict[str, object]:
    return {"vr": vr, "Value": list(told)}


def test_a_study_tells_its_default_fields(store: FilledStore) -> None:
    full, empty = results(store, Level.STUDY)
    assert full == {
        "00080005": values("CS", "ISO_IR 192"),
        "00080020": values("DA", "20240102"),
        "00080030": values("TM", "030405"),
        "00080050": values("SH", "A1"),
        "00080056": values("CS", "ONLINE"),
        "00080061": values("CS", "CT"),
        "00080090": values("PN", {"Alphabetic": "Refer^Renate"}),
        "00080201": values("SH", "+0100"),
        "00100010": values("PN", {"Alphabetic": "Müller^Jörg"}),
        "00100020": values("LO", "A", "B"),
        "00100030": values("DA", "19700101"),
        "00100040": values("CS", "O"),
        "0020000D": values("UI", "1.2.1"),
        "00200010": values("SH", "S1"),
        "00201206": values("IS", 1),
        "00201208": values("IS", 1),
    }
    # What a type 2 attribute has no value for is told with its VR alone, the rest left out.
    assert empty == {
        "00080020": {"vr": "DA"},
        "00080030": {"vr": "TM"},
        "00080050": {"vr": "SH"},
        "00080056": values("CS", "ONLINE"),
        "00080090": {"vr": "PN"},
        "00100010": {"vr": "PN"},
        "00100020": {"vr": "LO"},
        "00100030": {"vr": "DA"},
        "00100040": {"vr": "CS"},
        "0020000D": values("UI", "1.2.2"),
        "00200010": {"vr": "SH"},
        "00201206": values("IS", 1),
        "00201208": values("IS", 1),
    }


def test_a_series_tells_its_default_fields_the_header_has(store: FilledStore) -> None:
    full, empty = results(store, Level.SERIES)
    assert full == {
        "00080005": values("CS", "ISO_IR 192"),
        "00080060": values("CS", "CT"),
        "00080201": values("SH", "+0100"),
        "0008103E": values("LO", "A series"),
        "0020000D": values("UI", "1.2.1"),
        "0020000E": values("UI", "1.2.1.1"),
        "00200011": values("IS", 1),
        "00201209": values("IS", 1),
        "00400244": values("DA", "20240102"),
        "00400275": values(
            "SQ",
            {
                "00321060": values("LO", "a procedure"),
                "00400007": values("LO", "a step"),
            },
        ),
    }
    assert empty == {
        "00080060": {"vr": "CS"},
        "0020000D": values("UI", "1.2.2"),
        "0020000E": values("UI", "1.2.2.1"),
        "00201209": values("IS", 1),
    }


def test_an_instance_tells_its_default_fields(store: FilledStore) -> None:
    full, empty = results(store, Level.INSTANCE)
    assert full == {
        "00080005": values("CS", "ISO_IR 192"),
        "00080016": values("UI", "1.2.840.10008.5.1.4.1.1.7"),
        "00080018": values("UI", "1.2.1.1.1"),
        "00080056": values("CS", "ONLINE"),
        "00080201": values("SH", "+0100"),
        "0020000D": values("UI", "1.2.1"),
        "0020000E": values("UI", "1.2.1.1"),
        "00200013": values("IS", 1),
        "00280008": values("IS", 3),
        "00280010": values("US", 512),
        "00280011": values("US", 256),
        "00280100": values("US", 16),
    }
    assert empty["00200013"] == {"vr": "IS"}
    assert "00280010" not in empty


def test_included_fields_come_from_rows_above_and_from_the_header(store: FilledStore) -> None:
    (told,) = results(
        store,
        Level.INSTANCE,
        ("includefield", "0020000D,0020000E,PatientName,InstitutionName,00020010"),
        ("SOPInstanceUID", "1.2.1.1.1"),
    )
    assert told["0020000D"] == values("UI", "1.2.1")
    assert told["0020000E"] == values("UI", "1.2.1.1")
    assert told["00100010"] == values("PN", {"Alphabetic": "Müller^Jörg"})
    assert told["00080080"] == values("LO", "Hôpital")
    assert told["00020010"] == values("UI", "1.2.840.10008.1.2.1")
    (study, _) = results(store, Level.STUDY, ("includefield", "StudyDescription,Modality"))
    assert study["00081030"] == values("LO", "Überblick")
    assert "00080060" not in study
    (series, other) = results(store, Level.SERIES, ("includefield", "BodyPartExamined"))
    assert series["00180015"] == values("CS", "CHEST")
    assert "00180015" not in other


def test_all_fields_of_an_instance_are_its_metadata(store: FilledStore) -> None:
    (told,) = results(
        store,
        Level.INSTANCE,
        ("includefield", "all"),
        study_instance_uid="1.2.1",
    )
    assert told["00180015"] == values("CS", "CHEST")
    assert told["0020000D"] == values("UI", "1.2.1")
    assert told["00080056"] == values("CS", "ONLINE")


def test_bulk_data_are_told_by_where_they_are_of_whichever_level(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    files = [
        mr_instance(study_instance_uid="1.2", series_instance_uid="1.3", sop_instance_uid="1.4")
    ]
    with filled_store(tmp_path_factory.mktemp("bulk"), files) as store:
        uri = f"{URL}/studies/1.2/series/1.3/instances/1.4/bulkdata/7FE00010"
        for level in Level:
            (told,) = results(store, level, ("includefield", "PixelData"))
            assert told["7FE00010"] == {"vr": "OW", "BulkDataURI": uri}


def test_without_a_stored_header_it_is_cut_from_the_blob_again(store: FilledStore) -> None:
    before = results(store, Level.SERIES)
    with store.database.read() as connection:
        rows = connection.execute(select(schema.headers)).all()
    store.database.write(lambda transaction: transaction.execute(delete(schema.headers)))
    assert results(store, Level.SERIES) == before
    damaged = [dict(row._mapping) | {"z": b"damaged"} for row in rows]
    store.database.write(lambda writer: writer.execute(schema.headers.insert(), damaged))
    assert results(store, Level.SERIES) == before
    store.database.write(lambda writer: writer.execute(delete(schema.headers)))
    whole = [dict(row._mapping) for row in rows]
    store.database.write(lambda writer: writer.execute(schema.headers.insert(), whole))


def test_no_header_is_read_where_rows_tell_everything(store: FilledStore) -> None:
    with store.database.read() as connection:
        count = connection.execute(select(func.count()).select_from(schema.headers)).scalar_one()
    assert count == 2
    query = parse_query(Level.INSTANCE, [("includefield", "PatientName")], extended=True)
    told = search(store.content, query, URL, counting=False).results
    blobs = root_of(store.content.blobs)
    blobs.rename(blobs.with_name("away"))
    try:
        assert len(list(told)) == 2
    finally:
        blobs.with_name("away").rename(blobs)


def test_a_result_deleted_while_they_are_drawn_is_left_out(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    files = [minimal_instance(sop_instance_uid=f"1.2.{at}", image_type=f"T{at}") for at in range(3)]
    with filled_store(tmp_path_factory.mktemp("drawn"), files) as store:
        query = parse_query(Level.INSTANCE, [("includefield", "ImageType")], extended=True)
        answer = search(store.content, query, URL, counting=False)
        store.database.write(
            lambda transaction: transaction.execute(
                delete(schema.instances).where(schema.instances.c.sop_instance_uid == "1.2.1")
            )
        )
        assert answer.count == 3
        assert [(each["00080018"], each["00080008"]) for each in answer.results] == [
            (values("UI", f"1.2.{at}"), values("CS", f"T{at}")) for at in (0, 2)
        ]
