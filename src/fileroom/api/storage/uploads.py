"""Objects that clients send: in one request as they are or with JSON beside, or in several.

References
----------
Cloud Storage JSON API v1, Objects: insert; "Resumable uploads"
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

import msgspec

from fileroom.api.calls import Answer
from fileroom.api.content_encoding import find_unpacker
from fileroom.api.multipart import MultipartReader
from fileroom.api.storage.incoming import Expected, IncomingObject, hashes_of, sessions_of
from fileroom.api.storage.places import permitted
from fileroom.api.storage.sessions import UploadSession
from fileroom.api.wire import json_answer
from fileroom.dicom.media_types import find_media_type
from fileroom.errors import FileroomError, InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fileroom.api.calls import Call, Intake
    from fileroom.api.wire import JsonObject

METADATA_BYTES_MAX: Final = 64 << 10
"""Of the JSON that describes an object."""
_RANGE: Final = re.compile(r"bytes (?:(\d{1,18})-(\d{1,18})|\*)/(\d{1,18}|\*)", re.ASCII)
_GOES_ON: Final = 308
_GIVEN_UP: Final = 499
"""Google's answer to a client that ends an upload before it is whole."""


def begin_insert(call: Call) -> Intake:
    """Begin to take an object, or what is to be known of one that will come."""
    match call.upload_type:
        case "media":
            return _Media(call)
        case "multipart":
            return _Multipart(call)
        case "resumable":
            return _Announcement(call)
    raise InvalidArgument(
        f"uploadType {call.upload_type[:40]!r}: use media, multipart or resumable", "uploadType"
    )


def insert(call: Call) -> Answer:
    """Keep an object that was sent whole, or begin one that comes in several requests."""
    upload = call.upload
    assert isinstance(upload, _Media | _Multipart | _Announcement), call.method_id
    return upload.answer()


def begin_resume(call: Call) -> Intake:
    """Begin to take the next bytes of an object that comes in several requests."""
    return _Chunk(call)


def resume(call: Call) -> Answer:
    """Take the next bytes of an object: 308 until it is whole."""
    assert isinstance(call.upload, _Chunk), call.method_id
    return call.upload.answer()


def cancel(call: Call) -> Answer:
    """Give up an object that comes in several requests, and throw away what is there of it."""
    permitted(call, "write")
    sessions = sessions_of(call)
    sessions.drop(sessions.take(call.parameter("upload_id") or "", call.path["bucket"]))
    return Answer(status=_GIVEN_UP, media_type=None)


class _Media:
    """A body that is an object."""

    def __init__(self, call: Call) -> None:
        # In the other kinds gzip is of the transport, as Google's Java client and gsutil send it;
        # here it could as well be the object's, and a file keeps no note of how it is packed.
        if find_unpacker(call.headers.get("content-encoding", "")) is not None:
            raise InvalidArgument(
                "Content-Encoding: with uploadType=media an object is kept as it is sent, and that"
                " it is gzip is not kept: leave the header out, or use uploadType=multipart, which"
                " is unpacked",
                "Content-Encoding",
            )
        name = call.parameter("name") or ""
        self._incoming = IncomingObject(call, _expected(call, {}, name))

    def write(self, piece: bytes) -> None:
        """Take the next piece of the object."""
        self._incoming.write(piece)

    def finish(self) -> None:
        """Nothing is left to see to."""

    def answer(self) -> Answer:
        """Keep the object."""
        return json_answer(self._incoming.commit())

    def close(self) -> None:
        """Throw away what is not kept."""
        self._incoming.close()


