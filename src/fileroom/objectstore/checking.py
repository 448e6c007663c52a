"""Whether a bucket can be used as the settings say, and what is missing if not."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from fileroom.errors import FileroomError, NotFound, ResourceExhausted, Unavailable
from fileroom.objectstore.buckets import open_bucket
from fileroom.objectstore.contract import BUCKET_SETTINGS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fileroom.objectstore.buckets import BucketSettings
    from fileroom.objectstore.contract import Right

RIGHTS_IN_ORDER: Final[tuple[Right, ...]] = ("read", "write", "delete")
KINDS: Final = {
    "file": "directory",
    "gs": "Cloud Storage",
    "s3": "S3",
    "az": "Azure Blob Storage",
}
NEEDED: Final[dict[str, dict[Right, str]]] = {
    "gs": {
        "read": "roles/storage.objectViewer (storage.objects.list, storage.objects.get)",
        "write": "roles/storage.objectUser (storage.objects.create, and .delete to overwrite)",
        "delete": "roles/storage.objectUser (storage.objects.delete)",
    },
    "s3": {
        "read": "s3:ListBucket on the bucket and s3:GetObject on its objects",
        "write": "s3:PutObject and s3:AbortMultipartUpload on its objects",
        "delete": "s3:DeleteObject on its objects",
    },
    "az": {
        "read": "Storage Blob Data Reader, or a SAS with list and read",
        "write": "Storage Blob Data Contributor, or a SAS with create and write",
        "delete": "Storage Blob Data Contributor, or a SAS with delete",
    },
    "file": {
        "read": "that the server's user may read and enter the directory",
        "write": "that the server's user may write in the directory",
        "delete": "that the server's user may write in the directory",
    },
}
"""What the credentials of a bucket need for a right, by its kind."""


class State(StrEnum):
    """What became of trying a right."""

    WORKS = "works"
    FAILS = "fails"
    CLOSED = "not opened"
    """The settings do not allow it, so it was not tried."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One right of a bucket, tried."""

    right: Right
    state: State
    message: str
    """What was done, or went wrong."""
    remedy: str = ""
    """What to do where it fails or is closed."""


def kind_of(settings: BucketSettings) -> str:
    """Give ``gs``, ``s3``, ``az``, or ``file`` for a local directory."""
    return "file" if settings.path is not None else settings.name.partition("://")[0]


def check_bucket(settings: BucketSettings) -> Iterator[Finding]:
    """Try each right that the settings open, leaving no trace in the bucket."""
    bucket = open_bucket(settings)
    for right in RIGHTS_IN_ORDER:
        if right not in settings.allow:
            yield Finding(
                right=right,
                state=State.CLOSED,
                message="the settings do not allow it",
                remedy=f'add "{right}" to allow under [buckets."{settings.name}"]',
            )
            continue
        try:
            done = bucket.probe(right)
        except FileroomError as error:
            yield Finding(
                right=right,
                state=State.FAILS,
                message=error.message,
                remedy=_remedy(error, settings, right),
            )
        else:
            yield Finding(right=right, state=State.WORKS, message=done)


def _remedy(error: FileroomError, settings: BucketSettings, right: Right) -> str:
    table = f'[buckets."{settings.name}"]'
    match error:
        case Unavailable() | NotFound() if settings.path is not None:
            return f"make or mount {settings.path}, or name another directory under {table}"
        case Unavailable() if error.detail == BUCKET_SETTINGS:
            return f"correct credentials, region or endpoint under {table}, or renew what they name"
        case Unavailable():
            return f"see whether the endpoint under {table} is right and answers this machine"
        case NotFound():
            return f"make the bucket, or correct its name or endpoint under {table}"
        case ResourceExhausted():
            return "make room, or have the quota raised"
        case _:
            return f"it needs {NEEDED[kind_of(settings)][right]}"
