"""DICOM JSON Model to Native DICOM Model, which is the same in XML (PS3.19 A.1, PS3.18 F.3).

What is left to choice, or chosen for the sake of clients:

- the root has no namespace, as the Cloud Healthcare API writes it: clients look for plain names,
  which a default namespace would hide from them. The schema's own is ``NAMESPACE``;
- there is no white space between elements, since ``xml:space`` makes it count;
- a private creator is told as ``privateCreator`` of the elements of its block and not once more
  by itself: the number of the block is not sent (Table A.1.5-2). An element whose creator is
  absent keeps its whole tag;
- a character that XML 1.0 cannot hold becomes U+FFFD, as one that no character set holds does.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final, cast

from fileroom.dicom.dictionary import find_keyword

if TYPE_CHECKING:
    from fileroom.dicom.json_model import JsonObject

NAMESPACE: Final = "http://dicom.nema.org/PS3.19/models/NativeDICOM"
"""Of the schema (PS3.19 A.1.6); not written."""

_START: Final = '<?xml version="1.0" encoding="UTF-8"?><NativeDicomModel xml:space="preserve">'
_END: Final = "</NativeDicomModel>"
_END_OF_ATTRIBUTE: Final = "</DicomAttribute>"
_NAME_COMPONENTS: Final = ("FamilyName", "GivenName", "MiddleName", "NamePrefix", "NameSuffix")
_NAME_GROUPS: Final = ("Alphabetic", "Ideographic", "Phonetic")
_PRIVATE_KEYWORDS: Final = {("GOOGLE", "00090097"): "FailureDetail"}
"""What the Cloud Healthcare API adds to the answer to a store."""

_ESCAPED: Final = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "\r": "&#13;"}
_ESCAPED_IN_QUOTES: Final = {**_ESCAPED, "\t": "&#9;", "\n": "&#10;"}
"""White space that a reader of XML would make a space."""
_SPECIAL = re.compile("[^\t\n !#-%'-;=?-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_SPECIAL_IN_QUOTES = re.compile("[^ !#-%'-;=?-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def encode_native_xml(model: JsonObject) -> bytes:
    """Give a data set in the DICOM JSON Model as an XML document.

    The model is one that Fileroom made: ``json_model.metadata``, or the answer to a request.
    """
    out = [_START]
    _data_set(model, out)
    out.append(_END)
    return "".join(out).encode("utf-8")


def _data_set(model: JsonObject, out: list[str]) -> None:
    creators = {}
    for key, value in model.items():
        element = cast("JsonObject", value)
        vr = cast("str", element["vr"])
        if key[3] in "13579BDF":
            if key.startswith("00", 4) and key[6] != "0" and vr == "LO":
                creators[key[:4] + key[6:]] = _text_of(element)
                continue
            out.append(_private_start(key, vr, creators.get(key[:6], "")))
        else:
            out.append(_start(key, vr))
        _content(element, vr, out)
        out.append(_END_OF_ATTRIBUTE)


@lru_cache(maxsize=1 << 14)
def _start(key: str, vr: str) -> str:
    keyword = find_keyword(int(key, 16))
    named = f' keyword="{keyword}"' if keyword else ""
    return f'<DicomAttribute tag="{key}" vr="{vr}"{named}>'


@lru_cache(maxsize=1 << 12)
def _private_start(key: str, vr: str, creator: str) -> str:
    if not creator:
        return f'<DicomAttribute tag="{key}" vr="{vr}">'
    key = f"{key[:4]}00{key[6:]}"
    keyword = _PRIVATE_KEYWORDS.get((creator, key))
    named = f' keyword="{keyword}"' if keyword else ""
    return f'<DicomAttribute tag="{key}" vr="{vr}"{named} privateCreator="{_quoted(creator)}">'


def _text_of(element: JsonObject) -> str:
    """Give the first value, if it is text."""
    values = cast("list[object]", element.get("Value", [""]))
    return values[0] if isinstance(values[0], str) else ""


def _content(element: JsonObject, vr: str, out: list[str]) -> None:
    values = element.get("Value")
    if values is None:
        if "BulkDataURI" in element:
            out.append(f'<BulkData uri="{_quoted(str(element["BulkDataURI"]))}"/>')
        elif "InlineBinary" in element:
            out.append(f"<InlineBinary>{element['InlineBinary']}</InlineBinary>")
        return
    numbered = enumerate(cast("list[object]", values), 1)
    if vr == "SQ":
        for number, item in numbered:
            out.append(f'<Item number="{number}">')
            _data_set(cast("JsonObject", item or {}), out)
            out.append("</Item>")
    elif vr == "PN":
        for number, name in numbered:
            out.append(f'<PersonName number="{number}">')
            _person_name(cast("dict[str, str]", name or {}), out)
            out.append("</PersonName>")
    else:
        out.extend(
            [
                f'<Value number="{number}">{_character_data(value)}</Value>'
                for number, value in numbered
            ]
        )


def _person_name(name: dict[str, str], out: list[str]) -> None:
    for group in _NAME_GROUPS:
        text = name.get(group)
        if not text:
            continue
        out.append(f"<{group}>")
        components = text.split("^", len(_NAME_COMPONENTS) - 1)
        out.extend(
            f"<{component}>{_character_data(part)}</{component}>"
            for component, part in zip(_NAME_COMPONENTS, components, strict=False)
            if part
        )
        out.append(f"</{group}>")


def _character_data(value: object) -> str:
    if value is None:
        # A missing one of several values keeps its number (Table A.1.5-2).
        return ""
    text = value if isinstance(value, str) else repr(value)
    return _SPECIAL.sub(_reference, text)


def _quoted(text: str) -> str:
    return _SPECIAL_IN_QUOTES.sub(_reference_in_quotes, text)


def _reference(match: re.Match[str]) -> str:
    return _ESCAPED.get(match[0], "\ufffd")


def _reference_in_quotes(match: re.Match[str]) -> str:
    return _ESCAPED_IN_QUOTES.get(match[0], "\ufffd")
