from __future__ import annotations

import contextlib
import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fileroom.dicom.media_types import (
    AS_STORED,
    RANGES_MAX,
    TRANSFER_SYNTAXES,
    MediaRange,
    MediaType,
    NotAcceptable,
    dicom_file,
    export_mime_types,
    negotiate,
    parse_accept,
    parse_mime_type,
    ranked,
)
from fileroom.errors import InvalidArgument

EXPLICIT = "1.2.840.10008.1.2.1"
JPEG = "1.2.840.10008.1.2.4.50"
JSON = MediaType(name="application/dicom+json")
NATIVE_OFFERS = (
    dicom_file(EXPLICIT, multipart=True),
    dicom_file(EXPLICIT),
    dicom_file(AS_STORED, multipart=True),
    dicom_file(AS_STORED),
)
COMPRESSED_OFFERS = NATIVE_OFFERS[2:]


def types(*headers: str) -> list[str]:
    return [str(entry.media_type) for entry in parse_accept(headers)]


def chosen(accept: str, offers: tuple[MediaType, ...] = NATIVE_OFFERS) -> str:
    return str(negotiate(parse_accept([accept]), offers))


@pytest.mark.parametrize(
    "header",
    [
        'multipart/related; type="application/dicom"; transfer-syntax=*',
        "multipart/related; type=application/dicom; transfer-syntax=*",
        'multipart/related;transfer-syntax=*;type="application/dicom"',
        "Multipart/Related ; TYPE=application/dicom ; Transfer-Syntax = *",
        'multipart/related; type="application/dicom"; transfer-syntax="*"',
        'multipart/related; type="application/dicom; transfer-syntax=*',
    ],
)
def test_every_spelling_clients_use_names_the_same_type(header: str) -> None:
    (entry,) = parse_accept([header])
    if header.count('"') == 1:  # never closed: everything up to the end is the type
        assert entry.media_type.is_multipart
        return
    assert entry.media_type.root == "application/dicom"
    assert entry.media_type.transfer_syntax == AS_STORED
    assert entry.media_type.is_as_stored


def test_several_headers_and_entries_are_read_in_order() -> None:
    headers = ('application/dicom+json, multipart/related; type="a/b,c"', "", " , */* ;q=0.1")
    assert types(*headers) == [
        "application/dicom+json",
        'multipart/related; type="a/b,c"',
        "*/*",
    ]
    assert [entry.quality for entry in parse_accept(headers)] == [1.0, 1.0, 0.1]


@pytest.mark.parametrize(
    ("text", "quality"),
    [("0.5", 0.5), ("0", 0.0), ("2", 1.0), ("-1", 0.0), ("nan", 1.0), ("x", 1.0), ("", 1.0)],
)
def test_quality_is_always_between_0_and_1(text: str, quality: float) -> None:
    assert parse_accept([f"a/b;q={text}"])[0].quality == quality


def test_what_is_no_media_type_is_passed_over() -> None:
    assert types("dicom, , ;, /, a/, /b, a b/c;x, *, image/png") == ["ab/c", "*/*", "image/png"]


@pytest.mark.parametrize(
    ("accept", "answer"),
    [
        ("", str(NATIVE_OFFERS[0])),
        ("*/*", str(NATIVE_OFFERS[0])),
        ("application/json", str(NATIVE_OFFERS[0])),
        ("application/*", str(NATIVE_OFFERS[1])),
        ("application/dicom", str(NATIVE_OFFERS[1])),
        ("application/dicom; transfer-syntax=*", str(NATIVE_OFFERS[3])),
        ("multipart/related", str(NATIVE_OFFERS[0])),
        ("multipart/related; transfer-syntax=*; type=application/dicom", str(NATIVE_OFFERS[2])),
        (f"application/dicom; transfer-syntax={EXPLICIT}", str(NATIVE_OFFERS[1])),
        ("application/dicom;q=0.5, multipart/related;q=0.9", str(NATIVE_OFFERS[0])),
        ("image/png, */*;q=0.1", str(NATIVE_OFFERS[0])),
        ("application/dicom;q=0, */*", str(NATIVE_OFFERS[0])),
        ("multipart/related;q=0, */*", str(NATIVE_OFFERS[1])),
        ("application/json, application/dicom;q=0.5", str(NATIVE_OFFERS[0])),
    ],
)
def test_the_best_liked_offer_wins_and_the_first_of_equals(accept: str, answer: str) -> None:
    assert chosen(accept) == answer


def test_a_most_specific_range_decides_over_a_wider_one() -> None:
    accept = "application/dicom; transfer-syntax=*;q=0.2, application/*;q=0.8, */*;q=0.1"
    assert chosen(accept) == str(NATIVE_OFFERS[1])


@pytest.mark.parametrize("accept", ["", "*/*", "application/dicom", f"application/dicom;{JPEG}"])
def test_a_compressed_instance_is_never_given_unasked(accept: str) -> None:
    with pytest.raises(NotAcceptable, match=r"transfer-syntax=\*"):
        chosen(accept, COMPRESSED_OFFERS)


def test_json_is_given_to_generated_clients_and_not_to_others() -> None:
    assert chosen("application/json", (JSON,)) == "application/dicom+json"
    assert chosen("application/dicom+json; charset=utf-8", (JSON,)) == "application/dicom+json"
    ohif = "application/dicom+json, multipart/related; type=application/octet-stream"
    assert chosen(ohif, (JSON,)) == "application/dicom+json"
    with pytest.raises(NotAcceptable, match=r"application/dicom\+json"):
        chosen("multipart/related; type=application/dicom+xml", (JSON,))


