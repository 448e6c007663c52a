from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fileroom.dicom.conditions import (
    NAME_KEY_CHARACTERS,
    AnyOf,
    Condition,
    DateRange,
    Equals,
    NameTokens,
    NameWildcards,
    TimeRange,
    Wildcards,
    fulfils,
    name_key,
    name_pattern,
)
from fileroom.dicom.dictionary import attribute, find_attribute
from fileroom.dicom.levels import Level
from fileroom.dicom.matching import GLOBAL_PARAMETERS, Query, parse_query
from fileroom.errors import InvalidArgument
from fileroom.names import Uid

STUDY, SERIES, INSTANCE = Level.STUDY, Level.SERIES, Level.INSTANCE


def query(level: Level, *parameters: tuple[str, str], extended: bool = False) -> Query:
    return parse_query(level, parameters, extended=extended)


def refusal(level: Level, *parameters: tuple[str, str], extended: bool = False) -> str:
    with pytest.raises(InvalidArgument) as caught:
        query(level, *parameters, extended=extended)
    return caught.value.message


def keywords(found: Query) -> list[str]:
    return [field.keyword for field in found.fields]


@pytest.mark.parametrize(
    ("level", "default", "largest"),
    [(STUDY, 100, 5_000), (SERIES, 100, 5_000), (INSTANCE, 1_000, 50_000)],
)
def test_limits_are_googles(level: Level, default: int, largest: int) -> None:
    assert query(level).limit == default
    assert query(level).offset == 0
    assert query(level, ("limit", str(largest)), ("offset", "1000000")).limit == largest
    assert str(largest) in refusal(level, ("limit", str(largest + 1)))
    for name, value in [("limit", "0"), ("limit", "-1"), ("limit", "x"), ("offset", "1000001")]:
        assert name in refusal(level, (name, value))
    assert "more than once" in refusal(level, ("limit", "1"), ("limit", "1"))


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        (
            STUDY,
            "SpecificCharacterSet StudyDate StudyTime AccessionNumber InstanceAvailability"
            " ReferringPhysicianName TimezoneOffsetFromUTC PatientName PatientID PatientBirthDate"
            " PatientSex StudyInstanceUID StudyID",
        ),
        (
            SERIES,
            "SpecificCharacterSet Modality TimezoneOffsetFromUTC SeriesDescription"
            " SeriesInstanceUID PerformedProcedureStepStartDate PerformedProcedureStepStartTime"
            " RequestAttributesSequence",
        ),
        (
            INSTANCE,
            "SpecificCharacterSet SOPClassUID SOPInstanceUID InstanceAvailability"
            " TimezoneOffsetFromUTC InstanceNumber NumberOfFrames Rows Columns BitsAllocated",
        ),
    ],
)
def test_default_fields_are_googles_by_ascending_tag(level: Level, expected: str) -> None:
    found = query(level)
    assert keywords(found) == expected.split()
    assert [field.tag for field in found.fields] == sorted(field.tag for field in found.fields)


@pytest.mark.parametrize("name", ["PatientID", "00100020"])
def test_a_key_is_a_keyword_or_a_tag(name: str) -> None:
    for level in Level:
        found = query(level, (name, "A 1 "))
        assert found.conditions == (Equals(keyword="PatientID", value="A 1"),)


def test_lower_levels_match_the_keys_of_those_above() -> None:
    found = query(INSTANCE, ("Modality", "CT"), ("0020000d", "1.2"), ("SOPInstanceUID", "1.3"))
    assert [condition.keyword for condition in found.conditions] == [
        "Modality",
        "StudyInstanceUID",
        "SOPInstanceUID",
    ]


def test_unsupported_keys_get_the_texts_that_clients_look_for() -> None:
    assert (
        refusal(INSTANCE, ("00080016", "1.2"))
        == "SOPClassUID is not a supported instance or study or series level attribute"
    )
    assert (
        refusal(STUDY, ("StudyDescription", "x"))
        == "StudyDescription is not a supported study level attribute"
    )
    assert refusal(STUDY, ("Modality", "CT")).startswith("Modality is not a supported study level")
    assert refusal(STUDY, ("Nonsense", "x")) == "unknown/unsupported QIDO attribute: Nonsense"
    assert (
        refusal(INSTANCE, ("includefield", "AvailableTransferSyntaxUID"))
        == "unknown/unsupported QIDO attribute: AvailableTransferSyntaxUID"
    )


