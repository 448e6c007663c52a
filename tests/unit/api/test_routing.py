"""From a path to a method."""

from __future__ import annotations

import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fileroom.api import wire
from fileroom.api.reach import host_of
from fileroom.api.requests import GLOBAL_PARAMETERS, bind_query, parse_query
from fileroom.api.routes import ROUTES
from fileroom.api.routing import VERSIONS, Match, RouteTable, split_path
from fileroom.auth.authorize import UNCONDITIONAL
from fileroom.auth.roles import PERMISSIONS
from fileroom.errors import InvalidArgument
from tests.unit.api.discovery import DiscoveredMethod, discovered_methods, document

TABLE = RouteTable(ROUTES)
DATASET = "/v1/projects/p/locations/l/datasets/d"
STORE = f"{DATASET}/dicomStores/s"
INSTANCE = f"{STORE}/dicomWeb/studies/1.2/series/1.3/instances/1.4"

DISCOVERED = [
    pytest.param(version, method, id=f"{version}.{method.id}")
    for version in ("v1", "v1beta1")
    for method in discovered_methods(version)
]


def find(path: str) -> Match | None:
    version, *segments = split_path(path.encode())
    return TABLE.find(version, segments)


def method(verb: str, path: str) -> str | None:
    match = find(path)
    route = match.routes.get(verb) if match else None
    return route.method_id if route else None


@pytest.mark.clause(
    "Cloud Healthcare v1 discovery document",
    "every DICOM method of the discovery document has a route",
)
@pytest.mark.parametrize(("version", "documented"), DISCOVERED)
def test_every_documented_method_has_its_route(version: str, documented: DiscoveredMethod) -> None:
    match = find(re.sub(r"\{\w+\}", "x1", documented.path))

    assert match is not None
    route = match.routes[documented.verb]
    assert route.method_id == documented.id
    assert route.query is None or set(route.query) >= documented.query
    if route.request is not None:
        assert route.request.__name__ == documented.request


def test_every_route_is_documented_or_our_own() -> None:
    known = {each.id for version in ("v1", "v1beta1") for each in discovered_methods(version)}

    own = {route.method_id for route in ROUTES} - known
    assert {each for each in own if not each.startswith("storage.")} == {
        "fileroom.dicomStores.previewImport",
        "fileroom.dicomStores.promote",
        "fileroom.dicomWeb.retrieveThumbnail",
        "fileroom.entries.list",
        "fileroom.operations.failures",
        "fileroom.operations.ledger",
        "fileroom.operations.pause",
        "fileroom.operations.resume",
        "fileroom.operations.undo",
        "fileroom.projects.list",
        "fileroom.serviceAccounts.create",
        "fileroom.serviceAccounts.delete",
        "fileroom.serviceAccounts.disable",
        "fileroom.serviceAccounts.enable",
        "fileroom.serviceAccounts.get",
        "fileroom.serviceAccounts.keys.create",
        "fileroom.serviceAccounts.keys.delete",
        "fileroom.serviceAccounts.keys.get",
        "fileroom.serviceAccounts.keys.list",
        "fileroom.serviceAccounts.list",
    }


