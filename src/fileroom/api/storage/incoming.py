"""One object as it comes in: spooled beside its place, checked, durable, then named."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from fileroom.api.storage.checksums import Checksums
from fileroom.api.storage.places import permitted, unnamed
from fileroom.api.storage.resources import generation_of, object_resource
from fileroom.errors import FailedPrecondition, InvalidArgument
from fileroom.objectstore.buckets import open_bucket
from fileroom.objectstore.uri import check_object_key

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fileroom.api.calls import Call
    from fileroom.api.storage.sessions import UploadSessions
    from fileroom.api.wire import JsonObject
    from fileroom.objectstore.contract import ObjectEntry, StoredObject

DIRECTORIES_MAX: Final = 100
"""Of an object's name; whoever lists a bucket holds each open on its way."""
_INT64_DIGITS_MAX: Final = 19
_CHECKSUMS: Final = {"crc32c": "crc32c", "md5": "md5Hash"}
"""What ``X-Goog-Hash`` calls a checksum, and what an object's JSON does."""
# So that nothing comes between a condition and the name that is given under it, nor between the
# generation that was there and the next one, which is greater.
_commits: Final = tuple(threading.Lock() for _ in range(64))


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What a client says of an object that it sends."""

    name: str
    checksums: Mapping[str, str]
    """In Base64, by ``crc32c`` and ``md5Hash``."""


class IncomingObject:
    """An object of which some bytes may be there."""

    def __init__(self, call: Call, expected: Expected) -> None:
        settings = permitted(call, "write")
        if settings.path is None:
            raise FailedPrecondition(
                f"{settings.name} is in a cloud: send files to it by that cloud's own tools; only"
                " local buckets are filled over this API",
                "bucket",
            )
        if not expected.name:
            raise InvalidArgument("Required parameter: name, the object's", "name")
        check_object_key(expected.name)
        if expected.name.count("/") > DIRECTORIES_MAX:
            raise InvalidArgument(
                f"an object's name has at most {DIRECTORIES_MAX} directories", "name"
            )
        self._public_url = call.public_url
        self._expected = expected
        self._bucket = open_bucket(settings)
        self._place = str(settings.path or settings.name)
        sessions_of(call).sweep_once(self._place, self._bucket)
        self._settings = settings
        self._generation = asked_generation(call)
        self._checksums = Checksums()
        self.received_bytes = 0
        with unnamed():
            check_generation(self._generation, self._bucket.find(expected.name))
            self._writer = self._bucket.writer(expected.name)

    def expect(self, checksums: Mapping[str, str]) -> None:
        """Take checksums that are told only at the end."""
        told = {**self._expected.checksums, **checksums}
        self._expected = Expected(name=self._expected.name, checksums=told)

    def write(self, piece: bytes) -> None:
        """Take the next piece."""
        with unnamed():
            self._writer.write(piece)
        self._checksums.write(piece)
        self.received_bytes += len(piece)

    def commit(self) -> JsonObject:
        """Make the object durable, give it its name, and tell what it is.

        Raises
        ------
        InvalidArgument
            If other bytes came than were sent.
        FailedPrecondition
            If another generation is there than the client asked for.
        """
        found = {"crc32c": self._checksums.crc32c, "md5Hash": self._checksums.md5_hash}
        for name, value in self._expected.checksums.items():
            if found[name] != value:
                raise InvalidArgument(
                    f"Provided {name} {value[:40]!r} doesn't match calculated {name}"
                    f" {found[name]!r}: send the object again",
                    name,
                )
        key = self._expected.name
        with unnamed(), _commits[hash((self._place, key)) % len(_commits)]:
            check_generation(self._generation, self._bucket.find(key))
            entry = self._writer.commit()
        return object_resource(self._public_url, self._settings, entry) | found

    def close(self) -> None:
        """Throw away what is not committed; a second call does nothing."""
        self._writer.abort()


def sessions_of(call: Call) -> UploadSessions:
    """Give the uploads under way."""
    assert call.sessions is not None, call.method_id
    return call.sessions


def asked_generation(call: Call) -> int | None:
    """Give the generation that must be there, 0 for none; ``None`` where any may be."""
    return _whole_number(call, "ifGenerationMatch")


def check_generation(asked: int | None, found: ObjectEntry | StoredObject | None) -> None:
    """Raise FailedPrecondition, which answers 412, unless the generation is the one asked for."""
    if asked is not None and asked != (0 if found is None else generation_of(found)):
        raise FailedPrecondition(
            "At least one of the pre-conditions you specified did not hold: ifGenerationMatch is"
            f" {asked}, and "
            + ("there is no such object" if found is None else "another generation is there"),
            "ifGenerationMatch",
        )


def named_generation(call: Call) -> int | None:
    """Give the generation that is to be shown; ``None`` for the one that is there."""
    return _whole_number(call, "generation")


def hashes_of(header: str) -> dict[str, str]:
    """Give the checksums that ``X-Goog-Hash`` tells."""
    pairs = (each.strip().partition("=") for each in header.split(","))
    return {_CHECKSUMS[name]: value for name, _, value in pairs if name in _CHECKSUMS}


def _whole_number(call: Call, parameter: str) -> int | None:
    text = call.parameter(parameter)
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > _INT64_DIGITS_MAX:
        raise InvalidArgument(f"{parameter} {text[:40]!r} is not a whole number", parameter)
    return int(text)
