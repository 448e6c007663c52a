"""The instances that an operation is about: all of a store, those below a path, or of a filter.

They are taken page by page in the order of their keys; the cursor after each says how far it is.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec

from fileroom.database import exports
from fileroom.errors import FailedPrecondition, InvalidArgument, NotFound, ResourceExhausted
from fileroom.names import InstancePath, parse_instance_path
from fileroom.objectstore.buckets import open_bucket
from fileroom.objectstore.uri import parse_object_uri

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fileroom.database.engine import Connection
    from fileroom.database.exports import StoredInstance
    from fileroom.database.operations import Operation
    from fileroom.transfer.facilities import Facilities

FILTER_BYTES_MAX: Final = 256 << 20


class Cursor(msgspec.Struct, frozen=True, array_like=True):
    """How far an operation is: which path of its filter, and the key of the last instance."""

    path_index: int = 0
    series_id: int = 0
    sop_instance_uid: str = ""
    filter_sha256: str = ""
    """Of the filter that ``path_index`` counts in."""

    def encode(self) -> str:
        """Give the text that an operation's row keeps."""
        return msgspec.json.encode(self).decode()


def parse_cursor(text: str) -> Cursor:
    """Give the cursor that an operation's row keeps."""
    return msgspec.json.decode(text, type=Cursor)


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Paths below each of which instances are taken; None is the whole store."""

    paths: Sequence[InstancePath | None]
    start: Cursor
    """After which instance the operation goes on."""
    changed_after: int = 0
    """The change of the store after which an instance was stored or changed."""

    def count(self, connection: Connection, store_id: int, *, horizon: int) -> int:
        """Give how many instances there are in all, of those stored up to ``horizon``."""
        return sum(
            exports.count_instances(
                connection,
                store_id,
                horizon=horizon,
                path=path,
                changed_after=self.changed_after,
            )
            for path in self.paths
        )

    def page(
        self, connection: Connection, store_id: int, *, horizon: int, after: Cursor, at_most: int
    ) -> Sequence[tuple[StoredInstance, Cursor]]:
        """Give the next instances, each with the cursor after it; none at the end."""
        key = (after.series_id, after.sop_instance_uid)
        for index in range(after.path_index, len(self.paths)):
            found = exports.list_instances(
                connection,
                store_id,
                horizon=horizon,
                path=self.paths[index],
                changed_after=self.changed_after,
                after=key,
                at_most=at_most,
            )
            if found:
                return [(one, Cursor(index, *one.key, self.start.filter_sha256)) for one in found]
            key = (0, "")
        return []


def read_selection(facilities: Facilities, operation: Operation) -> Selection:
    """Give what an operation is about, by its request: ``path``, or ``filterConfig``, or all.

    Raises
    ------
    NotFound
        If the filter is gone.
    InvalidArgument
        If a line of it is no path.
    FailedPrecondition
        If it was changed since the operation began.
    ResourceExhausted
        If it is too long.
    """
    start = parse_cursor(operation.cursor) if operation.cursor else Cursor()
    filter_config, path = operation.request.get("filterConfig"), operation.request.get("path")
    if isinstance(path, str):
        return Selection(paths=[parse_instance_path(path)], start=start)
    if not isinstance(filter_config, dict):
        return Selection(paths=[None], start=start)
    text = str(filter_config["resourcePathsGcsUri"])
    uri = parse_object_uri(text, facilities.buckets.roots)
    bucket = open_bucket(facilities.bucket(operation, uri.bucket_name, "read"))
    entry = bucket.find(uri.key)
    if entry is None:
        raise NotFound(f"the filter {uri} does not exist")
    if entry.size > FILTER_BYTES_MAX:
        raise ResourceExhausted(
            f"the filter {uri} has {entry.size} bytes; at most {FILTER_BYTES_MAX} are read:"
            " split it into several operations",
            "filter_config",
        )
    content = bucket.read(uri.key)
    sha256 = hashlib.sha256(content).hexdigest()
    if start.filter_sha256 not in {"", sha256}:
        raise FailedPrecondition(
            f"the filter {uri} was changed while the operation was under way: some of what it "
            "names is done already; start again",
            "filter_config",
        )
    start = msgspec.structs.replace(start, filter_sha256=sha256)
    return Selection(paths=_parse_paths(str(uri), content), start=start)


def _parse_paths(uri: str, content: bytes) -> list[InstancePath]:
    """Give the paths of a filter in order, without those that another one contains.

    References
    ----------
    Cloud Healthcare v1 ``DicomFilterConfig``.
    """
    paths = set()
    for number, line in enumerate(content.decode("utf-8-sig", "replace").splitlines(), 1):
        if not line.strip():
            continue
        try:
            paths.add(parse_instance_path(line))
        except InvalidArgument as error:
            raise InvalidArgument(
                f"line {number} of the filter {uri}: {error.message}", "filter_config"
            ) from error
    kept: list[InstancePath] = []
    # By their parts: as texts, study 1.2.3 would come between study 1.2 and a series of it.
    for path in sorted(paths, key=_parts):
        if not kept or not str(path).startswith(f"{kept[-1]}/"):
            kept.append(path)
    return kept


def _parts(path: InstancePath) -> tuple[str, str, str]:
    return (
        path.study_instance_uid,
        path.series_instance_uid or "",
        path.sop_instance_uid or "",
    )