def test_every_route_names_a_permission() -> None:
    for route in ROUTES:
        if route.permission == UNCONDITIONAL:
            assert route.method_id.endswith("testIamPermissions")
        else:
            assert re.fullmatch(r"[a-z]+\.[a-zA-Z]+\.[a-zA-Z]+", route.permission), route
            assert route.permission in PERMISSIONS, route


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ("Dataset", wire.Dataset),
        ("DicomStore", wire.DicomStore),
        ("DicomStoreMetrics", wire.DicomStoreMetrics),
        ("ExportDicomDataRequest", wire.ExportDicomDataRequest),
        ("GoogleCloudHealthcareV1DicomBigQueryDestination", wire.BigQueryDestination),
        ("GoogleCloudHealthcareV1DicomGcsDestination", wire.GcsDestination),
        ("GoogleCloudHealthcareV1DicomGcsSource", wire.GcsSource),
        ("GoogleCloudHealthcareV1DicomStreamConfig", wire.StreamConfig),
        ("ImportDicomDataRequest", wire.ImportDicomDataRequest),
        ("NotificationConfig", wire.NotificationConfig),
        ("DicomNotificationConfig", wire.DicomNotificationConfig),
        ("DicomFilterConfig", wire.DicomFilterConfig),
        ("BlobStorageSettings", wire.BlobStorageSettings),
        ("ListDicomStoresResponse", wire.ListDicomStoresResponse),
        ("ListDatasetsResponse", wire.ListDatasetsResponse),
    ],
)
@pytest.mark.clause(
    "Cloud Healthcare v1 discovery document", "messages have the fields of the discovery document"
)
def test_message_has_the_documented_fields(schema: str, message: type[msgspec.Struct]) -> None:
    documented = document("v1")["schemas"][schema].get("properties", {})

    with_own = {"DicomStore", "ImportDicomDataRequest", "ExportDicomDataRequest"}
    own = {"fileroomOptions"} if schema in with_own else set()
    fields = {field.encode_name for field in msgspec.structs.fields(message)}
    assert fields - own == set(documented)
    assert own <= fields


@pytest.mark.clause("Cloud Healthcare v1 versions", "v1, v1beta1 and v1alpha2 are served")
@pytest.mark.parametrize("version", VERSIONS)
def test_every_version_has_the_same_methods(version: str) -> None:
    path = f"/{version}/projects/p/locations/l/datasets/d/operations/1:cancel"

    assert method("POST", path) == "datasets.operations.cancel"


def test_methods_of_v1beta1_alone_are_not_in_v1() -> None:
    path = "/{}/projects/p/locations/l/datasets/d/dicomStores/s/dicomWeb/studies"

    assert method("PUT", path.format("v1beta1")) == "datasets.dicomStores.updateInstances"
    assert method("PUT", path.format("v1")) is None


@pytest.mark.clause("Cloud Healthcare v1 versions", "a path may end in a slash")
@pytest.mark.parametrize(
    "path", [DATASET, STORE, INSTANCE, f"{STORE}:import", f"{INSTANCE}/frames/1"]
)
def test_trailing_slash_changes_nothing(path: str) -> None:
    assert find(f"{path}/") == find(path) is not None


def test_custom_verb_never_reads_as_an_identifier() -> None:
    assert method("GET", f"{STORE}:import") is None
    assert method("POST", f"{STORE}:import") == "datasets.dicomStores.import"
    assert method("POST", f"{STORE}%3Aimport") == "datasets.dicomStores.import"
    assert find(f"{STORE}:imports") is None
    assert find(f"{STORE}:import:import") is None


def test_variables_are_decoded_segment_by_segment() -> None:
    match = find("/v1/projects/p/locations/l/datasets/d%C3%A4%20b")

    assert match is not None
    assert match.path["dataset"] == "dä b"


@pytest.mark.parametrize("segment", ["a%2Fb", "a%00b", "a%0Ab", "%ff", "a%2Fb:import"])
def test_segment_that_hides_something_is_refused(segment: str) -> None:
    with pytest.raises(InvalidArgument):
        find(f"/v1/projects/p/locations/l/datasets/{segment}")


@pytest.mark.parametrize(
    ("segment", "name"),
    [("a%2Fb.dcm", "a/b.dcm"), ("a:import", "a:import"), ("%C2%A0%09x", "\u00a0\tx"), ("o", "o")],
)
def test_name_of_an_object_holds_slashes_and_colons(segment: str, name: str) -> None:
    for root in ("/storage/v1", "/download/storage/v1"):
        match = find(f"{root}/b/scans/o/{segment}")

        assert match is not None
        assert match.path == {"bucket": "scans", "object": name}


@pytest.mark.parametrize("segment", ["a%00b", "a%0Ab", "a%0Db", "%ff"])
def test_name_that_no_object_can_have_is_refused(segment: str) -> None:
    with pytest.raises(InvalidArgument):
        find(f"/storage/v1/b/scans/o/{segment}")


