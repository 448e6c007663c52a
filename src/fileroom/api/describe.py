"""The API described from its route table: for Google's client generators, and as OpenAPI.

References
----------
Google API Discovery Service, RestDescription; OpenAPI 3.1
"""

from __future__ import annotations

import re
from functools import cache
from importlib.metadata import version as version_of
from typing import TYPE_CHECKING, Final

import msgspec

from fileroom.api import meanings
from fileroom.api.dicomweb.rendered import RENDERED_PARAMETERS, THUMBNAIL_PARAMETERS
from fileroom.api.field_meanings import FIELDS
from fileroom.api.later import Later
from fileroom.api.routes import ROUTES
from fileroom.api.routing import VERSIONS
from fileroom.api.wire import (
    BigQueryDestination,
    Empty,
    GcsDestination,
    GcsSource,
    HttpBody,
    JsonObject,
    Status,
    StreamConfig,
)
from fileroom.auth.authorize import UNCONDITIONAL

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from fileroom.api.routing import Route

_SCOPES: Final = {
    "https://www.googleapis.com/auth/cloud-healthcare": {"description": "The healthcare data"},
    "https://www.googleapis.com/auth/cloud-platform": {"description": "All of a project"},
}
_PREFIXED: Final = frozenset(
    each.__name__ for each in (BigQueryDestination, GcsDestination, GcsSource, StreamConfig)
)
"""Messages whose name here is shorter than Google's, which tells the version."""
_VARIABLES: Final = {
    "datasets.list": "parent",
    "datasets.create": "parent",
    "datasets.deidentify": "sourceDataset",
    "datasets.dicomStores.list": "parent",
    "datasets.dicomStores.create": "parent",
    "datasets.dicomStores.deidentify": "sourceStore",
    "getIamPolicy": "resource",
    "setIamPolicy": "resource",
    "testIamPermissions": "resource",
    "setBlobStorageSettings": "resource",
    "getStorageInfo": "resource",
    "getStudyMetrics": "study",
    "getSeriesMetrics": "series",
}
"""What Google calls the resource in a path, by method or by its last word; else ``name``."""
_HANDLERS_QUERY: Final = {
    "retrieveRendered": RENDERED_PARAMETERS,
    "retrieveThumbnail": THUMBNAIL_PARAMETERS,
    "searchForStudies": meanings.SEARCH_PARAMETERS,
    "searchForSeries": meanings.SEARCH_PARAMETERS,
    "searchForInstances": meanings.SEARCH_PARAMETERS,
}
"""What handlers read from the query by themselves; a search takes any attribute beside."""
_QUERY_TYPES: Final[dict[str, JsonObject]] = {
    "fuzzymatching": {"type": "boolean"},
    "limit": {"type": "integer", "format": "int32"},
    "offset": {"type": "integer", "format": "int32"},
    "pageSize": {"type": "integer", "format": "int32"},
    "maxResults": {"type": "integer", "format": "int32"},
    "options.requestedPolicyVersion": {"type": "integer", "format": "int32"},
    "permissions": {"type": "array", "items": {"type": "string"}},
    "returnPartialSuccess": {"type": "boolean"},
    "updateMask": {"type": "string", "format": "google-fieldmask"},
}
_EVERYWHERE: Final[JsonObject] = {
    "$.xgafv": {"type": "string", "location": "query", "enum": ["1", "2"]},
    "access_token": {"type": "string", "location": "query"},
    "alt": {"type": "string", "location": "query", "default": "json", "enum": ["json", "media"]},
    "callback": {"type": "string", "location": "query"},
    "fields": {"type": "string", "location": "query"},
    "key": {"type": "string", "location": "query"},
    "oauth_token": {"type": "string", "location": "query"},
    "prettyPrint": {"type": "boolean", "location": "query", "default": "true"},
    "quotaUser": {"type": "string", "location": "query"},
    "uploadType": {"type": "string", "location": "query"},
    "upload_protocol": {"type": "string", "location": "query"},
}
_REFERENCE: Final = "#/components/schemas/{name}"


# ------------------------------------------------------------------ discovery


