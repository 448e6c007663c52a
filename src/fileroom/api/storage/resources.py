"""Buckets and objects as Cloud Storage's JSON API shows them."""

from __future__ import annotations

from mimetypes import MimeTypes
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from fileroom.api.storage.places import SCHEME
from fileroom.api.wire import timestamp

if TYPE_CHECKING:
    from fileroom.api.calls import Call
    from fileroom.api.wire import JsonObject
    from fileroom.objectstore.buckets import BucketSettings
    from fileroom.objectstore.local import LocalObject, ObjectEntry

STORAGE_CLASS: Final = "STANDARD"
_DICOM: Final = "application/dicom"
_OTHER: Final = "application/octet-stream"
# Without the tables of the machine, which differ from one to the next.
_TYPES: Final = MimeTypes()


def bucket_resource(call: Call, bucket: BucketSettings) -> JsonObject:
    """Give a bucket."""
    name = bucket.name.removeprefix(SCHEME)
    return {
        "kind": "storage#bucket",
        "id": name,
        "name": name,
        "selfLink": f"{call.public_url}/storage/v1/b/{name}",
        "location": call.deployment.settings.locations[0].upper(),
        "locationType": "region",
        "storageClass": STORAGE_CLASS,
        "metageneration": "1",
        "etag": "1",
        "fileroom": {"allow": sorted(bucket.allow)},
    }


def object_resource(public_url: str, bucket: str, entry: ObjectEntry | LocalObject) -> JsonObject:
    """Give what is known of an object; a file keeps neither checksums nor a media type."""
    name, generation = quote(entry.key, safe=""), generation_of(entry)
    path = f"storage/v1/b/{bucket}/o/{name}"
    changed = timestamp(generation // 1000)
    return {
        "kind": "storage#object",
        "id": f"{bucket}/{entry.key}/{generation}",
        "selfLink": f"{public_url}/{path}",
        "mediaLink": f"{public_url}/download/{path}?generation={generation}&alt=media",
        "name": entry.key,
        "bucket": bucket,
        "generation": str(generation),
        "metageneration": "1",
        "contentType": content_type(entry.key),
        "storageClass": STORAGE_CLASS,
        "size": str(entry.size),
        "etag": entry.version,
        "timeCreated": changed,
        "updated": changed,
    }


def generation_of(entry: ObjectEntry | LocalObject) -> int:
    """Give the generation of an object: when its file was changed, in nanoseconds since 1970."""
    return int(entry.version.rsplit("-", 2)[0])


def content_type(key: str) -> str:
    """Give the media type that an object's name tells."""
    if key.lower().endswith((".dcm", ".dicom")):
        return _DICOM
    found, encoding = _TYPES.guess_type(f"/{key.rpartition('/')[2]}")
    return found if found is not None and encoding is None else _OTHER