def test_methods_of_other_apis_are_at_their_own_roots() -> None:
    assert method("POST", "/v2/entries:list") == "fileroom.entries.list"
    assert method("GET", "/v1/projects") == "fileroom.projects.list"
    assert method("GET", "/storage/v1/b") == "storage.buckets.list"
    assert method("PUT", "/upload/storage/v1/b/scans/o") == "storage.objects.resume"
    assert find("/v2/entries") is None
    assert find("/storage/v1/b/scans/o/a/b.dcm") is None


def test_bulkdata_path_goes_as_deep_as_it_likes() -> None:
    match = find(f"{INSTANCE}/bulkdata/7FE00010/1/2/3")

    assert match is not None
    assert (match.path["tag"], match.path["rest"]) == ("7FE00010", "1/2/3")


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "//",
        "/v1",
        "/v1/",
        "/v2/projects/p/locations/l",
        "/v1/b/scans/o",
        "/v1//locations/l",
        f"{DATASET}//dicomStores",
        f"{DATASET}/fhirStores/f",
        "/v1/projects/p/locations/l:x",
    ],
)
def test_unknown_path_is_not_found(path: str) -> None:
    assert find(path) is None


@given(st.binary(max_size=100))
def test_no_path_breaks_the_router(path: bytes) -> None:
    try:
        version, *segments = split_path(b"/v1/projects/" + path)
    except InvalidArgument:
        return
    TABLE.find(version, segments)


@pytest.mark.clause(
    "Cloud Healthcare v1 global parameters", "global query parameters are no search attributes"
)
def test_global_parameters_are_kept_apart() -> None:
    everywhere = "&".join(f"{name}=json" for name in GLOBAL_PARAMETERS - {"callback", "xgafv"})
    query = parse_query(f"PatientID=1&{everywhere}&$.xgafv=2&$alt=json&limit=".encode())

    assert query.own == (("PatientID", "1"), ("limit", ""))
    assert query.access_token == "json"


def test_query_is_decoded_as_forms_are() -> None:
    assert parse_query(b"PatientName=Sally+Zhang%5E%C3%A9").own == (
        ("PatientName", "Sally Zhang^é"),
    )
    assert not parse_query(b"prettyPrint=false").pretty


@pytest.mark.parametrize(
    "query", [b"callback=f", b"alt=proto", b"a=%ff", b"a=\xff", b"&".join([b"a=1"] * 1001)]
)
def test_query_that_cannot_be_served_is_refused(query: bytes) -> None:
    with pytest.raises(InvalidArgument):
        parse_query(query)


def test_own_parameters_are_known_in_both_spellings() -> None:
    query = parse_query(b"page_size=5&pageToken=t")

    assert bind_query(query, ("pageSize", "pageToken")) == (("pageSize", "5"), ("pageToken", "t"))


def test_unknown_parameter_is_refused_in_googles_words() -> None:
    with pytest.raises(InvalidArgument) as caught:
        bind_query(parse_query(b"pagesize=5"), ("pageSize",))

    assert caught.value.message == (
        'Invalid JSON payload received. Unknown name "pagesize": Cannot bind query parameter.'
        " Field 'pagesize' could not be found in request message."
    )


def test_parameter_given_twice_is_refused_where_one_of_the_two_would_be_lost() -> None:
    with pytest.raises(InvalidArgument, match="'updateMask' is given more than once"):
        bind_query(parse_query(b"updateMask=labels&update_mask=streamConfigs"), ("updateMask",))

    listed = parse_query(b"extraLocationTypes=a&extraLocationTypes=b")
    assert len(bind_query(listed, ("extraLocationTypes",))) == 2


@pytest.mark.parametrize(
    ("header", "host"),
    [
        ("127.0.0.1:8080", "127.0.0.1"),
        ("LOCALHOST", "localhost"),
        ("[::1]:80", "::1"),
        ("evil.example", "evil.example"),
        ("127.0.0.1@evil.example", "evil.example"),
        ("127.0.0.1, evil.example", "127.0.0.1, evil.example"),
        ("[", ""),
        ("", ""),
        (None, ""),
    ],
)
def test_host_is_read_without_its_port(header: str | None, host: str) -> None:
    assert host_of(header) == host