@cache
def discovery_document(version: str, public_url: str) -> JsonObject:
    """Give the description of one version of the API, in the form of Google's own.

    ``public_url`` is where its clients are to find this server.
    """
    root = public_url.rstrip("/") + "/"
    tree: JsonObject = {}
    routes = [route for route in ROUTES if version in route.versions]
    for method_id in dict.fromkeys(route.method_id for route in routes):
        same = [route for route in routes if route.method_id == method_id]
        *resources, name = f"projects.locations.{method_id}".split(".")
        place = tree
        for resource in resources:
            place = place.setdefault("resources", {}).setdefault(resource, {})
        place.setdefault("methods", {})[name] = _method(same, version)
    return {
        "kind": "discovery#restDescription",
        "discoveryVersion": "v1",
        "protocol": "rest",
        "id": f"healthcare:{version}",
        "name": "healthcare",
        "canonicalName": "Cloud Healthcare",
        "version": version,
        "revision": version_of("fileroom"),
        "title": "Cloud Healthcare API",
        "description": "Fileroom: datasets, DICOM stores and their operations.",
        "rootUrl": root,
        "baseUrl": root,
        "servicePath": "",
        "basePath": "",
        "batchPath": "batch",
        "fullyEncodeReservedExpansion": True,
        "auth": {"oauth2": {"scopes": _SCOPES}},
        "parameters": _EVERYWHERE,
        "schemas": {
            (full := _google_name(name, version)): _discovered(schema, version) | {"id": full}
            for name, schema in message_schemas(version).items()
        },
        **tree,
    }


def _method(same: list[Route], version: str) -> JsonObject:
    """Describe one method; ``same`` are its routes, which differ in their path only."""
    route = same[0]
    path, parameters = _expanded(same)
    parameters |= {
        name: schema | {"location": "query", "description": meanings.parameter_meaning(route, name)}
        for name, schema in query_parameters(route)
    }
    method: JsonObject = {
        "id": f"healthcare.projects.locations.{route.method_id}",
        "description": summary(route),
        "httpMethod": route.verb,
        "path": f"{version}/{path}",
        "flatPath": f"{version}/{_plain(route)}",
        "parameterOrder": [n for n, each in parameters.items() if each["location"] == "path"],
        "parameters": parameters,
        "response": {"$ref": _google_name((route.response or HttpBody).__name__, version)},
        "scopes": list(_SCOPES),
    }
    if (request := request_message(route)) is not None:
        method["request"] = {"$ref": _google_name(request.__name__, version)}
    return method


def _expanded(same: list[Route]) -> tuple[str, JsonObject]:
    """Give a path of Google's kind, whose variables span several segments, and those variables."""
    route = same[0]
    store, _, below = route.template.partition("/dicomWeb/")
    if below and ":" not in below:
        # Google's document has this suffix outside of the variable, in these methods only.
        suffix = "/metadata" if route.verb == "PATCH" else ""
        return f"{{+parent}}/dicomWeb/{{+dicomWebPath}}{suffix}", {
            "parent": _path_parameter([store]),
            "dicomWebPath": _path_parameter(
                each.template.partition("/dicomWeb/")[2].removesuffix(suffix) for each in same
            ),
        }
    if "{" not in route.template:
        return route.template, {}
    end = route.template.rindex("}") + 1
    last = route.method_id.rpartition(".")[2]
    name = _VARIABLES.get(route.method_id) or _VARIABLES.get(last, "name")
    resources = (each.template[: each.template.rindex("}") + 1] for each in same)
    return f"{{+{name}}}{route.template[end:]}", {name: _path_parameter(resources)}


def _path_parameter(templates: Iterable[str]) -> JsonObject:
    patterns = [re.sub(r"\{\w+\}", "[^/]+", re.sub(r"\{\w+\+\}", ".*", each)) for each in templates]
    pattern = patterns[0] if len(patterns) == 1 else f"(?:{'|'.join(patterns)})"
    return {"type": "string", "location": "path", "required": True, "pattern": f"^{pattern}$"}


def _discovered(schema: JsonObject, version: str) -> JsonObject:
    """Give a JSON schema as discovery documents write one."""
    if "anyOf" in schema:  # a message that may be absent, which every field may be
        return _discovered(schema["anyOf"][0], version)
    if "$ref" in schema:
        return {"$ref": _google_name(schema["$ref"].rpartition("/")[2], version)}
    if "enum" in schema:
        return {"type": "string", "enum": schema["enum"]}
    found = {"type": schema.get("type", "any")}
    if "items" in schema:
        found["items"] = _discovered(schema["items"], version)
    if "properties" in schema:
        found["properties"] = {
            name: _discovered(each, version) | {"description": each["description"]}
            for name, each in schema["properties"].items()
        }
    elif found["type"] == "object":
        found["additionalProperties"] = _discovered(schema.get("additionalProperties", {}), version)
    return found


# ------------------------------------------------------------------ OpenAPI


