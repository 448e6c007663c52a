"""Media types: what a client accepts, what is offered, which one it gets (PS3.18 8.7).

WADO-RS and the ``mimeType`` of an export name their representations in the same words, so both are
read here.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Final

from fileroom.dicom.encoding import (
    DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
    EXPLICIT_VR_BIG_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
)
from fileroom.errors import InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

RANGES_MAX: Final = 100
"""Entries of Accept that are read: each is compared with all that is offered."""
AS_STORED: Final = "*"
"""The transfer syntax that means "whichever the instance is stored in"."""

JPEG_BASELINE: Final = "1.2.840.10008.1.2.4.50"

NATIVE_TRANSFER_SYNTAXES: Final = frozenset(
    {
        IMPLICIT_VR_LITTLE_ENDIAN,
        EXPLICIT_VR_LITTLE_ENDIAN,
        DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
        EXPLICIT_VR_BIG_ENDIAN,
    }
)
"""Those whose pixel data are not encapsulated (PS3.5 A.1 to A.3, A.5)."""

TRANSFER_SYNTAXES: Final = (
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
    *(
        f"1.2.840.10008.1.2.4.{item}"
        for item in (50, 51, 57, 70, 80, 81, 90, 91, 110, 111, 112, 201, 202, 203)
    ),
    "1.2.840.10008.1.2.5",
    "1.2.840.10008.1.2.8.1",
)
"""The nineteen that a retrieval or an export may ask for, the default first.

