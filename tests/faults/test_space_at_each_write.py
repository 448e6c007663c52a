"""Whichever call finds no space, what is under way waits with the reason and ends exactly (F5).

The first call that needs space is refused, with all that follow, until the operation says that it
waits; then, from the beginning, the second, and so on until no call is left.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from fileroom.database.operations import Kind, State
from fileroom.errors import ResourceExhausted
from fileroom.objectstore.local.beneath import TEMPORARY_PREFIX
from fileroom.operations.runner import Run
from fileroom.transfer.exporting.job import request_export
from tests.databases import opened_at
from tests.faults.crashing import Grounds
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
    store,
    stored,
    work_off,
)
from tests.faults.short_of_space import Space, short_of_space
from tests.unit.database.rows import STORE
from tests.unit.transfer.site import make_site

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.faults.crashing import Ground
    from tests.unit.transfer.site import Site


def _to_export_otherwise(site: Site) -> None:
    put_stored(site)
    request_export(
        site.facilities,
        STORE,
        "gs://bucket/out",
        mime_type="application/dicom; transfer-syntax=1.2.840.10008.1.2.1.99",
        api_version="v1",
    )


OPERATIONS: Final = {
    name: FLOWS[name] for name in ("import", "import of a large object", "export")
} | {"export in another form": Flow(prepare=_to_export_otherwise, act=work_off)}


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make few objects several batches and a small one large, spool little."""
    for module in ("worker", "line"):
        monkeypatch.setattr(f"fileroom.transfer.importing.{module}.LARGE_BYTES", LARGE_BYTES)
    monkeypatch.setattr("fileroom.transfer.importing.worker.MESSAGE_BYTES_MAX", 500)
    monkeypatch.setattr("fileroom.objectstore.local.parts.NOTED_BYTES", 8000)
    monkeypatch.setattr("fileroom.transfer.exporting.spool.MEMORY_BYTES", 1)
    monkeypatch.setattr("fileroom.transfer.pipeline.batches.FIRST_BATCHES", (3, 3))


@pytest.fixture
def grounds(tmp_path: Path) -> Iterator[Grounds]:
    """In memory where that can be: hundreds of directories are copied and deleted again."""
    memory = Path("/dev/shm")
    above = memory if os.access(memory, os.W_OK) else tmp_path
    with tempfile.TemporaryDirectory(prefix="fileroom-space-", dir=above) as directory:
        yield Grounds(Path(directory) / "grounds", None)


def prepare(grounds: Grounds, flow: Flow) -> None:
    first = grounds.make_first()
    with opened_at(first.database) as database, make_site(first.directory, database) as site:
        flow.prepare(site)


def named_files(site: Site) -> dict[str, str]:
    """Give the SHA-256 of each file of the bucket that has its own name."""
    return {
        str(path.relative_to(site.bucket)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in site.bucket.rglob("*")
        if path.is_file() and not path.name.startswith(TEMPORARY_PREFIX)
    }


@dataclass(slots=True)
class Pauses:
    """Looks at how all stands each time an operation waits, then gives space again."""

    site: Site
    space: Space
    wanted: Outcome
    whys: list[str] = field(default_factory=list)
    amiss: list[BaseException] = field(default_factory=list)

    def look(self, run: Run) -> None:
        """Note why an operation waits, and what is not as it must be meanwhile."""
        try:
            waiting = run.read()
            assert waiting.state is State.PAUSED
            self.whys.append(waiting.paused_why or "")
            check_meanwhile(self.site)
            bad = 2 if waiting.kind is Kind.IMPORT else 0
            assert waiting.counters.failed <= bad
            assert named_files(self.site).items() <= self.wanted.exported.items()
        except BaseException as error:
            self.amiss.append(error)
        finally:
            self.space.free()


def worked_off(
    ground: Ground, flow: Flow, space: Space, wanted: Outcome, monkeypatch: pytest.MonkeyPatch
) -> tuple[Outcome, list[str]]:
    """Do the work with so much space; give how all stands then, and for what it waited."""
    with standing_site(ground) as site, monkeypatch.context() as patch:
        pauses = Pauses(site, space, wanted)
        sleep = Run.sleep

        def look_and_sleep(run: Run, seconds: float) -> None:
            pauses.look(run)
            sleep(run, min(seconds, 0.001))

        patch.setattr(Run, "sleep", look_and_sleep)
        with short_of_space(monkeypatch, space):
            flow.act(ground, site)
        if pauses.amiss:
            raise pauses.amiss[0]
        collect(ground, site)
        check_at_the_end(site)
        return outcome_of(site), pauses.whys


@pytest.mark.parametrize("flow", OPERATIONS)
@pytest.mark.clause(
    "Fileroom faults",
    "whichever write of an import or an export finds no space, the operation waits and says for "
    "what, blames no object, leaves nothing half visible, and ends exactly once there is space",
    holds="own rule",
)
def test_whichever_write_finds_no_space_the_operation_waits(
    grounds: Grounds, flow: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(grounds, OPERATIONS[flow])
    with grounds.copied() as ground, standing_site(ground) as site:
        OPERATIONS[flow].act(ground, site)
        collect(ground, site)
        wanted = outcome_of(site)
    refused = set()
    for number in count(1):
        space = Space(number)
        with grounds.copied() as ground:
            found, whys = worked_off(ground, OPERATIONS[flow], space, wanted, monkeypatch)
        assert found.differs(wanted) == {}, (number, space.refused)
        if not space.refused:
            break
        assert whys, (number, space.refused)
        assert all("no space" in why for why in whys), (number, whys)
        refused.add(space.refused[0])
    assert number > 8
    assert {"open", "write", "rename", "fdatasync"} <= refused


@pytest.mark.clause(
    "Fileroom faults",
    "whichever write of a store finds no space, it is refused as a whole request, nothing of it is "
    "half visible, and the same request succeeds once there is space",
    holds="own rule",
)
def test_whichever_write_of_a_store_finds_no_space_it_is_refused(
    grounds: Grounds, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(grounds, FLOWS["store"])
    with grounds.copied() as ground, standing_site(ground) as site:
        store(ground, site)
        wanted = stored(site)
    for number in count(1):
        space, why = Space(number), ""
        with grounds.copied() as ground, standing_site(ground) as site:
            with short_of_space(monkeypatch, space):
                try:
                    store(ground, site)
                except ResourceExhausted as error:
                    why = error.message
            check_meanwhile(site)
            assert stored(site).items() <= wanted.items()
            assert len(stored(site)) in {0, 3, 4}
            store(ground, site)
            collect(ground, site)
            check_at_the_end(site)
            assert stored(site) == wanted, (number, space.refused)
        assert ("no space" in why) == bool(space.refused)
        if not space.refused:
            break
    assert number > 8
