"""Instances and their metadata, from rows and blobs.

A blob that is missing although its row names it was dropped after the row was read: the row is read
once more. It is gone (not found), names another place (read that) or still names this one, and then
bytes are lost.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Final, Self

from fileroom.archive.layout import blob_bucket
from fileroom.archive.packs import open_place
from fileroom.database.instances import PlaceKind
from fileroom.database.stored import (
    find_stored_instance,
    find_stored_instances,
    list_instance_ids,
)
from fileroom.dicom import json_model
from fileroom.dicom.encoding import DEFLATED, EXPLICIT_VR_LITTLE_ENDIAN
from fileroom.dicom.header import decode_header, header_dictionary
from fileroom.dicom.inflate import Inflated
from fileroom.dicom.part10 import Limits, Refused, scan
from fileroom.dicom.rewriting import PIECE_BYTES, explicit_little_endian, file_meta_bytes
from fileroom.errors import Aborted, DataLoss, NotFound, Unimplemented

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path
    from types import TracebackType

    from fileroom.database.engine import Database
    from fileroom.database.instances import Place
    from fileroom.database.stored import StoredInstance
    from fileroom.dicom.header import ByteSource, Header
    from fileroom.dicom.json_model import JsonObject
    from fileroom.names import InstancePath
    from fileroom.objectstore.local import LocalExtent, LocalObject

METADATA_FORMAT: Final = 1
"""Changes whenever the same instance gets other metadata, so that no client keeps the old."""
HEADERS_AT_A_TIME: Final = 100
_PREAMBLE_BYTES: Final = 132


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreContent:
    """Where the rows and the blobs of one DICOM store are."""

    database: Database
    blobs: Path
    store_id: int
    blob_prefix: str


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceFile:
    """The file of an instance, ready to be sent; ``pieces`` must be drawn or closed."""

    transfer_syntax_uid: str
    size: int
    etag: str | None
    """Of these very bytes, with its quotes; ``None`` where no checksum is known."""
    pieces: FilePieces


def find_instance(content: StoreContent, path: InstancePath) -> StoredInstance:
    """Give the rows of the instance at a path.

    Raises
    ------
    NotFound
        If there is none, or its study or series is being deleted.
    """
    with content.database.read() as connection:
        stored = find_stored_instance(connection, content.store_id, path)
    if stored is None:
        raise _absent(path)
    return stored


def open_as_stored(content: StoreContent, stored: StoredInstance) -> InstanceFile:
    """Open the file with the very bytes that were stored.

    Raises
    ------
    NotFound
        If the instance was deleted meanwhile.
    DataLoss
        If its blob is missing or has another size.
    """
    reader = InstanceReader(content, stored)
    source = reader.source
    sha256 = reader.stored.place.sha256
    return InstanceFile(
        transfer_syntax_uid=reader.stored.transfer_syntax_uid,
        size=source.size,
        etag=None if sha256 is None else f'"{sha256.hex()}"',
        pieces=FilePieces(reader, _whole(source)),
    )


def open_explicit_little_endian(content: StoreContent, stored: StoredInstance) -> InstanceFile:
    """Open the file rewritten in Explicit VR Little Endian; raises as ``open_as_stored`` does.

    Raises
    ------
    Unimplemented
        If its pixel data are compressed.
    """
    with ExitStack() as stack:
        reader = stack.enter_context(InstanceReader(content, stored))
        rewriting = explicit_little_endian(reader.header)
        stack.pop_all()
    sha256 = reader.stored.place.sha256
    return InstanceFile(
        transfer_syntax_uid=EXPLICIT_VR_LITTLE_ENDIAN,
        size=rewriting.size,
        etag=None if sha256 is None else f'"{sha256.hex()}-{EXPLICIT_VR_LITTLE_ENDIAN}"',
        pieces=FilePieces(reader, rewriting.pieces(reader.read)),
    )


def metadata(content: StoreContent, path: InstancePath, dicom_web_url: str) -> Iterator[JsonObject]:
    """Give the metadata of the instances of a study or series, or of one instance.

    By series, then by SOP Instance UID; what is deleted meanwhile is left out.

    Raises
    ------
    NotFound
        At once, if there is no instance.
    """
    with content.database.read() as connection:
        if path.sop_instance_uid is not None:
            found = find_stored_instance(connection, content.store_id, path)
            ids = [] if found is None else [found.id]
        else:
            ids = list(list_instance_ids(connection, content.store_id, path))
    if not ids:
        raise _absent(path)
    return (
        json_model.metadata(
            reader.header, bulk_data_uri=bulk_data_uri(dicom_web_url, reader), read=reader.read
        )
        for reader in each_reader(content, ids)
    )


def metadata_etag(stored: StoredInstance) -> str:
    """Give the ETag of an instance's metadata; it changes with any instance of the series."""
    return f'"{stored.series_id}-{stored.series_changed_seq}-{METADATA_FORMAT}"'


def bulk_data_uri(dicom_web_url: str, reader: InstanceReader) -> str:
    """Give what an instance's BulkDataURI begin with."""
    return f"{dicom_web_url}/{reader.stored.path}/bulkdata"


def each_reader(content: StoreContent, ids: Iterable[int]) -> Iterator[InstanceReader]:
    """Give readers of instances in the order of their ids; each is closed when the next is drawn.

    Instances that are gone are left out.
    """
    remaining = iter(ids)
    while some := list(islice(remaining, HEADERS_AT_A_TIME)):
        for stored in _read_rows(content, some):
            if stored is None:
                continue
            with InstanceReader(content, stored) as reader:
                try:
                    _ = reader.header
                except NotFound:
                    continue
                yield reader


