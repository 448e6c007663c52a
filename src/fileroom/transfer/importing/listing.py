"""The objects of an import in their order, each with the cursor after it.

They are those that a pattern matches, in the order of their keys; or those that failed in an
earlier import, in the order in which they failed.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol

from fileroom.database import operations
from fileroom.errors import DataLoss, FailedPrecondition, NotFound, PermissionDenied
from fileroom.objectstore.archives.member import BadArchive
from fileroom.transfer.importing.matches import explain_no_match, list_candidates
from fileroom.transfer.importing.reading import ListedObject

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fileroom.database.engine import Database
    from fileroom.database.operations import Operation
    from fileroom.errors import ObjectFailure
    from fileroom.objectstore.contract import ObjectEntry, Source
    from fileroom.objectstore.uri import ObjectPattern

FOUND_AT_A_TIME: Final = 250
"""Objects of an earlier import that are looked up at once."""


class Listing(Protocol):
    """What an import lists."""

    def objects(
        self, source: Source, cursor: str, first_ordinal: int
    ) -> Iterator[tuple[ListedObject, str]]:
        """Give the objects after a cursor, empty for all of them, each with the one after it.

        Raises
        ------
        NotFound
            If there is none at all.
        """

    def count(self, source: Source, goes_on: Callable[[], bool]) -> int | None:
        """Give how many there are; None if ``goes_on`` says no before that is known."""


@dataclass(frozen=True, slots=True)
class Matching:
    """What matches a pattern; the cursor is the whole URI of an object.

    Meanwhile a root may be opened, or closed, within another one, and the key be another.
    """

    pattern: ObjectPattern
    bucket_name: str

    def objects(
        self, source: Source, cursor: str, first_ordinal: int
    ) -> Iterator[tuple[ListedObject, str]]:
        """List the bucket, or the archive, from the cursor on."""
        ordinal = first_ordinal
        start_after = cursor.removeprefix(f"{self.bucket_name}/")
        for entry in list_candidates(source, self.pattern, start_after):
            if not self.pattern.matches(entry.key):
                continue
            listed = ListedObject(
                ordinal=ordinal, key=entry.key, size=entry.size, version=entry.version
            )
            yield listed, f"{self.bucket_name}/{entry.key}"
            ordinal += 1
        if ordinal == 0:
            raise NotFound(explain_no_match(source, self.pattern))

    def count(self, source: Source, goes_on: Callable[[], bool]) -> int | None:
        """Count what matches."""
        total = 0
        for entry in list_candidates(source, self.pattern):
            if not goes_on():
                return None
            total += self.pattern.matches(entry.key)
        return total


@dataclass(frozen=True, slots=True)
class Failed:
    """What failed in an earlier import; the cursor is the ordinal that an object had there.

    An object is read as it stands now, and one that is gone fails again.
    """

    database: Database
    earlier: Operation
    bucket_name: str

    def objects(
        self, source: Source, cursor: str, first_ordinal: int
    ) -> Iterator[tuple[ListedObject, str]]:
        """Look up one failed object after the other.

        Raises
        ------
        DataLoss
            If some of them are not kept any more.
        """
        ordinal = first_ordinal
        seen = int(cursor) if cursor else None
        with ThreadPoolExecutor(source.at_once) as threads:
            while failures := self._after(seen):
                keys = [
                    failure.source.removeprefix(f"{self.bucket_name}/") for _, failure in failures
                ]
                found = threads.map(partial(_find, source), keys)
                for (seen, _), key, entry in zip(failures, keys, found, strict=True):
                    size, version = (0, None) if entry is None else (entry.size, entry.version)
                    yield (
                        ListedObject(ordinal=ordinal, key=key, size=size, version=version),
                        str(seen),
                    )
                    ordinal += 1
        if ordinal != self.earlier.counters.failed:
            raise DataLoss(
                f"of {self.earlier.counters.failed} failures of {self.earlier.name} only {ordinal}"
                " are still kept: import what it imported again",
                "retry_of",
            )

    def count(self, source: Source, goes_on: Callable[[], bool]) -> int | None:
        """Give how many failed."""
        del source, goes_on
        with self.database.read() as connection:
            return sum(operations.count_failures(connection, self.earlier.id).values())

    def _after(self, seen: int | None) -> list[tuple[int, ObjectFailure]]:
        with self.database.read() as connection:
            return operations.failures_from(
                connection, self.earlier.id, seen=seen, at_most=FOUND_AT_A_TIME
            )


def _find(source: Source, key: str) -> ObjectEntry | None:
    """Give an object as it stands; a worker tells again, and of it alone, why it cannot be read."""
    try:
        return source.find(key)
    except (BadArchive, FailedPrecondition, PermissionDenied):
        return None
