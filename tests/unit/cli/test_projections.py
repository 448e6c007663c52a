from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fileroom.cli.output.projections import (
    Projection,
    order_by,
    parse_columns,
    parse_format,
    parse_sort_keys,
)
from fileroom.errors import InvalidArgument

if TYPE_CHECKING:
    from fileroom.client import Json, JsonObject

BODY: JsonObject = {
    "name": "projects/p/locations/l/datasets/d",
    "done": True,
    "labels": {"b": "2", "a": "1"},
    "streams": [{"table": "x", "rows": 1}, {"table": "y"}],
}


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("name.basename()", "d"),
        ("name.segment(1)", "p"),
        ("name.segment()", "d"),
        ("name.segment(-2)", "datasets"),
        ("name.segment(20)", None),
        ("name.scope(locations)", "l/datasets/d"),
        ("name.scope(locations).segment(0)", "l"),
        ("name.scope(absent)", "projects/p/locations/l/datasets/d"),
        ("labels.list()", "a=1,b=2"),
        ('labels.list(separator=" | ")', "a=1 | b=2"),
        ("streams.table.list()", "x,y"),
        ("streams[1].table", "y"),
        ("streams[].table", ["x", "y"]),
        ("streams.len()", 2),
        ("labels.len()", 2),
        ("absent.len()", 0),
        ("done.len()", 0),
        ("done.yesno(yes=Yes)", "Yes"),
        ("absent.yesno(Yes, none)", "none"),
        ("absent.basename()", None),
    ],
)
def test_key_is_followed_and_transformed(key: str, expected: Json) -> None:
    (column,) = parse_columns(key)
    assert column.key.pick(BODY) == expected


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ("name.basename(), labels.a", {"name": "d", "labels": {"a": "1"}}),
        ("labels, labels.a", {"labels": {"a": "1", "b": "2"}}),
        ("streams.table", {"streams": [{"table": "x"}, {"table": "y"}]}),
        ("streams[].rows", {"streams": [{"rows": 1}, None]}),
        ("streams[0].table", {"streams": [{"table": "x"}]}),
        ("absent.inner", None),
    ],
)
def test_projection_keeps_the_shape_of_the_resource(columns: str, expected: Json) -> None:
    assert Projection.of(parse_columns(columns))(BODY) == expected


@pytest.mark.parametrize(
    ("text", "headings"),
    [
        ("timeZone, name.basename(), a.b.lastName", ["TIME_ZONE", "NAME", "LAST_NAME"]),
        ('name:label="The id", streams[0]', ["The id", "STREAMS"]),
    ],
)
def test_heading_is_the_label_or_made_of_the_last_name(text: str, headings: list[str]) -> None:
    assert [column.heading for column in parse_columns(text)] == headings


def test_rows_are_ordered_by_several_keys() -> None:
    rows: list[JsonObject] = [
        {"name": "a", "n": "10"},
        {"name": "b"},
        {"name": "c", "n": "9"},
        {"name": "d", "n": "10"},
        {"name": "e", "n": "x"},
    ]
    names = [row["name"] for row in order_by(parse_sort_keys("n, ~name"), rows)]
    assert names == ["b", "c", "d", "a", "e"]
    names = [row["name"] for row in order_by(parse_sort_keys("~n,name"), rows)]
    assert names == ["e", "a", "d", "c", "b"]
    chosen = parse_format("table(name:sort=2:reverse, n:sort=1)")
    assert [row["name"] for row in chosen.order(rows)] == ["b", "c", "d", "a", "e"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("bogus", "there is no format 'bogus'; there are json, yaml, table, csv, value, none"),
        ("table(name", "a parenthesis is not closed: table(name *HERE*"),
        ("table(name)x", "nothing more is understood: table(name) *HERE* x"),
        ("table(a b)", "a parenthesis is not closed: table(a *HERE* b)"),
        ("table(name.size())", "there is no transform size(); there are basename(), len(), "),
        ("table(name.segment(x))", "segment() takes a number, from 0 on or from -1 back"),
        (
            "table(name.list(1,2))",
            "list() takes nothing but separator: table(name. *HERE* list(1,2))",
        ),
        ("table(name.basename(1))", "basename() takes no value"),
        ("table[box](name)", "no attribute of a format; there are no-heading and separator=TEXT"),
        (
            "csv[separator=ab](name)",
            "the separator of CSV is one of , ; | and a tab: csv[ *HERE* separator=ab](name)",
        ),
        ("table[no-heading", "a bracket is not closed"),
        ("table(name:wrap)", "no attribute of a column; there are label=TEXT, sort=NUMBER and"),
        ("table(,)", "a key is missing: table( *HERE* ,)"),
        ("table([0])", "a key is missing: table( *HERE* [0])"),
    ],
)
def test_wrong_format_shows_where_it_goes_wrong(text: str, shown: str) -> None:
    with pytest.raises(InvalidArgument) as raised:
        parse_format(text)
    assert raised.value.message.startswith(shown)


@settings(max_examples=300)
@given(st.text(alphabet="ab.()[]\"'\\ ,:=~1x", max_size=30))
def test_any_text_is_a_format_or_refused(text: str) -> None:
    for name in ("table", "csv", "json"):
        try:
            chosen = parse_format(f"{name}{text}")
        except InvalidArgument:
            continue
        assert chosen.name == name
