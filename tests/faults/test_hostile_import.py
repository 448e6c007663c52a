"""An import from a cloud that fails or lies accounts for every object, and invents none."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from itertools import count
from typing import TYPE_CHECKING, Final

import pytest

from fileroom.errors import InvalidArgument, PermissionDenied
from tests import fault_tools as tools
from tests.fault_tools import Disk
from tests.hostile_dialects import SCHEMES
from tests.hostile_storage import (
    HostileStorage,
    Rule,
    Trap,
    after,
    asked_otherwise,
    flipped,
    refused_as,
    write_credentials,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fileroom.client import Client, Operation
    from tests.fault_tools import Sources
    from tests.hostile_dialects import Asked, Scheme
    from tests.hostile_storage import HostileBucket

BUCKETS: Final = 9
OBJECTS: Final = 300
CLOSED: Final = "closed-to-most"
_numbers = count(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Clouds:
    """A server of Fileroom, the clouds of its settings, and a place that they must not lead to."""

    client: Client
    disk: Disk
    storages: dict[Scheme, HostileStorage]
    trap: Trap

    def asked(self) -> list[Asked]:
        """Give what any bucket was asked."""
        storages = self.storages.values()
        return [
            asked for one in storages for each in one.buckets.values() for asked in each.asked()
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bay:
    """A bucket in a cloud, and an empty store to import it into."""

    client: Client
    disk: Disk
    hostile: HostileBucket
    dicom_store: str

    @property
    def uri(self) -> str:
        return f"{self.hostile.scheme}://{self.hostile.name}"

    def fill(self, number: int = OBJECTS) -> Sources:
        """Put instances into the bucket."""
        draw = random.Random(tools.draw_seed())
        sources = tools.make_sources(number, draw, bytes_max=3000, mixed=False)
        for key, content in sources.files.items():
            self.hostile.put(key, content)
        return sources

    def start(self) -> Operation:
        return self.client.import_(self.dicom_store, f"{self.uri}/**")

    def ended(self, operation: Operation) -> Operation:
        return self.client.wait(operation.name, poll_seconds=0.05)

    def check(self, operation: Operation, sources: Sources) -> None:
        tools.check_imported(self.disk, self.client, self.dicom_store, operation, sources)

    def failures(self, operation: Operation) -> dict[str, str]:
        """Give the reason of each object that failed, by its key."""
        return {
            failure.source.removeprefix(f"{self.uri}/"): failure.reason
            for failure in self.client.failures(operation.name)
        }


def _settings(storage: HostileStorage, credentials: str) -> Iterator[str]:
    names = {f"import-{number}": "*" for number in range(BUCKETS)}
    for name, store in {**names, CLOSED: "*/dicomStores/another"}.items():
        bucket = storage.bucket(name)
        given = bucket.settings(credentials)
        yield f'[buckets."{given.name}"]\nendpoint = "{given.endpoint}"\n'
        yield f'region = "{given.region}"\n' if given.region else ""
        yield f'credentials = "{credentials}"\nallow = ["read"]\nstores = ["{store}"]\n'


@pytest.fixture(scope="module")
def clouds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clouds]:
    directory = tmp_path_factory.mktemp("clouds")
    keys = write_credentials(directory / "keys", "s3", "key")
    config = directory / "fileroom.toml"
    with (
        HostileStorage("gs") as gs,
        HostileStorage("s3") as s3,
        HostileStorage("az") as az,
        Trap() as trap,
    ):
        storages: dict[Scheme, HostileStorage] = {"gs": gs, "s3": s3, "az": az}
        config.write_text(
            "".join(
                part
                for scheme, storage in storages.items()
                for part in _settings(storage, keys if scheme == "s3" else "anonymous")
            )
        )
        # Whoever asked a cloud that no setting names would ask there.
        lures = {
            "AWS_ENDPOINT_URL": trap.url,
            "STORAGE_EMULATOR_HOST": trap.url,
            "AZURE_STORAGE_ACCOUNT": "",
        }
        with tools.served(directory / "data", f"--config={config}", environment=lures) as (
            server,
            client,
        ):
            yield Clouds(client=client, disk=Disk(server.data), storages=storages, trap=trap)


@pytest.fixture(params=SCHEMES)
def bay(request: pytest.FixtureRequest, clouds: Clouds) -> Bay:
    number = next(_numbers)
    storage = clouds.storages[request.param]
    unused = (storage.bucket(f"import-{each}") for each in range(BUCKETS))
    return Bay(
        client=clouds.client,
        disk=clouds.disk,
        hostile=next(one for one in unused if not one.is_filled),
        dicom_store=tools.make_store(clouds.client, f"s{number}"),
    )


@pytest.mark.clause(
    "Fileroom faults",
    "a cloud that is busy (F8) makes an import slower; no object fails",
    holds="own rule",
)
def test_an_import_from_a_busy_cloud_takes_every_object(bay: Bay) -> None:
    sources = bay.fill()
    bay.hostile.obey(Rule(fault=refused_as("busy"), share=0.1))

    bay.check(bay.ended(bay.start()), sources)
    assert len(bay.hostile.asked("get")) > OBJECTS


def test_an_import_from_a_cloud_that_refuses_every_other_request_takes_every_object(
    bay: Bay,
) -> None:
    sources = bay.fill(40)
    bay.hostile.obey(Rule(fault=refused_as("busy"), share=0.5))

    bay.check(bay.ended(bay.start()), sources)


@pytest.mark.clause(
    "Fileroom faults",
    "objects of a cloud that are gone, closed, changing or damaged (F12-F14) fail each for its own "
    "reason, and all others are imported",
    holds="own rule",
)
def test_each_bad_object_fails_for_its_own_reason(bay: Bay) -> None:
    sources = bay.fill()
    keys = sorted(sources.files)
    gone, closed, changed, changing, damaged, once = keys[5:270:50]
    hostile = bay.hostile
    other = tools.instance(sources.instances[changed], b"other pixels")

    def change() -> None:
        hostile.put(changing, tools.instance(sources.instances[changing], random.randbytes(64)))

    hostile.obey(Rule(fault=after(lambda: hostile.remove(gone)), operation="get", key=gone))
    hostile.obey(Rule(fault=refused_as("denied"), operation="get", key=closed))
    hostile.obey(
        Rule(
            fault=after(lambda: hostile.put(changed, other)), operation="get", key=changed, times=1
        )
    )
    hostile.obey(Rule(fault=after(change), operation="get", key=changing))
    hostile.obey(Rule(fault=flipped(-1), operation="get", key=damaged))
    hostile.obey(Rule(fault=flipped(-1), operation="get", key=once, times=1))
    operation = bay.ended(bay.start())

    assert bay.failures(operation) == {
        gone: "SOURCE_NOT_FOUND",
        closed: "SOURCE_DENIED",
        changing: "SOURCE_CHANGED",
        damaged: "CHECKSUM_MISMATCH",
    }
    expected = tools.Sources()
    for key in keys:
        bad = key in (gone, closed, changing, damaged)
        content = other if key == changed else sources.files[key]
        expected.add(key, content, None if bad else sources.instances[key])
    bay.check(operation, expected)


@pytest.mark.clause(
    "Fileroom faults",
    "credentials that expire half-way (F16) make an import wait and say so; no object fails, and "
    "it goes on once they are valid again",
    holds="own rule",
)
def test_an_import_waits_for_valid_credentials(bay: Bay) -> None:
    sources = bay.fill()
    bay.hostile.obey(Rule(fault=refused_as("expired"), skip=100))
    started = bay.start()
    paused = tools.wait_paused(bay.client, started.name, "fileroom buckets check")

    assert bay.uri in paused.paused_why
    assert paused.account["failed"] == 0
    asked = len(bay.hostile.asked())
    assert asked < OBJECTS
    bay.hostile.mend()
    bay.check(bay.ended(started), sources)


def test_an_import_waits_where_nothing_may_be_read(bay: Bay) -> None:
    sources = bay.fill()
    bay.hostile.obey(Rule(fault=refused_as("denied"), operation="get"))
    started = bay.start()
    paused = tools.wait_paused(bay.client, started.name, "in a row were refused")

    assert bay.uri in paused.paused_why
    assert paused.account["failed"] <= 50
    bay.hostile.mend()
    operation = bay.ended(started)
    # What was refused before so many were is failed; nothing is after.
    assert operation.account["failed"] == paused.account["failed"]
    assert operation.account["imported"] == len(sources.files) - operation.account["failed"]


@pytest.mark.parametrize("fault", ["page gone", "a later page first"])
def test_a_listing_that_fails_half_way_costs_no_object(bay: Bay, fault: str) -> None:
    number = 700
    sources = bay.fill(number)
    bay.hostile.page_keys = 260
    if fault == "page gone":
        rule = Rule(fault=refused_as("page gone"), when=lambda asked: bool(asked.token), times=2)
    else:
        keys = sorted(sources.files)

        def later(asked: Asked) -> Asked:
            return replace(asked, token=keys[519].encode().hex(), next_token=asked.token)

        rule = Rule(fault=asked_otherwise(later), when=lambda asked: bool(asked.token), times=2)
    bay.hostile.obey(replace(rule, operation="list"))
    operation = bay.ended(bay.start())

    if fault == "a later page first":
        # Whoever goes on after the last key passes over others in silence.
        assert operation.error is not None, operation.account
        assert "lists the same page again" in operation.error.message
        return
    assert operation.account["listed"] == number
    bay.check(operation, sources)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_bucket_that_is_not_open_to_a_store_is_not_asked(clouds: Clouds, scheme: str) -> None:
    dicom_store = tools.make_store(clouds.client, f"s{next(_numbers)}")
    before = len(clouds.asked())
    for name in (CLOSED, "unheard-of"):
        with pytest.raises(PermissionDenied):
            clouds.client.import_(dicom_store, f"{scheme}://{name}/**")

    assert len(clouds.asked()) == before
    assert clouds.trap.connections == 0


def test_no_uri_leads_to_another_place(clouds: Clouds) -> None:
    dicom_store = tools.make_store(clouds.client, f"s{next(_numbers)}")
    before = len(clouds.asked())
    host = clouds.trap.url.removeprefix("http://")
    for uri in (
        f"http://{host}/import-0/**",
        f"s3://{host}/import-0/**",
        f"s3://{host.partition(':')[0]}/import-0/**",
        f"s3://key:secret@{host}/import-0/**",
        f"s3://import-0@{host}/**",
        f"s3://{host}\\@import-0/**",
        f"s3://import-0?endpoint=http://{host}/**",
        f"s3://import-0#{host}/**",
        f"s3://import-0%2f..%2f{host}/**",
        f"gs://import-0.{host}/**",
        f"az://{host}%00import-0/**",
        f"s3+http://{host}/import-0/**",
        "s3://169.254.169.254/latest/**",
        "file:///etc/**",
        "s3:///etc/**",
        "s3://../import-0/**",
    ):
        with pytest.raises((InvalidArgument, PermissionDenied)):
            clouds.client.import_(dicom_store, uri)

    assert len(clouds.asked()) == before
    assert clouds.trap.connections == 0
