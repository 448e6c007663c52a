"""Object URIs and their wildcards, as values.

A URI carries a scheme, a bucket and a key, and nothing else: no host, port, user or query, so that
no request can choose where the server connects. The key is taken literally; ``%`` decodes nothing.

A ``file://`` URI names a file of the server. Its bucket is the innermost of the directories that
the operator opened, the *roots*, that the path lies below; the functions here are told them as
absolute paths. Below none of them its bucket is ``""``, which no server has.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote

from fileroom.errors import InvalidArgument
from fileroom.objectstore.archives.naming import split_archive_key

if TYPE_CHECKING:
    from collections.abc import Collection

SCHEMES = ("gs", "s3", "az")
FILE_PREFIX = "file://"
"""What the name of a root begins with; its path follows."""
KEY_BYTES_MAX = 1024

_URI = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*)://([^/]*)(?:/(.*))?", re.DOTALL)
_BUCKET = re.compile(r"(?=.{3,222}\Z)[a-z0-9](?:[a-z0-9_.\-]*[a-z0-9])?")
_BUCKET_COMPONENT_LENGTH_MAX = 63
_WILDCARD = re.compile(r"[*?]")
_EXTENSION = re.compile(r"\.[^/*?]+")
_FORBIDDEN = {"\0": "NUL", "\n": "a line feed", "\r": "a carriage return"}
_BUCKET_GRAMMAR = (
    "a bucket name has 3 to 63 lower-case letters, digits, '.', '_' or '-', "
    "and begins and ends with a letter or digit"
)
_WILDCARD_GRAMMAR = (
    "'*' stands for any characters but '/', '?' for one character but '/', and '**' for any "
    "characters, '/' included; '**' must be the only wildcard and stand at the end of the URI "
    "or directly before a file extension, as in gs://bucket/directory/**.dcm"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectUri:
    """One object, or with a key that is empty or ends in ``/`` all below it."""

    scheme: str
    bucket: str
    key: str

    @property
    def bucket_name(self) -> str:
        """The bucket with its scheme, as settings name it: ``gs://bucket``, ``file:///root``."""
        return f"{self.scheme}://{self.bucket}"

    def __str__(self) -> str:
        return f"{self.bucket_name}/{self.key}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectPattern:
    """The objects of one bucket that a URI with or without wildcards means."""

    bucket_name: str
    text: str
    """What comes after the bucket, wildcards included."""
    prefix: str
    """What the key of every match begins with; a listing need not look elsewhere."""
    has_wildcard: bool
    regex: re.Pattern[str]
    archive: str = ""
    """The key of the one archive whose members are meant; empty for objects of the bucket."""

    def __str__(self) -> str:
        return f"{self.bucket_name}/{self.text}"

    def matches(self, key: str) -> bool:
        """Whether the pattern means the object of this key."""
        return self.regex.fullmatch(key) is not None


def parse_object_uri(text: str, roots: Collection[str] = ()) -> ObjectUri:
    """Give the one object that ``gs://bucket/object`` names.

    Raises
    ------
    InvalidArgument
        If it has another form or names a bucket alone.
    """
    uri = _parse(text, roots)
    if not uri.key:
        raise _invalid(text, "it names a bucket, not an object; write gs://bucket/object")
    _refuse_wildcards(uri, text)
    return uri


def parse_uri_prefix(text: str, roots: Collection[str] = ()) -> ObjectUri:
    """Give the place that ``gs://bucket[/directory]`` names; its key is empty or ends in one ``/``.

    Raises
    ------
    InvalidArgument
        If it has another form, a wildcard or an empty segment.
    """
    uri = _parse(text, roots)
    _refuse_wildcards(uri, text)
    directory = uri.key.rstrip("/")
    if "" in directory.split("/")[:-1]:
        raise _invalid(text, "a directory in it has an empty name ('//')")
    return ObjectUri(scheme=uri.scheme, bucket=uri.bucket, key=f"{directory}/" if directory else "")


def parse_bucket_name(text: str) -> ObjectUri:
    """Give the bucket that ``gs://bucket`` or ``file:///root`` names; its key is empty.

    Raises
    ------
    InvalidArgument
        If it has another form or names more than a bucket.
    """
    uri = _parse(text, roots=(text.removeprefix(FILE_PREFIX).rstrip("/"),))
    if uri.key:
        raise _invalid(text, "it names more than a bucket; write gs://bucket")
    if _WILDCARD.search(uri.bucket):
        raise _invalid(text, "a root cannot have '*' or '?' in its path")
    return uri


def check_object_key(key: str) -> None:
    """Raise InvalidArgument unless an object of this key can be named by a URI."""
    if (fault := _fault_of(key)) is not None:
        raise InvalidArgument(f"invalid name {key[:200]!r}: {fault}", "name")


def parse_pattern(text: str, roots: Collection[str] = ()) -> ObjectPattern:
    """Give the objects that ``gs://bucket/object`` with optional wildcards means.

    Raises
    ------
    InvalidArgument
        If it has another form, names a bucket alone or uses a wildcard where none may stand.

    References
    ----------
    Cloud Healthcare v1 GoogleCloudHealthcareV1DicomGcsSource
    """
    uri = _parse(text, roots)
    if not uri.key:
        raise _invalid(
            text, f"it names a bucket, not objects; {uri.bucket_name}/** means all it holds"
        )
    archive, member = split_archive_key(uri.key) or ("", uri.key)
    if archive and _WILDCARD.search(archive):
        raise _invalid(text, "wildcards may stand behind the archive's name only, as in a.zip!/**")
    if not member:
        raise _invalid(text, f"it names an archive; {uri}** means all it holds")
    first = _WILDCARD.search(uri.key)
    return ObjectPattern(
        bucket_name=uri.bucket_name,
        text=uri.key,
        prefix=uri.key[: first.start()] if first else uri.key,
        has_wildcard=first is not None,
        regex=re.compile(_regex_of(uri.key, text), re.DOTALL),
        archive=archive,
    )