def test_extended_search_adds_keys_and_keeps_the_texts() -> None:
    for level, key in [(STUDY, "StudyID"), (SERIES, "SeriesNumber"), (INSTANCE, "InstanceNumber")]:
        assert "is not a supported" in refusal(level, (key, "7"))
        (condition,) = query(level, (key, "7"), extended=True).conditions
        assert isinstance(condition, Equals)
        assert condition.value == (7 if level is not STUDY else "7")
    message = refusal(STUDY, ("Modality", "CT"), extended=True)
    assert message.startswith("Modality is not a supported study level attribute; search by")
    assert "ModalitiesInStudy" in message


@pytest.mark.parametrize(
    ("value", "first", "last"),
    [
        ("20200229", "20200229", "20200229"),
        ("20200101-20201231", "20200101", "20201231"),
        ("-20201231", None, "20201231"),
        ("20200101-", "20200101", None),
    ],
)
def test_dates_are_ranges(value: str, first: str | None, last: str | None) -> None:
    found = query(STUDY, ("StudyDate", value))
    assert found.conditions == (DateRange(keyword="StudyDate", first=first, last=last),)


@pytest.mark.parametrize("value", ["-", "2020", "20200230", "2020-01-01", "20200101-x", "1\n"])
def test_what_is_no_date_is_refused_without_repeating_it(value: str) -> None:
    message = refusal(STUDY, ("StudyDate", value))
    assert message.startswith("StudyDate must be YYYYMMDD")


def test_uids_and_numbers_are_checked() -> None:
    assert "StudyInstanceUID" in refusal(STUDY, ("StudyInstanceUID", "1.2,1.3"))
    assert "SeriesNumber" in refusal(SERIES, ("SeriesNumber", "x"), extended=True)


def test_a_key_without_value_matches_everything() -> None:
    assert query(STUDY, ("PatientID", ""), ("PatientName", " ")).conditions == ()


def test_a_key_given_twice_is_refused_in_either_spelling() -> None:
    assert "more than once" in refusal(STUDY, ("PatientID", "a"), ("00100020", "a"))


def test_names_match_exactly_unless_fuzzy() -> None:
    exact = query(STUDY, ("PatientName", "Doe^J*"), ("ReferringPhysicianName", "X^Y"))
    assert exact.conditions == (
        Equals(keyword="PatientName", value="Doe^J*"),
        Equals(keyword="ReferringPhysicianName", value="X^Y"),
    )
    fuzzy = query(
        STUDY,
        ("fuzzymatching", "TRUE"),
        ("PatientName", "John Döe"),
        ("ReferringPhysicianName", "X^Y"),
    )
    assert fuzzy.conditions == (
        NameTokens(keyword="PatientName", tokens=("john", "doe")),
        Equals(keyword="ReferringPhysicianName", value="X^Y"),
    )
    assert query(STUDY, ("fuzzymatching", "true"), ("PatientName", "^*")).conditions == ()
    assert "fuzzymatching" in refusal(STUDY, ("fuzzymatching", "maybe"))


def test_global_parameters_are_no_search_attributes() -> None:
    parameters = [(name, "x") for name in sorted(GLOBAL_PARAMETERS)] + [("", "")]
    assert query(STUDY, *parameters) == query(STUDY)


def test_included_fields_come_as_a_list_repeated_by_keyword_or_tag() -> None:
    found = query(
        SERIES,
        ("includefield", "0020000D, 0020000e"),
        ("includefield", "PatientName"),
        ("includefield", "BodyPartExamined,"),
    )
    added = set(keywords(found)) - set(keywords(query(SERIES)))
    assert added == {"StudyInstanceUID", "PatientName", "BodyPartExamined"}


def test_all_adds_googles_lists_and_for_instances_everything() -> None:
    studies = query(STUDY, ("includefield", "all"))
    assert {"StudyDescription", "InstitutionName", "PersonAddress"} <= set(keywords(studies))
    assert len(studies.fields) == 13 + 23
    assert not studies.every_field
    added = set(keywords(query(SERIES, ("includefield", "ALL")))) - set(keywords(query(SERIES)))
    assert added == {"SeriesNumber", "Laterality", "SeriesDate", "SeriesTime"}
    assert query(INSTANCE, ("includefield", "all")).every_field


@pytest.mark.parametrize("extended", [True, False])
def test_what_a_study_cannot_tell_is_tolerated_and_left_out(extended: bool) -> None:
    ohif = ("includefield", "00081030,00080060,NumberOfSeriesRelatedInstances")
    assert set(keywords(query(STUDY, ohif, extended=extended))) == {
        *keywords(query(STUDY, extended=extended)),
        "StudyDescription",
    }


