"""What a handler is given and what it gives back, free of HTTP's machinery.

A handler is a plain function ``def handler(call: Call) -> Answer``; it runs in a thread, may block,
and raises ``FileroomError`` for everything that is not a success.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

import msgspec

from fileroom.closing import close_pieces
from fileroom.errors import InvalidArgument
from fileroom.names import (
    DatasetName,
    DicomStoreName,
    InstancePath,
    LocationName,
    OperationName,
    ResourceName,
    parse_uid,
)

if TYPE_CHECKING:
    from fileroom.api.storage.sessions import UploadSessions
    from fileroom.auth.authorize import Principal
    from fileroom.deployment import Deployment

JSON = "application/json; charset=UTF-8"

WHOLE_BYTES: Final = 2 << 20
"""A body that says it is no longer is drawn and sent at one go."""

_Body = TypeVar("_Body", bound=msgspec.Struct)


class Intake(Protocol):
    """Whoever takes a body of any size, piece by piece as it comes."""

    def write(self, piece: bytes, /) -> None:
        """Take the next piece."""

    def finish(self) -> None:
        """Take note that the body is whole."""

    def close(self) -> None:
        """Throw away what no handler has used; a second call does nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One authenticated and authorized request, its path, query and body taken apart."""

    deployment: Deployment
    principal: Principal
    method_id: str
    """Google's method id after ``projects.locations.``, e.g. ``datasets.dicomStores.import``."""
    permission: str
    """What the route demanded; the texts of 403 name it."""
    api_version: str
    """``v1``, ``v1beta1`` or ``v1alpha2``, as in the path; or the root of another API."""
    name: ResourceName | None
    """The Google resource of the path: for everything below ``dicomWeb/`` the DICOM store."""
    path: Mapping[str, str]
    """The path's variables, decoded and not yet checked: ``study``, ``series``, ``instance``…"""
    query: tuple[tuple[str, str], ...]
    """In order, decoded, without Google's global parameters (``alt``, ``access_token``…)."""
    headers: Mapping[str, str]
    """Names in lower case; a repeated header is joined with ``, ``."""
    body: bytes = b""
    request: msgspec.Struct | None = None
    """The decoded body, where the route names a Struct for it."""
    upload: Intake | None = None
    """The body taken apart and spooled, where the route takes one of any size."""
    alt: str = ""
    """Google's global parameter of this name: ``media`` asks for bytes instead of JSON."""
    upload_type: str = ""
    """Google's ``uploadType``: ``media``, ``multipart`` or ``resumable``."""
    sessions: UploadSessions | None = None
    """What clients are sending in several requests; the server's one."""

    @property
    def location(self) -> LocationName:
        """The location of the path."""
        assert isinstance(self.name, LocationName)
        return self.name

    @property
    def dataset(self) -> DatasetName:
        """The dataset of the path, or the one that owns what the path names."""
        match self.name:
            case DatasetName():
                return self.name
            case DicomStoreName() | OperationName():
                return self.name.parent
        raise AssertionError(f"route {self.method_id} names no dataset")

    @property
    def dicom_store(self) -> DicomStoreName:
        """The DICOM store of the path, which may not exist."""
        assert isinstance(self.name, DicomStoreName)
        return self.name

    @property
    def operation(self) -> OperationName:
        """The operation of the path, which may not exist."""
        assert isinstance(self.name, OperationName)
        return self.name

    @property
    def instance_path(self) -> InstancePath | None:
        """The study, series or instance of the path; InvalidArgument where a UID is not valid."""
        if "study" not in self.path:
            return None
        series, instance = self.path.get("series"), self.path.get("instance")
        return InstancePath(
            parse_uid(self.path["study"], "StudyInstanceUID"),
            None if series is None else parse_uid(series, "SeriesInstanceUID"),
            None if instance is None else parse_uid(instance, "SOPInstanceUID"),
        )

    @property
    def public_url(self) -> str:
        """Where clients reach this server, without a slash at the end; never the Host header."""
        return self.deployment.settings.public_url.rstrip("/")

    @property
    def base_url(self) -> str:
        """``{public_url}/{api_version}``: what RetrieveURL and BulkDataURI begin with."""
        return f"{self.public_url}/{self.api_version}"

    def parameter(self, name: str) -> str | None:
        """Give the last value of a query parameter."""
        return next((value for key, value in reversed(self.query) if key == name), None)

    def page_size(self) -> int | None:
        """Give ``pageSize``, ``None`` where it is absent or 0 (then the method's default)."""
        return self.whole_number("pageSize", "page_size") or None

    def whole_number(self, parameter: str, field: str) -> int | None:
        """Give a query parameter that is a whole number; ``field`` is its name in messages."""
        text = self.parameter(parameter)
        if not text:
            return None
        if not text.isascii() or not text.isdigit() or len(text) > 9:
            raise InvalidArgument(
                f"Invalid value at '{field}' (TYPE_INT32): {text[:40]!r} is not a whole number"
                " of 0 or more",
                field,
            )
        return int(text)

    def request_as(self, kind: type[_Body]) -> _Body:
        """Give the decoded body as the Struct the route declares."""
        assert isinstance(self.request, kind)
        return self.request


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What goes back to the client."""

    status: int = 200
    media_type: str | None = JSON
    """The Content-Type as sent; ``None`` sends none (204)."""
    body: bytes | tuple[bytes, ...] | Iterator[bytes] = b""
    """An iterator is drawn in a thread, piece by piece, and closed when the client has gone.

    Its first piece is drawn before the status is sent, so an error there is still answered. A tuple
    holds all pieces, and is sent without joining them.
    """
    headers: Mapping[str, str] = field(default_factory=dict)
    pretty: bool = False
    """JSON that is indented unless the client asked for ``prettyPrint=false``."""


class Framed:
    """Pieces with others before and after them; closed, it closes them, begun or not."""

    def __init__(
        self, before: Iterable[bytes], pieces: Iterator[bytes], after: Iterable[bytes] = ()
    ) -> None:
        self._framed = pieces
        self._pieces = chain(before, pieces, after)

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        return next(self._pieces)

    def close(self) -> None:
        """Close what is framed."""
        close_pieces(self._framed)


Handler = Callable[[Call], Answer]


def answer_of(handler: Handler, call: Call) -> Answer:
    """Run a handler and draw the first piece of its answer, whose errors can still be answered.

    All of them, where they are few.
    """
    answer = handler(call)
    if isinstance(answer.body, bytes | tuple):
        return answer
    if int(answer.headers.get("Content-Length", WHOLE_BYTES + 1)) <= WHOLE_BYTES:
        try:
            body = tuple(answer.body)
        finally:
            close_pieces(answer.body)
        # What was deleted since its length was told is left out of both.
        length = {"Content-Length": str(sum(map(len, body)))}
        return replace(answer, body=body or b"", headers={**answer.headers, **length})
    try:
        first = next(answer.body, b"")
    except BaseException:
        close_pieces(answer.body)
        raise
    return replace(answer, body=Framed((first,), answer.body))
