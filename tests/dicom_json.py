"""Our DICOM JSON beside pydicom's, and the differences that are decided."""

from __future__ import annotations

import json
import warnings
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING

import msgspec
import pydicom

from fileroom.dicom.json_model import metadata
from fileroom.dicom.part10 import Refused, scan

if TYPE_CHECKING:
    from collections.abc import Iterator

Json = dict[str, dict[str, object]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One attribute that the two tell otherwise; ``None`` where one leaves it out."""

    tag: str
    ours: dict[str, object] | None
    theirs: dict[str, object] | None


def differences(data: bytes) -> list[Difference] | None:
    """Compare the two on one file; None if either refuses it."""
    try:
        header = scan(data).header
    except Refused:
        return None
    told = metadata(
        header,
        bulk_data_uri="",
        read=lambda offset, length: data[offset : offset + length],
    )
    ours: Json = json.loads(msgspec.json.encode(told))
    del ours["00020010"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            parsed = pydicom.dcmread(BytesIO(data), force=True)
            theirs: Json = json.loads(
                json.dumps(parsed.to_json_dict(suppress_invalid_tags=True), allow_nan=False)
            )
        except Exception:  # whatever pydicom makes of a broken file
            return None
    return list(_compare(ours, theirs))


def decided_difference(difference: Difference) -> str | None:
    """Give the clause that decides a difference; None if it is a fault."""
    tag, ours, theirs = difference.tag, difference.ours, difference.theirs
    group = int(tag[:4], 16)
    if ours is None:
        if tag.endswith("0000"):
            return "PS3.18 F.2.2: group lengths are not told"
        if group in {0x0001, 0x0003, 0x0005, 0x0007, 0xFFFF}:
            return "PS3.5 7.8: no element may have this group"
        return None
    if ours["vr"] == "UN":
        return "Cloud Healthcare conformance: UN stays UN, whatever a dictionary may guess"
    if theirs is None:
        return _what_pydicom_cannot_tell(ours)
    if tag == "00080005":
        return "PS3.18 F.2: JSON is UTF-8"
    if "BulkDataURI" in ours:
        return "Cloud Healthcare conformance: what is bulk data"
    if tag == "00100010" and _without_leading_padding(theirs) == ours:
        return "PS3.5 6.2: padding is no part of a value"
    if "\\u001b" in json.dumps(theirs) and "\\u001b" not in json.dumps(ours):
        return "PS3.5 6.1.2.5.3: an escape sequence is no part of the text it switches"
    told, stored = _values(ours), _values(theirs)
    if told == [each or None for each in stored]:
        return "PS3.18 F.2.5: a missing one of several values is null"
    if told == [each.strip() or None if isinstance(each, str) else each for each in stored]:
        return "PS3.5 6.2: leading and trailing spaces of each value are no part of it"
    return None


def _what_pydicom_cannot_tell(ours: dict[str, object]) -> str | None:
    """Give why pydicom leaves out what we tell: it drops elements that are not valid."""
    text = json.dumps(ours)
    if ours["vr"] in {"DS", "IS"} and '"' in text.partition("Value")[2].strip('": '):
        return "PS3.18 F.2.3: a number that is none, or would lose digits, is a string"
    if len(text) > 80 or "\ufffd" in text or ours["vr"] in {"SH", "LO", "PN", "UI"}:
        return "PS3.5 6.2: longer than its VR allows, or not in its character set; told as it is"
    return None


def _compare(ours: Json, theirs: Json) -> Iterator[Difference]:
    for tag in sorted(ours.keys() | theirs.keys()):
        ours_here, theirs_here = ours.get(tag), theirs.get(tag)
        if ours_here == theirs_here:
            continue
        difference = Difference(tag=tag, ours=ours_here, theirs=theirs_here)
        items, other = _items(ours_here), _items(theirs_here)
        if items is None or other is None or len(items) != len(other):
            yield difference
            continue
        for item, their_item in zip(items, other, strict=True):
            yield from _compare(item, their_item or {})


def _items(element: dict[str, object] | None) -> list[Json] | None:
    if element is None or element["vr"] != "SQ":
        return None
    return element.get("Value", [])  # type: ignore[return-value]


def _values(element: dict[str, object]) -> list[object]:
    values = element.get("Value", [])
    assert isinstance(values, list)
    return values


def _without_leading_padding(element: dict[str, object]) -> dict[str, object]:
    text = json.dumps(element).replace('"\\u0000', '"')
    parsed: dict[str, object] = json.loads(text)
    return parsed
