"""``projects.locations``: where datasets may be.

Any valid project and location exists; the list shows the configured ones and those in use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fileroom.api.wire import ListLocationsResponse, Location, json_answer
from fileroom.database.pages import (
    decode_page_token,
    encode_page_token,
    page_size_within_limits,
)
from fileroom.database.stores import list_location_ids
from fileroom.names import LocationName

if TYPE_CHECKING:
    from fileroom.api.calls import Answer, Call


def get(call: Call) -> Answer:
    """Give a location."""
    return json_answer(_location(call.location))


def list_(call: Call) -> Answer:
    """Give the locations of a project by name."""
    project = call.path["project"]
    with call.deployment.database.read() as connection:
        used = list_location_ids(connection, project)
    listing = f"locations of {project}"
    after = ""
    if token := call.parameter("pageToken"):
        (after,) = decode_page_token(listing, token, tuple[str])
    size = page_size_within_limits(call.page_size())
    ids = [each for each in sorted({*call.deployment.settings.locations, *used}) if each > after]
    more = len(ids) > size
    return json_answer(
        ListLocationsResponse(
            locations=[_location(LocationName(project, each)) for each in ids[:size]],
            next_page_token=encode_page_token(listing, (ids[size - 1],)) if more else "",
        )
    )


def _location(name: LocationName) -> Location:
    return Location(name=str(name), location_id=name.location)
