"""Directories and files of this machine as buckets and objects, for commands without a server."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from fileroom.objectstore.buckets import BucketSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fileroom.objectstore.contract import Right

_NOT_IN_A_NAME: Final = re.compile(r"[^a-z0-9]+")
_NAME_CHARACTERS: Final = 40
_HASH_CHARACTERS: Final = 8
_WILDCARDS: Final = re.compile(r"[*?]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What a user named: by URI, or on this machine and so by URI in a bucket made for it."""

    text: str
    uri: str
    path: Path | None = None
    """The directory or file, if it is on this machine."""
    bucket: BucketSettings | None = None
    """Holds it then."""

    def name(self, uri: str) -> str:
        """Give an object's URI as the path that the user knows it by."""
        directory = self.bucket.path if self.bucket is not None else None
        if self.bucket is None or directory is None or not uri.startswith(f"{self.bucket.name}/"):
            return uri
        return str(directory / uri.removeprefix(f"{self.bucket.name}/"))


def find_source(text: str) -> Place:
    """Give what is to be read: all files below a directory, one file, or what a URI names."""
    if "://" in text:
        return Place(text=text, uri=text)
    path = _resolved(text)
    if path.is_dir():
        bucket = _bucket(path, "read")
        return Place(text=text, uri=f"{bucket.name}/**", path=path, bucket=bucket)
    return find_file(text)


def find_file(text: str) -> Place:
    """Give one file to be read, on this machine or by URI."""
    if "://" in text:
        return Place(text=text, uri=text)
    path = _resolved(text)
    if not path.is_file():
        raise click.UsageError(
            f"{text} is neither a directory nor a file of this machine; an object of a bucket is"
            " written gs://BUCKET/OBJECT"
        )
    if _WILDCARDS.search(path.name) or not _is_text(path.name):
        raise click.UsageError(
            f"the name {text!r} holds a wildcard or is not UTF-8; name its directory instead"
        )
    bucket = _bucket(path.parent, "read")
    return Place(text=text, uri=f"{bucket.name}/{path.name}", path=path, bucket=bucket)


def find_destination(text: str) -> Place:
    """Give where to write: below a directory, or what a URI names."""
    if "://" in text:
        return Place(text=text, uri=text)
    path = _resolved(text)
    bucket = _bucket(path, "read", "write")
    return Place(text=text, uri=bucket.name, path=path, bucket=bucket)


def make_destination(place: Place) -> None:
    """Make the directory that is to be written to, if need be."""
    if place.path is None:
        return
    try:
        place.path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise click.UsageError(f"{place.text} cannot be made: {error.strerror}") from error


def keep_apart(places: Sequence[Place], data: Path) -> None:
    """Refuse to read from, or write to, what a data directory holds."""
    data = data.resolve()
    for place in places:
        if place.path is not None and (
            place.path.is_relative_to(data) or data.is_relative_to(place.path)
        ):
            raise click.UsageError(
                f"{place.text} and the data directory {data} lie in one another; choose another"
                " data directory with --data"
            )


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _resolved(text: str) -> Path:
    try:
        return Path(text).expanduser().resolve(strict=False)
    except (OSError, RuntimeError, ValueError) as error:
        raise click.UsageError(f"{text} cannot be a place on this machine: {error}") from error


def _bucket(path: Path, *rights: Right) -> BucketSettings:
    """Give a bucket of which the name follows from the path.

    So a command that is given again after a crash names the same objects.
    """
    word = _NOT_IN_A_NAME.sub("-", path.name.lower())[:_NAME_CHARACTERS].strip("-")
    mark = hashlib.sha256(bytes(path)).hexdigest()[:_HASH_CHARACTERS]
    name = f"gs://{word or 'directory'}-{mark}"
    return BucketSettings(name=name, path=path, allow=frozenset(rights))
