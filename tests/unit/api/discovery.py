"""The Cloud Healthcare API's own description, as google-api-python-client carries it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import googleapiclient

if TYPE_CHECKING:
    from collections.abc import Iterator

_DOCUMENTS: Final = Path(googleapiclient.__file__).parent / "discovery_cache" / "documents"
_OTHERS: Final = frozenset(
    {"consentStores", "dataMapperWorkspaces", "fhirStores", "hl7V2Stores", "services"}
)
_METHODS: Final = "healthcare.projects.locations."


@dataclass(frozen=True, slots=True, kw_only=True)
class DiscoveredMethod:
    """A method that the documentation lists."""

    id: str
    verb: str
    path: str
    query: frozenset[str]
    request: str | None


@cache
def document(version: str) -> dict[str, Any]:
    """Give the description of one version."""
    content: dict[str, Any] = json.loads((_DOCUMENTS / f"healthcare.{version}.json").read_bytes())
    return content


def discovered_methods(version: str) -> list[DiscoveredMethod]:
    """Give the methods about DICOM and what it hangs on."""
    return list(_walk(document(version)["resources"]["projects"]["resources"]["locations"]))


def _walk(resource: dict[str, Any]) -> Iterator[DiscoveredMethod]:
    for method in resource.get("methods", {}).values():
        yield DiscoveredMethod(
            id=method["id"].removeprefix(_METHODS),
            verb=method["httpMethod"],
            path="/" + method["flatPath"],
            query=frozenset(
                name for name, each in method["parameters"].items() if each["location"] == "query"
            ),
            request=method.get("request", {}).get("$ref"),
        )
    for name, inner in resource.get("resources", {}).items():
        if name not in _OTHERS:
            yield from _walk(inner)
