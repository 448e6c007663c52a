"""Which bucket a request means, and what may be done with it."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from fileroom.errors import (
    DataLoss,
    FileroomError,
    Internal,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    Unavailable,
    Unknown,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fileroom.api.calls import Call
    from fileroom.objectstore.buckets import BucketSettings
    from fileroom.objectstore.contract import Right

SCHEME: Final = "gs://"
PERMISSIONS: Final[dict[Right, tuple[str, ...]]] = {
    "read": ("storage.objects.get", "storage.objects.list"),
    "write": ("storage.objects.create",),
    "delete": ("storage.objects.delete",),
}
"""What each right of a bucket allows to do with its objects."""
_LOGGED: Final = (DataLoss, Internal, ResourceExhausted, Unavailable, Unknown)
_NAMED: Final = re.compile(
    r"""\b(object|directory) (?:'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*")""", re.DOTALL
)


def full_name(bucket: str) -> str:
    """Give the name of the bucket that a path means; one of Cloud Storage is plain there."""
    return bucket if "://" in bucket else f"{SCHEME}{bucket}"


def get_bucket(call: Call) -> BucketSettings:
    """Give the bucket of the path; NotFound where there is none."""
    name = full_name(call.path["bucket"])
    bucket = call.deployment.buckets.find(name)
    if bucket is None:
        raise NotFound(
            f"The specified bucket does not exist: {name}. Create it, or name its directory under"
            f' [buckets."{name}"] in the settings.',
            "bucket",
        )
    return bucket


def permitted(call: Call, right: Right) -> BucketSettings:
    """Give the bucket of the path, which the settings open for this.

    Raises
    ------
    NotFound
        If there is no such bucket.
    PermissionDenied
        If the settings do not allow it.
    """
    bucket = get_bucket(call)
    if right not in bucket.allow:
        raise PermissionDenied(
            f"{call.principal.name} does not have {call.permission} access to bucket"
            f" {bucket.name!r}: an operator grants it with {right!r} among allow under"
            f' [buckets."{bucket.name}"] in the settings',
            "bucket",
        )
    return bucket


@contextmanager
def unnamed() -> Iterator[None]:
    """Leave the names of objects, which may be a patient's, out of errors that the log is told."""
    try:
        yield
    except FileroomError as error:
        if not isinstance(error, _LOGGED):
            raise
        raise type(error)(without_names(error.message), error.detail) from None


def without_names(message: str) -> str:
    """Give a message without the names of objects and directories."""
    return _NAMED.sub(r"the \1", message)
