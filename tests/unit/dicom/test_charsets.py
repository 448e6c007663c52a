"""Text in the character sets of PS3.5, its examples included."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fileroom.dicom.charsets import decode_characters, decode_text, encode_characters


@pytest.mark.parametrize(
    ("charset", "value", "text"),
    [
        (None, b"Plain^Ascii", "Plain^Ascii"),
        ("ISO_IR 100", b"Buc^J\xe9r\xf4me", "Buc^Jérôme"),
        ("ISO_IR 100", b"\xc4neas^R\xfcdiger", "Äneas^Rüdiger"),
        ("ISO_IR 101", b"W\xb1\xbf", "Wąż"),
        ("ISO_IR 109", b"\xd8", "Ĝ"),
        ("ISO_IR 110", b"\xe0", "ā"),
        ("ISO_IR 126", b"\xc4\xe9\xef\xed\xf5\xf3\xe9\xef\xf2", "Διονυσιος"),
        ("ISO_IR 127", b"\xe2\xc8\xc7\xe6\xea^\xe4\xe6\xd2\xc7\xd1", "قباني^لنزار"),
        ("ISO_IR 138", b"\xf9\xf8\xe5\xef^\xe3\xe1\xe5\xf8\xe4", "שרון^דבורה"),
        ("ISO_IR 144", b"\xbb\xee\xda\x63\xd5\xdc\xd1\xe3\xe0\xd3", "Люкcембург"),
        ("ISO_IR 148", b"\xdd\xfe\xf0", "İşğ"),
        ("ISO_IR 166", b"\xca\xc1\xaa\xd2\xc2", "สมชาย"),
        ("ISO_IR 203", b"\xa4", "€"),
        ("ISO_IR 13", b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3", "ﾔﾏﾀﾞ^ﾀﾛｳ"),
        ("ISO_IR 192", "Wang^XiaoDong=王^小东".encode(), "Wang^XiaoDong=王^小东"),
        ("GB18030", "Wang^XiaoDong=王^小东".encode("gb18030"), "Wang^XiaoDong=王^小东"),
        ("GBK", "王^小东".encode("gbk"), "王^小东"),
        (
            "\\ISO 2022 IR 87",
            b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B",
            "Yamada^Tarou=山田^太郎=やまだ^たろう",
        ),
        (
            "ISO 2022 IR 13\\ISO 2022 IR 87",
            b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3=\x1b$B;3ED\x1b(J^\x1b$BB@O:\x1b(J"
            b"=\x1b$B$d$^$@\x1b(J^\x1b$B$?$m$&\x1b(J",
            "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう",
        ),
        (
            "\\ISO 2022 IR 149",
            b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7"
            b"=\x1b$)C\xc8\xab^\x1b$)C\xb1\xe6\xb5\xbf",
            "Hong^Gildong=洪^吉洞=홍^길동",
        ),
        (
            "\\ISO 2022 IR 58",
            b"Zhang^XiaoDong=\x1b$)A\xd5\xc5^\x1b$)A\xd0\xa1\xb6\xab=",
            "Zhang^XiaoDong=张^小东",
        ),
        (
            "ISO 2022 IR 6\\ISO 2022 IR 126",
            b"Dionysios=\x1b-F\xc4\xe9\xef\xed\xf5\xf3\xe9\xef\xf2",
            "Dionysios=Διονυσιος",
        ),
        (
            "ISO 2022 IR 100\\ISO 2022 IR 126",
            b"\x1b-F\xc4\xe9\xef^J\xe9r\xf4me",
            "Διο^Jérôme",
        ),
    ],
)
def test_names_are_read_as_the_standard_writes_them(
    charset: str | None, value: bytes, text: str
) -> None:
    assert decode_text(value, "PN", charset) == text


@pytest.mark.parametrize(
    ("value", "vr", "text"),
    [
        (b"padded ", "LO", "padded"),
        (b" both \0", "SH", "both"),
        (b"A \\ B", "LO", "A\\B"),
        (b"Smith^John==", "PN", "Smith^John"),
        (b"=", "PN", ""),
        (b"a=b=", "LO", "a=b="),
        (b"", "LO", ""),
        (b"\0\0", "UI", ""),
    ],
)
def test_padding_is_trimmed(value: bytes, vr: str, text: str) -> None:
    assert decode_text(value, vr, None) == text


@pytest.mark.parametrize(
    "charset",
    ["ISO-IR 100", "ISO IR 100", "iso_ir 100", "ISO_IR_100", "ISO2022 IR 100", " ISO_IR 100"],
)
def test_misspelt_character_sets_are_known(charset: str) -> None:
    assert decode_text(b"J\xe9r\xf4me \xa4", "LO", charset) == "Jérôme ¤"


@pytest.mark.parametrize("charset", [None, "", "KLINGON", "ISO_IR 999", "\\"])
def test_an_unknown_character_set_reads_as_latin_1(charset: str | None) -> None:
    assert decode_text(b"\xe4\xa4", "LO", charset) == "ä¤"


def test_what_a_character_set_does_not_hold_is_replaced() -> None:
    assert decode_text(b"a\xffb", "LO", "ISO_IR 192") == "a\N{REPLACEMENT CHARACTER}b"
    assert decode_text(b"\x1b$B\xff\xff", "LO", "\\ISO 2022 IR 87").endswith("\ufffd")


def test_codes_are_not_in_the_character_set_of_texts() -> None:
    assert decode_text(b"\xc3\xa4", "CS", "ISO_IR 192") == "Ã¤"


def test_a_character_set_that_stands_alone_knows_no_escapes() -> None:
    assert decode_text(b"a\x1b-Fb", "LO", "ISO_IR 192\\ISO 2022 IR 126") == "a\x1b-Fb"


@given(
    st.binary(max_size=80),
    st.sampled_from(["PN", "LO", "CS"]),
    st.sampled_from(
        ["", "ISO_IR 192", "GB18030", "\\ISO 2022 IR 87", "ISO 2022 IR 13\\ISO 2022 IR 159", "x"]
    ),
)
def test_no_bytes_and_no_character_set_raise(value: bytes, vr: str, charset: str) -> None:
    assert isinstance(decode_text(value + b"\x1b" + value, vr, charset), str)


@given(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x1b"), max_size=20),
    st.sampled_from(["PN", "LO", "CS"]),
    st.sampled_from(
        [
            None,
            "ISO_IR 6",
            "ISO_IR 100",
            "ISO_IR 13",
            "ISO_IR 144",
            "ISO_IR 166",
            "ISO_IR 192",
            "GB18030",
            "GBK",
            "\\ISO 2022 IR 87",
            "ISO 2022 IR 149",
            "x",
        ]
    ),
)
def test_what_is_written_is_read_again(text: str, vr: str, charset: str | None) -> None:
    try:
        value = encode_characters(text, vr, charset)
    except UnicodeEncodeError:
        assert not text.isascii()
        assert vr == "CS" or charset not in {"ISO_IR 192", "GB18030"}
    else:
        assert decode_characters(value, vr, charset) == text
