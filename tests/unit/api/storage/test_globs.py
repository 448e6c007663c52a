from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fileroom.api.storage.globs import ALTERNATIVES_MAX, PATTERN_CHARACTERS_MAX, Glob
from fileroom.errors import InvalidArgument

_SIGNS = ("*", "**", "?", "a", "/", "[ab]", "[!a]", "\\*")
_AS_REGEX = {
    "*": "[^/]*",
    "**": ".*",
    "?": "[^/]",
    "[ab]": "[ab]",
    "[!a]": "[^a]",
    "\\*": re.escape("*"),
}


@pytest.mark.clause(
    "Cloud Storage JSON API, objects.list", "matchGlob knows *, **, ?, sets and alternatives"
)
@pytest.mark.parametrize(
    ("pattern", "matching", "others"),
    [
        ("foo*bar", ["foobar", "foo-bar"], ["foo/bar", "foobarn"]),
        ("foo**bar", ["foobar", "foo/bar", "foo/x/bar"], ["bar"]),
        ("foo?bar", ["foo-bar"], ["foobar", "foo/bar"]),
        ("[fg]oo", ["foo", "goo"], ["oo", "hoo"]),
        ("[a-c!]x", ["bx", "!x"], ["dx", "-x"]),
        ("[^a-c]x", ["dx", "/x"], ["ax"]),
        ("[]x]", ["]", "x"], ["a"]),
        ("[a-]", ["a", "-"], ["b"]),
        (r"[\]a]", ["]", "a"], ["\\"]),
        ("**.{dcm,DCM}", ["a/b.dcm", ".DCM"], ["a.dcm.gz", "a.Dcm"]),
        ("{a,b*}/{c,}", ["a/", "a/c", "bxx/c"], ["b", "a/cc"]),
        (r"a\*b\{", ["a*b{"], ["axb{"]),
        ("***", ["", "a/b"], []),
        ("a}b]", ["a}b]"], []),
    ],
)
def test_a_pattern_means(pattern: str, matching: list[str], others: list[str]) -> None:
    glob = Glob(pattern)

    assert [name for name in matching if not glob.matches(name)] == []
    assert [name for name in others if glob.matches(name)] == []
    assert all(name.startswith(glob.prefix) for name in matching)


@given(signs=st.lists(st.sampled_from(_SIGNS), max_size=8), name=st.text("ab/*", max_size=8))
def test_a_pattern_means_what_its_regular_expression_does(signs: list[str], name: str) -> None:
    pattern = "".join(signs)
    merged = re.split(r"(\*{2,}|(?<!\\)\*|\\\*|\[!?a?b?\]|.)", pattern)
    regex = "".join(
        _AS_REGEX.get("**" if re.fullmatch(r"\*{2,}", each) else each, re.escape(each))
        for each in merged
        if each
    )
    assert Glob(pattern).matches(name) == bool(re.fullmatch(regex, name, re.DOTALL))


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("a[b", r"'\[' is not closed"),
        ("a{b", "'{' is not closed"),
        ("a\\", "nothing follows"),
        ("[z-a]", "ends before it begins"),
        ("{a,{b,c}}", "within braces"),
        ("{a,b}" * 10, f"over {ALTERNATIVES_MAX} patterns"),
        ("a" * (PATTERN_CHARACTERS_MAX + 1), "longer than"),
    ],
)
def test_a_pattern_that_is_none_is_refused(pattern: str, why: str) -> None:
    with pytest.raises(InvalidArgument, match=why):
        Glob(pattern)


def test_no_pattern_takes_long() -> None:
    began = time.monotonic()

    assert not Glob("**a" * 300 + "b").matches("a" * 1024)
    assert time.monotonic() - began < 1
