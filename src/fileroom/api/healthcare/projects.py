"""``projects``: those that own something here; any other valid name is one as well.

References
----------
Cloud Resource Manager API v1, projects.list
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from fileroom.api.wire import Message, json_answer
from fileroom.database.pages import (
    decode_page_token,
    encode_page_token,
    page_size_within_limits,
)
from fileroom.database.stores import list_project_ids

if TYPE_CHECKING:
    from fileroom.api.calls import Answer, Call

_LISTING = "projects"


class Project(Message):
    """``Project``."""

    project_id: str
    name: str
    lifecycle_state: Literal["ACTIVE"]


class ListProjectsResponse(Message):
    """``ListProjectsResponse``."""

    projects: tuple[Project, ...] = ()
    next_page_token: str = ""


def list_(call: Call) -> Answer:
    """Give the projects that own datasets or buckets, by name; those the caller may see."""
    buckets = call.deployment.buckets
    owners = (buckets.find(name) for name in buckets.names())
    with call.deployment.database.read() as connection:
        used = list_project_ids(connection)
    known = {*used, *(each.project for each in owners if each is not None and each.project)}
    known = _seen(call, known)
    after = ""
    if token := call.parameter("pageToken"):
        (after,) = decode_page_token(_LISTING, token, tuple[str])
    size = page_size_within_limits(call.page_size())
    ids = [each for each in sorted(known) if each > after]
    more = len(ids) > size
    return json_answer(
        ListProjectsResponse(
            projects=tuple(
                Project(project_id=each, name=each, lifecycle_state="ACTIVE") for each in ids[:size]
            ),
            next_page_token=encode_page_token(_LISTING, (ids[size - 1],)) if more else "",
        )
    )


def _seen(call: Call, known: set[str]) -> set[str]:
    """Give those on which the caller holds the permission, or in which something is theirs."""
    if call.principal.holds_all:
        return known
    authorizer = call.deployment.access.authorizer
    below = authorizer.projects_below(call.principal)
    return {
        each
        for each in known
        if each in below or authorizer.is_seen(call.principal, call.permission, each)
    }
