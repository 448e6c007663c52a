from __future__ import annotations

import pickle
import re
import time
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fileroom.errors import InvalidArgument
from fileroom.objectstore.uri import (
    check_object_key,
    parse_bucket_name,
    parse_object_uri,
    parse_pattern,
    parse_uri_prefix,
    split_uri,
)

_ROOTS = ("/srv/dicom", "/srv/dicom/new", "/data")


@pytest.mark.parametrize(
    ("pattern", "matching", "others"),
    [
        ("gs://bucket/a.dcm", ["a.dcm"], ["a.dcmx", "xa.dcm", "A.dcm", "a_dcm"]),
        ("gs://bucket/*.dcm", ["a.dcm", ".dcm"], ["d/a.dcm", "a.dcm.gz"]),
        ("gs://bucket/d/*", ["d/a", "d/"], ["d", "d/e/a", "da"]),
        ("gs://bucket/d/**", ["d/a", "d/e/f/a", "d/"], ["d", "e/d/a"]),
        ("gs://bucket/**", ["a", "d/a"], []),
        ("gs://bucket/d/**.dcm", ["d/a.dcm", "d/e/a.dcm", "d/.dcm"], ["d.dcm", "d/a.dcm.gz"]),
        ("gs://bucket/Example?.dcm", ["Example1.dcm", "Exampleß.dcm"], ["Example.dcm"]),
        ("gs://bucket/d?a", ["d-a"], ["d/a", "d--a"]),
        ("gs://bucket/*/x/*", ["a/x/b", "/x/"], ["a/b/x/c", "a/x/b/c"]),
        ("gs://bucket/[a-z]+", ["[a-z]+"], ["b"]),
        ("gs://bucket/a%2Fb", ["a%2Fb"], ["a/b"]),
        ("gs://bucket/é *.dcm", ["é \n.dcm"], ["e .dcm"]),
    ],
)
def test_pattern_matches_what_the_grammar_says(
    pattern: str, matching: list[str], others: list[str]
) -> None:
    parsed = parse_pattern(pattern)
    assert [key for key in matching + others if parsed.matches(key)] == matching
    assert all(key.startswith(parsed.prefix) for key in matching)
    assert str(parsed) == pattern
    assert parsed.text == pattern.removeprefix("gs://bucket/")
    assert pickle.loads(pickle.dumps(parsed)) == parsed


@pytest.mark.parametrize(
    ("pattern", "prefix", "has_wildcard"),
    [
        ("s3://bucket/d/im*.dcm", "d/im", True),
        ("az://bucket/d/x?y", "d/x", True),
        ("gs://bucket/**", "", True),
        ("gs://bucket/d/one.dcm", "d/one.dcm", False),
    ],
)
def test_prefix_is_the_longest_literal_beginning(
    pattern: str, prefix: str, has_wildcard: bool
) -> None:
    parsed = parse_pattern(pattern)
    assert (parsed.prefix, parsed.has_wildcard) == (prefix, has_wildcard)
    assert parsed.bucket_name == pattern.partition("://")[0] + "://bucket"


def _brute_force(pattern: str, key: str) -> bool:
    if not pattern:
        return not key
    if pattern.startswith("**"):
        return any(_brute_force(pattern[2:], key[start:]) for start in range(len(key) + 1))
    if pattern[0] == "*":
        spans = range(len(key.split("/", 1)[0]) + 1)
        return any(_brute_force(pattern[1:], key[start:]) for start in spans)
    if not key:
        return False
    if pattern[0] == "?":
        return key[0] != "/" and _brute_force(pattern[1:], key[1:])
    return key[0] == pattern[0] and _brute_force(pattern[1:], key[1:])


_PATTERNS = st.text("ab/*?.", min_size=1, max_size=10)
_KEYS = st.text("ab/.", max_size=10)


@given(pattern=_PATTERNS, keys=st.lists(_KEYS, max_size=20))
def test_matching_equals_trying_every_split(pattern: str, keys: list[str]) -> None:
    try:
        parsed = parse_pattern(f"gs://bucket/{pattern}")
    except InvalidArgument:
        return
    for key in keys:
        assert parsed.matches(key) == _brute_force(pattern, key), key


@given(pattern=_PATTERNS)
def test_two_stars_stand_alone_at_the_end_or_before_an_extension(pattern: str) -> None:
    head, stars, tail = pattern.partition("**")
    allowed = not stars or (
        not set(head + tail) & {"*", "?"}
        and (tail == "" or (tail[0] == "." and len(tail) > 1 and "/" not in tail))
    )
    allowed = allowed and not {".", ".."} & set(pattern.split("/"))
    try:
        parse_pattern(f"gs://bucket/{pattern}")
    except InvalidArgument:
        assert not allowed
    else:
        assert allowed


def test_many_stars_do_not_make_matching_slow() -> None:
    parsed = parse_pattern("gs://bucket/" + "*a" * 400 + "b")
    start = time.perf_counter()
    assert not parsed.matches("a" * 1024)
    assert time.perf_counter() - start < 1


