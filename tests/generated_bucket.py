"""A bucket of as many small DICOM files as are wanted, each made from its number when it is read.

It takes no space and needs no time to be filled, so that the cost of a million objects is that of
Fileroom. It is read only; what is written to it is counted and thrown away, as an export to it is
about what comes before the writing. Like any bucket it opens itself from its settings, in each
worker process; the settings' file knows no such kind.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final, Self

from fileroom.closing import Aborting, Closing
from fileroom.errors import Aborted, AlreadyExists, NotFound
from fileroom.objectstore.buckets import BucketSettings
from fileroom.objectstore.contract import ObjectEntry
from tests.corpus import UID_ROOT, minimal_instance

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from fileroom.objectstore.contract import Right, StoredObject, Writing

STUDY_INSTANCES: Final = 1000
SERIES_INSTANCES: Final = 250
VERSION: Final = "1"
_FIRST: Final = 10**9
"""Added to a number, so that it has as many digits as any other: UIDs have no leading zeros."""
_STUDY, _SERIES, _INSTANCE = "8888888888", "7777777777", "9999999999"


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratedBucketSettings(BucketSettings):
    """A bucket that holds ``count`` objects."""

    count: int = 0

    def open(self) -> GeneratedBucket:
        """Give the bucket."""
        return GeneratedBucket(self.count)


@lru_cache(maxsize=1)
def _template() -> tuple[bytes, ...]:
    """Give the pieces of a file, and between each two of them the place of a number.

    Every second piece tells which number it is.
    """
    study = f"{UID_ROOT}.{_STUDY}"
    whole = minimal_instance(
        study_instance_uid=study,
        series_instance_uid=f"{study}.{_SERIES}",
        sop_instance_uid=f"{study}.{_SERIES}.{_INSTANCE}",
        patient_id=f"P{_STUDY}",
        patient_name=f"Sample^{_STUDY}",
        accession_number=f"A{_STUDY}",
        modality="MR",
        samples_per_pixel=1,
        photometric_interpretation="MONOCHROME2",
        rows=16,
        columns=32,
        bits_allocated=16,
        bits_stored=12,
        high_bit=11,
        pixel_representation=0,
        pixel_data=_INSTANCE.encode() + bytes(1014),
    )
    pieces = [whole]
    for number in (_STUDY, _SERIES, _INSTANCE):
        mark = number.encode()
        pieces = [
            part
            for piece in pieces
            for after, text in enumerate(piece.split(mark))
            for part in ((mark, text) if after else (text,))
        ]
    return tuple(pieces)


def generated_file(number: int) -> bytes:
    """Give the file of a number: 1.7 KB, a thousand to a study, 250 to a series."""
    numbers = {
        _STUDY.encode(): b"%d" % (_FIRST + number // STUDY_INSTANCES),
        _SERIES.encode(): b"%d" % (_FIRST + number // SERIES_INSTANCES),
        _INSTANCE.encode(): b"%d" % (_FIRST + number),
    }
    return b"".join(numbers.get(piece, piece) for piece in _template())


def generated_key(number: int) -> str:
    """Give the key of a number; keys rise with them."""
    return f"{_FIRST + number // STUDY_INSTANCES}/{_FIRST + number}.dcm"


class _Generated(Closing):
    """One object, open."""

    def __init__(self, key: str, data: bytes) -> None:
        self.key = key
        self.size = len(data)
        self.version = VERSION
        self._data = data

    def read_at(self, offset: int, length: int) -> bytes:
        return self._data[offset : offset + length]

    def close(self) -> None:
        """Hold nothing."""


class _Swallowed(Aborting):
    """An object that is written to nowhere."""

    def __init__(self, key: str) -> None:
        self._key = key
        self._size = 0

    def write(self, piece: bytes) -> None:
        self._size += len(piece)

    def commit(self) -> ObjectEntry:
        return ObjectEntry(key=self._key, size=self._size, version=VERSION)

    def abort(self) -> None:
        """Forget it."""


class GeneratedBucket:
    """``count`` objects that are made as they are read."""

    at_once = 1

    def __init__(self, count: int) -> None:
        self._numbers = range(count)
        self._size = len(generated_file(0))

    def list(
        self, prefix: str = "", start_after: str = "", *, deadline: float | None = None
    ) -> Iterator[ObjectEntry]:
        del deadline  # no number takes long
        first = max(
            bisect_left(self._numbers, prefix, key=generated_key),
            bisect_right(self._numbers, start_after, key=generated_key),
        )
        for number in self._numbers[first:]:
            key = generated_key(number)
            if not key.startswith(prefix):
                return
            yield ObjectEntry(key=key, size=self._size, version=VERSION)

    def list_directory(
        self, prefix: str = "", start_after: str = ""
    ) -> Iterator[ObjectEntry | str]:
        studies = range(0, len(self._numbers), STUDY_INSTANCES)
        directories = (generated_key(number).partition("/")[0] + "/" for number in studies)
        if "/" in prefix:
            return self.list(prefix, start_after)
        return (each for each in directories if each.startswith(prefix) and each > start_after)

    def find(self, key: str) -> ObjectEntry | None:
        number = self._number(key)
        if number is None:
            return None
        return ObjectEntry(key=key, size=self._size, version=VERSION)

    def is_directory(self, key: str) -> bool:
        return next(self.list(f"{key.rstrip('/')}/" if key else ""), None) is not None

    def open(
        self, key: str, version: str | None = None, *, size: int | None = None
    ) -> StoredObject:
        del size
        return _Generated(key, self.read(key, version))

    def read(self, key: str, version: str | None = None) -> bytes:
        number = self._number(key)
        if number is None:
            raise NotFound(f"there is no object {key}")
        if version not in {None, VERSION}:
            raise Aborted(f"object {key} is another version")
        return generated_file(number)

    def writer(self, key: str, *, if_absent: bool = False) -> Writing:
        self._check_absent(key, if_absent)
        return _Swallowed(key)

    def write(self, key: str, pieces: Iterable[bytes], *, if_absent: bool = False) -> ObjectEntry:
        self._check_absent(key, if_absent)
        return ObjectEntry(key=key, size=sum(map(len, pieces)), version=VERSION)

    def write_many(
        self,
        items: Iterable[tuple[str, bytes]],
        *,
        if_absent: bool = False,
        alive: Callable[[], None] = lambda: None,
    ) -> Sequence[ObjectEntry]:
        del alive
        return [self.write(key, [data], if_absent=if_absent) for key, data in items]

    def _check_absent(self, key: str, if_absent: bool) -> None:
        if if_absent and self.find(key) is not None:
            raise AlreadyExists(f"object {key} is there already")

    def delete(self, key: str) -> bool:
        del key
        return False

    def sweep_temporaries(self, prefix: str = "", *, older_than_seconds: float = 3600) -> int:
        del prefix, older_than_seconds
        return 0

    def as_writer(self, name: str, number: int) -> Self:
        del name, number
        return self

    def sweep_writers(self, prefix: str, name: str, below: int) -> int:
        del prefix, name, below
        return 0

    def probe(self, right: Right) -> str:
        return f"nothing was tried for {right}"

    def _number(self, key: str) -> int | None:
        place = bisect_left(self._numbers, key, key=generated_key)
        there = place < len(self._numbers) and generated_key(place) == key
        return place if there else None
