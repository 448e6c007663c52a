"""A bucket of a cloud, as ``objectstore.contract`` promises one."""

from __future__ import annotations

import logging
import secrets
from collections import deque
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Final, TypeVar

from fileroom.crashpoints import crashpoint
from fileroom.errors import (
    FailedPrecondition,
    FileroomError,
    NotFound,
    PermissionDenied,
    Unavailable,
)
from fileroom.objectstore.cloud.attempts import Attempts
from fileroom.objectstore.cloud.faults import Fault, Kind
from fileroom.objectstore.cloud.listing import Listing
from fileroom.objectstore.cloud.provider import CONNECTIONS_MAX
from fileroom.objectstore.cloud.reading import CloudObject
from fileroom.objectstore.cloud.writing import CloudWriting
from fileroom.objectstore.contract import ObjectEntry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from concurrent.futures import Future

    from fileroom.objectstore.cloud.provider import CloudAddress, Page, Provider
    from fileroom.objectstore.contract import Bucket, Right

logger = logging.getLogger(__name__)

PROBE_PREFIX: Final = "fileroom-probe-"
"""What the names of objects begin with that are tried and never made."""
_LOOK_SECONDS: Final = 1.0
_WAITING_WRITES_MAX: Final = 2 * CONNECTIONS_MAX
_WAITING_BYTES_MAX: Final = 64 << 20
"""What ``write_many`` holds of objects that are not written yet, unless one alone is larger."""
ResultT = TypeVar("ResultT")


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """An object that the cloud shall copy by itself."""

    source: CloudBucket
    source_key: str
    version: str
    size: int
    key: str