def split_uri(uri: str, roots: Collection[str]) -> tuple[str, str]:
    """Give the name of the bucket, and the key as it is, of the URI of one listed object."""
    if uri.startswith(FILE_PREFIX):
        root, key = _split_path(uri.removeprefix(FILE_PREFIX), roots)
        return f"{FILE_PREFIX}{root}", key
    scheme, _, rest = uri.partition("://")
    bucket, _, key = rest.partition("/")
    return f"{scheme}://{bucket}", key


def _parse(text: str, roots: Collection[str]) -> ObjectUri:
    match = _URI.fullmatch(text)
    if match is None:
        raise _invalid(text, "it must have the form gs://bucket/object")
    scheme, bucket, key = match[1], match[2], match[3] or ""
    if scheme.lower() == "file" and not roots:
        raise _invalid(
            text,
            "file:// is not accepted: this server was not told in the setting file_roots which "
            "directories may be named so. Name yours there; or have the server started with "
            "--bucket NAME=DIR, or put the files into buckets/NAME in its data directory, and "
            "write gs://NAME/…",
        )
    if scheme not in {*SCHEMES, "file"}:
        raise _invalid(text, f"unknown scheme {scheme!r}; it must begin with gs://, s3:// or az://")
    if (fault := _fault_of(key)) is not None:
        raise _invalid(text, fault)
    if scheme == "file":
        _check_path(bucket, key, text)
        bucket, key = _split_path(f"/{key}", roots)
    else:
        _check_bucket(bucket, text)
    return ObjectUri(scheme=scheme, bucket=bucket, key=key)


def _check_path(host: str, path: str, text: str) -> None:
    """Refuse what another reader of the URI may take for another file than this server would."""
    if host:
        raise _invalid(text, "it names a host; write file:///directory/file")
    decoded = unquote(path)
    if "//" in f"/{decoded}":
        raise _invalid(text, "a directory in it has an empty name ('//')")
    if (fault := _fault_of(decoded)) is not None:
        raise _invalid(text, f"{fault}, nor in another spelling")


def _split_path(path: str, roots: Collection[str]) -> tuple[str, str]:
    """Give the innermost root that a path lies below, and the rest; else ``""`` and all of it."""
    above = (root for root in roots if f"{path}/".startswith(f"{root}/"))
    root = max(above, key=len, default="")
    return root, path[len(root) + 1 :]


def _check_bucket(bucket: str, text: str) -> None:
    if _WILDCARD.search(bucket):
        raise _invalid(text, "wildcards may stand in the object's name only, not in the bucket's")
    components = bucket.split(".")
    if (
        not _BUCKET.fullmatch(bucket)
        or "" in components
        or max(map(len, components)) > _BUCKET_COMPONENT_LENGTH_MAX
        or (len(components) == 1 and len(bucket) > _BUCKET_COMPONENT_LENGTH_MAX)
    ):
        raise _invalid(
            text,
            f"{bucket[:80]!r} is no bucket name: {_BUCKET_GRAMMAR}; nor may it hold a port, "
            "user or query",
        )


def _fault_of(key: str) -> str | None:
    """Say what forbids an object of this key; None where nothing does."""
    for character, name in _FORBIDDEN.items():
        if character in key:
            return f"an object's name cannot contain {name}"
    if any(segment in {".", ".."} for segment in key.split("/")):
        return "'.' and '..' are not allowed as parts of an object's name"
    try:
        size = len(key.encode())
    except UnicodeEncodeError:
        return "an object's name must be valid Unicode"
    if size > KEY_BYTES_MAX:
        return f"an object's name has at most {KEY_BYTES_MAX} bytes in UTF-8"
    return None


def _refuse_wildcards(uri: ObjectUri, text: str) -> None:
    if _WILDCARD.search(uri.key):
        raise _invalid(text, "wildcards are not allowed here")


def _regex_of(key: str, text: str) -> str:
    """Give the regular expression of a key pattern, linear in the key for each ``*``.

    Each stretch between two ``*`` is matched at its leftmost place and never tried again (an
    atomic group). For this grammar the leftmost place is as good as any, and a pattern with many
    ``*`` cannot be made to run for hours.
    """
    if "**" in key:
        head, tail = key.split("**", 1)
        if _WILDCARD.search(head + tail) or (tail and not _EXTENSION.fullmatch(tail)):
            raise _invalid(text, f"wildcard not allowed there: {_WILDCARD_GRAMMAR}")
        return f"{re.escape(head)}.*{re.escape(tail)}"
    first, *rest = (
        "".join("[^/]" if character == "?" else re.escape(character) for character in stretch)
        for stretch in key.split("*")
    )
    if not rest:
        return first
    return first + "".join(f"(?>[^/]*?{stretch})" for stretch in rest[:-1]) + f"[^/]*{rest[-1]}"


def _invalid(text: str, why: str) -> InvalidArgument:
    return InvalidArgument(f"invalid URI {text[:200]!r}: {why}", "uri")
