"""Which resource a request is about, as far as policies are concerned."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fileroom.api.storage.places import full_name
from fileroom.auth.authorize import Resource
from fileroom.names import DatasetName, DicomStoreName, LocationName, OperationName

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fileroom.api.calls import Call
    from fileroom.names import ResourceName
    from fileroom.objectstore.buckets import Buckets


def resource_of(path: Mapping[str, str], name: ResourceName | None, buckets: Buckets) -> Resource:
    """Give what a path is about; a bucket is its project's, and without one of no project."""
    match name:
        case LocationName():
            return Resource(shown=str(name), project=name.project)
        case DatasetName():
            return Resource(shown=str(name), project=name.parent.project, name=name)
        case DicomStoreName() | OperationName():
            return Resource(shown=str(name), project=name.parent.parent.project, name=name)
    if "bucket" in path:
        bucket = buckets.find(full_name(path["bucket"]))
        owner = "" if bucket is None else bucket.project or ""
        return Resource(shown=f"projects/_/buckets/{path['bucket']}", project=owner)
    return of_project(path["project"]) if "project" in path else Resource(shown="projects")


def of_project(project: str) -> Resource:
    """Give a project as a resource."""
    return Resource(shown=f"projects/{project}", project=project)


def require_of(call: Call, resource: Resource) -> None:
    """Let pass who holds the route's permission on one of the things that a request names.

    Raises
    ------
    PermissionDenied
        If the caller does not.
    """
    call.deployment.access.authorizer.require(call.principal, call.permission, resource)
