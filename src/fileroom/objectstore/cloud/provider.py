"""What a cloud does for a bucket, one request at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from fileroom.objectstore.contract import ObjectEntry

DEFAULT: Final = "default"
"""Credentials as the cloud's own library finds them: environment, profile, metadata address."""
ANONYMOUS: Final = "anonymous"
"""No credentials at all, for public buckets: never a write, never a call to a metadata address."""

CONNECT_SECONDS: Final = 5.0
IDLE_SECONDS: Final = 25.0
"""How long a connection may be silent."""
CONNECTIONS_MAX: Final = 32
"""Of one process to one bucket."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudAddress:
    """Where a bucket is, and in whose name it is asked; it holds no secret."""

    scheme: str
    """``gs``, ``s3`` or ``az``."""
    bucket: str
    endpoint: str = ""
    """Empty for the cloud's own; else as in ``https://minio.example.org:9000``."""
    region: str = ""
    account: str = ""
    """Azure's storage account."""
    credentials: str = DEFAULT
    """``default``, ``anonymous``, ``profile:NAME``, or the path of a file."""
    ordered: bool = True
    """Whether keys are listed in order, as far as the operator knows."""

    @property
    def name(self) -> str:
        """As in ``s3://scans``."""
        return f"{self.scheme}://{self.bucket}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A page of a listing, in the cloud's order."""

    entries: Sequence[ObjectEntry]
    directories: Sequence[str] = ()
    """Keys up to a slash, where the listing stops at slashes."""
    next_token: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """Bytes of an object, and the checksums that came with them."""

    data: bytes
    crc32c: bytes | None = None
    """Of the whole object, big endian."""
    md5: bytes | None = None
    """Of the whole object."""


class Upload(Protocol):
    """A large object under way; nothing of it shows before ``finish``."""

    def add(self, number: int, piece: bytes) -> None:
        """Send a piece, counted from 0; the same piece may be sent again."""

    def finish(self) -> ObjectEntry:
        """Make an object of all pieces."""

    def abort(self) -> None:
        """Have the cloud forget what was sent."""


class Provider(Protocol):
    """One bucket of a cloud; each method is one request, and raises ``Fault``.

    Only bytes of the version asked for are ever given; a wrong one is ``Kind.CHANGED``.
    """

    @property
    def is_ordered(self) -> bool:
        """Whether keys are listed in the order of their bytes, as far as the server tells."""

    def list_page(
        self, prefix: str, start_after: str, token: str, *, delimiter: str = "", at_most: int = 1000
    ) -> Page:
        """Give a page of the keys that begin with ``prefix``.

        The first page (no ``token``) may begin at or before ``start_after``.
        """

    def find(self, key: str) -> ObjectEntry:
        """Give an object's entry."""

    def get(self, key: str, version: str, *, offset: int, length: int, whole: bool) -> Content:
        """Give bytes of one version; ``whole`` where they are all of it."""

    def put(
        self, key: str, content: bytes, *, replacing: str = "", if_absent: bool = False
    ) -> ObjectEntry:
        """Write an object with its checksum; only in place of a version, where one is given.

        ``if_absent`` only where nothing has the key: else the fault is ``CHANGED``.
        """

    @property
    def copies_at_most(self) -> int:
        """The bytes of the largest object that ``copy`` takes."""

    def locator(self, key: str) -> str:
        """Give how ``copy`` of a bucket of the same cloud is told of an object of this one."""

    def copy(self, locator: str, version: str, size: int, key: str) -> ObjectEntry:
        """Have the cloud copy one version of an object; it takes as many requests as it takes."""

    def begin(self, key: str, *, if_absent: bool = False) -> Upload:
        """Begin an object that is sent in pieces; ``if_absent`` as of ``put``, for each request."""

    def delete(self, key: str) -> None:
        """Delete an object."""


def microseconds(moment: datetime | None) -> int | None:
    """Give a moment as microseconds since 1970; None where it is not told."""
    return None if moment is None else round(moment.timestamp() * 1_000_000)