Big endian is not among them: it is read, never written (Cloud Healthcare conformance, Retrieve).
"""

APPLICATION_DICOM: Final = "application/dicom"
APPLICATION_DICOM_JSON: Final = "application/dicom+json"
APPLICATION_DICOM_XML: Final = "application/dicom+xml"
OCTET_STREAM: Final = "application/octet-stream"
MULTIPART_RELATED: Final = "multipart/related"

_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_EXPORT_TYPES: Final = {
    APPLICATION_DICOM: (AS_STORED, *TRANSFER_SYNTAXES),
    "application/octet-stream": (EXPLICIT_VR_LITTLE_ENDIAN, AS_STORED),
    "image/jpeg": (JPEG_BASELINE,),
    "image/png": (),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaType:
    """A media type with its parameters, as asked for, offered or given."""

    name: str
    """``type/subtype`` in lower case; either half may be ``*`` in what a client accepts."""
    parameters: tuple[tuple[str, str], ...] = ()
    """In the order given, names in lower case, values without their quotes."""

    def parameter(self, name: str) -> str | None:
        """Give the first value of a parameter."""
        return next((value for key, value in self.parameters if key == name), None)

    @property
    def is_multipart(self) -> bool:
        """Whether the body has parts."""
        return self.name.startswith("multipart/")

    @property
    def root(self) -> str:
        """The type of each part; of the body itself where there are no parts."""
        if not self.is_multipart:
            return self.name
        return (self.parameter("type") or "*/*").lower()

    @property
    def transfer_syntax(self) -> str | None:
        """The transfer syntax it names: a UID or ``*``."""
        return self.parameter("transfer-syntax")

    @property
    def is_as_stored(self) -> bool:
        """Whether it means an instance's file with the very bytes that were stored."""
        return self.root == APPLICATION_DICOM and self.transfer_syntax == AS_STORED

    def __str__(self) -> str:
        return "; ".join(
            [self.name, *(f"{key}={_quoted(value)}" for key, value in self.parameters)]
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaRange:
    """One entry of an Accept header."""

    media_type: MediaType
    quality: float = 1.0
    """From 0, "not this", to 1."""


class NotAcceptable(InvalidArgument):
    """Nothing that is offered is among what the client accepts: HTTP 406."""


def dicom_file(transfer_syntax: str, *, multipart: bool = False) -> MediaType:
    """Give the media type of an instance's file in a transfer syntax."""
    if multipart:
        return MediaType(
            name=MULTIPART_RELATED,
            parameters=(("type", APPLICATION_DICOM), ("transfer-syntax", transfer_syntax)),
        )
    return MediaType(name=APPLICATION_DICOM, parameters=(("transfer-syntax", transfer_syntax),))


def parse_accept(values: Iterable[str]) -> tuple[MediaRange, ...]:
    """Give what a client accepts, from its Accept headers in order.

    Read leniently, as clients write it: several headers, ``type`` without quotes, parameters in any
    order, ``*`` for ``*/*``, a ``q`` that is no number for 1. An entry that is no media type is
    passed over, and so are those after the hundredth.

    References
    ----------
    RFC 9110 12.5.1, PS3.18 8.7.5
    """
    ranges = (_parse_range(entry) for value in values for entry in _split(value, ","))
    return tuple(found for found in islice(ranges, RANGES_MAX) if found is not None)


def find_media_type(text: str) -> MediaType | None:
    """Give the media type of a body, from Content-Type; read as leniently as ``parse_accept``."""
    found = _parse_range(text)
    return None if found is None else found.media_type


def negotiate(
    accepted: Sequence[MediaRange],
    offers: Sequence[MediaType],
    *,
    default_transfer_syntax: str | Mapping[str, str] = EXPLICIT_VR_LITTLE_ENDIAN,
) -> MediaType:
    """Give the offer that the client likes best; parameters and errors as of ``ranked``."""
    return ranked(accepted, offers, default_transfer_syntax=default_transfer_syntax)[0]


def ranked(
    accepted: Sequence[MediaRange],
    offers: Sequence[MediaType],
    *,
    default_transfer_syntax: str | Mapping[str, str] = EXPLICIT_VR_LITTLE_ENDIAN,
) -> list[MediaType]:
    """Give the offers that the client takes, the one it likes best first; of equals as offered.

    Who accepts nothing by name accepts everything. What is accepted without a transfer syntax means
    the default one, which may depend on the type of the parts. ``application/json`` counts as
    ``*/*``: generated Google clients send it with every call, whatever they expect back.

    Raises
    ------
    NotAcceptable
        If no offer is accepted; the message names what is offered.
    """
    ranges = accepted or (MediaRange(media_type=MediaType(name="*/*")),)
    defaults = default_transfer_syntax
    liked: list[tuple[float, MediaType]] = []
    for offer in offers:
        default = defaults if isinstance(defaults, str) else defaults.get(offer.root)
        quality = _quality(ranges, offer, default)
        if quality > 0:
            liked.append((quality, offer))
    if not liked:
        offered = ", ".join(str(offer) for offer in offers)
        raise NotAcceptable(
            f"none of the media types in Accept is offered here; use {offered}", "Accept"
        )
    return [offer for _, offer in sorted(liked, key=lambda each: -each[0])]


def export_mime_types() -> tuple[str, ...]:
    """Give every ``mimeType`` that is documented for an export, the shortest spelling first."""
    return tuple(
        text
        for name, syntaxes in _EXPORT_TYPES.items()
        for text in (name, *(f"{name}; transfer-syntax={uid}" for uid in syntaxes))
    )


def parse_mime_type(text: str) -> MediaType:
    """Give the format that the ``mimeType`` of an export names, its transfer syntax spelled out.

    Nothing, and ``application/dicom`` alone, mean the files as they were stored.

    Raises
    ------
    InvalidArgument
        If it is none of the documented formats.
    """
    if not text.strip():
        return dicom_file(AS_STORED)
    entries = list(_split(text, ","))
    media_range = _parse_range(entries[0]) if len(entries) == 1 else None
    asked = None if media_range is None else media_range.media_type
    if asked is None or asked.name not in _EXPORT_TYPES:
        raise InvalidArgument(
            f"mimeType {text[:100]!r} is not offered; use one of {', '.join(_EXPORT_TYPES)}",
            "mime_type",
        )
    allowed = _EXPORT_TYPES[asked.name]
    others = [key for key, _ in asked.parameters if key != "transfer-syntax"]
    if others or len(asked.parameters) > 1:
        raise InvalidArgument(
            f"mimeType {text[:100]!r} may have no parameter but one transfer-syntax", "mime_type"
        )
    if not asked.parameters:
        return MediaType(
            name=asked.name, parameters=(("transfer-syntax", allowed[0]),) if allowed else ()
        )
    if asked.transfer_syntax not in allowed:
        raise InvalidArgument(
            f"{asked.name} is not exported with transfer-syntax {asked.transfer_syntax!r};"
            f" use {', '.join(allowed) or 'none'}",
            "mime_type",
        )
    return asked


# ------------------------------------------------------------------ reading


def _split(text: str, separator: str) -> Iterator[str]:
    """Give the pieces between separators that stand outside quotes, stripped, empty ones left out.

    A quote that is never closed reaches to the end.
    """
    piece: list[str] = []
    quoted = escaped = False
    for character in text:
        if character == separator and not quoted:
            if found := "".join(piece).strip():
                yield found
            piece.clear()
            continue
        if escaped:
            escaped = False
        elif quoted and character == "\\":
            escaped = True
        elif character == '"':
            quoted = not quoted
        piece.append(character)
    if found := "".join(piece).strip():
        yield found


def _parse_range(entry: str) -> MediaRange | None:
    head, _, tail = entry.partition(";")
    head, rest = head.strip(), _split(tail, ";")
    name = "*/*" if head == "*" else head.replace(" ", "").lower()
    kind, slash, subtype = name.partition("/")
    if not slash or not _TOKEN.fullmatch(kind) or not _TOKEN.fullmatch(subtype):
        return None
    parameters: list[tuple[str, str]] = []
    quality = 1.0
    for item in rest:
        key, equals, value = item.partition("=")
        key, value = key.strip().lower(), _unquoted(value.strip())
        if not equals or not key:
            continue
        if key == "q":
            quality = _parse_quality(value)
        else:
            parameters.append((key, value))
    return MediaRange(
        media_type=MediaType(name=name, parameters=tuple(parameters)), quality=quality
    )


def _parse_quality(text: str) -> float:
    try:
        quality = float(text)
    except ValueError:
        return 1.0
    return 1.0 if math.isnan(quality) else min(max(quality, 0.0), 1.0)


def _unquoted(value: str) -> str:
    if not value.startswith('"'):
        return value
    return re.sub(r"\\(.)", r"\1", value.removeprefix('"').removesuffix('"'))


def _quoted(value: str) -> str:
    if _TOKEN.fullmatch(value):
        return value
    return '"' + re.sub(r'(["\\])', r"\\\1", value) + '"'


# ------------------------------------------------------------------ choosing


def _quality(
    ranges: Sequence[MediaRange], offer: MediaType, default_transfer_syntax: str | None
) -> float:
    """Give how much an offer is liked: the quality of the most specific range that takes it in."""
    best = (-1, -1, -1)
    quality = 0.0
    for accepted in ranges:
        specificity = _specificity(accepted.media_type, offer, default_transfer_syntax)
        if specificity is None or specificity < best:
            continue
        # Of two equally specific ones the more generous counts.
        quality = max(quality, accepted.quality) if specificity == best else accepted.quality
        best = specificity
    return quality


def _specificity(
    wanted: MediaType, offer: MediaType, default_transfer_syntax: str | None
) -> tuple[int, int, int] | None:
    """Give how closely ``wanted`` describes the offer, ``None`` where it leaves it out."""
    lenient = wanted.name == "application/json"
    name = _closeness("*/*" if lenient else wanted.name, offer.name)
    root = _closeness(wanted.root, offer.root) if wanted.is_multipart and not lenient else 0
    syntax = 0
    if offer.transfer_syntax is not None:
        syntax = int(wanted.transfer_syntax is not None)
        if offer.transfer_syntax != (wanted.transfer_syntax or default_transfer_syntax):
            return None
    if name is None or root is None:
        return None
    return (-1 if lenient else name, root, syntax)


def _closeness(wanted: str, offered: str) -> int | None:
    if wanted == offered:
        return 2
    if wanted == "*/*":
        return 0
    kind, _, subtype = wanted.partition("/")
    return 1 if subtype == "*" and offered.startswith(f"{kind}/") else None
