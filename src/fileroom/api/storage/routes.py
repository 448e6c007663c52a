"""The methods of Cloud Storage's JSON API that there are, below roots of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fileroom.api.routing import Route
from fileroom.api.storage import buckets, objects, uploads
from fileroom.api.storage.buckets import NewBucket
from fileroom.auth.authorize import UNCONDITIONAL

if TYPE_CHECKING:
    from fileroom.api.calls import Handler

_BUCKETS: Final = "v1/b"
_BUCKET: Final = f"{_BUCKETS}/{{bucket}}"
_OBJECTS: Final = f"{_BUCKET}/o"
_OBJECT: Final = f"{_OBJECTS}/{{object}}"
_TAKEN: Final = ("projection", "userProject")
"""Parameters that Google's clients send and that change nothing here."""
_GENERATIONS: Final = ("generation", "ifGenerationMatch")


def _storage(
    method: str,
    verb: str,
    template: str,
    handler: Handler,
    query: tuple[str, ...] = (),
    *,
    per_item: bool = False,
) -> Route:
    return Route(
        f"storage.{method}",
        verb,
        template,
        f"storage.{method}",
        handler,
        query=(*query, *_TAKEN),
        versions=("storage",),
        per_item=per_item,
    )


def _upload(method: str, verb: str, handler: Handler, query: tuple[str, ...]) -> Route:
    begin = {"POST": uploads.begin_insert, "PUT": uploads.begin_resume}.get(verb)
    return Route(
        f"storage.objects.{method}",
        verb,
        f"storage/{_OBJECTS}",
        "storage.objects.create",
        handler,
        query=(*query, *_TAKEN),
        versions=("upload",),
        upload=begin,
    )


STORAGE_ROUTES: Final = (
    _storage(
        "buckets.list",
        "GET",
        _BUCKETS,
        buckets.list_,
        ("project", "prefix", "maxResults", "pageToken"),
        per_item=True,
    ),
    Route(
        "storage.buckets.insert",
        "POST",
        _BUCKETS,
        "storage.buckets.create",
        buckets.insert,
        request=NewBucket,
        query=("project", *_TAKEN),
        versions=("storage",),
    ),
    _storage("buckets.get", "GET", _BUCKET, buckets.get),
    Route(
        "storage.buckets.testIamPermissions",
        "GET",
        f"{_BUCKET}/iam/testPermissions",
        UNCONDITIONAL,
        buckets.test_iam_permissions,
        query=("permissions", *_TAKEN),
        versions=("storage",),
    ),
    _storage(
        "objects.list",
        "GET",
        _OBJECTS,
        objects.list_,
        (
            "prefix",
            "delimiter",
            "matchGlob",
            "startOffset",
            "endOffset",
            "maxResults",
            "pageToken",
            "versions",
            "includeTrailingDelimiter",
            "includeFoldersAsPrefixes",
        ),
    ),
    _storage("objects.get", "GET", _OBJECT, objects.get, _GENERATIONS),
    Route(
        "storage.objects.download",
        "GET",
        f"storage/{_OBJECT}",
        "storage.objects.get",
        objects.get,
        query=(*_GENERATIONS, *_TAKEN),
        versions=("download",),
    ),
    _upload("insert", "POST", uploads.insert, ("name", "ifGenerationMatch")),
    _upload("resume", "PUT", uploads.resume, ("upload_id",)),
    _upload("cancelResumable", "DELETE", uploads.cancel, ("upload_id",)),
)
