"""What the parts of a STOW-RS request are: instances, or metadata and then bulk data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fileroom.archive.storing import PartOutcome
from fileroom.dicom.json_instances import (
    OCTET_STREAM,
    BulkPart,
    JsonInstance,
    json_instance,
    parse_json_instances,
)
from fileroom.dicom.media_types import APPLICATION_DICOM_JSON, find_media_type
from fileroom.errors import InvalidArgument
from fileroom.names import parse_uid

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fileroom.archive.storing import SpooledPart, StoringRequest
    from fileroom.dicom.json_model import JsonObject
    from fileroom.objectstore.local.draft import Draft

PARTS_MAX: Final = 20_000
"""Parts of one request; what is told of each in the answer is held until the last is stored."""
PART_BYTES_MAX: Final = 16 << 30
"""One file of a request; what is larger comes by an import, which goes on where it was cut off."""
METADATA_BYTES_MAX: Final = 10 << 20
"""The one part that is held in memory, and as values some ten times that."""
_SOP_CLASS_UID: Final = "00080016"
_SOP_INSTANCE_UID: Final = "00080018"
_NAMED_TWICE: Final = "an earlier instance of the request has bulk data of the same BulkDataURI"


class InstanceParts:
    """Each part is a DICOM file, whatever its Content-Type: its bytes tell."""

    def __init__(self, storing: StoringRequest) -> None:
        self._storing = storing
        self._part: SpooledPart | None = None
        self._count = 0
        self._size = 0

    def begin_part(self, _headers: Mapping[str, str], /) -> None:
        """Take the next file."""
        self._count += 1
        check_count(self._count)
        self._size = 0
        self._part = self._storing.begin_part()

    def write_part(self, piece: bytes, /) -> None:
        """Append to the file."""
        assert self._part is not None, "a part begins before its bytes"
        self._size += len(piece)
        if self._size > PART_BYTES_MAX:
            raise InvalidArgument(
                f"a part of the request is over {PART_BYTES_MAX} bytes: put the file into a bucket"
                " and import it",
                "body",
            )
        self._part.write(piece)

    def end_part(self) -> None:
        """End the file."""
        assert self._part is not None, "a part begins before its end"
        self._part.end()

    def finish(self) -> None:
        """Take note that there are no more."""


class MetadataParts:
    """The first part is the metadata of instances, each of the others a value of theirs.

    References
    ----------
    PS3.18 10.5.2, "Metadata and Bulk Data"; F.2
    """

    def __init__(self, storing: StoringRequest) -> None:
        self._storing = storing
        self._document = bytearray()
        self._bulk: dict[str, list[tuple[str, Draft]]] = {}
        self._draft: Draft | None = None
        self._count = 0

    def begin_part(self, headers: Mapping[str, str], /) -> None:
        """Take the metadata, or the next value."""
        self._count += 1
        check_count(self._count)
        media_type = find_media_type(headers.get("content-type", ""))
        if self._count == 1:
            if media_type is not None and media_type.name != APPLICATION_DICOM_JSON:
                raise InvalidArgument(
                    f"the first part must be {APPLICATION_DICOM_JSON}", "Content-Type"
                )
            return
        location = headers.get("content-location", "")
        if not location:
            raise InvalidArgument(
                "a part with bulk data needs the Content-Location that a BulkDataURI names",
                "Content-Location",
            )
        self._draft = self._storing.begin_bulk()
        name = OCTET_STREAM if media_type is None else media_type.name
        self._bulk.setdefault(location, []).append((name, self._draft))

    def write_part(self, piece: bytes, /) -> None:
        """Append to it."""
        if self._draft is not None:
            self._draft.write(piece)
            return
        self._document += piece
        if len(self._document) > METADATA_BYTES_MAX:
            raise InvalidArgument(
                f"the metadata are more than {METADATA_BYTES_MAX} bytes; send the instances in"
                " several requests, or as DICOM files",
                "body",
            )

    def end_part(self) -> None:
        """End it."""
        if self._draft is not None:
            self._draft.rest()

    def finish(self) -> None:
        """Write the instances as DICOM files.

        Raises
        ------
        InvalidArgument
            If the metadata are not DICOM JSON; one instance that is wrong fails alone.
        """
        if not self._count:
            return
        models = parse_json_instances(bytes(self._document))
        self._document.clear()
        bulk = {
            location: [BulkPart(media_type=name, source=_Resting(draft)) for name, draft in parts]
            for location, parts in self._bulk.items()
        }
        for number, model in enumerate(models):
            try:
                made = json_instance(model, bulk, path=f"$[{number}]")
            except InvalidArgument as error:
                self._storing.refuse_part(_refusal(model, error.message))
                continue
            # Else a small document could make any number of files of one large part.
            if made.bulk_data_uris <= self._bulk.keys():
                self._write(made)
            else:
                self._storing.refuse_part(_refusal(model, _NAMED_TWICE))

    def _write(self, made: JsonInstance) -> None:
        """Write one instance, and let go of the bulk data it names."""
        part = self._storing.begin_part()
        for piece in made.pieces():
            part.write(piece)
        part.end()
        for location in made.bulk_data_uris:
            for _, draft in self._bulk.pop(location):
                self._storing.discard_bulk(draft)


class _Resting:
    """A part whose file is opened for each reading: thousands may rest beside it."""

    def __init__(self, draft: Draft) -> None:
        self._draft = draft
        self.size = draft.size

    def read_at(self, offset: int, length: int) -> bytes:
        """Give bytes of the part, fewer only at its end."""
        with self._draft.open() as source:
            return source.read_at(offset, length)


def check_count(count: int) -> None:
    """Refuse a request of more parts than one may have."""
    if count > PARTS_MAX:
        raise InvalidArgument(
            f"the request has more than {PARTS_MAX} parts; send them in several requests", "body"
        )


def _refusal(model: JsonObject, failure: str) -> PartOutcome:
    """Tell of an instance that could not be made, by the UIDs that it does have."""
    return PartOutcome(
        sop_class_uid=_find_uid(model, _SOP_CLASS_UID),
        sop_instance_uid=_find_uid(model, _SOP_INSTANCE_UID),
        failure=failure,
    )


def _find_uid(model: JsonObject, tag: str) -> str | None:
    element = model.get(tag)
    values = element.get("Value") if isinstance(element, dict) else None
    uid = values[0] if isinstance(values, list) and values else None
    try:
        return parse_uid(uid) if isinstance(uid, str) else None
    except InvalidArgument:
        return None
