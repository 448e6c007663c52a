"""Buckets and objects as Cloud Storage's JSON API shows them."""

from __future__ import annotations

import hashlib
from mimetypes import MimeTypes
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from fileroom.api.storage.places import SCHEME
from fileroom.api.wire import timestamp
from fileroom.objectstore.checking import KINDS, kind_of

if TYPE_CHECKING:
    from fileroom.api.calls import Call
    from fileroom.api.wire import JsonObject
    from fileroom.objectstore.buckets import BucketSettings
    from fileroom.objectstore.contract import ObjectEntry, StoredObject

STORAGE_CLASS: Final = "STANDARD"
_DICOM: Final = "application/dicom"
_OTHER: Final = "application/octet-stream"
# Without the tables of the machine, which differ from one to the next.
_TYPES: Final = MimeTypes()


def bucket_id(bucket: BucketSettings) -> str:
    """Give the name that Cloud Storage's API knows a bucket by; of other clouds with the scheme."""
    return bucket.name.removeprefix(SCHEME)


def bucket_resource(call: Call, bucket: BucketSettings) -> JsonObject:
    """Give a bucket."""
    name = bucket_id(bucket)
    return {
        "kind": "storage#bucket",
        "id": name,
        "name": name,
        "selfLink": f"{call.public_url}/storage/v1/b/{quote(name, safe='')}",
        "location": call.deployment.settings.locations[0].upper(),
        "locationType": "region",
        "storageClass": STORAGE_CLASS,
        "metageneration": "1",
        "etag": "1",
        "fileroom": {
            "allow": sorted(bucket.allow),
            "kind": KINDS[kind_of(bucket)],
            "upload": bucket.path is not None and "write" in bucket.allow,
        },
    }


def object_resource(public_url: str, bucket: BucketSettings, entry: ObjectEntry) -> JsonObject:
    """Give what is known of an object: neither checksums nor the media type are asked for."""
    bucket_name, name, generation = (
        bucket_id(bucket),
        quote(entry.key, safe=""),
        generation_of(entry),
    )
    path = f"storage/v1/b/{quote(bucket_name, safe='')}/o/{name}"
    resource: JsonObject = {
        "kind": "storage#object",
        "id": f"{bucket_name}/{entry.key}/{generation}",
        "selfLink": f"{public_url}/{path}",
        "mediaLink": f"{public_url}/download/{path}?generation={generation}&alt=media",
        "name": entry.key,
        "bucket": bucket_name,
        "generation": str(generation),
        "metageneration": "1",
        "contentType": content_type(entry.key),
        "storageClass": STORAGE_CLASS,
        "size": str(entry.size),
        "etag": entry.version,
    }
    if entry.changed is not None:
        resource["timeCreated"] = resource["updated"] = timestamp(entry.changed)
    return resource


def generation_of(entry: ObjectEntry | StoredObject) -> int:
    """Give the generation of an object.

    Of a file when it was changed, in nanoseconds since 1970; in Cloud Storage its own; of an ETag
    a number that stands for it.
    """
    version = entry.version.rsplit("-", 2)[0]
    if version.isdecimal():
        return int(version)
    return int.from_bytes(hashlib.sha256(entry.version.encode()).digest()[:7])


def content_type(key: str) -> str:
    """Give the media type that an object's name tells."""
    if key.lower().endswith((".dcm", ".dicom")):
        return _DICOM
    found, encoding = _TYPES.guess_type(f"/{key.rpartition('/')[2]}")
    return found if found is not None and encoding is None else _OTHER
