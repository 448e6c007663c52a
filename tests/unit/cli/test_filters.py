from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fileroom.cli.output.expressions import EXPRESSION_CHARACTERS_MAX
from fileroom.cli.output.filters import NESTING_MAX, parse_filter
from fileroom.errors import InvalidArgument

if TYPE_CHECKING:
    from fileroom.client import JsonObject

BODY: JsonObject = {
    "name": "projects/p/locations/l/datasets/d/operations/4982158053268099398",
    "done": True,
    "metadata": {
        "createTime": "2026-01-02T03:04:05.123456Z",
        "counter": {"success": "10", "failure": "9"},
    },
    "labels": {"site": "Zürich", "k.y": "q", "my-label": "two words"},
    "streams": [{"table": "bq://a.b.c"}, {"table": "bq://d.e.f"}],
    "quoted": 'a "b" \\d',
    "counts": [3, 12],
    "ratio": 1.5,
    "empty": "",
    "nothing": None,
    "no": False,
    "none": [],
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # Nothing asked is everything.
        ("", True),
        ("()", True),
        # Equal: whole, whatever the case; numbers as numbers, operation names as they are.
        ("labels.site=zürich", True),
        ("labels.site=zür", False),
        ("metadata.counter.success=10.0", True),
        ("name.basename()=4982158053268099398", True),
        ("name.basename()=4982158053268099399", False),
        ("done=true", True),
        ("done=false", False),
        ("no=false", True),
        ("done = true", True),
        ('labels.my-label="two words"', True),
        ("labels.my-label='two words'", True),
        ("absent=''", True),
        (r'quoted="a \"b\" \\d"', True),
        (r"quoted~'[a] .b. .d$'", True),
        ("absent=x", False),
        # Contains, anchored where a * is.
        ("name:datasets", True),
        ("name:DATASETS/D", True),
        ("name:projects*", True),
        ("name:datasets*", False),
        ("name:p*398", True),
        ("name:*398", True),
        ("labels.site:zurich", True),
        ("labels:site", True),
        ("labels:Zürich", True),
        ("labels:sites", False),
        # Defined or not.
        ("name:*", True),
        ("no:*", True),
        ("absent:*", False),
        ("empty:*", False),
        ("none:*", False),
        ("-absent:*", True),
        # Less and more.
        ("metadata.counter.success>9", True),
        ("metadata.counter.success<9", False),
        ("metadata.counter.failure<=9", True),
        ("ratio>=1.5", True),
        ("labels.site>Z", True),
        ("absent>0", False),
        ("absent<1", True),
        ("metadata.createTime>2026-01-02", True),
        ("metadata.createTime<2026-01-01", False),
        ("metadata.createTime>=2026-01-02T04:04:05+01:00", True),
        ("metadata.createTime>2026-01-02T04:04:06+01:00", False),
        ("metadata.createTime<-P1D", True),
        ("metadata.createTime>-P100Y", True),
        ("metadata.endTime<2030-01-01", False),
        # Another.
        ("labels.site!=Bern", True),
        ("labels.site!=Zürich", False),
        ("absent!=x", True),
        # Regular expressions.
        ("name~operations/[0-9]+$", True),
        ("name~^operations", False),
        ("name~PROJECTS", False),
        ('labels.my-label~"two (words|letters)"', True),
        ("name!~datasets", False),
        ("absent!~x", True),
        ("labels~site", False),
        # Lists: one element is enough.
        ("streams.table=bq://d.e.f", True),
        ("streams[0].table=bq://d.e.f", False),
        ("streams[-1].table:d.e", True),
        ("streams[].table~a.b", True),
        ("streams.table!=bq://d.e.f", True),
        ("-streams.table=bq://d.e.f", False),
        ("counts>10", True),
        ("counts[0]>10", False),
        ("counts[9]:*", False),
        # Values side by side.
        ("done=(false true)", True),
        ("labels.site:(bern,zür)", True),
        ("labels.site=(bern zür)", False),
        ("done=(false OR true)", True),
        # Keys: quoted, in another spelling.
        ('labels."k.y"=q', True),
        ("labels.k.y=q", False),
        ("metadata.create_time:*", True),
        ("DONE=true", True),
        # A word alone is anywhere, but no key.
        ("zurich", True),
        ('"two words"', True),
        ("streams", False),
        ("-bern", True),
        # Together.
        ("done=true ratio>1", True),
        ("done=true AND ratio>2", False),
        ("done=false OR ratio>1", True),
        ("NOT done=true", False),
        ("NOT NOT done=true", True),
        ("-(done=true ratio>2)", True),
        ("done=true NOT ratio>2", True),
        ("(done=false OR ratio>1) AND done=true", True),
        ("done=false ratio>1 OR done=true", False),
        ("done=true and ratio>2", False),
    ],
)
def test_filter_means_what_gcloud_documents(text: str, expected: bool) -> None:
    assert parse_filter(text)(BODY) is expected