def test_an_unknown_included_field_is_refused() -> None:
    assert refusal(STUDY, ("includefield", "Foo")) == "unknown/unsupported QIDO attribute: Foo"
    assert "00091001" in refusal(INSTANCE, ("includefield", "00091001"))
    private = query(INSTANCE, ("includefield", "00091001"), extended=True)
    assert 0x00091001 in {field.tag for field in private.fields}


def test_the_common_attributes_equal_the_standards_table() -> None:
    from pydicom.datadict import dictionary_VR, tag_for_keyword

    for level in Level:
        for field in query(level).fields:
            assert tag_for_keyword(field.keyword) == field.tag
            assert dictionary_VR(field.tag) == field.vr
    assert find_attribute("PixelData") == attribute("7FE00010")


# ------------------------------------------------------------------ extended


def condition(level: Level, keyword: str, value: str) -> Condition | None:
    found = query(level, (keyword, value), extended=True)
    assert len(found.conditions) + len(found.further) <= 1
    return next(iter((*found.conditions, *found.further)), None)


@pytest.mark.parametrize(
    ("keyword", "value", "expected"),
    [
        ("SOPClassUID", "1.2, 1.3\\1.2", AnyOf(keyword="SOPClassUID", values=("1.2", "1.3"))),
        ("SOPClassUID", "1.2,1.2", Equals(keyword="SOPClassUID", value="1.2")),
        ("Modality", "CT\\MR", AnyOf(keyword="Modality", values=("CT", "MR"))),
        ("Modality", ",", None),
        ("Modality", "C*", Wildcards(keyword="Modality", pattern="C*")),
        ("Modality", "**", None),
        ("PatientID", "a**b?", Wildcards(keyword="PatientID", pattern="a*b?")),
        ("PatientID", "A,B", Equals(keyword="PatientID", value="A,B")),
        ("PatientName", "Doe^*", NameWildcards(keyword="PatientName", pattern=" doe *")),
        ("PatientName", "Doe^John", Equals(keyword="PatientName", value="Doe^John")),
        ("PatientName", "*", None),
        ("StudyTime", "100000-1130", TimeRange(keyword="StudyTime", first="10", last="1130")),
        ("StudyTime", "00-", TimeRange(keyword="StudyTime", first="00", last=None)),
        ("Rows", "512", Equals(keyword="Rows", value=512)),
        ("BodyPartExamined", "*", None),
        ("OperatorsName", "Doe^J", NameWildcards(keyword="OperatorsName", pattern=" doe j ")),
        ("OperatorsName", "^", None),
        ("SliceThickness", "01.50", Equals(keyword="SliceThickness", value="1.5")),
        ("PatientAge", "042Y", Equals(keyword="PatientAge", value="042Y")),
        ("00181000", "x y ", Equals(keyword="DeviceSerialNumber", value="x y")),
    ],
)
def test_extended_values_become_conditions(
    keyword: str, value: str, expected: Condition | None
) -> None:
    assert condition(INSTANCE, keyword, value) == expected


@pytest.mark.clause("PS3.4 C.2.2.2.4", "UIDs, dates, times and numbers have no wildcards")
@pytest.mark.parametrize(
    ("keyword", "value", "text"),
    [
        ("StudyInstanceUID", "1.2*", "is not a UID"),
        ("StudyInstanceUID", "1.2,", "is not a UID"),
        ("StudyInstanceUID", ",".join(["1.2"] * 501), "at most 500 values"),
        ("StudyDate", "2024*", "StudyDate must be YYYYMMDD"),
        ("StudyTime", "10*", "StudyTime must be HH"),
        ("StudyTime", "24", "StudyTime must be HH"),
        ("StudyTime", "1060", "StudyTime must be HH"),
        ("StudyTime", "10:30", "StudyTime must be HH"),
        ("StudyTime", "-", "StudyTime must be HH"),
        ("StudyTime", "-10.5", "StudyTime must be HH"),
        ("InstanceNumber", "1*", "must be a whole number"),
        ("SliceThickness", "?", "must be a number"),
        ("SliceThickness", "1e9999", "must be a number"),
        ("Modality", "C*,MR", "a list has no wildcards"),
        ("Modality", "C*\0D", "a NUL among the wildcards"),
        ("PatientID", "a*\0b", "a NUL among the wildcards"),
        ("AcquisitionDateTime", "20241301", "without an offset"),
        ("AcquisitionDateTime", "20240101+0100", "without an offset"),
        ("AcquisitionDate", "2024", "AcquisitionDate must be"),
        ("RequestAttributesSequence", "x", "values of VR SQ are not searched"),
        ("RequestAttributesSequence.StudyID", "x", "unknown/unsupported QIDO attribute"),
        ("PixelData", "x", "values of VR O"),
        ("InstanceAvailability", "ONLINE", "is not a supported instance"),
        ("NumberOfStudyRelatedSeries", "1", "is not a supported instance"),
        ("NoSuchThing", "x", "unknown/unsupported QIDO attribute: NoSuchThing"),
    ],
)
def test_what_extended_search_cannot_do_is_refused(keyword: str, value: str, text: str) -> None:
    assert text in refusal(INSTANCE, (keyword, value), extended=True)


