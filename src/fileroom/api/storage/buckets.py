"""``buckets`` of Cloud Storage's JSON API: those of the settings, and directories beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fileroom.api.authorizing import resource_of
from fileroom.api.storage.places import PERMISSIONS, SCHEME, get_bucket
from fileroom.api.storage.resources import bucket_resource
from fileroom.api.wire import Message, json_answer
from fileroom.database.pages import (
    PAGE_SIZE_MAX,
    decode_page_token,
    encode_page_token,
    page_size_within_limits,
)
from fileroom.errors import InvalidArgument

if TYPE_CHECKING:
    from fileroom.api.calls import Answer, Call
    from fileroom.api.wire import JsonObject

_OF_BUCKETS: Final = ("storage.buckets.get",)


class NewBucket(Message):
    """``Bucket``, as far as one is made of it."""

    name: str = ""
    location: str = ""
    storage_class: str = ""


def list_(call: Call) -> Answer:
    """Give the buckets of a project by name; those of no project belong to each."""
    project, prefix = call.parameter("project"), call.parameter("prefix") or ""
    listing = f"buckets of {project} that begin with {prefix}"
    after = ""
    if token := call.parameter("pageToken"):
        (after,) = decode_page_token(listing, token, tuple[str])
    size = page_size_within_limits(call.whole_number("maxResults", "max_results") or PAGE_SIZE_MAX)
    buckets, authorizer = call.deployment.buckets, call.deployment.access.authorizer
    found: list[JsonObject] = []
    next_page_token = ""
    for name in sorted(buckets.names(), key=lambda name: name.removeprefix(SCHEME)):
        plain = name.removeprefix(SCHEME)
        if plain <= after or not plain.startswith(prefix):
            continue
        bucket = buckets.find(name)
        if bucket is None or (project and bucket.project not in {None, project}):
            continue
        if not authorizer.is_seen(call.principal, call.permission, bucket.project or ""):
            continue
        if len(found) == size:
            next_page_token = encode_page_token(listing, (found[-1]["name"],))
            break
        found.append(bucket_resource(call, bucket))
    content: JsonObject = {"kind": "storage#buckets", "items": found}
    if next_page_token:
        content["nextPageToken"] = next_page_token
    return json_answer({name: value for name, value in content.items() if value})


def get(call: Call) -> Answer:
    """Give a bucket."""
    return json_answer(bucket_resource(call, get_bucket(call)))


def insert(call: Call) -> Answer:
    """Make a bucket in the data directory."""
    name = call.request_as(NewBucket).name
    if not name:
        raise InvalidArgument("name is required, as in {'name': 'scans'}", "name")
    return json_answer(bucket_resource(call, call.deployment.buckets.create(name)))


def test_iam_permissions(call: Call) -> Answer:
    """Give those of the permissions asked for that settings and policies grant in a bucket."""
    granted = _granted(call)
    asked = [value for name, value in call.query if name == "permissions"]
    held = [permission for permission in asked if permission in granted]
    content: JsonObject = {"kind": "storage#testIamPermissionsResponse"}
    return json_answer(content | ({"permissions": held} if held else {}))


def _granted(call: Call) -> set[str]:
    """Give what the caller may do in the bucket; who may do nothing there is told of none."""
    authorizer, holds_all = call.deployment.access.authorizer, call.principal.holds_all
    resource = resource_of(call.path, None, call.deployment.buckets)
    held = None if holds_all else authorizer.held(call.principal, resource)
    if held is not None and not any(each.startswith("storage.") for each in held):
        return set()
    bucket = get_bucket(call)
    granted = {*_OF_BUCKETS}
    for right, permissions in PERMISSIONS.items():
        if right in bucket.allow:
            granted.update(permissions)
    return granted if held is None else granted & held
