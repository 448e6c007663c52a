"""What an operator wrote, turned into checked values, one function for each kind of setting."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast
from urllib.parse import unquote, urlsplit

from fileroom.errors import InvalidArgument
from fileroom.names import LocationName
from fileroom.objectstore.buckets import BucketSettings
from fileroom.objectstore.cloud.provider import ANONYMOUS, DEFAULT
from fileroom.objectstore.uri import (
    FILE_PREFIX,
    ObjectUri,
    parse_bucket_name,
    parse_uri_prefix,
)
from fileroom.settings.access import parse_issuers, parse_policies
from fileroom.transfer.executors import LOCAL

if TYPE_CHECKING:
    from fileroom.settings.table import Kind, Setting

_BUCKET_KEYS: Final = (
    "url",
    "endpoint",
    "region",
    "account",
    "credentials",
    "ordered",
    "project",
    "allow",
    "stores",
)
_ROOT_KEYS: Final = ("project", "allow", "stores")
_CLOUD_KEYS: Final = ("endpoint", "region", "account", "credentials")
_RIGHTS: Final = ("read", "write", "delete")


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """A value as the operator wrote it, and where."""

    value: object
    origin: str
    directory: Path
    """What a relative path in it is relative to."""


def guess(name: str, known: Sequence[str]) -> str:
    """Give the end of a message about an unknown name."""
    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; known are {', '.join(known)}"


def parse_setting(setting: Setting, given: Given) -> object:
    """Give the checked value of a setting."""
    parsers: dict[Kind, Callable[[Setting, Given], object]] = {
        "text": _parse_text,
        "integer": _parse_integer,
        "list": _parse_list,
        "path": _parse_path,
        "url": _parse_url,
        "buckets": _parse_buckets,
        "issuers": lambda _, given: parse_issuers(given),
        "policies": lambda _, given: parse_policies(given),
    }
    value = parsers[setting.kind](setting, given)
    if setting.name == "database":
        return _database(str(value), given)
    if setting.name == "executor":
        return _executor(str(value), given)
    if setting.name == "blobs":
        return _blobs(str(value), given)
    if setting.name == "file_roots":
        return tuple(dict.fromkeys(_root(root, given) for root in cast("tuple[str, ...]", value)))
    if setting.name == "locations":
        for location in cast("tuple[str, ...]", value):
            LocationName("any", location)
    return value


def _wrong(setting: Setting, given: Given, expected: str) -> InvalidArgument:
    return InvalidArgument(
        f"{setting.name} = {given.value!r} (from {given.origin}) must be {expected}", setting.name
    )


def _parse_text(setting: Setting, given: Given) -> str:
    if not isinstance(given.value, str) or not given.value.strip():
        raise _wrong(setting, given, "a text")
    text = given.value.strip()
    if setting.name == "log_level":
        text = text.upper()
    if setting.choices and text not in setting.choices:
        raise _wrong(setting, given, f"one of {', '.join(setting.choices)}")
    return text


def _parse_integer(setting: Setting, given: Given) -> int:
    value = given.value
    if isinstance(value, str) and value.strip().lstrip("-").isdecimal():
        value = int(value)
    fits = isinstance(value, int) and not isinstance(value, bool)
    if not fits or not setting.minimum <= cast("int", value) <= setting.maximum:
        raise _wrong(setting, given, f"a whole number {setting.minimum} to {setting.maximum}")
    return cast("int", value)


def _parse_list(setting: Setting, given: Given) -> tuple[str, ...]:
    value = given.value
    if isinstance(value, str):
        value = [part.strip() for part in value.split(",")]
    if not isinstance(value, Sequence) or not all(
        isinstance(part, str) and part.strip() for part in value
    ):
        raise _wrong(setting, given, "a list of texts")
    for part in value:
        if setting.choices and part not in setting.choices:
            raise _wrong(setting, given, f"a list of {', '.join(setting.choices)}")
    if not value and setting.name in {"auth", "locations"}:
        raise _wrong(setting, given, "a list with at least one entry")
    return tuple(dict.fromkeys(value))


def _parse_path(setting: Setting, given: Given) -> Path:
    if isinstance(given.value, Path):
        return (given.directory / given.value.expanduser()).absolute()
    return (given.directory / Path(_parse_text(setting, given)).expanduser()).absolute()


def _parse_url(setting: Setting, given: Given) -> str:
    text = _parse_text(setting, given).rstrip("/")
    parts = urlsplit(text)
    wrong = parts.scheme not in {"http", "https"} or not parts.hostname
    if wrong or parts.query or parts.fragment or parts.username is not None:
        raise _wrong(setting, given, "an address such as https://fileroom.example.org")
    return text


def _parse_buckets(setting: Setting, given: Given) -> tuple[BucketSettings, ...]:
    value = given.value
    if isinstance(value, str):
        value = [part.strip() for part in value.split(",")]
    if isinstance(value, Mapping):
        return tuple(_bucket(name, entry, given) for name, entry in value.items())
    if not isinstance(value, Sequence):
        raise _wrong(setting, given, 'tables such as [buckets."gs://demo"]')
    merged: tuple[BucketSettings, ...] = ()
    for part in value:
        name, sign, directory = str(part).partition("=")
        if not sign or not name.strip() or not directory.strip():
            raise _wrong(setting, given, "NAME=DIRECTORY")
        entry = {"url": directory.strip()}
        merged = merge_buckets(merged, (_bucket(_bucket_name(name.strip()), entry, given),))
    return merged


def _bucket_name(name: str) -> str:
    return name if "://" in name else f"gs://{name}"


def _bucket(name: str, entry: object, given: Given) -> BucketSettings:
    where = f'buckets."{name}" (from {given.origin})'
    if not isinstance(entry, Mapping):
        raise InvalidArgument(f"{where} must be a table with a url", "buckets")
    for key in entry:
        if key not in _BUCKET_KEYS:
            raise InvalidArgument(f"{where}: unknown {key!r}{guess(key, _BUCKET_KEYS)}", "buckets")
    try:
        uri = parse_bucket_name(name)
    except InvalidArgument as error:
        raise InvalidArgument(f"{where}: {error.message}", "buckets") from error
    if uri.bucket_name.startswith(FILE_PREFIX):
        return _root_bucket(uri, entry, where)
    texts = {key: _text(entry, key, where) for key in ("url", "project", *_CLOUD_KEYS)}
    url = texts.pop("url")
    if url and (given_beside := [key for key in _CLOUD_KEYS if texts[key]]):
        raise InvalidArgument(
            f"{where}: {given_beside[0]} is for a bucket in a cloud, and url makes it a"
            " directory: leave one of them out",
            "buckets",
        )
    path = _local_path(url, given) if url else None
    if url and path is None:
        raise InvalidArgument(
            f"{where}: url = {url!r} is no directory, as in file:///srv/dicom; a bucket in a cloud"
            " is known by its own name, and takes an endpoint where the cloud is not at its own"
            " address",
            "buckets",
        )
    credentials = _credentials(texts["credentials"], uri.scheme, given, where)
    default = ["read"] if credentials == ANONYMOUS else ["read", "write"]
    allow = _rights(entry, default, where)
    for right in allow:
        if credentials == ANONYMOUS and right != "read":
            raise InvalidArgument(f"{where}: without credentials it can be read only", "buckets")
    return BucketSettings(
        name=uri.bucket_name,
        path=path,
        endpoint=_endpoint(texts["endpoint"], where),
        region=texts["region"],
        account=texts["account"],
        credentials=credentials,
        ordered=_ordered(entry, where),
        allow=frozenset(allow),
        stores=_texts(entry.get("stores", ["*"]), where, "stores"),
        project=texts["project"] or None,
    )


def _root_bucket(uri: ObjectUri, entry: Mapping[str, object], where: str) -> BucketSettings:
    """Give a root whose table says for whom and what it is; where it is, its name says."""
    if given_too := [key for key in entry if key not in _ROOT_KEYS]:
        raise InvalidArgument(
            f"{where}: {given_too[0]} is not for a directory of file_roots, which takes"
            f" {', '.join(_ROOT_KEYS)}",
            "buckets",
        )
    return BucketSettings(
        name=uri.bucket_name,
        path=Path(uri.bucket),
        allow=frozenset(_rights(entry, ["read", "write"], where)),
        stores=_texts(entry.get("stores", ["*"]), where, "stores"),
        project=_text(entry, "project", where) or None,
    )


def _rights(entry: Mapping[str, object], default: Sequence[str], where: str) -> tuple[str, ...]:
    allow = _texts(entry.get("allow", default), where, "allow")
    for right in allow:
        if right not in _RIGHTS:
            raise InvalidArgument(f"{where}: allow knows {', '.join(_RIGHTS)}", "buckets")
    return allow


def _text(entry: Mapping[str, object], key: str, where: str) -> str:
    value = entry.get(key, "")
    if not isinstance(value, str) or (key in entry and not value.strip()):
        raise InvalidArgument(f"{where}: {key} must be a text", "buckets")
    return value.strip()


def _ordered(entry: Mapping[str, object], where: str) -> bool:
    value = entry.get("ordered", True)
    if not isinstance(value, bool):
        raise InvalidArgument(f"{where}: ordered must be true or false", "buckets")
    return value


def _endpoint(url: str, where: str) -> str:
    parts = urlsplit(url)
    if url and (parts.scheme not in {"http", "https"} or not parts.hostname):
        raise InvalidArgument(
            f"{where}: endpoint must be as in https://minio.example.org", "buckets"
        )
    if parts.username is not None or parts.query or parts.fragment:
        raise InvalidArgument(f"{where}: endpoint is an address alone; see credentials", "buckets")
    return url.rstrip("/")


def _credentials(text: str, scheme: str, given: Given, where: str) -> str:
    """Give ``default``, ``anonymous``, ``profile:NAME``, or the path of a file that can be read."""
    if text in {"", DEFAULT, ANONYMOUS}:
        return text or DEFAULT
    if text.startswith("profile:"):
        if scheme != "s3":
            raise InvalidArgument(f"{where}: a profile is for s3:// buckets", "buckets")
        return text
    path = (given.directory / Path(text).expanduser()).absolute()
    if not path.is_file():
        raise InvalidArgument(
            f"{where}: credentials = {text!r} is neither default, anonymous nor profile:NAME, and"
            " there is no such file",
            "buckets",
        )
    return str(path)


def _texts(value: object, where: str, key: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(part, str) and part for part in value):
        raise InvalidArgument(f"{where}: {key} must be a list of texts", "buckets")
    return tuple(value)


def _local_path(url: str, given: Given) -> Path | None:
    """Give the directory of a ``file://`` URL or a path; None for another kind of URL."""
    parts = urlsplit(url)
    if parts.scheme == "file" and parts.netloc in {"", "localhost"}:
        return Path(unquote(url.partition("://")[2].removeprefix(parts.netloc)))
    if "://" in url:
        return None
    return (given.directory / Path(url).expanduser()).absolute()


