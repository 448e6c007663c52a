"""The parts of docs/reference/api.md that are written from the route table and its descriptions."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from fileroom.api.describe import (
    message_schemas,
    query_parameters,
    request_message,
    root_of,
    summary,
)
from fileroom.api.later import Later
from fileroom.api.meanings import (
    REQUESTS,
    RESOURCES,
    SEARCH,
    SEARCH_KEYS,
    answer_meaning,
    last_word,
    parameter_meaning,
    resource_of,
)
from fileroom.api.public import PUBLIC
from fileroom.api.routes import DATASET, LOCATION, OPERATION, ROUTES, STORE
from fileroom.api.routing import VERSIONS
from fileroom.api.wire import Empty, HttpBody, Status
from tests.api_examples import EXAMPLES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from fileroom.api.routing import Route
    from fileroom.api.wire import JsonObject

_SERVER: Final = "Server"


def contents() -> str:
    """Give the groups of methods, each with its methods."""
    lines = [
        f"- [{resource}](#{_anchor(resource)}): "
        + ", ".join(f"[{_brief(same[0])}](#{_anchor(_title(same[0]))})" for same in methods)
        for resource, methods in _by_resource()
    ]
    lines.append(
        f"- [{_SERVER}](#{_anchor(_SERVER)}): " + ", ".join(f"`{each}`" for each in PUBLIC)
    )
    lines.append("- [Messages](#messages): the fields of requests and answers")
    lines.append("- [All routes](#all-routes) in one table")
    return "\n".join(lines)


def reference() -> str:
    """Give each method by its group, then what anybody may ask."""
    return "\n\n".join(_reference())


def _reference() -> Iterator[str]:
    for resource, methods in _by_resource():
        yield f"## {resource}\n\n{RESOURCES[resource]}"
        if resource == SEARCH:
            yield SEARCH_KEYS
            yield _parameters(methods[0][0])
        for same in methods:
            yield from _method(same)
    yield f"## {_SERVER}\n\nAnswered to anybody, without a token."
    yield _table(
        "route | what it does",
        ((f"`GET {path}`", _sentence(handler.__doc__)) for path, handler in PUBLIC.items()),
    )


def messages() -> str:
    """Give the fields of each message."""
    return "\n\n".join(
        f"### `{name}`\n\n" + _table("field | type | meaning", _fields(name))
        for name in sorted(_told())
        if message_schemas()[name]["properties"]
    )


def routes() -> str:
    """Give the table of all routes."""
    return _table(
        "method | route | permission | offered",
        (
            (
                f"[`{route.method_id}`](#{_anchor(_title(route))})",
                f"`{_request_line(route)}`",
                f"`{route.permission}`",
                "later" if isinstance(route.handler, Later) else _versions(route, "yes"),
            )
            for route in ROUTES
        ),
    )


def _by_resource() -> Iterator[tuple[str, list[list[Route]]]]:
    """Give each group with its methods; the routes of a method differ in their path only."""
    for resource in RESOURCES:
        methods: dict[str, list[Route]] = {}
        for route in ROUTES:
            if resource_of(route) == resource:
                methods.setdefault(route.method_id, []).append(route)
        yield resource, list(methods.values())


def _method(same: list[Route]) -> Iterator[str]:
    route = same[0]
    yield f"### `{_title(route)}`"
    if isinstance(route.handler, Later):
        yield f"*Later*: answers 501. Meanwhile: {route.handler.meanwhile}."
    else:
        yield summary(route)
    lines = "\n".join(_request_line(each) for each in same)
    yield f"```http\n{lines}\n```"
    yield "\n".join(f"- {fact}" for fact in _facts(route))
    if isinstance(route.handler, Later):
        return
    if next(query_parameters(route), None) and resource_of(route) != SEARCH:
        yield _parameters(route)
    if (example := EXAMPLES.get(route.method_id)) is not None:
        yield f"```sh\n{example}\n```"


def _parameters(route: Route) -> str:
    return _table(
        "query parameter | meaning",
        ((f"`{name}`", parameter_meaning(route, name)) for name, _ in query_parameters(route)),
    )


def _facts(route: Route) -> Iterator[str]:
    yield f"**Permission** `{route.permission}`"
    if root_of(route) in VERSIONS:
        yield f"**Versions** {_versions(route, ', '.join(VERSIONS))}"
    request = request_message(route)
    if request is HttpBody:
        yield f"**Body** {REQUESTS[last_word(route)]}"
    elif request is not None:
        yield f"**Body** {_message(request.__name__)}"
    if isinstance(route.handler, Later):
        return
    if route.response is Empty:
        yield "**Answer** nothing, `{}`"
    elif route.response is not None:
        yield f"**Answer** {_message(route.response.__name__)}"
    else:
        yield f"**Answer** {answer_meaning(route)}"


def _message(name: str) -> str:
    if not message_schemas()[name]["properties"]:
        return "nothing, `{}`"
    return f"[`{name}`](#{_anchor(name)})"


def _told() -> set[str]:
    """Give the messages that stand for themselves; others are told within them."""
    kinds = {each for route in ROUTES for each in (route.request, route.response) if each}
    return {each.__name__ for each in kinds | {Status}}


def _fields(name: str, before: str = "") -> Iterator[tuple[str, ...]]:
    for field, schema in message_schemas()[name]["properties"].items():
        written, inner = _type(schema)
        yield f"`{before}{field}`", written, schema["description"]
        if inner:
            listed = "[]" if schema.get("type") == "array" else ""
            yield from _fields(inner, f"{before}{field}{listed}.")


def _type(schema: JsonObject) -> tuple[str, str]:
    """Give a field's type in words, and the message that is to be told within it."""
    match schema:
        case {"anyOf": [first, *_]}:
            return _type(first)
        case {"$ref": reference}:
            name = reference.rpartition("/")[2]
            return (_message(name), "") if name in _told() else ("message", name)
        case {"type": "array", "items": items}:
            written, inner = _type(items)
            return f"list of {written if '(' in written else f'{written}s'}", inner
        case {"type": "object", "additionalProperties": {"type": kind}}:
            return f"map of {kind}s", ""
        case {"enum": _}:
            return "string", ""
        case {"type": kind}:
            return kind, ""
    return "any", ""