class _Multipart:
    """A body of two parts: what is to be known of an object, then the object."""

    def __init__(self, call: Call) -> None:
        permitted(call, "write")
        media_type = find_media_type(call.headers.get("content-type", ""))
        if media_type is None or not media_type.is_multipart:
            raise InvalidArgument(
                "Content-Type is to be multipart/related with a boundary", "Content-Type"
            )
        self._call = call
        self._reader = MultipartReader(media_type, self)
        self._metadata = bytearray()
        self._incoming: IncomingObject | None = None
        self._parts = 0

    def write(self, piece: bytes) -> None:
        """Take the next piece of the body."""
        self._reader.write(piece)

    def begin_part(self, headers: Mapping[str, str]) -> None:
        """Take note that a part begins."""
        self._parts += 1
        if self._parts == 2:
            metadata = _decoded(self._metadata)
            name = self._call.parameter("name") or ""
            self._incoming = IncomingObject(self._call, _expected(self._call, metadata, name))
        elif self._parts > 2:
            raise InvalidArgument("the body is to have two parts: JSON, then the object", "body")

    def write_part(self, piece: bytes) -> None:
        """Take some bytes of it."""
        if self._incoming is not None:
            self._incoming.write(piece)
        else:
            _append(self._metadata, piece)

    def end_part(self) -> None:
        """Nothing is left to see to."""

    def finish(self) -> None:
        """Make sure that both parts came."""
        self._reader.finish()
        if self._incoming is None:
            raise InvalidArgument("the body is to have two parts: JSON, then the object", "body")

    def answer(self) -> Answer:
        """Keep the object."""
        assert self._incoming is not None
        return json_answer(self._incoming.commit())

    def close(self) -> None:
        """Throw away what is not kept."""
        if self._incoming is not None:
            self._incoming.close()


class _Announcement:
    """A body that tells of an object whose bytes come in later requests."""

    def __init__(self, call: Call) -> None:
        permitted(call, "write")
        self._call = call
        self._metadata = bytearray()

    def write(self, piece: bytes) -> None:
        """Take the next piece of the body."""
        _append(self._metadata, piece)

    def finish(self) -> None:
        """Nothing is left to see to."""

    def answer(self) -> Answer:
        """Say where the bytes are to be sent."""
        call, bucket = self._call, self._call.path["bucket"]
        name = call.parameter("name") or ""
        incoming = IncomingObject(call, _expected(call, _decoded(self._metadata), name))
        announced = call.headers.get("x-upload-content-length", "")
        session = UploadSession(
            bucket=bucket,
            incoming=incoming,
            total_bytes=int(announced) if re.fullmatch(r"[0-9]{1,18}", announced) else None,
        )
        try:
            identifier = sessions_of(call).add(session)
        except FileroomError:
            incoming.close()
            raise
        place = f"{call.public_url}/upload/storage/v1/b/{quote(bucket, safe='')}/o"
        location = f"{place}?uploadType=resumable&upload_id={identifier}"
        headers = {"Location": location, "X-GUploader-UploadID": identifier}
        return Answer(media_type=None, headers=headers)

    def close(self) -> None:
        """Nothing is held."""