def _root(text: str, given: Given) -> str:
    """Give the absolute path of a directory that ``file://`` URIs may name files below."""
    path = _local_path(text, given)
    wrong = f"file_roots (from {given.origin}) must be directories as in /srv/dicom, not {text!r}"
    if path is None or path == Path("/"):
        raise InvalidArgument(wrong, "file_roots")
    try:
        return parse_bucket_name(f"{FILE_PREFIX}{path}").bucket
    except InvalidArgument as error:
        raise InvalidArgument(f"{wrong}: {error.message}", "file_roots") from error


def _blobs(text: str, given: Given) -> str:
    """Give the directory, or the place in a bucket, that keeps the archive's own bytes."""
    directory = _local_path(text, given)
    if directory is not None:
        return str(directory)
    try:
        return str(parse_uri_prefix(text))
    except InvalidArgument as error:
        raise InvalidArgument(
            f"blobs (from {given.origin}) must be a directory, or a place in a bucket as in"
            f" s3://bucket/fileroom: {error.message}",
            "blobs",
        ) from error


def _database(text: str, given: Given) -> str | None:
    """Give the address of a PostgreSQL; None for the SQLite file of the data directory."""
    if text in {"sqlite", "sqlite://"}:
        return None
    scheme, separator, rest = text.partition("://")
    if (
        scheme in {"postgresql", "postgres"}
        and separator
        and urlsplit(f"x://{rest}").path.strip("/")
    ):
        return f"postgresql://{rest}"
    why = (
        "the SQLite file is always DATA/fileroom.db; choose the directory with data"
        if scheme.startswith("sqlite")
        else "it must be sqlite, or as in postgresql://user@host/fileroom"
    )
    raise InvalidArgument(f"database (from {given.origin}): {why}", "database")


def _executor(text: str, given: Given) -> str:
    """Give ``local``, or the address of a Dask scheduler."""
    parts = urlsplit(text)
    try:
        is_address = parts.scheme in {"dask", "tls"} and parts.hostname and parts.port
    except ValueError:  # a port that is no number
        is_address = None
    if text != LOCAL and (not is_address or parts.path or parts.username is not None):
        raise InvalidArgument(
            f"executor = {text!r} (from {given.origin}) must be local, or the address of a Dask"
            " scheduler as in tls://scheduler:8786 or dask://127.0.0.1:8786",
            "executor",
        )
    return text


def merge_buckets(
    first: tuple[BucketSettings, ...], second: tuple[BucketSettings, ...]
) -> tuple[BucketSettings, ...]:
    """Give both; of two buckets with one name, the second's."""
    return tuple({bucket.name: bucket for bucket in (*first, *second)}.values())
