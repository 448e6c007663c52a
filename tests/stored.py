"""Files as they lie in a store: scanned, and read by offset."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fileroom.dicom.encoding import DEFLATED
from fileroom.dicom.inflate import Inflated
from fileroom.dicom.part10 import Refused, scan
from fileroom.dicom.rewriting import file_meta_bytes
from tests.dicom_files import wheel_files
from tests.real_corpus import corpus_root

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fileroom.dicom.header import Header


class Source:
    """Bytes that can be read anywhere."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.size = len(data)

    def read_at(self, offset: int, length: int) -> bytes:
        return self._data[offset : offset + length]


@dataclass(frozen=True, slots=True)
class Stored:
    """An instance that was taken in."""

    name: str
    data: bytes
    header: Header

    def reader(self) -> Callable[[int, int], bytes]:
        """Give what reads the file, forward, or its inflated data set."""
        source = Source(self.data)
        if self.header.transfer_syntax_uid in DEFLATED:
            return Inflated(source, 132 + file_meta_bytes(self.header), 1 << 30).read_at
        return source.read_at


def stored(data: bytes, name: str = "") -> Stored:
    return Stored(name, data, scan(data).header)


def real_instances() -> Iterator[Stored]:
    """Give every instance of pydicom's wheel, and of the corpus where there is one."""
    root = corpus_root()
    files = list(wheel_files())
    if root is not None:
        files += sorted(file for file in root.rglob("*") if file.is_file())
    for file in files:
        data = file.read_bytes()
        try:
            yield stored(data, file.name)
        except Refused:
            continue
