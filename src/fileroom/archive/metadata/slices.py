"""A slice of instances told as text: in a worker for what is long, else in the server.

A slice is given back compressed: a tenth of the bytes to hand over, and what a cache file keeps.
No part of a BulkDataURI that a setting or the version of the API decides is in it: ``URL_MARK``
stands for that. Marks are control characters, which neither JSON nor XML ever holds unescaped.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

import msgspec
import zstandard

from fileroom.archive.reading import InstanceReader, WithoutRows
from fileroom.dicom import json_model
from fileroom.dicom.native_xml import encode_native_xml
from fileroom.errors import DataLoss, NotFound

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fileroom.database.values.stored import StoredInstance
    from fileroom.objectstore.blobs.contract import Blobs
    from fileroom.objectstore.buckets import Buckets

METADATA_FORMAT: Final = 1
"""Changes whenever the same instance gets other metadata, so that nobody keeps the old."""
SLICE_INSTANCES: Final = 250
SLICE_HEADER_BYTES: Final = 4 << 20
"""Compressed headers of a slice: what it takes to hand it over."""
TEXT_BYTES: Final = 16 << 20
"""A slice ends with the instance that reaches this length; the rest is asked for again."""
PIECE_BYTES: Final = 1 << 20
URL_MARK: Final = b"\x00"
"""Stands for the URL that a store's DICOMweb URLs begin with."""
PART_MARK: Final = b"\x01"
"""Stands before each XML document; between JSON objects there is a comma."""
_LEVEL: Final = 3

Form = Literal["json", "xml"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice(WithoutRows):
    """Instances of one store to be told of."""

    blobs: Blobs
    blob_prefix: str
    buckets: Buckets
    instances: tuple[StoredInstance, ...]
    form: Form
    begin_item: Callable[[int | None], None]
    """Notes which of the instances is at work."""

    def find_again(self, stored: StoredInstance) -> StoredInstance:
        """Give the instance up: a worker reads no rows."""
        raise NotFound(f"the blob of {stored.path} is not where it was", "blob")


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """The first instances of a slice, told."""

    block: bytes
    """Their text, compressed; empty for none of them."""
    count: int
    moved: bool = False
    """Whether the next one is not where its row said, so that its row must be read again."""


def tell_slice(asked: Slice) -> Told:
    """Tell of instances in order, as far as the text does not become too long.

    Raises
    ------
    DataLoss
        If the bytes of one are damaged.
    FailedPrecondition, PermissionDenied, Unavailable
        If the bucket of one that is kept by reference cannot be read.
    """
    # Drawn by lot, so that no value of an instance can hold it.
    url = secrets.token_hex(16)
    texts: list[bytes] = []
    size, moved = 0, False
    for index, stored in enumerate(asked.instances):
        asked.begin_item(index)
        try:
            texts.append(_tell(asked, stored, url))
        except NotFound:
            moved = True
            break
        size += len(texts[-1])
        if size >= TEXT_BYTES:
            break
    asked.begin_item(None)
    if asked.form == "json":
        text = b",".join(texts)
    else:
        text = b"".join(part for each in texts for part in (PART_MARK, each))
    block = compress(text.replace(url.encode(), URL_MARK)) if texts else b""
    return Told(block=block, count=len(texts), moved=moved)


def _tell(asked: Slice, stored: StoredInstance, url: str) -> bytes:
    with InstanceReader(asked, stored) as reader:
        model = json_model.metadata(
            reader.header, bulk_data_uri=f"{url}/{stored.path}/bulkdata", read=reader.read
        )
    return msgspec.json.encode(model) if asked.form == "json" else encode_native_xml(model)


def compress(text: bytes) -> bytes:
    """Give a text as one zstd frame with its checksum."""
    return zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True).compress(text)


def decompress(block: bytes) -> Iterator[bytes]:
    """Give the text of a block that ``compress`` gave, in pieces: one instance may be long.

    Raises
    ------
    DataLoss
        If it is damaged.
    """
    try:
        yield from zstandard.ZstdDecompressor().read_to_iter(block, write_size=PIECE_BYTES)
    except zstandard.ZstdError as error:
        raise DataLoss("metadata that were kept are damaged; ask again", "cache") from error