def _title(route: Route) -> str:
    return route.method_id if "." in route.method_id else f"locations.{route.method_id}"


def _brief(route: Route) -> str:
    """Give a method's id without the resource that its group is about."""
    owner = r"^(datasets|fileroom)\.((dicomStores|operations|dicomWeb)\.)*"
    return re.sub(owner, "", route.method_id)


def _request_line(route: Route) -> str:
    return f"{route.verb} /{root_of(route)}/{_short(route.template).replace('+}', '}')}"


def _short(template: str) -> str:
    """Write a resource's name as one word, the longest first."""
    for word, name in (
        ("{dicomStore}", STORE),
        ("{operation}", OPERATION),
        ("{dataset}", DATASET),
        ("{location}", LOCATION),
    ):
        if template.startswith(name):
            return word + template.removeprefix(name)
    return template


def _versions(route: Route, every: str) -> str:
    if route.versions == VERSIONS or root_of(route) not in VERSIONS:
        return every
    return f"{', '.join(route.versions)} only"


def _sentence(text: str | None) -> str:
    first, _, _ = (text or "").partition("\n\n")
    return " ".join(first.replace("``", "`").split())


def _anchor(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")


def _table(headings: str, rows: Iterable[tuple[str, ...]]) -> str:
    columns = headings.count("|") + 1
    lines = [headings, " | ".join(["---"] * columns)]
    lines += [" | ".join(cell.replace("|", "\\|") for cell in row) for row in rows]
    return "\n".join(f"| {line} |" for line in lines)
