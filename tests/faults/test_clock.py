"""The clock jumps around a server that works: an hour, a summer time, past 2038 (F24)."""

from __future__ import annotations

import random
import shutil
import time
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Final

import pytest

from tests import fault_tools as tools
from tests.fault_tools import BUCKET, DATASET, TWO_WORKERS, Disk
from tests.faults import wrong_clock
from tests.faults.test_environment import moved_away

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from fileroom.client import Client, Operation
    from tests.fault_tools import Sources
    from tests.server import RunningServer

HOUR: Final = 3600.0
GRACE_SECONDS: Final = 1800
OBJECTS: Final = 200
SUMMER_TIME: Final = datetime(2027, 3, 28, 1, tzinfo=UTC)
WINTER_TIME: Final = datetime(2027, 10, 31, 1, tzinfo=UTC)
"""When clocks in Berlin are put forward, and back."""
END_OF_32_BITS: Final = datetime(2038, 1, 19, 3, 14, 8, tzinfo=UTC)
MOMENTS: Final = {"summer": SUMMER_TIME, "winter": WINTER_TIME, "bits": END_OF_32_BITS}


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """The clock of a server."""

    path: Path

    def put(self, seconds: float) -> None:
        """Set it off the right time by so many seconds."""
        fresh = self.path.with_suffix(".new")
        fresh.write_text(str(seconds))
        fresh.replace(self.path)
        time.sleep(0.05)

    def put_before(self, moment: datetime, seconds: float) -> None:
        """Set it so many seconds before a moment."""
        self.put((moment - datetime.now(UTC)).total_seconds() - seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed:
    """A data directory whose servers go by a clock of the test."""

    data: Path
    clock: Clock
    sources: Sources

    @contextmanager
    def served(self, **environment: str) -> Iterator[tuple[RunningServer, Client]]:
        """Run a server."""
        chosen = TWO_WORKERS | {
            "PYTHONPATH": str(self.clock.path.parent),
            wrong_clock.VARIABLE: str(self.clock.path),
            "TZ": "Europe/Berlin",
        }
        with tools.served(self.data, environment=chosen | environment) as server_and_client:
            yield server_and_client

    @property
    def disk(self) -> Disk:
        return Disk(self.data)

    def begun(self, client: Client, dicom_store: str) -> Operation:
        """Begin an import into a new store."""
        store = tools.make_store(client, dicom_store)
        started = client.import_(store, f"gs://{BUCKET}/**")
        tools.wait_begun(self.disk, started.name)
        return started

    def ended(self, client: Client, started: Operation, dicom_store: str) -> Operation:
        """See that an import ends exactly, run once, and not before it began."""
        ended = client.wait(started.name, poll_seconds=0.05)
        store = f"{DATASET}/dicomStores/{dicom_store}"
        tools.check_imported(self.disk, client, store, ended, self.sources)
        assert self.disk.standing(ended.name).fence == 1, "it was claimed from itself"
        assert is_before(ended.create_time, ended.end_time)
        return ended


def is_before(one: datetime | None, other: datetime | None) -> bool:
    """Whether both moments are known and in this order, or the same."""
    return one is not None and other is not None and one <= other


def jumps(clock: Clock) -> dict[str, tuple[Callable[[], None], Callable[[], None]]]:
    """Give how the clock is set before an import begins, and while it runs."""
    return {
        "forward": (partial(clock.put, 0), partial(clock.put, HOUR)),
        "back": (partial(clock.put, HOUR), partial(clock.put, -HOUR)),
        **{
            name: (partial(clock.put_before, moment, 60), partial(clock.put_before, moment, -1))
            for name, moment in MOMENTS.items()
        },
        "later": (
            partial(clock.put_before, END_OF_32_BITS, -HOUR),
            partial(clock.put_before, END_OF_32_BITS, -2 * HOUR),
        ),
    }


@pytest.fixture
def timed(tmp_path: Path) -> Timed:
    place = tmp_path / "clock"
    place.mkdir()
    shutil.copy(wrong_clock.__file__, place / "sitecustomize.py")
    sources = tools.make_sources(OBJECTS, random.Random(tools.draw_seed()))
    sources.write(tmp_path / "data" / "buckets" / BUCKET)
    clock = Clock(path=place / "seconds")
    clock.put(0)
    return Timed(data=tmp_path / "data", clock=clock, sources=sources)


@pytest.mark.clause(
    "Fileroom faults",
    "a clock that jumps an hour forward or back, or past 2038, or through a change of summer time "
    "(F24) takes no operation from its server, ends none before it began, changes no order and "
    "breaks no page token",
    holds="own rule",
)
def test_operations_end_exactly_over_jumps_of_the_clock(timed: Timed) -> None:
    asked, met = [], 0
    with timed.served() as (_, client):
        for name, (before, after) in jumps(timed.clock).items():
            before()
            started = timed.begun(client, name)
            running = timed.disk.standing(started.name).state != "DONE"
            after()
            ended = timed.ended(client, started, name)
            asked.append(ended.name)
            met += running
            if running and name in MOMENTS:
                assert is_before(ended.create_time, MOMENTS[name])
                assert is_before(MOMENTS[name], ended.end_time)
        assert met > len(asked) // 2
        timed.clock.put_before(END_OF_32_BITS, 0)
        pages = client.list_operations(DATASET, page_size=2)
        listed = [next(pages).name]
        timed.clock.put_before(END_OF_32_BITS, HOUR)
        listed += [one.name for one in pages]
        # Those of years before are over a month old, and forgotten.
        assert [one for one in listed if one in asked] == [*reversed(asked)][: len(listed)]
        assert {asked[-1], asked[-2]} <= set(listed)


def test_an_operation_that_waits_is_not_claimed_from_its_own_server(
    timed: Timed, tmp_path: Path
) -> None:
    with timed.served() as (_, client):
        store = tools.make_store(client, "s")
        with moved_away(timed.disk.area(store) / ".store-id", tmp_path):
            started = client.import_(store, f"gs://{BUCKET}/**")
            tools.wait_paused(client, started.name, ".store-id is missing")
            for seconds in (HOUR, -HOUR):
                timed.clock.put(seconds)
                time.sleep(1.5)  # it has looked for what it may claim
        timed.ended(client, started, "s")


def test_what_a_killed_server_left_at_another_time_is_taken_up_at_once(timed: Timed) -> None:
    timed.clock.put(HOUR)
    with timed.served() as (server, client):
        started = timed.begun(client, "s")
        tools.kill(server)
    timed.clock.put(-HOUR)
    with timed.served() as (_, client):
        ended = client.wait(started.name, poll_seconds=0.05)
        tools.check_imported(timed.disk, client, f"{DATASET}/dicomStores/s", ended, timed.sources)
        assert is_before(ended.create_time, ended.end_time)


def test_collection_over_jumps_of_the_clock_takes_nothing_that_is_visible(timed: Timed) -> None:
    grace = {"FILEROOM_COLLECTION_GRACE_SECONDS": str(GRACE_SECONDS)}
    disk = timed.disk
    with timed.served(**grace) as (_, client):
        started = timed.begun(client, "s")
        timed.ended(client, started, "s")
        store = f"{DATASET}/dicomStores/s"
        study = min(uids[0] for uids in timed.sources.instances.values())
        standing = disk.standing_places()
        client.wait(client.delete_study(store, f"studies/{study}"), poll_seconds=0.05)
        timed.clock.put(-HOUR)
        time.sleep(2.5)  # the collector has come round
        assert disk.standing_places() == standing, "the grace was cut short"
        timed.clock.put(HOUR)
        tools.check_collected(disk)
        assert disk.standing_places() != standing