def test_an_attribute_of_a_lower_level_is_refused_above_it() -> None:
    for level, keyword in [(STUDY, "Modality"), (STUDY, "SOPClassUID"), (SERIES, "Rows")]:
        assert "level attribute; search by" in refusal(level, (keyword, "1"), extended=True)


def test_results_say_where_they_belong_and_how_much_they_hold() -> None:
    def added(level: Level, **within: str) -> set[str]:
        extended = parse_query(level, (), extended=True, **{k: Uid(v) for k, v in within.items()})
        return set(keywords(extended)) - set(keywords(query(level)))

    assert added(STUDY) == {
        "ModalitiesInStudy",
        "NumberOfStudyRelatedSeries",
        "NumberOfStudyRelatedInstances",
    }
    counted = {"SeriesNumber", "NumberOfSeriesRelatedInstances"}
    assert added(SERIES) == counted | {"StudyInstanceUID"}
    assert added(SERIES, study_instance_uid="1.2") == counted
    assert added(INSTANCE) == {"StudyInstanceUID", "SeriesInstanceUID"}
    assert added(INSTANCE, study_instance_uid="1.2") == {"SeriesInstanceUID"}
    assert added(INSTANCE, study_instance_uid="1.2", series_instance_uid="1.3") == set()


# ------------------------------------------------------------------ names


@pytest.mark.parametrize(
    ("value", "pattern"),
    [
        ("Doe^J*", " doe j*"),
        ("*^John", "* john "),
        ("D?e", " d?e "),
        ("Mül*-Lüd?^^", " mul* lud? "),
        ("*", "*"),
        ("^*", " *"),
        ("O'Br*", " obr*"),
    ],
)
def test_a_name_pattern_is_made_as_the_keys_are(value: str, pattern: str) -> None:
    assert name_pattern(value) == pattern


@given(st.text(alphabet="ab^ =äß'", max_size=12))
def test_a_name_is_found_by_itself_and_by_each_beginning(name: str) -> None:
    key = name_key(name)
    for value in (name, *(f"{name[:at]}*" for at in range(len(name)))):
        pattern = name_pattern(value)
        if value.strip("^= ") == "":
            continue
        found = fulfils(NameWildcards(keyword="PatientName", pattern=pattern), key)
        # A beginning may end within what is no letter: then it asks for a word that follows.
        assert found or value[-2:-1] in {"^", "=", " ", "'", ""}, (value, pattern, key)


def test_a_pattern_of_many_wildcards_takes_no_time() -> None:
    many = Wildcards(keyword="PatientID", pattern="*a" * 60 + "b")
    assert not fulfils(many, "a" * 255)


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("Doe^John", " doe john"),
        ("Müller^Anna-Lena", " muller anna lena"),
        ("O'Brien^Seán", " obrien sean"),
        ("Yamada^Tarou=山田^太郎", " yamada tarou 山田 太郎"),
        ("STRAẞE", " strasse"),
        ("", ""),
        ("^^^", ""),
    ],
)
def test_names_are_searched_without_case_accents_and_marks(name: str, key: str) -> None:
    assert name_key(name) == key


@given(st.text(max_size=40), st.sampled_from(["NFC", "NFD"]))
def test_a_name_key_does_not_depend_on_case_or_composition(name: str, form: str) -> None:
    normalized = unicodedata.normalize(form, name)  # type: ignore[arg-type]
    assert name_key(normalized) == name_key(unicodedata.normalize("NFC", name))


@given(st.text(max_size=600))
def test_a_name_key_is_bounded_and_a_list_of_tokens(name: str) -> None:
    key = name_key(name)
    assert len(key) <= NAME_KEY_CHARACTERS
    assert key == "" or key.startswith(" ")
    assert "  " not in key
    assert not set(key) & set("%_*?^=\\")


@given(st.text(alphabet="abc ^=äß", max_size=20))
def test_every_token_of_a_name_is_found_by_its_beginnings(name: str) -> None:
    key = name_key(name)
    for token in key.split():
        assert all(f" {token[:length]}" in key for length in range(1, len(token) + 1))
