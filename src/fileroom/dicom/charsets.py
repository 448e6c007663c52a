"""Text values to Unicode, and back.

Reading never raises: what a character set does not hold becomes U+FFFD, and an unknown character
set reads as ISO 8859-1, as files without one but with accents mostly mean.

References
----------
PS3.5 6.1 (character sets), PS3.3 C.12.1.1.2 (Specific Character Set)
"""

from __future__ import annotations

import re
from functools import lru_cache

_ESCAPE = b"\x1b"
_DEFAULT = "latin_1"
_CUSTOMIZABLE = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UT"})
"""VRs that Specific Character Set speaks of (PS3.5 6.1.2.2)."""

_BY_REGISTRATION = {
    6: "latin_1",
    13: "shift_jis",
    58: "gb2312",
    87: "iso2022_jp",
    100: "latin_1",
    101: "iso8859_2",
    109: "iso8859_3",
    110: "iso8859_4",
    126: "iso8859_7",
    127: "iso8859_6",
    138: "iso8859_8",
    144: "iso8859_5",
    148: "iso8859_9",
    149: "euc_kr",
    159: "iso2022_jp_2",
    166: "tis_620",
    192: "utf_8",
    203: "iso8859_15",
}
_BY_NAME = {"GB18030": "gb18030", "GBK": "gbk", "ISO 2022 GBK": "gbk", "ISO 2022 58": "gb2312"}
_TERM = re.compile(r"ISO[ _-]?(?:2022[ _-]?)?IR[ _-]?(\d{1,3})")
"""With and without code extensions, and with the separators that writers mistake."""

_STANDING_ALONE = frozenset({"utf_8", "gb18030", "gbk"})
"""Codecs that know no escape sequences (PS3.3 C.12.1.1.2)."""

_WRITTEN = _STANDING_ALONE | {"latin_1", "tis_620"}
"""With ISO 8859, the codecs whose bytes need no escape sequence before them."""

_ESCAPED = {
    b"\x1b(B": "latin_1",
    b"\x1b(J": "shift_jis",
    b"\x1b)I": "shift_jis",
    b"\x1b-A": "latin_1",
    b"\x1b-B": "iso8859_2",
    b"\x1b-C": "iso8859_3",
    b"\x1b-D": "iso8859_4",
    b"\x1b-F": "iso8859_7",
    b"\x1b-G": "iso8859_6",
    b"\x1b-H": "iso8859_8",
    b"\x1b-L": "iso8859_5",
    b"\x1b-M": "iso8859_9",
    b"\x1b-T": "tis_620",
    b"\x1b-b": "iso8859_15",
    b"\x1b$)A": "gb2312",
    b"\x1b$)C": "euc_kr",
    b"\x1b$B": "iso2022_jp",
    b"\x1b$(D": "iso2022_jp_2",
}
_KEEPS_ESCAPE = frozenset({"iso2022_jp", "iso2022_jp_2"})
"""Python's codecs for these want the escape sequence."""
_PIECE = re.compile(rb"\x1b(?:\$[()].|[^\x1b].)?[^\x1b]*|[^\x1b]+", re.DOTALL)
_RESET = {"PN": re.compile(rb"[\r\n\t\f\\^=]")}
_RESET_TEXT = re.compile(rb"[\r\n\t\f\\]")
"""Delimiters after which the first character set holds again (PS3.5 6.1.2.5.3)."""


def decode_text(value: bytes, vr: str, specific_character_set: str | None) -> str:
    """Give the text of a value; padding is trimmed from each of its backslash-separated parts."""
    text = decode_characters(value, vr, specific_character_set)
    if "\\" in text:
        text = "\\".join(part.strip("\0 ") for part in text.split("\\"))
    else:
        text = text.strip("\0 ")
    return text.rstrip("=") if vr == "PN" else text


def decode_characters(value: bytes, vr: str, specific_character_set: str | None) -> str:
    """Give the text of a value as it is, padding included."""
    if value.isascii() and _ESCAPE not in value:
        # In every character set but ISO_IR 14, whose yen sign is written as a backslash.
        return value.decode("ascii")
    if not specific_character_set or vr not in _CUSTOMIZABLE:
        return value.decode(_DEFAULT)
    codec, escapes = _codec(specific_character_set)
    if escapes and _ESCAPE in value:
        return _decode_escaped(value, vr, codec)
    return value.decode(codec, "replace")


def encode_characters(text: str, vr: str, specific_character_set: str | None) -> bytes:
    """Give the bytes of a text, in the first character set and without code extensions.

    Raises
    ------
    UnicodeEncodeError
        If it has other characters; the default character set is ASCII (PS3.5 6.1.2.1).
    """
    codec = "ascii"
    if specific_character_set and vr in _CUSTOMIZABLE:
        first = specific_character_set.split("\\", 1)[0].strip("\0 ")
        named = _codec(specific_character_set)[0] if first else codec
        if named in _WRITTEN or named.startswith("iso8859_"):
            codec = named
    return text.encode(codec)


@lru_cache(maxsize=256)
def _codec(specific_character_set: str) -> tuple[str, bool]:
    """Give the Python codec that text starts in, and whether escape sequences may follow."""
    first = specific_character_set.split("\\", 1)[0].strip("\0 ").upper()
    match = _TERM.fullmatch(first)
    if match:
        codec = _BY_REGISTRATION.get(int(match[1]), _DEFAULT)
    else:
        codec = _BY_NAME.get(first, _DEFAULT)
    return codec, codec not in _STANDING_ALONE


def _decode_escaped(value: bytes, vr: str, first_codec: str) -> str:
    """Decode text with code extensions, each stretch from one escape sequence to the next."""
    reset = _RESET.get(vr, _RESET_TEXT)
    text = []
    for piece in _PIECE.findall(value):
        escape = piece[: 4 if piece[:3] in {b"\x1b$(", b"\x1b$)"} else 3]
        codec = _ESCAPED.get(escape)
        if codec in _KEEPS_ESCAPE:
            text.append(piece.decode(codec, "replace"))
        elif codec is None:
            text.append(piece.decode(first_codec, "replace"))
        else:
            piece = piece[len(escape) :]
            end = reset.search(piece)
            at = end.start() if end else len(piece)
            text.append(piece[:at].decode(codec, "replace"))
            text.append(piece[at:].decode(first_codec, "replace"))
    return "".join(text)
