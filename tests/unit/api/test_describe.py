"""The API's own description: what Google's document says of the same methods, and no less."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
from google.oauth2.credentials import Credentials
from googleapiclient import discovery

from fileroom.api import meanings
from fileroom.api.describe import (
    discovery_document,
    message_schemas,
    openapi_document,
    query_parameters,
)
from fileroom.api.field_meanings import FIELDS
from fileroom.api.later import Later
from fileroom.api.routes import ROUTES
from tests.unit.api.discovery import document

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.unit.api.conftest import ServedDeployment

URL = "https://fileroom.example"
VERSIONS = ("v1", "v1beta1")
LATER = {route.method_id for route in ROUTES if isinstance(route.handler, Later)}
OWN_FIELDS = {
    name: {"fileroomOptions"}
    for name in ("DicomStore", "ImportDicomDataRequest", "ExportDicomDataRequest")
}
IDS = "healthcare.projects.locations."


def methods(description: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Give the methods of a description by their id."""

    def walk(resource: dict[str, Any]) -> Iterator[dict[str, Any]]:
        yield from resource.get("methods", {}).values()
        for inner in resource.get("resources", {}).values():
            yield from walk(inner)

    return {each["id"]: each for each in walk(description)}


def parameters(method: dict[str, Any], location: str) -> dict[str, dict[str, Any]]:
    """Give what a method takes in its path or its query."""
    return {
        name: each for name, each in method["parameters"].items() if each["location"] == location
    }


@pytest.mark.clause(
    "Cloud Healthcare v1 discovery document",
    "the description of a server has the paths, parameters and messages of Google's own",
)
@pytest.mark.parametrize("version", VERSIONS)
def test_methods_are_described_as_google_does(version: str) -> None:
    google, ours = methods(document(version)), methods(discovery_document(version, URL))
    assert len(ours) > 50
    for name, ours_one in ours.items():
        if name.removeprefix(IDS).startswith("fileroom."):
            continue
        theirs = google[name]
        for field in ("httpMethod", "path", "parameterOrder"):
            assert ours_one[field] == theirs[field], name
        for parameter, each in parameters(ours_one, "path").items():
            if "(?:" not in each["pattern"]:  # several routes, where Google takes anything
                assert each["pattern"] == theirs["parameters"][parameter]["pattern"], name
        if name.removeprefix(IDS) in LATER:
            assert "501" in ours_one["description"]
            continue
        queries = parameters(ours_one, "query")
        for parameter, each in parameters(theirs, "query").items():
            assert queries[parameter]["type"] == each["type"], name
        assert ours_one["response"] == theirs["response"], name
        assert ours_one.get("request") == theirs.get("request"), name
        assert ours_one["description"].endswith("."), name


@pytest.mark.parametrize("version", VERSIONS)
def test_messages_are_described_as_google_does(version: str) -> None:
    google, ours = document(version)["schemas"], discovery_document(version, URL)["schemas"]
    shared = google.keys() & ours.keys()
    assert len(shared) > 20
    for name in shared:
        properties = ours[name]["properties"]
        for field in properties.keys() - OWN_FIELDS.get(name, set()):
            theirs = google[name]["properties"][field]
            assert properties[field].get("$ref") == theirs.get("$ref"), (name, field)
            assert properties[field].get("type") == theirs.get("type"), (name, field)


def test_a_path_of_several_routes_takes_all_of_them() -> None:
    settings = methods(discovery_document("v1", URL))[
        f"{IDS}datasets.dicomStores.dicomWeb.studies.setBlobStorageSettings"
    ]
    pattern = settings["parameters"]["resource"]["pattern"]
    store = "projects/p/locations/l/datasets/d/dicomStores/s/dicomWeb"
    for path in ("studies/1", "studies/1/series/2", "studies/1/series/2/instances/3"):
        assert re.match(pattern, f"{store}/{path}")
    assert not re.match(pattern, f"{store}/series/2")


