"""A cloud lists what it should not; a bucket gives all keys in order, or a clear error."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import psutil
import pytest

from fileroom.errors import FailedPrecondition, Unavailable
from tests.hostile_buckets import bucket, filled, frozen, hostile, keys_of, opened, storage, waits
from tests.hostile_storage import (
    Fault,
    HostileBucket,
    Rule,
    asked_otherwise,
    ended,
    refused,
    refused_as,
    shortened,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from fileroom.objectstore.cloud import CloudBucket
    from tests.hostile_dialects import Asked

__all__ = ["bucket", "frozen", "hostile", "opened", "storage", "waits"]

MANY: Final = 1_000_000
GROWTH_BYTES_MAX: Final = 300 << 20
FIRST_KEY_SECONDS: Final = 2.0


def _earlier(asked: Asked) -> Asked:
    """Ask for the page before: the first."""
    return replace(asked, token="", start_after="", start_from="")


LISTING_FAULTS: Final[dict[str, tuple[Callable[[Asked], Asked], int]]] = {
    "a page again": (_earlier, 1),
    "each page again": (lambda asked: replace(asked, next_token=asked.token), 1 << 30),
    "keys in falling order": (lambda asked: replace(asked, backwards=True), 1),
    "a later page first": (
        lambda asked: replace(asked, token=b"d/039".hex(), next_token=asked.token + "00"),
        1,
    ),
    "an empty page with a next one": (
        lambda asked: replace(asked, at_most=0, next_token=asked.token + "00"),
        1,
    ),
}


@pytest.mark.parametrize("fault", LISTING_FAULTS)
def test_a_listing_is_whole_or_an_error(
    bucket: CloudBucket, hostile: HostileBucket, fault: str
) -> None:
    content = filled(hostile, 75)
    hostile.page_keys = 20
    change, times = LISTING_FAULTS[fault]
    for page in (1, 2, 3):
        hostile.mend()
        rule = Rule(fault=asked_otherwise(change), operation="list", skip=page, times=times)
        hostile.obey(rule)
        try:
            found = keys_of(bucket)
        except (FailedPrecondition, Unavailable) as error:
            found = []
            assert f"{hostile.scheme}://scans" in str(error)  # noqa: PT017 - one of two right ends
        assert found in ([], sorted(content))


def test_nothing_is_given_of_a_page_that_is_out_of_order(
    bucket: CloudBucket, hostile: HostileBucket
) -> None:
    """Whoever goes on after the key that is last in it would miss those before."""
    content = filled(hostile, 75)
    hostile.page_keys = 20
    change, times = LISTING_FAULTS["keys in falling order"]
    hostile.obey(Rule(fault=asked_otherwise(change), operation="list", skip=1, times=times))
    found: list[str] = []
    with pytest.raises(Unavailable):
        found.extend(entry.key for entry in bucket.list())

    assert found == sorted(content)[:20]


@pytest.mark.parametrize(
    "fault",
    [refused_as("busy"), refused(500), ended("reset", sent=30), shortened(200)],
    ids=["busy", "500", "reset in the body", "200 bytes of it as all"],
)
def test_a_listing_goes_on_where_a_page_failed(
    bucket: CloudBucket, hostile: HostileBucket, fault: Fault
) -> None:
    content = filled(hostile, 75)
    hostile.page_keys = 20
    hostile.obey(Rule(fault=fault, operation="list", skip=2, times=2))

    assert keys_of(bucket) == sorted(content)
    assert len(hostile.asked("list")) == 6


def test_a_page_token_that_expired_costs_no_key(
    bucket: CloudBucket, hostile: HostileBucket
) -> None:
    content = filled(hostile, 75)
    hostile.page_keys = 20
    listing = bucket.list()
    found = [next(listing).key]
    gone = hostile.obey(
        Rule(fault=refused_as("page gone"), operation="list", when=lambda asked: bool(asked.token))
    )
    found += [next(listing).key for _ in range(19)]
    gone.times = 1
    found += [entry.key for entry in listing]

    assert found == sorted(content)


def test_a_listing_that_goes_on_behind_a_key_asks_for_nothing_before_it(
    bucket: CloudBucket, hostile: HostileBucket
) -> None:
    content = filled(hostile, 75)
    hostile.page_keys = 20

    assert keys_of(bucket, start_after="d/059") == sorted(content)[60:]
    assert len(hostile.asked("list")) == 1


@pytest.mark.parametrize("storage", ["az"], indirect=True)
def test_a_server_that_refuses_a_first_key_is_asked_for_all(
    bucket: CloudBucket, hostile: HostileBucket
) -> None:
    content = filled(hostile, 75)
    hostile.page_keys = 20
    fault = refused(400, "InvalidQueryParameterValue")
    hostile.obey(Rule(fault=fault, when=lambda asked: bool(asked.start_from)))

    for _ in range(2):
        assert keys_of(bucket, start_after="d/059") == sorted(content)[60:]
    assert len(hostile.asked("list")) == 1 + 4 + 4, "it is asked for a first key again"


@pytest.mark.parametrize("storage", ["az"], indirect=True)
def test_a_level_is_asked_for_from_a_key_on_it(bucket: CloudBucket, hostile: HostileBucket) -> None:
    """Azure refuses a first key that lies deeper than the level."""
    hostile.put("d/e/f", b"x")

    assert list(bucket.list_directory("d/", "d/e/a"))
    assert list(bucket.list_directory("d/", "c"))
    assert [asked.start_from for asked in hostile.asked("list")] == ["d/e", ""]


@pytest.mark.parametrize("storage", ["az"], indirect=True)
def test_a_server_that_knows_no_first_key_lists_all(
    bucket: CloudBucket, hostile: HostileBucket
) -> None:
    content = filled(hostile, 75)
    hostile.page_keys = 20
    hostile.obey(Rule(fault=asked_otherwise(lambda asked: replace(asked, start_from=""))))

    assert keys_of(bucket, start_after="d/059") == sorted(content)[60:]


@pytest.mark.parametrize(
    "body",
    [b"", b"<html><body>Sign in</body></html>", b"{}", b"\0" * 100],
    ids=["nothing", "a page", "JSON", "zeros"],
)
def test_an_answer_that_is_no_listing_is_not_an_empty_bucket(
    bucket: CloudBucket, hostile: HostileBucket, body: bytes
) -> None:
    filled(hostile, 3)
    hostile.obey(
        Rule(fault=lambda asked, answer: replace(answer(asked), body=body), operation="list")
    )
    if hostile.scheme == "gs" and body == b"{}":
        assert keys_of(bucket) == []
        return

    with pytest.raises(Unavailable):
        keys_of(bucket)


@pytest.mark.parametrize(
    "storage",
    [
        "gs",
        *(
            pytest.param(scheme, marks=[pytest.mark.long, pytest.mark.timeout(900)])
            for scheme in ("s3", "az")
        ),
    ],
    indirect=True,
)
def test_a_listing_of_a_million_keys_is_not_held(
    bucket: CloudBucket, hostile: HostileBucket
) -> None:
    hostile.many = MANY
    process = psutil.Process()
    before, began = process.memory_info().rss, time.monotonic()
    first_after, most = 0.0, 0
    for number, entry in enumerate(bucket.list()):
        first_after = first_after or time.monotonic() - began
        if number % 50_000 == 0 or number == MANY - 1:
            most = max(most, process.memory_info().rss)
            assert entry.key == f"many/{number:09}"

    assert number == MANY - 1
    assert first_after < FIRST_KEY_SECONDS
    assert most - before < GROWTH_BYTES_MAX
