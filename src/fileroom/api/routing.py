"""From a request's path to the method it means.

A path is matched segment by segment after percent-decoding, so that ``%2F`` never becomes a new
segment; a custom verb is what follows ``:`` in the last one. Below the roots of Cloud Storage a
segment may name an object instead, which may hold both.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from fileroom.errors import InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import msgspec

    from fileroom.api.calls import Call, Handler, Intake

VERSIONS: Final = ("v1", "v1beta1", "v1alpha2")
"""Of the Cloud Healthcare API."""
STORAGE_ROOTS: Final = frozenset({"storage", "upload", "download"})
"""What paths of Cloud Storage's API begin with; they have no custom verbs."""
NO_OBJECT_NAME: Final = re.compile(r"[\0\n\r]")


@dataclass(frozen=True, slots=True)
class Route:
    """One method of the API."""

    method_id: str
    """Google's, where it is of the Cloud Healthcare API after ``projects.locations.``; ours begin
    with ``fileroom.``."""
    verb: str
    template: str
    permission: str
    handler: Handler
    request: type[msgspec.Struct] | None = None
    """The message its body holds."""
    response: type[msgspec.Struct] | None = None
    """The message of its answer; ``None`` for a body of another kind, such as DICOMweb's."""
    query: tuple[str, ...] | None = ()
    """The query parameters it knows; ``None`` hands all of them to the handler."""
    versions: tuple[str, ...] = VERSIONS
    """What its paths may begin with; another API's root is written in the same place."""
    upload: Callable[[Call], Intake] | None = None
    """Begins to take a body of any size, piece by piece as it comes, for ``call.upload``."""
    per_item: bool = False
    """Whether its path names nothing that has a policy: what answers it asks for the permission on
    each thing that it tells of."""
    has_document: bool = False
    """Whether the body is read for ``call.body`` without being such a message.

    Without any of the three a body is not read.
    """


@dataclass(slots=True)
class _Node:
    """What may follow one segment of a path."""

    literals: dict[str, _Node] = field(default_factory=dict)
    variable: tuple[str, _Node] | None = None
    rest: str | None = None
    """The name under which this node takes everything that follows."""
    routes: dict[str, dict[str, Route]] = field(default_factory=dict)
    """By custom verb (empty for none), then by HTTP verb."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """The methods that a path has, by HTTP verb, and its variables."""

    routes: Mapping[str, Route]
    path: Mapping[str, str]


class RouteTable:
    """Finds the methods of a path, in as many steps as it has segments."""

    def __init__(self, routes: tuple[Route, ...]) -> None:
        self._versions: dict[str, _Node] = {}
        for route in routes:
            for version in route.versions:
                _insert(self._versions.setdefault(version, _Node()), route)

    def find(self, version: str, segments: list[str]) -> Match | None:
        """Give what a path means; ``None`` if it means nothing."""
        node = self._versions.get(version)
        if node is None or not segments:
            return None
        *leading, last = segments
        path: dict[str, str] = {}
        for number, segment in enumerate(leading):
            node = _step(node, segment, path)
            if node is None:
                return None
            if node.rest is not None:
                path[node.rest] = "/".join(segments[number + 1 :])
                return Match(routes=node.routes[""], path=path)
        text, _, custom_verb = (last, "", "") if version in STORAGE_ROOTS else last.partition(":")
        node = _step(node, text, path)
        routes = None if node is None else node.routes.get(custom_verb)
        return None if routes is None else Match(routes=routes, path=path)


def split_path(raw_path: bytes) -> list[str]:
    """Give the decoded segments of a path; one slash at its end does not count.

    Raises
    ------
    InvalidArgument
        If a segment is not UTF-8 after decoding, or holds a slash, NUL or control character; the
        name of an object may hold all but NUL and the ends of lines.
    """
    segments = raw_path.decode("ascii", "replace").removeprefix("/").removesuffix("/").split("/")
    try:
        decoded = [unquote(segment, errors="strict") for segment in segments]
    except UnicodeDecodeError as error:
        raise InvalidArgument("the path is not UTF-8 after percent-decoding", "path") from error
    if decoded[0] in STORAGE_ROOTS:
        if any(NO_OBJECT_NAME.search(segment) for segment in decoded):
            raise InvalidArgument("an object's name holds NUL or the end of a line", "path")
        return decoded
    # Only `bulkdata` paths go deeper than a name, and they hold hexadecimal and numbers.
    if any("/" in segment or not segment.isprintable() for segment in decoded):
        raise InvalidArgument(
            "a segment of the path holds an encoded slash or a control character", "path"
        )
    return decoded


def _insert(node: _Node, route: Route) -> None:
    template, _, custom_verb = route.template.partition(":")
    for segment in template.split("/"):
        node = _child(node, segment)
    node.routes.setdefault(custom_verb, {})[route.verb] = route


def _child(node: _Node, segment: str) -> _Node:
    if not segment.startswith("{"):
        return node.literals.setdefault(segment, _Node())
    name = segment.strip("{}")
    if name.endswith("+"):
        node.rest = name.removesuffix("+")
        return node
    if node.variable is None:
        node.variable = (name, _Node())
    assert node.variable[0] == name, "one name for one place, or handlers would miss it"
    return node.variable[1]


def _step(node: _Node, segment: str, path: dict[str, str]) -> _Node | None:
    if segment in node.literals:
        return node.literals[segment]
    if node.variable is None or not segment:
        return None
    name, child = node.variable
    path[name] = segment
    return child
