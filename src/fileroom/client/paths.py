"""The paths that a request is sent to, from names as text or as values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from fileroom.errors import InvalidArgument
from fileroom.names import DicomStoreName, InstancePath, parse_instance_path, parse_name

if TYPE_CHECKING:
    from fileroom.client.values import Name

Level = Literal["study", "series", "instance"]

_FORMS: Final[dict[Level, str]] = {
    "study": "studies/UID",
    "series": "studies/UID/series/UID",
    "instance": "studies/UID/series/UID/instances/UID",
}


def to_name(name: Name | str, kind: type[Name]) -> Name:
    """Give the name of a resource; InvalidArgument if it is that of another kind."""
    parsed = parse_name(name) if isinstance(name, str) else name
    if not isinstance(parsed, kind):
        raise InvalidArgument(f"{str(name)!r} is not a {kind.__name__}", "name")
    return parsed


def name_path(name: Name | str, kind: type[Name]) -> str:
    """Give the path of a resource."""
    return str(to_name(name, kind))


def web_path(name: DicomStoreName | str) -> str:
    """Give what the paths of a DICOM store's DICOMweb begin with."""
    return f"{name_path(name, DicomStoreName)}/dicomWeb"


def instance_path(path: InstancePath | str) -> InstancePath:
    """Give a study, series or instance."""
    return parse_instance_path(path) if isinstance(path, str) else path


def content_path(
    name: DicomStoreName | str, path: InstancePath | str, level: Level | None = None
) -> str:
    """Give the path of a study, series or instance; InvalidArgument if it is of another level."""
    content = instance_path(path)
    if level is not None and str(content).count("/") != _FORMS[level].count("/"):
        raise InvalidArgument(f"{content} has not the form {_FORMS[level]}", "path")
    return f"{web_path(name)}/{content}"


def below(
    name: DicomStoreName | str,
    within: InstancePath | str | None,
    level: Literal["series", "instances"],
) -> str:
    """Give the path of a search."""
    return f"{content_path(name, within)}/{level}" if within else f"{web_path(name)}/{level}"
