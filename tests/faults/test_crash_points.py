"""Whatever a server does, it may end at any step: the next one brings it to the same end (F1, F25).

The process is ended at its first named step, then in a new copy at its second, and so on until it
comes through. A power cut does the same, and takes away what was not synced (F4).
"""

from __future__ import annotations

import os
import random
import re
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from alembic import command
from alembic.config import Config

import fileroom
from fileroom.archive.collect import Collector
from fileroom.crashpoints import listen
from fileroom.database import migrations, operations, postgresql, schema, sqlite, stores
from fileroom.database.engine import open_database
from fileroom.database.sqlite import SqliteDatabase
from fileroom.errors import FileroomError
from fileroom.objectstore.blobs.local import LocalBlobs
from tests import fault_tools as tools
from tests.databases import dialect, opened_at, server, shared
from tests.faults.crashing import Death, Grounds, dies
from tests.faults.flows import (
    FLOWS,
    LARGE_BYTES,
    Flow,
    Outcome,
    check_at_the_end,
    check_meanwhile,
    collect,
    outcome_of,
    put_stored,
    standing_site,
)
from tests.unit.database.rows import STORE, all_rows
from tests.unit.transfer.site import make_site, uids

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from tests.faults.crashing import Ground
    from tests.postgresql import PostgresqlServer

__all__ = ["dialect", "server", "shared"]