class CloudBucket:
    """Objects at ``gs://``, ``s3://`` or ``az://``.

    ``is_own`` marks the bucket of the archive's own blobs: what it refuses is no object's fault.
    """

    def __init__(self, address: CloudAddress, *, is_own: bool = False) -> None:
        self.address = address
        self._is_own = is_own
        self._copies_nothing = False
        self._attempts = Attempts(
            address.name, forget_credentials=self._forget_credentials, is_own=is_own
        )
        self._listing = Listing(address.name, self._page)

    def __reduce__(self) -> tuple[object, ...]:
        return _unpickled, (self.address, self._is_own)

    def __repr__(self) -> str:
        return f"CloudBucket({self.address!r})"

    @cached_property
    def _provider(self) -> Provider:
        return self._connected(self._attempts)

    def _connected(self, attempts: Attempts) -> Provider:
        try:
            return _connect(self.address)
        except Fault as fault:
            raise attempts.translated(fault, "") from fault

    def _forget_credentials(self) -> None:
        self.__dict__.pop("_provider", None)

    @property
    def at_once(self) -> int:
        """How many requests the cloud bears at a time."""
        return max(2, self._attempts.pace.limit)

    def list(
        self, prefix: str = "", start_after: str = "", *, deadline: float | None = None
    ) -> Iterator[ObjectEntry]:
        """Yield objects in key order; see ``Bucket.list``."""
        if self._is_ordered:
            return self._listing.flat(prefix, start_after, deadline)
        return self._listing.walk(prefix, start_after, deadline)

    def list_directory(
        self, prefix: str = "", start_after: str = ""
    ) -> Iterator[ObjectEntry | str]:
        """Yield the objects and directories of one level; see ``Bucket.list_directory``."""
        for found in self._listing.level(prefix, start_after, is_ordered=self._is_ordered):
            if (found if isinstance(found, str) else found.key) > start_after:
                yield found

    def find(self, key: str) -> ObjectEntry | None:
        """Give the object of this key, or None."""
        try:
            return self._found(key, None)
        except NotFound:
            return None

    def is_directory(self, key: str) -> bool:
        """Whether objects lie below this key; see ``Bucket.is_directory``."""
        prefix = f"{key.removesuffix('/')}/" if key else ""
        page = self._page(prefix, "", "", at_most=1)
        return not key or bool(page.entries)

    def open(self, key: str, version: str | None = None, *, size: int | None = None) -> CloudObject:
        """Open one object for reading; see ``Bucket.open``.

        Where version and size are known, the object is asked for when it is first read.
        """
        if version is None or size is None:
            entry = self._found(key, version)
        else:
            entry = ObjectEntry(key=key, size=size, version=version)
        return CloudObject(self._provider, self._attempts, entry)

    def read(self, key: str, version: str | None = None) -> bytes:
        """Give the whole of one object."""
        with self.open(key, version) as source:
            return source.read_at(0, source.size)

    def writer(self, key: str, *, if_absent: bool = False) -> CloudWriting:
        """Begin an object whose bytes come piece by piece."""
        return CloudWriting(self._provider, self._attempts, key, if_absent=if_absent)

    def write(self, key: str, pieces: Iterable[bytes], *, if_absent: bool = False) -> ObjectEntry:
        """Write one object, in place of one that has the key; see ``Bucket.write``."""
        with self.writer(key, if_absent=if_absent) as writing:
            for piece in pieces:
                writing.write(piece)
            return writing.commit()

    def replace(self, key: str, version: str, content: bytes) -> ObjectEntry:
        """Write an object in place of one version of it; Aborted if another one is there."""
        entry = self._attempts.run(
            lambda: self._provider.put(key, content, replacing=version), f"object {key!r}"
        )
        crashpoint("object.replaced")
        return entry

    def write_many(
        self,
        items: Iterable[tuple[str, bytes]],
        *,
        if_absent: bool = False,
        alive: Callable[[], None] = lambda: None,
    ) -> Sequence[ObjectEntry]:
        """Write a batch of small objects, as many at a time as the cloud bears."""
        writes: list[Future[ObjectEntry]] = []
        waiting: deque[tuple[Future[ObjectEntry], int]] = deque()
        waiting_bytes = 0
        with ThreadPoolExecutor(self._attempts.pace.limit) as threads:
            for key, content in items:
                while waiting and (
                    len(waiting) >= _WAITING_WRITES_MAX
                    or waiting_bytes + len(content) > _WAITING_BYTES_MAX
                ):
                    write, size = waiting.popleft()
                    waited_for(write, alive)
                    waiting_bytes -= size
                write = threads.submit(self.write, key, (content,), if_absent=if_absent)
                writes.append(write)
                waiting.append((write, len(content)))
                waiting_bytes += len(content)
            return [waited_for(write, alive) for write in writes]

    def copies_from(self, source: Bucket) -> bool:
        """Whether the cloud may copy objects of another bucket into this one by itself."""
        if not isinstance(source, CloudBucket) or self._copies_nothing:
            return False
        mine, theirs = self.address, source.address
        return replace(mine, bucket="", ordered=True) == replace(theirs, bucket="", ordered=True)

    def copy_many(
        self, copies: Sequence[Copy], *, alive: Callable[[], None] = lambda: None
    ) -> Sequence[str]:
        """Have the cloud copy objects, as many at a time as it bears; give the keys it made.

        What it does not copy, for whatever reason, is left to who reads and writes it.
        """
        with ThreadPoolExecutor(self._attempts.pace.limit) as threads:
            made = [threads.submit(self._copy, copy) for copy in copies]
            return [key for each in made if (key := waited_for(each, alive))]

    def _copy(self, copy: Copy) -> str:
        if self._copies_nothing or copy.size > self._provider.copies_at_most:
            return ""
        locator = copy.source.locate(copy.source_key)
        try:
            entry = self._attempts.run(
                lambda: self._provider.copy(locator, copy.version, copy.size, copy.key),
                f"object {copy.key!r}",
            )
        except (FailedPrecondition, PermissionDenied, Unavailable) as error:
            self._copies_nothing = True
            logger.info("the cloud copies nothing by itself", extra={"cause": str(error)})
            return ""
        except FileroomError:
            return ""
        if entry.size == copy.size:
            return copy.key
        with suppress(FileroomError):  # who reads and writes it replaces it
            self.delete(copy.key)  # a server that knows no condition copied another version
        return ""

    def locate(self, key: str) -> str:
        """Give how another bucket of the same cloud is told of an object of this one."""
        return self._provider.locator(key)

    def delete(self, key: str) -> bool:
        """Delete one object; False if there is none."""
        if self.find(key) is None:
            return False
        with suppress(NotFound):  # an answer that was lost made it be asked again
            self._attempts.run(lambda: self._provider.delete(key), f"object {key!r}")
        crashpoint("object.deleted")
        return True

    def sweep_temporaries(self, prefix: str = "", *, older_than_seconds: float = 3600) -> int:
        """Do nothing: clouds end uploads that go on no more by rules of their own."""
        del prefix, older_than_seconds
        return 0

    def as_writer(self, name: str, number: int) -> CloudBucket:
        """Give the very same: nothing of an unfinished object shows."""
        del name, number
        return self

    def sweep_writers(self, prefix: str, name: str, below: int) -> int:
        """Do nothing, as ``sweep_temporaries``."""
        del prefix, name, below
        return 0

    def probe(self, right: Right) -> str:
        """Try what a right is for; see ``Bucket.probe``."""
        key = f"{PROBE_PREFIX}{secrets.token_hex(8)}"
        check = Attempts(self.address.name, is_check=True)
        provider = self._connected(check)
        match right:
            case "read":
                return _probe_reading(provider, check)
            case "write":
                with CloudWriting(provider, check, key) as writing:
                    writing.begin()
                return "an upload was begun and given up"
            case "delete":
                try:
                    check.run(lambda: provider.delete(key), f"object {key!r}")
                except NotFound as error:
                    if error.detail is not None:  # it is the bucket that is not there
                        raise
                return "an object that is not there was deleted"

    def _found(self, key: str, version: str | None) -> ObjectEntry:
        if not key:
            raise NotFound(f"an object of {self.address.name} has a name")

        def ask() -> ObjectEntry:
            entry = self._provider.find(key)
            if version is not None and entry.version != version:
                raise Fault(Kind.CHANGED, f"its version is {entry.version}, not {version}")
            return entry

        return self._attempts.run(ask, f"object {key!r}")

    @cached_property
    def _is_ordered(self) -> bool:
        return self.address.ordered and self._attempts.run(lambda: self._provider.is_ordered, "")

    def _page(
        self, prefix: str, start_after: str, token: str, delimiter: str = "", *, at_most: int = 1000
    ) -> Page:
        return self._attempts.run(
            lambda: self._provider.list_page(
                prefix, start_after, token, delimiter=delimiter, at_most=at_most
            ),
            "",
        )


def _probe_reading(provider: Provider, check: Attempts) -> str:
    page = check.run(lambda: provider.list_page("", "", "", at_most=10), "")
    entry = next((one for one in page.entries if one.size), None)
    if entry is None:
        return "it was listed; there is no object to read"
    with CloudObject(provider, check, entry) as source:
        source.read_at(0, 1)
    return "it was listed, and a byte of an object read"


def _unpickled(address: CloudAddress, is_own: bool) -> CloudBucket:
    return CloudBucket(address, is_own=is_own)


def waited_for(write: Future[ResultT], alive: Callable[[], None]) -> ResultT:
    """Give what a request gives in the end; ``alive`` is called meanwhile, once a second."""
    while not wait((write,), _LOOK_SECONDS).done:
        alive()
    return write.result()


def _connect(address: CloudAddress) -> Provider:
    """Give the provider of a scheme; its library takes up to a second to import."""
    match address.scheme:
        case "gs":
            from fileroom.objectstore.cloud import gs

            return gs.connect(address)
        case "s3":
            from fileroom.objectstore.cloud import s3

            return s3.connect(address)
        case _:
            from fileroom.objectstore.cloud import az

            return az.connect(address)