class InstanceReader:
    """Reads one instance: its header, from the row or else the blob, and bytes of its file.

    The blob is opened when it is first needed.
    """

    def __init__(self, content: StoreContent, stored: StoredInstance) -> None:
        self._content = content
        self.stored = stored
        """The rows that are read by; others than given if the instance was replaced meanwhile."""
        self._blob: LocalObject | LocalExtent | None = None
        self._source: ByteSource | None = None
        self._inflated: Inflated | None = None
        self._header: Header | None = None

    @property
    def header(self) -> Header:
        """The instance's skeleton.

        Raises
        ------
        NotFound, DataLoss
            As ``source``, where it must be cut from the blob again.
        """
        if self._header is None:
            self._header = _kept_header(self.stored) or self._cut_again()
        return self._header

    @property
    def source(self) -> ByteSource:
        """The bytes of the file.

        Raises
        ------
        NotFound
            If the instance was deleted meanwhile.
        DataLoss
            If the blob is missing or has another size.
        """
        if self._source is None:
            self.stored, self._blob = _open_blob(self._content, self.stored)
            self._source = _Source(self._blob, self.stored.place)
        return self._source

    def read(self, offset: int, length: int) -> bytes:
        """Give bytes that were cut out of the header.

        Offsets are as in its cuts, and must rise from call to call where the data set is deflated.
        """
        if self.header.transfer_syntax_uid not in DEFLATED:
            return self.source.read_at(offset, length)
        if self._inflated is None:
            start = _PREAMBLE_BYTES + file_meta_bytes(self.header)
            self._inflated = Inflated(self.source, start, Limits().inflated_bytes)
        try:
            return self._inflated.read_at(offset, length)
        except Refused as error:
            raise _damaged(self.stored, error) from error

    def rewind(self) -> None:
        """Have ``read`` begin at the start again, where the data set is deflated."""
        self._inflated = None

    def close(self) -> None:
        """Close the blob; a second call does nothing."""
        if self._blob is not None:
            self._blob.close()

    def __del__(self) -> None:
        # A body that was never begun is closed by nobody.
        self.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _cut_again(self) -> Header:
        try:
            return scan(self.source).header
        except Refused as error:
            raise _damaged(self.stored, error) from error


class FilePieces:
    """The pieces of a file, which close its blob at their end or when closed."""

    def __init__(self, reader: InstanceReader, pieces: Iterator[bytes]) -> None:
        self._reader = reader
        self._pieces = pieces

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        with ExitStack() as stack:
            stack.callback(self.close)
            piece = next(self._pieces)
            stack.pop_all()
        return piece

    def close(self) -> None:
        """Close the blob; a second call does nothing."""
        self._reader.close()


class _Source:
    """The bytes of one instance, where a change is a loss: what is stored never changes."""

    def __init__(self, blob: LocalObject | LocalExtent, place: Place) -> None:
        self._blob = blob
        self._place = place
        self.size = place.size

    def read_at(self, offset: int, length: int) -> bytes:
        """Give bytes of the instance's file, fewer only at its end."""
        try:
            return self._blob.read_at(offset, length)
        except Aborted as error:
            raise DataLoss(f"blob {self._place.key} was changed while it was read") from error


def _open_blob(
    content: StoreContent, stored: StoredInstance
) -> tuple[StoredInstance, LocalObject | LocalExtent]:
    bucket = blob_bucket(content.blobs, content.blob_prefix)
    _refuse_reference(stored)
    try:
        return stored, open_place(bucket, stored.place)
    except NotFound:
        stored = _moved(content, stored)
    _refuse_reference(stored)
    try:
        return stored, open_place(bucket, stored.place)
    except NotFound as error:
        raise _lost(stored, "is missing") from error


def _moved(content: StoreContent, stored: StoredInstance) -> StoredInstance:
    """Give the rows of an instance whose bytes are not where they said, read again."""
    found = find_instance(content, stored.path)
    if (found.place.key, found.place.offset) == (stored.place.key, stored.place.offset):
        raise _lost(stored, "is missing")
    return found


def _refuse_reference(stored: StoredInstance) -> None:
    if stored.place.kind is PlaceKind.REFERENCE:
        raise Unimplemented(f"{stored.path} is kept by reference, which cannot be retrieved yet")


def _lost(stored: StoredInstance, what: str) -> DataLoss:
    return DataLoss(
        f"the blob {stored.place.key} of {stored.path} {what}; restore it from a backup", "blob"
    )


def _damaged(stored: StoredInstance, error: Refused) -> DataLoss:
    return _lost(stored, f"is damaged: {error.message}")


def _absent(path: InstancePath) -> NotFound:
    return NotFound(f"{path} does not exist in this DICOM store", "name")


def _kept_header(stored: StoredInstance) -> Header | None:
    if stored.header is None:
        return None
    try:
        return decode_header(stored.header, header_dictionary(stored.header_dictionary))
    except (DataLoss, FileNotFoundError):
        # The blob has it too (core rule: an unreadable header is cut again).
        return None


def _read_rows(content: StoreContent, ids: Sequence[int]) -> Sequence[StoredInstance | None]:
    with content.database.read() as connection:
        return find_stored_instances(connection, ids)


def _whole(source: ByteSource) -> Iterator[bytes]:
    return (source.read_at(offset, PIECE_BYTES) for offset in range(0, source.size, PIECE_BYTES))