@pytest.mark.parametrize(
    ("uri", "why"),
    [
        ("bucket/a.dcm", "must have the form gs://bucket/object"),
        ("gs:/bucket/a.dcm", "must have the form"),
        ("", "must have the form"),
        ("gs://bucket", "it names a bucket"),
        ("gs://bucket/", "it names a bucket"),
        ("GS://bucket/a", "unknown scheme 'GS'"),
        ("http://169.254.169.254/latest", "unknown scheme 'http'"),
        ("file:///etc/passwd", "file:// is not accepted"),
        ("FILE:///etc/passwd", "file:// is not accepted"),
        ("gs:///a.dcm", "is no bucket name"),
        ("gs://Bucket/a.dcm", "lower-case"),
        ("gs://bu/a.dcm", "3 to 63"),
        ("gs://" + "b" * 64 + "/a", "3 to 63"),
        ("gs://-bucket/a", "begins and ends with a letter or digit"),
        ("gs://a..b/a", "is no bucket name"),
        ("gs://../a", "is no bucket name"),
        ("gs://user:secret@bucket/a", "is no bucket name"),
        ("gs://bucket:80/a", "port, user or query"),
        ("s3://bucket?endpoint=http://evil/a", "wildcards may stand in the object's name only"),
        ("gs://buck*/a", "wildcards may stand in the object's name only"),
        ("gs://[::1]/a", "is no bucket name"),
        ("gs://bücket/a", "is no bucket name"),
        ("gs://bucket\n/a", "is no bucket name"),
        ("gs://bucket/../a", "'.' and '..'"),
        ("gs://bucket/a/..", "'.' and '..'"),
        ("gs://bucket/./a", "'.' and '..'"),
        ("gs://bucket/a\0b", "NUL"),
        ("gs://bucket/a\nb", "a line feed"),
        ("gs://bucket/a\rb", "a carriage return"),
        ("gs://bucket/\udc80", "valid Unicode"),
        ("gs://bucket/" + "ä" * 513, "1024 bytes"),
    ],
)
def test_wrong_uri_is_refused_with_the_reason(uri: str, why: str) -> None:
    for parse in (parse_pattern, parse_object_uri):
        with pytest.raises(InvalidArgument) as caught:
            parse(uri)
        assert why in caught.value.message
        assert len(caught.value.message) < 700


@pytest.mark.parametrize("key", ["**/a", "a/**/b.dcm", "***", "**.*", "**.", "?/**", "*/**.dcm"])
def test_misplaced_wildcard_is_refused_with_the_grammar(key: str) -> None:
    with pytest.raises(InvalidArgument, match=r"directly before a file extension"):
        parse_pattern(f"gs://bucket/{key}")


@pytest.mark.parametrize("name", ["abc", "a_b-c.d", "b" * 63, f"{'a' * 63}.{'b' * 63}", "123"])
def test_bucket_names_of_google_are_accepted(name: str) -> None:
    assert parse_bucket_name(f"gs://{name}").bucket == name


def test_object_uri_gives_its_parts_and_its_text() -> None:
    uri = parse_object_uri("s3://bucket/d/a b.dcm")
    assert (uri.scheme, uri.bucket, uri.key) == ("s3", "bucket", "d/a b.dcm")
    assert uri.bucket_name == "s3://bucket"
    assert str(uri) == "s3://bucket/d/a b.dcm"


@pytest.mark.parametrize("text", ["gs://bucket/a*.txt", "gs://bucket/a?alt=media"])
def test_object_uri_takes_no_wildcard_and_no_query(text: str) -> None:
    with pytest.raises(InvalidArgument, match="wildcards are not allowed here"):
        parse_object_uri(text)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("gs://bucket", ""),
        ("gs://bucket/", ""),
        ("gs://bucket/d", "d/"),
        ("gs://bucket/d/e/", "d/e/"),
        ("gs://bucket/d///", "d/"),
    ],
)
def test_uri_prefix_is_empty_or_ends_in_one_slash(text: str, key: str) -> None:
    assert parse_uri_prefix(text).key == key


@pytest.mark.parametrize("text", ["gs://bucket/d*", "gs://bucket//d", "gs://bucket/d/../e"])
def test_uri_prefix_names_a_directory_plainly(text: str) -> None:
    with pytest.raises(InvalidArgument):
        parse_uri_prefix(text)


def test_bucket_name_holds_no_key() -> None:
    with pytest.raises(InvalidArgument, match="more than a bucket"):
        parse_bucket_name("gs://bucket/d")


@pytest.mark.parametrize(
    ("key", "why"),
    [("a\nb", "line feed"), ("d/../a", "'..'"), ("é" * 513, "1024 bytes"), ("\udcff", "Unicode")],
)
def test_a_key_that_no_uri_can_name_is_refused(key: str, why: str) -> None:
    check_object_key("d/é *.dcm")
    with pytest.raises(InvalidArgument, match=why):
        check_object_key(key)