def test_duration_is_counted_from_the_present() -> None:
    body: JsonObject = {"t": (datetime.now(UTC) - timedelta(hours=3)).isoformat()}
    assert parse_filter("t>-P1D")(body)
    assert parse_filter("t<-PT2H30M")(body)
    assert not parse_filter("t>-PT2H30M")(body)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("done=", "a value is missing: done= *HERE*"),
        ("=true", "a key is missing: *HERE* =true"),
        ("done==true", "there is no operator ==, but = : != < <= > >= ~ !~: done *HERE* ==true"),
        ("a=1 OR b=2 AND c=3", "AND beside OR needs parentheses: a=1 OR b=2 *HERE* AND c=3"),
        ("a=1 OR", "a term is missing: a=1 OR *HERE*"),
        ("NOT", "a term is missing: NOT *HERE*"),
        ("AND a=1", "a term is missing: *HERE* AND a=1"),
        ("(a=1", "a parenthesis is not closed: *HERE* (a=1"),
        ("a=1)", "this parenthesis closes nothing: a=1 *HERE* )"),
        ("a=(1,2", "a parenthesis is not closed: a= *HERE* (1,2"),
        ("a:(,)", "a value is missing: a:( *HERE* ,)"),
        ('a="x', 'a quote is not closed: a= *HERE* "x'),
        ("a~(b)", "a value is missing; one with a parenthesis needs quotes: a~ *HERE* (b)"),
        ("a!=(b c)", "a value is missing; one with a parenthesis needs quotes: a!= *HERE* (b c)"),
        ("a~'('", "no regular expression"),
        ("a:*b*", "at most one * is understood; ~ takes regular expressions: a: *HERE* *b*"),
        ("a=OR", "a value is missing; one such as AND needs quotes: a= *HERE* OR"),
        ("a.size()>1", "there is no transform size(); there are basename(), len(), list(), "),
        ("a.basename()", "an operator is missing: a.basename() *HERE*"),
        ("a[x]=1", "a place in a list is a number: a[ *HERE* x]=1"),
        ("a..b=1", "a key is missing: a. *HERE* .b=1"),
        ("a.len().b=1", "no key can follow a transform: a.len(). *HERE* b=1"),
        ("a" * (EXPRESSION_CHARACTERS_MAX + 1), "longer than 10,000 characters"),
        ("(" * (NESTING_MAX + 1), "more than 50 parentheses within each other: (((("),
    ],
)
def test_wrong_filter_shows_where_it_goes_wrong(text: str, shown: str) -> None:
    with pytest.raises(InvalidArgument) as raised:
        parse_filter(text)
    assert raised.value.message.startswith(shown)


def test_long_filter_needs_no_deep_stack() -> None:
    text = " OR ".join(["done=false"] * 600) + " OR done=true"
    assert parse_filter(text)(BODY)
    assert parse_filter("NOT " * 2000 + "done=true")(BODY)


@settings(max_examples=300)
@given(st.text(alphabet="ab.()[]\"'\\ ,:=<>!~-*1PANDORNOT", max_size=40))
def test_any_text_is_a_filter_or_refused(text: str) -> None:
    try:
        read = parse_filter(text)
    except InvalidArgument:
        return
    assert read(BODY) in {True, False}
