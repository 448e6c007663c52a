"""What anybody may ask without a token: whether the server lives, and what its API is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fileroom.api.calls import Answer
from fileroom.api.describe import discovery_document, openapi_document
from fileroom.api.requests import bind_query
from fileroom.api.token import SIGN_IN_PATH, sign_in
from fileroom.api.wire import json_answer
from fileroom.errors import InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fileroom.api.requests import Query
    from fileroom.deployment import Deployment

    PublicHandler = Callable[[Deployment, Query], Answer]

_OK: Final = Answer(media_type="text/plain; charset=UTF-8", body=b"ok\n")
_DISCOVERED: Final = ("v1", "v1beta1")


def _health(_deployment: Deployment, _query: Query) -> Answer:
    """Say that the process answers."""
    return _OK


def _ready(deployment: Deployment, _query: Query) -> Answer:
    """Say that the database and the directories are there."""
    deployment.ready()
    return _OK


def _discovery(deployment: Deployment, query: Query) -> Answer:
    """Give what Google's client generators and google-api-python-client are made from."""
    version = dict(bind_query(query, ("version",))).get("version", "v1")
    if version not in _DISCOVERED:
        raise InvalidArgument(
            f"there is no version {version[:40]!r}; use {' or '.join(_DISCOVERED)}", "version"
        )
    return json_answer(discovery_document(version, deployment.settings.public_url))


def _openapi(deployment: Deployment, _query: Query) -> Answer:
    """Give the same as OpenAPI 3.1."""
    return json_answer(openapi_document(deployment.settings.public_url))


PUBLIC: Final[Mapping[str, PublicHandler]] = {
    "/healthz": _health,
    "/readyz": _ready,
    "/$discovery/rest": _discovery,
    "/openapi.json": _openapi,
    SIGN_IN_PATH: sign_in,
}
