"""What Cloud Storage answers, read."""

from __future__ import annotations

import base64
from datetime import datetime  # noqa: TC003 - msgspec reads the annotation
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec

from fileroom.objectstore.cloud.faults import Fault, Kind
from fileroom.objectstore.cloud.http import body_of
from fileroom.objectstore.cloud.provider import microseconds
from fileroom.objectstore.contract import ObjectEntry

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

_ANSWER_BYTES_MAX: Final = 16 << 20
"""Of a page of 1,000 names of 1,024 bytes, each of which JSON may write as six."""

AnswerT = TypeVar("AnswerT")


class Resource(msgspec.Struct, frozen=True):
    """An object."""

    name: str
    generation: str | int
    size: str | int = 0
    crc32c: str = ""
    updated: datetime | None = None

    @classmethod
    def of(cls, response: BaseHTTPResponse) -> Resource:
        """Read it; Fault if it is none."""
        return _decoded(response, cls)

    @property
    def entry(self) -> ObjectEntry:
        """Give it as a bucket does."""
        return ObjectEntry(
            key=self.name,
            size=int(self.size),
            version=str(self.generation),
            changed=microseconds(self.updated),
        )


class Rewritten(msgspec.Struct, frozen=True, rename="camel"):
    """How far a copy has come."""

    done: bool = False
    rewrite_token: str = ""
    resource: Resource | None = None

    @classmethod
    def of(cls, response: BaseHTTPResponse) -> Rewritten:
        """Read it; Fault if it is none."""
        return _decoded(response, cls)


class Listing(msgspec.Struct, frozen=True, rename="camel"):
    """A page of a listing."""

    items: tuple[Resource, ...] = ()
    prefixes: tuple[str, ...] = ()
    next_page_token: str = ""

    @classmethod
    def of(cls, response: BaseHTTPResponse) -> Listing:
        """Read it; Fault if it is none."""
        return _decoded(response, cls)


def _decoded(response: BaseHTTPResponse, kind: type[AnswerT]) -> AnswerT:
    try:
        return msgspec.json.decode(body_of(response, _ANSWER_BYTES_MAX), type=kind)
    except msgspec.MsgspecError as error:
        raise Fault(Kind.PASSING, f"the answer cannot be read: {error}") from error


def hashes(header: str) -> dict[str, bytes]:
    """Give the checksums of ``crc32c=…,md5=…``."""
    named = (part.strip().partition("=") for part in header.split(","))
    return {name: base64.b64decode(value) for name, _, value in named if value}


def arrived_bytes(response: BaseHTTPResponse) -> int:
    """Give how many bytes of an upload the server has."""
    response.drain_conn()
    _, _, last = response.headers.get("Range", "").partition("-")
    return int(last) + 1 if last.isdecimal() else 0
