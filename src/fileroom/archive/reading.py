"""One stored instance, read by the place that its row told: its header and bytes of its file.

Free of SQL, so that a worker reads the same way as the server.

A blob that is missing although its row names it was dropped after the row was read: the row is read
once more. It is gone (not found), names another place (read that) or still names this one, and then
bytes are lost. So it is with an object outside the archive that is gone or changed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from fileroom.archive.references import check_bucket_of, lost_reference, open_bytes, scan_reference
from fileroom.closing import Closing
from fileroom.database.values.instances import PlaceKind
from fileroom.dicom.encoding import DEFLATED
from fileroom.dicom.header import decode_header, header_dictionary
from fileroom.dicom.inflate import Inflated
from fileroom.dicom.part10 import Limits, Refused, scan
from fileroom.dicom.rewriting import file_meta_bytes
from fileroom.errors import Aborted, DataLoss, NotFound

if TYPE_CHECKING:
    from fileroom.database.values.stored import StoredInstance
    from fileroom.dicom.header import ByteSource, Header
    from fileroom.objectstore.blobs.contract import BlobExtent, Blobs
    from fileroom.objectstore.buckets import Buckets
    from fileroom.objectstore.contract import StoredObject

_PREAMBLE_BYTES: Final = 132


class Content(Protocol):
    """Where the blobs of a store are, and who knows more than a row that was read before."""

    @property
    def blobs(self) -> Blobs:
        """The blobs of all stores."""

    @property
    def blob_prefix(self) -> str:
        """The store's own among them."""

    @property
    def buckets(self) -> Buckets:
        """Where the objects are that are kept by reference."""

    def find_again(self, stored: StoredInstance) -> StoredInstance:
        """Give the rows of an instance whose bytes are not where they said.

        Raises
        ------
        NotFound
            If it is gone, or nobody here can tell.
        """

    def note_damage(self, stored: StoredInstance) -> None:
        """Note that an instance's bytes are lost, so that the same file stored again heals it."""


class WithoutRows:
    """A worker's content: what it meets is told to whoever asked for it, who knows the rows."""

    __slots__ = ()

    def note_damage(self, stored: StoredInstance) -> None:
        """Do nothing."""


class InstanceReader(Closing):
    """Reads one instance: its header, from the row or else the blob, and bytes of its file.

    The blob is opened when it is first needed.
    """

    def __init__(self, content: Content, stored: StoredInstance) -> None:
        self._content = content
        self.stored = stored
        """The rows that are read by; others than given if the instance was replaced meanwhile."""
        self._blob: StoredObject | BlobExtent | None = None
        self._source: ByteSource | None = None
        self._inflated: Inflated | None = None
        self._header: Header | None = None

    @property
    def content(self) -> Content:
        """Where the blob of the instance is."""
        return self._content

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
        Aborted
            If it was replaced since its header was read: that tells of other bytes.
        DataLoss
            If the blob is missing or has another size, or the source of a reference is not what was
            imported.
        FailedPrecondition, PermissionDenied, Unavailable
            If the bucket of a reference cannot be read.
        """
        if self._source is None:
            stored, self._blob = _open_blob(self._content, self.stored)
            if stored is not self.stored and self._header is not None:
                raise Aborted(f"{self.stored.path} was replaced while it was read; ask again")
            self.stored = stored
            self._source = _Source(self._content, self.stored, self._blob)
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
            self._content.note_damage(self.stored)
            raise damaged(self.stored, error) from error

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

    def _cut_again(self) -> Header:
        try:
            if self.stored.place.kind is PlaceKind.REFERENCE:
                return scan_reference(self.source).header
            return scan(self.source).header
        except Refused as error:
            self._content.note_damage(self.stored)
            raise damaged(self.stored, error) from error


class _Source:
    """The bytes of one instance, which never change while a row names them."""

    def __init__(
        self, content: Content, stored: StoredInstance, blob: StoredObject | BlobExtent
    ) -> None:
        self._content = content
        self._stored = stored
        self._blob = blob
        self.size = stored.place.size

    def read_at(self, offset: int, length: int) -> bytes:
        """Give bytes of the instance's file, fewer only at its end."""
        try:
            return self._blob.read_at(offset, length)
        except (Aborted, NotFound) as error:
            # Collected, if it was deleted or replaced so long ago; else damaged.
            _moved(self._content, self._stored, error)
            raise Aborted(
                f"{self._stored.path} was replaced while it was read; ask again"
            ) from error


def _open_blob(
    content: Content, stored: StoredInstance
) -> tuple[StoredInstance, StoredObject | BlobExtent]:
    bucket = content.blobs.bucket(content.blob_prefix)
    try:
        return stored, open_bytes(bucket, stored.place, content.buckets)
    except (Aborted, NotFound) as error:
        stored = _moved(content, stored, error)
    try:
        return stored, open_bytes(bucket, stored.place, content.buckets)
    except (Aborted, NotFound) as error:
        raise missing(stored, error) from error


def _moved(content: Content, stored: StoredInstance, error: Aborted | NotFound) -> StoredInstance:
    """Give the rows of an instance whose bytes are not where they said, read again."""
    found = content.find_again(stored)
    if found.place.is_at(stored.place):
        if stored.place.kind is PlaceKind.REFERENCE:
            check_bucket_of(content.buckets, stored.place, error)
        content.note_damage(stored)
        raise missing(stored, error) from error
    return found


def missing(stored: StoredInstance, error: Aborted | NotFound | None = None) -> DataLoss:
    """Give the error that says the bytes of an instance are not where its row says."""
    if stored.place.kind is PlaceKind.REFERENCE:
        return lost_reference(stored.place, stored.path, error)
    return lost(stored, "is missing")


def lost(stored: StoredInstance, what: str) -> DataLoss:
    """Give the error that says the bytes of an instance are not what was stored."""
    return DataLoss(
        f"the blob {stored.place.key} of {stored.path} {what}; restore it from a backup", "blob"
    )


def damaged_bytes(stored: StoredInstance) -> DataLoss:
    """Give the error that says the bytes of an instance have another checksum now."""
    if stored.place.kind is PlaceKind.REFERENCE:
        return lost_reference(stored.place, stored.path, Aborted("its checksum is another"))
    return lost(stored, "is damaged: its checksum is another")


def damaged(stored: StoredInstance, error: Refused) -> DataLoss:
    """Give the error that says the bytes of an instance are not well formed."""
    if stored.place.kind is PlaceKind.REFERENCE:
        return DataLoss(
            f"{stored.place.key}, which holds {stored.path} by reference, is damaged:"
            f" {error.message}; replace it and import it again, or delete the instance",
            "reference",
        )
    return lost(stored, f"is damaged: {error.message}")


def _kept_header(stored: StoredInstance) -> Header | None:
    if stored.header is None:
        return None
    try:
        return decode_header(stored.header, header_dictionary(stored.header_dictionary))
    except (DataLoss, FileNotFoundError):
        # The blob has it too (core rule: an unreadable header is cut again).
        return None
