"""Text values to Unicode.

References
----------
PS3.5 6.1 (character sets), PS3.3 C.12.1.1.2 (Specific Character Set)
"""

from __future__ import annotations

_SINGLE = {
    "": "latin_1",
    "ISO_IR 6": "latin_1",
    "ISO_IR 13": "shift_jis",
    "ISO_IR 100": "latin_1",
    "ISO_IR 101": "iso8859_2",
    "ISO_IR 109": "iso8859_3",
    "ISO_IR 110": "iso8859_4",
    "ISO_IR 126": "iso8859_7",
    "ISO_IR 127": "iso8859_6",
    "ISO_IR 138": "iso8859_8",
    "ISO_IR 144": "iso8859_5",
    "ISO_IR 148": "iso8859_9",
    "ISO_IR 166": "tis_620",
    "ISO_IR 192": "utf_8",
    "ISO_IR 203": "iso8859_15",
    "GB18030": "gb18030",
    "GBK": "gbk",
}


def decode_text(value: bytes, vr: str, specific_character_set: str | None) -> str:
    """Give the text of a value, its padding trimmed."""
    if not specific_character_set or (value.isascii() and b"\x1b" not in value):
        return value.decode("latin_1").strip("\0 ")
    codec = _SINGLE.get(specific_character_set.strip(), "latin_1")
    return value.decode(codec, "replace").strip("\0 ")