@pytest.mark.parametrize(
    ("uri", "bucket_name", "key"),
    [
        ("file:///srv/dicom/a.dcm", "file:///srv/dicom", "a.dcm"),
        ("file:///srv/dicom/new/d/a.dcm", "file:///srv/dicom/new", "d/a.dcm"),
        ("file:///srv/dicom/new.dcm", "file:///srv/dicom", "new.dcm"),
        ("file:///data/50%25 #1 é.dcm", "file:///data", "50%25 #1 é.dcm"),
        ("file:///srv/dicom2/a.dcm", "file://", "srv/dicom2/a.dcm"),
        ("file:///srv/a.dcm", "file://", "srv/a.dcm"),
        ("file:///etc/passwd", "file://", "etc/passwd"),
    ],
)
def test_a_path_belongs_to_the_innermost_root_above_it(
    uri: str, bucket_name: str, key: str
) -> None:
    for roots in (_ROOTS, tuple(reversed(_ROOTS))):
        parsed = parse_object_uri(uri, roots)
        assert (parsed.bucket_name, parsed.key, str(parsed)) == (bucket_name, key, uri)
        assert split_uri(uri, roots) == (bucket_name, key)


@pytest.mark.parametrize(
    ("uri", "bucket_name", "text"),
    [
        ("file:///srv/dicom/**.dcm", "file:///srv/dicom", "**.dcm"),
        ("file:///srv/dicom/n*/a?", "file:///srv/dicom", "n*/a?"),
        ("file:///srv/dicom/new/a.zip!/**", "file:///srv/dicom/new", "a.zip!/**"),
        ("file:///srv/dicom*/a", "file://", "srv/dicom*/a"),
        ("file:///sr?/dicom/a", "file://", "sr?/dicom/a"),
        ("file:///**", "file://", "**"),
    ],
)
def test_a_root_is_found_before_the_first_wildcard(uri: str, bucket_name: str, text: str) -> None:
    pattern = parse_pattern(uri, _ROOTS)
    assert (pattern.bucket_name, pattern.text, str(pattern)) == (bucket_name, text, uri)


@pytest.mark.parametrize(
    ("uri", "why"),
    [
        ("file:///srv/dicom/../a", "'.' and '..'"),
        ("file:///srv/dicom/%2e%2E/a", "'.' and '..' are not allowed as parts of an object's name"),
        ("file:///srv/dicom/..%2f..%2fa", "nor in another spelling"),
        ("file:///srv/dicom/a%00", "NUL"),
        ("file:///srv/dicom/a\0", "NUL"),
        ("file:///srv/dicom//a", "'//'"),
        ("file:////srv/dicom/a", "'//'"),
        ("file://localhost/srv/dicom/a", "it names a host"),
        ("file://user@host:80/srv/dicom/a", "it names a host"),
        ("file://srv/dicom/a", "it names a host"),
        ("file:/srv/dicom/a", "must have the form"),
        ("FILE:///srv/dicom/a", "unknown scheme 'FILE'"),
        ("file:///srv/dicom/" + "a" * 1024, "1024 bytes"),
        ("file:///srv/dicom", "it names a bucket"),
        ("file:///srv/dicom/", "it names a bucket"),
    ],
)
def test_a_path_in_a_doubtful_spelling_is_refused(uri: str, why: str) -> None:
    for parse in (parse_pattern, parse_object_uri):
        with pytest.raises(InvalidArgument, match=re.escape(why)):
            parse(uri, _ROOTS)


@pytest.mark.parametrize("uri", ["file:///data/a?x=1", "file:///data/*", "file:///data/a//b"])
def test_a_destination_below_a_root_is_named_plainly(uri: str) -> None:
    assert parse_uri_prefix("file:///data/out/", _ROOTS).key == "out/"
    assert parse_uri_prefix("file:///data", _ROOTS).bucket_name == "file:///data"
    with pytest.raises(InvalidArgument):
        parse_uri_prefix(uri, _ROOTS)


def test_without_roots_the_refusal_names_the_setting() -> None:
    with pytest.raises(InvalidArgument, match="setting file_roots"):
        parse_pattern("file:///srv/dicom/**")


def test_a_root_is_named_as_a_bucket() -> None:
    root = parse_bucket_name("file:///srv/dicom/")
    assert (root.bucket, root.bucket_name, root.key) == ("/srv/dicom", "file:///srv/dicom", "")
    for name in ("file:///srv/*", "file:///srv/../etc", "file://host/srv", "file:///srv//d"):
        with pytest.raises(InvalidArgument):
            parse_bucket_name(name)


@given(path=st.text("ab/.%2eEfF*?", max_size=14))
def test_no_spelling_of_a_path_leaves_its_root(path: str) -> None:
    try:
        pattern = parse_pattern(f"file:///srv/dicom/{path}", _ROOTS)
    except InvalidArgument:
        return
    assert pattern.bucket_name.startswith("file:///srv/dicom")
    assert not {"", ".", ".."} & set(unquote(pattern.text).split("/")[:-1])