@cache
def openapi_document(public_url: str) -> JsonObject:
    """Give the same as OpenAPI 3.1: what v1 has, what v1beta1 has beside it, and other roots."""
    paths: JsonObject = {}
    for route in ROUTES:
        path = f"/{root_of(route)}/{_plain(route)}"
        paths.setdefault(path, {})[route.verb.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Fileroom",
            "version": version_of("fileroom"),
            "summary": "The Cloud Healthcare API v1 for DICOM.",
        },
        "servers": [{"url": public_url.rstrip("/")}],
        "security": [{"token": []}],
        "tags": [
            {"name": name, "description": meaning} for name, meaning in meanings.RESOURCES.items()
        ],
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": message_schemas(),
            "responses": {
                "Error": {
                    "description": "What is wrong, and what to do.",
                    "content": {
                        "application/json": {
                            "schema": {
                                "type": "object",
                                "properties": {"error": _reference(Status)},
                            }
                        }
                    },
                }
            },
        },
    }


def _operation(route: Route) -> JsonObject:
    variables = re.findall(r"\{(\w+)\}", _plain(route))
    operation: JsonObject = {
        "operationId": ".".join([route.method_id, *variables[-1:]]),
        "summary": summary(route),
        "description": _needs(route),
        "tags": [meanings.resource_of(route)],
        "parameters": [
            *({"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
              for name in variables),
            *({"name": name, "in": "query", "schema": each,
               "description": meanings.parameter_meaning(route, name)}
              for name, each in query_parameters(route)),
        ],
        "responses": {"default": {"$ref": "#/components/responses/Error"}},
    }  # fmt: skip
    if isinstance(route.handler, Later):
        operation["responses"]["501"] = {"$ref": "#/components/responses/Error"}
        return operation
    content: JsonObject = {"*/*": {}}
    if route.response is not None:
        content = {"application/json": {"schema": _reference(route.response)}}
    done = meanings.answer_meaning(route) or "Done."
    operation["responses"]["200"] = {"description": done, "content": content}
    request = request_message(route)
    if request is HttpBody:
        meant = meanings.request_meaning(route)
        operation["requestBody"] = {
            "description": meant,
            "content": {"*/*": {}},
            "required": True,
        }
    elif request is not None:
        operation["requestBody"] = {
            "content": {"application/json": {"schema": _reference(request)}}
        }
    return operation


# ------------------------------------------------------------------ both


@cache
def message_schemas(version: str | None = None) -> JsonObject:
    """Give the JSON schemas of all messages, or of a version's; each field with what it means."""
    messages = {HttpBody, Status, Empty}
    for route in ROUTES:
        if version is None or version in route.versions:
            messages |= {each for each in (route.request, route.response) if each}
    in_order = sorted(messages, key=lambda each: each.__name__)
    schemas = dict(msgspec.json.schema_components(in_order, ref_template=_REFERENCE)[1])
    for name, schema in schemas.items():
        for field, each in schema["properties"].items():
            each["description"] = FIELDS[f"{name}.{field}"]
    return schemas


def _google_name(name: str, version: str) -> str:
    prefix = f"GoogleCloudHealthcare{version.capitalize()}Dicom" if name in _PREFIXED else ""
    return prefix + name


def _reference(message: type[msgspec.Struct]) -> JsonObject:
    return {"$ref": _REFERENCE.format(name=message.__name__)}


def request_message(route: Route) -> type[msgspec.Struct] | None:
    """Give the message of a method's body; ``HttpBody`` where it is none of the API's."""
    if route.request is None and (route.upload is not None or route.has_document):
        return HttpBody
    return route.request


def query_parameters(route: Route) -> Iterator[tuple[str, JsonObject]]:
    """Give the query parameters of a method, each with its type."""
    names = route.query
    if names is None:
        names = _HANDLERS_QUERY.get(route.method_id.rpartition(".")[2], ())
    for name in names:
        yield name, dict(_QUERY_TYPES.get(name, {"type": "string"}))


def root_of(route: Route) -> str:
    """Give what a method's path begins with: of several versions the first."""
    return next((each for each in VERSIONS if each in route.versions), route.versions[0])


def _plain(route: Route) -> str:
    return route.template.replace("+}", "}")


def _needs(route: Route) -> str:
    needed = f"Needs the permission `{route.permission}`."
    if route.permission == UNCONDITIONAL:
        needed = "Answers every caller."
    if meanings.resource_of(route) == meanings.SEARCH:
        return f"{meanings.SEARCH_KEYS} {needed}"
    return needed


def summary(route: Route) -> str:
    """Say what a method does: in words of its own, or the first sentence of what answers it."""
    if isinstance(route.handler, Later):
        return f"Answers 501 in this version: {route.handler.meanwhile}."
    if (meant := meanings.SUMMARIES.get(route.method_id)) is not None:
        return meant
    first, _, _ = (route.handler.__doc__ or "").partition("\n\n")
    return re.sub(r"\s+", " ", first.replace("``", "`")).strip()
