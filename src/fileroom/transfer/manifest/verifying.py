"""What an export wrote is looked for again at its destination, object by object."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final, Literal

from fileroom.errors import Aborted, DataLoss, NotFound
from fileroom.objectstore.buckets import open_bucket
from fileroom.objectstore.uri import parse_uri_prefix

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fileroom.database.operations import Json, Operation
    from fileroom.transfer.facilities import Facilities
    from fileroom.transfer.ledger import LedgerLine

How = Literal["SIZE", "CONTENT"]
SAMPLES_MAX: Final = 10
_PIECE_BYTES: Final = 1 << 20
_THREADS: Final = 16


class Verification:
    """Tells whether each object of an export lies where and as it was written.

    By its size, or by its checksum where its bytes are to be read again. Of an instance that makes
    several objects, and of one that no checksum is known of, the size alone is compared.
    """

    def __init__(self, facilities: Facilities, progress: Operation, how: How) -> None:
        request = progress.request["gcsDestination"]
        assert isinstance(request, dict)
        prefix = parse_uri_prefix(str(request["uriPrefix"]), facilities.buckets.roots)
        settings = facilities.bucket(progress, prefix.bucket_name, "write")
        self._bucket = open_bucket(settings)
        self._name = settings.name
        self._how = how
        self._verified = 0
        self._differences = 0
        self._samples: list[tuple[str, str]] = []

    def check(self, lines: Sequence[LedgerLine], look: Callable[[], None]) -> None:
        """Look for the objects of these lines; raises as the bucket does, and as ``look``."""
        look()
        written = [line for line in lines if line.destination is not None]
        with ThreadPoolExecutor(_THREADS, thread_name_prefix="verify") as threads:
            faults = threads.map(partial(self._fault_of, look=look), written)
            for line, fault in zip(written, faults, strict=True):
                if fault is None:
                    self._verified += 1
                    continue
                self._differences += 1
                if len(self._samples) < SAMPLES_MAX:
                    self._samples.append((str(line.destination), fault))

    def result(self) -> Json:
        """Give what was found."""
        samples: list[Json] = [
            {"destination": destination, "fault": fault} for destination, fault in self._samples
        ]
        return {
            "by": self._how,
            "verified": self._verified,
            "differing": self._differences,
            "samples": samples,
        }

    def raise_differences(self) -> None:
        """Raise DataLoss if anything was not as it was written."""
        if self._differences:
            total = self._verified + self._differences
            first = " ".join(self._samples[0])
            raise DataLoss(
                f"{self._differences} of {total} exported objects are not as they were written."
                f" First: {first}. Export again, to a place where nobody else writes",
                "verification",
            )

    def _fault_of(self, line: LedgerLine, look: Callable[[], None]) -> str | None:
        assert line.destination is not None
        key = line.destination.removeprefix(f"{self._name}/")
        size = self._size_of(key)
        if size is None:
            return "is not there"
        if size != line.size:
            return f"has {size} bytes, not {line.size}"
        if self._how == "CONTENT" and line.sha256 is not None and not key.endswith("/"):
            with suppress(Aborted, NotFound):
                if self._sha256_of(key, look) == line.sha256:
                    return None
            return "has other bytes"
        return None

    def _size_of(self, key: str) -> int | None:
        if not key.endswith("/"):
            entry = self._bucket.find(key)
            return None if entry is None else entry.size
        sizes = [entry.size for entry in self._bucket.list(key)]
        return sum(sizes) if sizes else None

    def _sha256_of(self, key: str, look: Callable[[], None]) -> bytes:
        digest = hashlib.sha256()
        with self._bucket.open(key) as standing:
            for offset in range(0, standing.size, _PIECE_BYTES):
                look()
                digest.update(standing.read_at(offset, _PIECE_BYTES))
        return digest.digest()