def test_a_not_acceptable_error_pickles() -> None:
    error = pickle.loads(pickle.dumps(NotAcceptable("none", "Accept")))
    assert (error.message, error.detail) == ("none", "Accept")


names = st.from_regex(r"[a-z0-9]{1,8}/[a-z0-9+.-]{1,8}", fullmatch=True)
parameters = st.lists(
    st.tuples(
        st.from_regex(r"[a-z][a-z0-9-]{0,6}", fullmatch=True).filter(lambda name: name != "q"),
        st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=12),
    ),
    max_size=3,
)


@settings(max_examples=50)
@given(
    st.lists(
        st.builds(
            MediaRange,
            media_type=st.builds(MediaType, name=names, parameters=parameters.map(tuple)),
            quality=st.sampled_from([0.0, 0.25, 1.0]),
        ),
        max_size=4,
    )
)
def test_what_is_written_as_a_header_reads_back_equal(ranges: list[MediaRange]) -> None:
    header = ", ".join(f"{entry.media_type};q={entry.quality}" for entry in ranges)
    assert list(parse_accept([header])) == ranges


@settings(max_examples=50)
@given(st.lists(st.text(max_size=60), max_size=3))
def test_no_header_whatever_raises_anything_but_not_acceptable(headers: list[str]) -> None:
    with contextlib.suppress(NotAcceptable):
        assert negotiate(parse_accept(headers), NATIVE_OFFERS) in NATIVE_OFFERS


@settings(max_examples=50)
@given(st.lists(st.sampled_from(["*/*;q=0.3", "application/dicom", "image/png;q=0", "a/b"])))
def test_an_entry_that_matches_nothing_changes_nothing(entries: list[str]) -> None:
    def answer(header: list[str]) -> MediaType | None:
        try:
            return negotiate(parse_accept(header), NATIVE_OFFERS)
        except NotAcceptable:
            return None

    known = [entry for entry in entries if entry not in {"a/b", "image/png;q=0"}]
    if known:
        assert answer(entries) == answer(known)


# ------------------------------------------------------------------ export


@pytest.mark.parametrize(
    "text", ["", " ", "application/dicom", "application/dicom; transfer-syntax=*"]
)
def test_export_without_a_wish_is_as_stored(text: str) -> None:
    assert parse_mime_type(text) == dicom_file(AS_STORED)
    assert parse_mime_type(text).is_as_stored


@pytest.mark.parametrize("uid", TRANSFER_SYNTAXES)
def test_export_knows_all_nineteen_transfer_syntaxes(uid: str) -> None:
    asked = parse_mime_type(f'Application/DICOM;transfer-syntax="{uid}"')
    assert asked == dicom_file(uid)
    assert not asked.is_as_stored


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("image/png", "image/png"),
        ("image/jpeg", f"image/jpeg; transfer-syntax={JPEG}"),
        ("application/octet-stream", f"application/octet-stream; transfer-syntax={EXPLICIT}"),
        (
            "application/octet-stream; transfer-syntax=*",
            "application/octet-stream; transfer-syntax=*",
        ),
    ],
)
def test_export_spells_the_transfer_syntax_out(text: str, meaning: str) -> None:
    assert str(parse_mime_type(text)) == meaning


@pytest.mark.parametrize(
    "text",
    [
        "image/gif",
        "dicom",
        "application/dicom, image/png",
        "application/dicom; transfer-syntax=1.2.840.10008.1.2.2",
        "application/dicom; transfer-syntax=x",
        "application/dicom; charset=utf-8",
        "application/dicom; transfer-syntax=*; transfer-syntax=*",
        f"image/png; transfer-syntax={EXPLICIT}",
        f"image/jpeg; transfer-syntax={EXPLICIT}",
        "*/*",
        ";",
    ],
)
def test_export_refuses_what_is_not_documented(text: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        parse_mime_type(text)
    assert caught.value.detail == "mime_type"


def test_every_documented_spelling_is_understood_and_no_two_forms_share_one() -> None:
    spelled = export_mime_types()

    assert len(spelled) == len(set(spelled)) == 27
    assert len({str(parse_mime_type(text)) for text in spelled}) == 24


def test_there_are_nineteen_transfer_syntaxes() -> None:
    assert len(set(TRANSFER_SYNTAXES)) == 19


def test_offers_are_ranked_by_what_the_client_likes() -> None:
    """Of equals the first offered; a type alone means the default of its parts."""
    jls, jpeg, octets = (
        MediaType(name=name, parameters=(("transfer-syntax", syntax),))
        for name, syntax in (("image/jls", "1.2.80"), ("image/jpeg", "1.2.50"), ("a/b", "1.2.1"))
    )
    defaults = {"image/jls": "1.2.80", "image/jpeg": "1.2.70", "a/b": "1.2.1"}

    def liked(accept: str) -> list[MediaType]:
        ranges = parse_accept([accept])
        return ranked(ranges, (jls, jpeg, octets), default_transfer_syntax=defaults)

    assert liked("*/*") == [jls, octets]
    assert liked("a/b;q=0.9, image/*") == [jls, octets]
    assert liked("image/jls;q=0.1, image/jpeg;transfer-syntax=1.2.50;q=0.2") == [jpeg, jls]
    with pytest.raises(NotAcceptable):
        liked("image/jpeg")


def test_endless_accept_is_read_so_far() -> None:
    assert len(parse_accept([",".join(["*/*"] * 5000)])) == RANGES_MAX
