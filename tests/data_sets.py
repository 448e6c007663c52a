"""Data sets that Hypothesis makes: every VR, nested, public and private."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from hypothesis import strategies as st
from pydicom.datadict import tag_for_keyword

from fileroom.dicom.encoding import LONG_VRS, SHORT_VRS

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

    from tests.corpus import DataSet, Row, Value

_VRS = sorted((SHORT_VRS | LONG_VRS) - {"SQ"})
_CREATORS = {0x00090010: "FILEROOM TEST", 0x00290011: "FILEROOM TEST 2"}
_BLOCKS = (0x00091000, 0x00291100)

_WORDS = st.text("ABCXYZ 019", min_size=1, max_size=16).map(str.strip).filter(bool)
_UNICODE = st.text(
    st.characters(codec="utf-8", exclude_characters="\\^=", exclude_categories=("C", "Z")),
    min_size=1,
    max_size=12,
)


def _integers(bits: int, *, signed: bool) -> SearchStrategy[Value]:
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    return st.lists(st.integers(low, high), min_size=1, max_size=3)


def _joined(words: SearchStrategy[str]) -> SearchStrategy[Value]:
    return st.lists(words, min_size=1, max_size=3).map("\\".join)


_REPEATS = st.integers(1, 4) | st.just(1100)
"""Some values are cut out of the header, some are not."""


def _words(bits: int) -> SearchStrategy[Value]:
    return st.tuples(st.integers(0, (1 << bits) - 1), _REPEATS).map(
        lambda made: [made[0]] * made[1]
    )


def _floats(bits: Literal[32, 64]) -> SearchStrategy[Value]:
    number = st.floats(width=bits, allow_nan=False, allow_infinity=False)
    return st.tuples(number, _REPEATS).map(lambda made: [made[0]] * made[1])


_BYTES: SearchStrategy[Value] = st.tuples(st.binary(min_size=2, max_size=2), _REPEATS).map(
    lambda made: made[0] * made[1]
)


_VALUES: dict[str, SearchStrategy[Value]] = {
    **dict.fromkeys(("AE", "CS", "UC"), _joined(_WORDS)),
    **dict.fromkeys(("LO", "SH"), _joined(_UNICODE)),
    **dict.fromkeys(("LT", "ST", "UT"), _UNICODE),
    "AS": st.just("042Y"),
    "AT": st.lists(st.integers(0, (1 << 32) - 1), min_size=1, max_size=3),
    "DA": _joined(st.dates().map(lambda day: f"{day.year:04d}{day.month:02d}{day.day:02d}")),
    "DS": _joined(st.decimals(-9999, 9999, places=3).map(str)),
    "DT": st.just("20240102030405.5"),
    "FD": _floats(64),
    "FL": _floats(32),
    "IS": _joined(st.integers(-(1 << 31), (1 << 31) - 1).map(str)),
    "OB": _BYTES,
    "OD": _floats(64),
    "OF": _floats(32),
    "OL": _words(32),
    "OV": _words(64),
    "OW": _words(16),
    "PN": _joined(
        st.lists(_UNICODE, min_size=1, max_size=3).map("=".join)
        | st.lists(_UNICODE, min_size=2, max_size=5).map("^".join)
    ),
    "SL": _integers(32, signed=True),
    "SS": _integers(16, signed=True),
    "SV": _integers(64, signed=True),
    "TM": st.just("030405.123"),
    "UI": _joined(st.integers(1, 10**20).map(lambda number: f"1.2.{number}")),
    "UN": _BYTES,
    "UL": _integers(32, signed=False),
    "UR": st.just("https://example.com/a?b=1"),
    "US": _integers(16, signed=False),
    "UV": _integers(64, signed=False),
}


def _selector_tag(vr: str) -> int:
    tag = tag_for_keyword(f"Selector{vr}Value")
    assert tag is not None, vr
    return tag


_TAGS = {vr: _selector_tag(vr) for vr in _VRS}


@st.composite
def data_sets(draw: st.DrawFn, depth: int = 2) -> DataSet:
    """Give rows in the order of their tags."""
    rows: dict[int, Row] = {}
    for vr in draw(st.lists(st.sampled_from(_VRS), max_size=6)):
        value = draw(_VALUES[vr]) if draw(st.integers(0, 7)) else None
        tag = _TAGS[vr]
        if draw(st.booleans()):
            tag = draw(st.sampled_from(_BLOCKS)) + draw(st.integers(0, 0xFF))
            creator = (tag & 0xFFFF0000) | (tag >> 8 & 0xFF)
            rows[creator] = (creator, "LO", _CREATORS[creator])
        rows[tag] = (tag, vr, value)
    if depth and draw(st.booleans()):
        private = draw(st.booleans())
        tag = 0x00091080 if private else 0x00720080
        # Where VRs are not written, an empty private sequence is no sequence any more.
        rows[tag] = (tag, "SQ", draw(st.lists(data_sets(depth - 1), min_size=private, max_size=2)))
        if private:
            rows[0x00090010] = (0x00090010, "LO", _CREATORS[0x00090010])
    return [rows[tag] for tag in sorted(rows)]