@pytest.mark.clause(
    "google-api-python-client",
    "a client is built from the description that a server gives of itself",
)
@pytest.mark.parametrize("version", VERSIONS)
def test_a_client_is_built_from_the_servers_own_description(
    server: ServedDeployment, version: str
) -> None:
    store = server.make_store(server.make_dataset(f"described-{version}"), "s")
    with discovery.build(
        "healthcare",
        version,
        discoveryServiceUrl=f"{server.url}/$discovery/rest?version={{apiVersion}}",
        static_discovery=False,
        credentials=Credentials(token=server.token),  # type: ignore[no-untyped-call]
        client_options={"api_endpoint": server.url},
    ) as service:
        datasets = service.projects().locations().datasets()
        got = datasets.dicomStores().get(name=store).execute()
        found = datasets.dicomStores().searchForStudies(
            parent=store, dicomWebPath="studies"
        )  # fmt: skip
        metrics = datasets.dicomStores().getDICOMStoreMetrics(name=store).execute()
    assert got == {"name": store}
    assert found.uri.startswith(f"{server.url}/{version}/{store}/dicomWeb/studies")
    assert metrics["name"] == store


def test_openapi_says_each_route_once_and_refers_to_what_is_there() -> None:
    description = openapi_document(URL)
    operations = [
        (path, operation)
        for path, methods_of in description["paths"].items()
        for operation in methods_of.values()
    ]
    assert len(operations) == len(ROUTES)
    assert len({each["operationId"] for _, each in operations}) == len(ROUTES)
    for path, operation in operations:
        named = [each["name"] for each in operation["parameters"] if each["in"] == "path"]
        assert named == re.findall(r"\{(\w+)\}", path)
        assert operation["summary"].endswith("."), path
        assert set(operation["tags"]) <= {each["name"] for each in description["tags"]}
        assert all(each["description"] for each in operation["parameters"] if each["in"] == "query")
        assert ("501" in operation["responses"]) != ("200" in operation["responses"])
    referred = set(re.findall(r"'\$ref': '#/components/([^']+)'", str(description)))
    kept = {
        f"{kind}/{name}" for kind in ("schemas", "responses")
        for name in description["components"][kind]
    }  # fmt: skip
    assert referred
    assert referred <= kept


def test_each_field_has_a_meaning_and_each_meaning_something_that_it_is_of() -> None:
    last_words = {meanings.last_word(route) for route in ROUTES}
    methods = last_words | {route.method_id for route in ROUTES}
    parameters_of = {
        name for route in ROUTES for parameter, _ in query_parameters(route)
        for name in (parameter, f"{route.method_id}.{parameter}")
    }  # fmt: skip
    fields = {
        f"{name}.{field}" for name, schema in message_schemas().items()
        for field in schema["properties"]
    }  # fmt: skip
    assert FIELDS.keys() == fields
    assert meanings.SUMMARIES.keys() <= {route.method_id for route in ROUTES}
    assert meanings.PARAMETERS.keys() <= parameters_of
    assert meanings.REQUESTS.keys() <= last_words
    assert meanings.ANSWERS.keys() <= methods
    assert {meanings.resource_of(route) for route in ROUTES} == meanings.RESOURCES.keys()


def test_descriptions_are_given_to_anybody(server: ServedDeployment) -> None:
    assert httpx2.get(f"{server.url}/openapi.json").json()["openapi"] == "3.1.0"
    described = httpx2.get(f"{server.url}/$discovery/rest?version=v1beta1").json()
    assert described["rootUrl"] == server.deployment.settings.public_url + "/"
    assert "\n" not in httpx2.get(f"{server.url}/openapi.json?prettyPrint=false").text
    unknown = httpx2.get(f"{server.url}/$discovery/rest?version=v7")
    assert (unknown.status_code, "v1beta1" in unknown.text) == (400, True)
    assert httpx2.post(f"{server.url}/openapi.json").status_code == 405
