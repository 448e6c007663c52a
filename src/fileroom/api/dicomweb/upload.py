"""The body of a STOW-RS request: taken apart while it comes, spooled, stored once it is whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fileroom.api.dicomweb.answers import store_content
from fileroom.api.dicomweb.parts import InstanceParts, MetadataParts
from fileroom.api.multipart import MultipartReader
from fileroom.archive.layout import check_blob_bucket
from fileroom.archive.storing import StoreRules, StoringRequest
from fileroom.database.instances import DuplicatePolicy
from fileroom.dicom.media_types import (
    APPLICATION_DICOM,
    APPLICATION_DICOM_JSON,
    MULTIPART_RELATED,
    MediaType,
    find_media_type,
)
from fileroom.errors import InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fileroom.api.calls import Call
    from fileroom.archive.storing import PartOutcome

STORAGE_CLASSES: Final = ("STANDARD", "NEARLINE", "COLDLINE", "ARCHIVE")


def begin_store(call: Call) -> Upload:
    """Begin to take instances that are to be new."""
    return _begin(call, DuplicatePolicy.FAIL_IF_DIFFERENT)


def begin_update(call: Call) -> Upload:
    """Begin to take instances that go in the place of those of the same UIDs."""
    return _begin(call, DuplicatePolicy.REPLACE)


class Upload:
    """The body of one request: one DICOM file, or parts."""

    def __init__(self, storing: StoringRequest, media_type: MediaType) -> None:
        self._storing = storing
        is_json = media_type.root == APPLICATION_DICOM_JSON
        self._parts = MetadataParts(storing) if is_json else InstanceParts(storing)
        self._reader = MultipartReader(media_type, self._parts) if media_type.is_multipart else None
        self._is_begun = False

    def write(self, piece: bytes) -> None:
        """Take the next piece of the body.

        Raises
        ------
        InvalidArgument
            If it is no multipart body, or over a limit.
        ResourceExhausted
            If the disk is full.
        """
        if self._reader is not None:
            self._reader.write(piece)
            return
        if not self._is_begun:
            self._parts.begin_part({})
            self._is_begun = True
        self._parts.write_part(piece)

    def finish(self) -> None:
        """Take note that the body is whole.

        Raises
        ------
        InvalidArgument
            If it is not, or holds nothing.
        """
        if self._reader is not None:
            self._reader.finish()
        elif self._is_begun:
            self._parts.end_part()
        self._parts.finish()
        if not self._storing.parts:
            raise InvalidArgument(
                "the request holds no instance: its body is to be a DICOM file, or multipart with"
                " DICOM files as parts",
                "body",
            )

    def store(self) -> Iterator[PartOutcome]:
        """Store the instances and tell what became of each, in their order."""
        return self._storing.store()

    def close(self) -> None:
        """Throw away what is not stored; a second call does nothing."""
        self._storing.close()


def _begin(call: Call, policy: DuplicatePolicy) -> Upload:
    """Refuse before the first byte what can be refused then."""
    content = store_content(call)
    check_blob_bucket(content.blobs, content.blob_prefix)
    media_type = _media_type(call)
    path = call.instance_path
    rules = StoreRules(
        study_instance_uid=None if path is None else path.study_instance_uid,
        policy=policy,
        storage_class=_storage_class(call),
        grace_seconds=call.deployment.settings.collection_grace_seconds,
    )
    storing = StoringRequest(call.deployment.requests, content, rules)
    try:
        return Upload(storing, media_type)
    except InvalidArgument:
        storing.close()
        raise


def _media_type(call: Call) -> MediaType:
    text = call.headers.get("content-type", "")
    media_type = find_media_type(text)
    if media_type is not None:
        # RFC 2387 wants the type parameter; without it the default of a store is meant.
        root = (media_type.parameter("type") or APPLICATION_DICOM).lower()
        if media_type.name == APPLICATION_DICOM or (
            media_type.name == MULTIPART_RELATED
            and root in {APPLICATION_DICOM, APPLICATION_DICOM_JSON}
        ):
            return media_type
    raise InvalidArgument(
        f"Content-Type {text[:100]!r} is not stored here; use {APPLICATION_DICOM} or"
        f' {MULTIPART_RELATED}; type="{APPLICATION_DICOM}"; boundary=…',
        "Content-Type",
    )


def _storage_class(call: Call) -> str:
    text = call.headers.get("storage-class", STORAGE_CLASSES[0]).strip().upper()
    if text not in STORAGE_CLASSES:
        raise InvalidArgument(
            f"Storage-Class {text[:40]!r} is none; use one of {', '.join(STORAGE_CLASSES)}",
            "Storage-Class",
        )
    return text