STRIDE: Final = 4
"""Between the steps at which the power is cut, from one that is drawn on."""
TRIES: Final = 5
"""How often the power is cut over all steps, each time with another fate of what is not synced."""
SOURCE: Final = Path(fileroom.__file__).parent
ELSEWHERE: Final = (
    # Starts of a server, tokens, buckets in a cloud: tests beside each.
    *("auth/", "deployment", "objectstore/cloud/"),
    # Who did what: tests/unit/audit.
    *("audit/",),
    # The other database, and the migration below.
    *("database/migrations/", "database/postgresql"),
    # What is gone on with of an object of hundreds of megabytes: tests/faults/test_kill_large.py.
    *("objectstore/local/parts",),
    # A name that is linked, where the file system knows no rename that replaces nothing:
    # tests/unit/objectstore/test_local.py.
    *("objectstore/local/naming",),
)
_POINT: Final = re.compile(r'crashpoint\("([a-z.]+)"\)')


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make few objects several batches and slices, and a small one large."""
    for module in ("worker", "line"):
        monkeypatch.setattr(f"fileroom.transfer.importing.{module}.LARGE_BYTES", LARGE_BYTES)
    monkeypatch.setattr("fileroom.objectstore.local.parts.NOTED_BYTES", 8000)
    monkeypatch.setattr("fileroom.transfer.pipeline.batches.FIRST_BATCHES", (3, 3))
    monkeypatch.setattr("fileroom.database.instances.deleting.SLICE_MAX", 2)
    monkeypatch.setattr("fileroom.transfer.changing.rewriting.SLICE_PARTS", 2)


@pytest.fixture
def grounds(tmp_path: Path, shared: PostgresqlServer | None) -> Grounds:
    return Grounds(tmp_path / "grounds", shared)


def prepare(grounds: Grounds, flow: Flow) -> None:
    first = grounds.make_first()
    with opened_at(first.database) as database, make_site(first.directory, database) as site:
        flow.prepare(site)


def end_at(grounds: Grounds, flow: Flow, death: Death) -> tuple[str | None, Outcome]:
    """End the process once, go on in another, and give at which step and how all stands then."""

    def act(ground: Ground) -> None:
        with standing_site(ground) as site:
            flow.act(ground, site)

    with grounds.copied() as ground:
        step = dies(ground, act, death)
        with standing_site(ground) as site:
            check_meanwhile(site)
            acknowledged = ground.promises
            if acknowledged:
                have = outcome_of(site).instances
                assert {uids(int(number)) for number in acknowledged} <= set(have)
            flow.act(ground, site)
            collect(ground, site)
            check_at_the_end(site)
            return step, outcome_of(site)


def unharmed(grounds: Grounds, flow: Flow) -> Outcome:
    step, outcome = end_at(grounds, flow, Death(step=10**6))
    assert step is None
    return outcome


@pytest.mark.timeout(300)
@pytest.mark.parametrize("flow", FLOWS)
@pytest.mark.clause(
    "Fileroom faults",
    "whatever a server does, it may be killed before or after any step that makes a difference on "
    "disk: the next server brings it to the same end",
    holds="own rule",
)
def test_what_is_killed_at_any_step_comes_to_the_same_end(
    grounds: Grounds, flow: str, shared: PostgresqlServer | None
) -> None:
    prepare(grounds, FLOWS[flow])
    wanted = unharmed(grounds, FLOWS[flow])
    # In PostgreSQL's case it is the same code but for its transactions: a part of the steps.
    for number in count(1, 1 if shared is None else 4):
        step, found = end_at(grounds, FLOWS[flow], Death(step=number))
        assert found.differs(wanted) == {}, step
        if step is None:
            break
    assert number > 8


def ends_well(grounds: Grounds, flow: Flow, deaths: Iterable[Death], wanted: Outcome) -> bool:
    """End the process at one step after another; tell whether nothing was found amiss."""
    for death in deaths:
        try:
            step, found = end_at(grounds, flow, death)
        except (AssertionError, FileroomError) as error:
            print(f"step {death.step}: {error}"[:3000])
            return False
        if found != wanted:
            print(f"step {step}: {found.differs(wanted)}")
            return False
        if step is None:
            return True
    raise AssertionError


def power_cuts(draw: random.Random, leave_out: str | None = None) -> Iterator[Death]:
    for step in count(draw.randrange(1, STRIDE + 1), STRIDE):
        yield Death(step=step, draw=draw, leave_out=leave_out)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)
@pytest.mark.parametrize("flow", FLOWS)
@pytest.mark.clause(
    "Fileroom faults",
    "whatever a server does, the power may be cut at any step: what was not synced is lost or "
    "torn, and the next server brings it to the same end",
    holds="own rule",
)
def test_what_the_power_is_cut_over_comes_to_the_same_end(grounds: Grounds, flow: str) -> None:
    draw = random.Random(tools.draw_seed())
    prepare(grounds, FLOWS[flow])

    assert ends_well(grounds, FLOWS[flow], power_cuts(draw), unharmed(grounds, FLOWS[flow]))


def row_before_blob(patch: pytest.MonkeyPatch) -> None:
    """Have blobs named only when the rows that name them are committed."""
    waiting: list[Callable[[], None]] = []
    rename, write = os.rename, SqliteDatabase.write

    def later(source: str, target: str, *, src_dir_fd: int, dst_dir_fd: int) -> None:
        above, below = os.dup(src_dir_fd), os.dup(dst_dir_fd)
        waiting.append(lambda: rename(source, target, src_dir_fd=above, dst_dir_fd=below))

    def write_first(database: SqliteDatabase, *arguments: Any, **named: Any) -> Any:
        given = write(database, *arguments, **named)
        # Not before those of other threads, which may come before the rows as well.
        while waiting and named.get("lane") == "batch":
            waiting.pop()()
        return given

    patch.setattr(os, "rename", later)
    patch.setattr(SqliteDatabase, "write", write_first)


def ordinal_twice(patch: pytest.MonkeyPatch) -> None:
    """Have a batch committed without the cursor that says so."""
    advance = operations.advance_operation

    def stand_still(*arguments: Any, **named: Any) -> None:
        advance(*arguments, **(named | {"next_ordinal": None}))

    patch.setattr(operations, "advance_operation", stand_still)
    patch.setattr(operations, "lock_operation", lambda *_, **__: None)


@pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)
@pytest.mark.parametrize("leave_out", ["fdatasync", "fsync"])
@pytest.mark.parametrize("flow", ["store", "import", "import of a large object", "export"])
def test_a_sync_that_is_left_out_is_found(grounds: Grounds, flow: str, leave_out: str) -> None:
    draw = random.Random(tools.draw_seed())
    prepare(grounds, FLOWS[flow])
    wanted = unharmed(grounds, FLOWS[flow])

    assert not all(
        ends_well(grounds, FLOWS[flow], power_cuts(draw, leave_out), wanted) for _ in range(TRIES)
    )


@pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("flow", "fault"),
    [("import", row_before_blob), ("import", ordinal_twice), ("export", ordinal_twice)],
)
def test_what_is_written_in_the_wrong_order_is_found(
    grounds: Grounds, flow: str, fault: Callable[[pytest.MonkeyPatch], None]
) -> None:
    prepare(grounds, FLOWS[flow])
    wanted = unharmed(grounds, FLOWS[flow])
    deaths = (Death(step=step, fault=fault) for step in count(1))

    assert not ends_well(grounds, FLOWS[flow], deaths, wanted)


def test_schema_is_brought_up_whichever_step_ends_it(grounds: Grounds) -> None:
    first = grounds.make_first()
    with opened_at(first.database) as database, make_site(first.directory, database) as site:
        put_stored(site)
        wanted = outcome_of(site)
    migrate(first, command.downgrade, "0001")

    def act(ground: Ground) -> None:
        open_database(ground.database).close()

    steps = []
    for number in count(1):
        with grounds.copied() as ground:
            step = dies(ground, act, Death(step=number))
            act(ground)
            with standing_site(ground) as site:
                check_at_the_end(site)
                assert outcome_of(site).differs(wanted) == {}
        if step is None:
            break
        steps.append(step.split()[1])
    assert steps[-2:] == ["revision.written", "revision.committed"]
    assert steps.count("revision.applied") == int(schema.REVISION) - 1


def migrate(ground: Ground, move: Callable[[Config, str], None], revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    place = ground.database
    if isinstance(place, str):
        engine = postgresql.open_engine(place, writable=True)
    else:
        engine = sqlite.open_engine(place, writable=True)
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        move(config, revision)
    engine.dispose()


@pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)
def test_every_step_of_a_local_pool_is_come_to(grounds: Grounds) -> None:
    named = {
        step: str(path.relative_to(SOURCE))
        for path in SOURCE.rglob("*.py")
        for step in _POINT.findall(path.read_text())
    }
    heard: set[str] = set()
    for number, flow in enumerate(FLOWS.values()):
        own = Grounds(grounds.directory / str(number), None)
        prepare(own, flow)
        with own.copied() as ground, standing_site(ground) as site, listen(heard.add):
            flow.act(ground, site)
            collect(ground, site)
    heard.add("directory.deleted")  # by the purge of a store, below
    assert {step for step, path in named.items() if not path.startswith(ELSEWHERE)} <= heard


def test_deleted_store_is_gone_whichever_step_ends_the_purge(grounds: Grounds) -> None:
    first = grounds.make_first()
    with opened_at(first.database) as database, make_site(first.directory, database) as site:
        put_stored(site)
        database.write(lambda tx: stores.delete_dicom_store(tx, STORE))
        area = site.blobs.name

    def act(ground: Ground) -> None:
        with opened_at(ground.database) as database:
            blobs = LocalBlobs(ground.directory / "blobs")
            Collector(database, blobs, interval_seconds=1, after_crash=True).collect()

    for number in count(1, 24):  # one is made for each of its 256 directories
        with grounds.copied() as ground:
            step = dies(ground, act, Death(step=number))
            act(ground)
            with opened_at(ground.database) as database, database.read() as connection:
                for table in (schema.dicom_stores, schema.instances, schema.blob_drops):
                    assert all_rows(connection, table) == [], (step, table.name)
            assert not (ground.directory / "blobs" / area).exists()
        if step is None:
            break
    assert number > 200
