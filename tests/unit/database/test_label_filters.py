"""Label filters of dicomStores.list."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fileroom.database.label_filters import parse_label_filter
from fileroom.errors import InvalidArgument

LABELS = {"site": "a", "kind": "long value", "empty": ""}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", True),
        ("  ", True),
        ("labels.site=a", True),
        ("labels.site = a", True),
        ("labels.site=b", False),
        ("labels.absent=a", False),
        ('labels.kind="long value"', True),
        (r'labels.kind="long \"value"', False),
        ("labels.site!=b", True),
        ("labels.site:*", True),
        ("labels.empty:*", True),
        ("labels.absent:*", False),
        ("labels.kind:long", True),
        ("labels.empty=", True),
        ("NOT labels.site=a", False),
        ("-labels.site=a", False),
        ("labels.site=a AND labels.absent:*", False),
        ("labels.site=a OR labels.absent:*", True),
        ("labels.site=a labels.absent:*", False),
        ("labels.site=b OR labels.site=a AND labels.empty:*", True),
        ("labels.site=a AND labels.empty:* OR labels.absent:*", True),
        ("NOT (labels.site=b OR labels.absent:*)", True),
        ("(labels.site=a)", True),
    ],
)
def test_filter_means_what_googles_list_filters_mean(text: str, expected: bool) -> None:
    assert parse_label_filter(text)(LABELS) is expected


@pytest.mark.parametrize(
    "text",
    [
        "site=a",
        "name=x",
        "labels.site",
        "labels.site=a AND",
        "AND labels.site=a",
        "(labels.site=a",
        "labels.site=a)",
        "NOT",
        'labels.site="a',
        "(" * 200 + "labels.a=b" + ")" * 200,
        "labels.a=" + "b" * 5000,
        "labels.site=a; DROP TABLE dicom_stores",
    ],
)
def test_anything_else_is_refused_with_the_grammar(text: str) -> None:
    with pytest.raises(InvalidArgument, match="filter"):
        parse_label_filter(text)


@given(st.text(alphabet='labes.kty=:"()\\ ANDORT-*!', max_size=60))
def test_no_text_breaks_the_parser(text: str) -> None:
    try:
        matches = parse_label_filter(text)
    except InvalidArgument:
        return
    assert matches(LABELS) in {True, False}