class _Chunk:
    """A body that is some bytes of an object, or none, to ask how many are there."""

    def __init__(self, call: Call) -> None:
        permitted(call, "write")
        sent = _parse_range(call)
        self._sessions = sessions_of(call)
        self._session = self._sessions.take(call.parameter("upload_id") or "", call.path["bucket"])
        self._is_given_back = False
        try:
            self._begin(sent)
            self._session.incoming.expect(hashes_of(call.headers.get("x-goog-hash", "")))
        except FileroomError:
            self.close()
            raise

    def _begin(self, sent: _Sent) -> None:
        session = self._session
        known = session.total_bytes
        if sent.total is not None and known not in {None, sent.total}:
            raise InvalidArgument(
                f"Content-Range says {sent.total} bytes in all, and {known} were announced",
                "Content-Range",
            )
        received = session.incoming.received_bytes
        if sent.total is not None and sent.total < max(received, sent.stop):
            raise InvalidArgument(
                f"Content-Range says {sent.total} bytes in all, and {max(received, sent.stop)} are"
                " there or follow",
                "Content-Range",
            )
        if sent.start is not None and sent.start > received:
            raise InvalidArgument(
                f"Content-Range begins at {sent.start}, and {received} bytes are there: send those"
                " between first",
                "Content-Range",
            )
        self._total = known if sent.total is None else sent.total
        self._is_rest = sent.is_rest
        # A client that saw no answer sends again what is there already.
        self._passed_over = 0 if sent.start is None else received - sent.start
        self._left = sent.length

    def write(self, piece: bytes) -> None:
        """Take the next piece."""
        if self._left is not None:
            self._left -= len(piece)
            if self._left < 0:
                raise InvalidArgument("the body is longer than Content-Range says", "body")
        piece, self._passed_over = (
            piece[self._passed_over :],
            max(0, self._passed_over - len(piece)),
        )
        session = self._session
        if not piece or session.resource is not None:
            return
        total = self._total
        if total is not None and session.incoming.received_bytes + len(piece) > total:
            raise InvalidArgument(f"more bytes came than the {total} announced", "body")
        try:
            session.incoming.write(piece)
        except FileroomError:
            self._sessions.drop(session)
            raise

    def finish(self) -> None:
        """Make sure that all of it came."""
        if self._left:
            raise InvalidArgument("the body is shorter than Content-Range says", "body")
        session = self._session
        received = session.incoming.received_bytes
        if self._is_rest and self._passed_over and session.resource is None:
            raise InvalidArgument(
                "without Content-Range the body is the whole object, and what is there already,"
                f" {received} bytes, is longer than came; 'bytes */*' asks how many are there",
                "Content-Range",
            )
        session.total_bytes = received if self._is_rest and self._total is None else self._total

    def answer(self) -> Answer:
        """Keep the object if it is whole, or say how much of it is there."""
        session = self._session
        received = session.incoming.received_bytes
        if session.total_bytes != received:
            headers = {"Range": f"bytes=0-{received - 1}"} if received else {}
            return Answer(status=_GOES_ON, media_type=None, headers=headers)
        if session.resource is None:
            try:
                session.resource = session.incoming.commit()
            except FileroomError:
                self._sessions.drop(session)
                raise
        return json_answer(session.resource)

    def close(self) -> None:
        """Let the next request have the upload."""
        if not self._is_given_back:
            self._is_given_back = True
            self._sessions.give_back(self._session)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sent:
    """What ``Content-Range`` says of a body."""

    start: int | None
    length: int | None
    total: int | None
    is_rest: bool = False
    """Whether the object ends with it, however long it is."""

    @property
    def stop(self) -> int:
        """Where it ends, as far as that is said."""
        return (self.start or 0) + (self.length or 0)


def _parse_range(call: Call) -> _Sent:
    text = call.headers.get("content-range", "").strip()
    if not text:
        return _Sent(start=0, length=None, total=None, is_rest=True)
    found = _RANGE.fullmatch(text)
    if found is None or (found[1] and int(found[2]) < int(found[1])):
        raise InvalidArgument(
            f"Content-Range {text[:60]!r} is not of the form 'bytes 0-99/200', with * for what is"
            " not known",
            "Content-Range",
        )
    total = None if found[3] == "*" else int(found[3])
    if found[1] is None:
        return _Sent(start=None, length=0, total=total)
    return _Sent(start=int(found[1]), length=int(found[2]) - int(found[1]) + 1, total=total)


def _expected(call: Call, metadata: JsonObject, name: str) -> Expected:
    told = {each: metadata.get(each) for each in ("crc32c", "md5Hash")}
    checksums = {each: value for each, value in told.items() if isinstance(value, str)}
    named = metadata.get("name")
    return Expected(
        name=name or (named if isinstance(named, str) else ""),
        checksums=checksums | hashes_of(call.headers.get("x-goog-hash", "")),
    )


def _decoded(metadata: bytearray) -> JsonObject:
    if not metadata.strip():
        return {}
    try:
        return msgspec.json.decode(metadata, type=dict[str, object])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidArgument(
            f"Invalid JSON payload received: what describes the object is to be a JSON object"
            f" ({error})",
            "",
        ) from error


def _append(metadata: bytearray, piece: bytes) -> None:
    metadata += piece
    if len(metadata) > METADATA_BYTES_MAX:
        raise InvalidArgument(
            f"what describes an object has over {METADATA_BYTES_MAX} bytes", "body"
        )
