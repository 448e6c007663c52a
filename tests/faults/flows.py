"""What the processes do that are ended at each step, and how all must stand once it was done."""

from __future__ import annotations

import hashlib
import os
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from fileroom.archive.check import Fault, check_store
from fileroom.archive.collect import Collector
from fileroom.archive.drift import check_references
from fileroom.archive.retrieve import find_instance, open_as_stored
from fileroom.archive.storing import StoreRules, StoringRequest
from fileroom.database import operations, schema
from fileroom.database.operations import Kind, State
from fileroom.names import InstancePath, Uid
from fileroom.operations.operation import account
from fileroom.operations.runner import Runner
from fileroom.transfer.changing.deletion import request_delete
from fileroom.transfer.changing.undoing import request_undo
from fileroom.transfer.exporting.job import request_export
from fileroom.transfer.importing.job import forget_import, request_import
from fileroom.transfer.jobs import jobs_of
from fileroom.transfer.ledger import DEFERRED, count_lines, decode_chunk
from fileroom.transfer.options import ExportOptions, ImportOptions
from tests.corpus import mr_instance
from tests.databases import opened_at
from tests.unit.archive.holding import area
from tests.unit.database.rows import DATASET, STORE, all_rows
from tests.unit.operations.running import wait_until
from tests.unit.transfer.site import Site, instance, site_of, uids

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sqlalchemy import Row

    from fileroom.database.operations import Operation
    from fileroom.names import OperationName
    from fileroom.transfer.options import IfExists
    from tests.faults.crashing import Ground
    from tests.unit.transfer.site import UIDS

LARGE_BYTES: Final = 8000
"""From which size on an object is large in these tests."""
LARGE_ROWS: Final = 100
_WITH_LEDGER: Final = {Kind.IMPORT, Kind.EXPORT}
TERMS: Final = ("imported", "identical", "kept", "replaced", "exported", "failed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """One thing that a server does. ``act`` may be done again, as by the next server."""

    prepare: Callable[[Site], None]
    act: Callable[[Ground, Site], None]


@contextmanager
def standing_site(ground: Ground) -> Iterator[Site]:
    """Open what lies at a ground, as a server does when it starts."""
    with opened_at(ground.database) as database, site_of(ground.directory, database) as site:
        yield site


# ---------------------------------------------------------------------------------- what is done


def work_off(_: Ground | None, site: Site) -> None:
    """Run every operation to its end, as a server that has just started does."""
    if not site.database.is_shared:
        site.database.write(lambda tx: operations.void_leases(tx, "nobody"))
    else:
        site.database.write(lambda tx: tx.execute(schema.operations.update().values(lease_until=0)))
    runner = Runner(
        site.database,
        "server",
        jobs_of(site.facilities),
        logs_url=lambda operation: f"http://fileroom.example/{operation.name}",
        on_finished=partial(forget_import, site.facilities),
    )
    runner.start()
    try:
        wait_until(lambda: all(one.state == State.DONE for one in _operation_rows(site)))
    finally:
        runner.stop(drain_seconds=10)


def collect(_: Ground | None, site: Site) -> None:
    """Collect what is due, as after a crash."""
    Collector(
        site.database,
        site.facilities.blobs,
        interval_seconds=1,
        after_crash=True,
        requests=site.facilities.requests,
    ).collect()


def store(ground: Ground, site: Site) -> None:
    """Store some files and one that is none in two requests; note what was acknowledged."""
    for numbers in ((1, 2, 3), (3, 4)):
        requests = site.facilities.requests
        request = StoringRequest(requests, site.content, StoreRules())
        try:
            for number in numbers:
                part = request.begin_part()
                part.write(instance(uids(number)))
                part.end()
            part = request.begin_part()
            part.write(b"none")
            part.end()
            outcomes = list(request.store())
        finally:
            request.close()
        assert [outcome.failure is None for outcome in outcomes] == [True] * len(numbers) + [False]
        for number in numbers:
            ground.note(str(number))


def ask_import(
    site: Site, *, policy: str = "", mode: str = "", directory: str = "in"
) -> OperationName:
    options = ImportOptions(duplicate_policy=policy, mode=mode)  # type: ignore[arg-type]
    uri = f"gs://bucket/{directory}/**"
    return request_import(site.facilities, STORE, uri, options=options, api_version="v1")


def put_files(site: Site, directory: str = "in") -> None:
    """Put good files, a duplicate, another one that differs, and one that is none."""
    for number in range(5):
        site.put(f"{directory}/{number}.dcm", instance(uids(number, series=1 + number % 2)))
    site.put(f"{directory}/5.dcm", instance(uids(0)))
    site.put(f"{directory}/6.dcm", instance(uids(2), patient_id="other"))
    site.put(f"{directory}/7.dcm", b"none")


def put_stored(site: Site) -> None:
    put_files(site)
    ask_import(site)
    work_off(None, site)


def _to_import(site: Site, **options: str) -> None:
    put_files(site)
    ask_import(site, **options)


def _to_export(site: Site, if_exists: IfExists = "") -> None:
    put_stored(site)
    request_export(
        site.facilities,
        STORE,
        "gs://bucket/out",
        options=ExportOptions(
            manifest_uri_prefix="gs://bucket/told", manifest_format="CSV", if_exists=if_exists
        ),
        api_version="v1",
    )


def _to_delete(site: Site, *uids_of: str) -> None:
    put_stored(site)
    request_delete(site.facilities, STORE, InstancePath(*map(Uid, uids_of)), api_version="v1")


def _to_collect(site: Site) -> None:
    _to_delete(site, *uids(1, series=2)[:2])
    work_off(None, site)
    site.database.write(lambda tx: tx.execute(schema.blob_drops.update().values(not_before=0)))
    left = site.blobs / "tmp" / ".fileroom-of-a-lost-worker"
    left.write_bytes(b"some")
    os.utime(left, (0, 0))


def put_replacing(site: Site) -> OperationName:
    put_stored(site)
    for number in range(4):
        patient = "P1" if number == 0 else "P2"
        content = instance(uids(number, series=1 + number % 2), patient_id=patient)
        site.put(f"again/{number}.dcm", content)
    site.put("again/9.dcm", instance(uids(9)))
    return ask_import(site, policy="REPLACE", directory="again")


def _to_undo(site: Site) -> None:
    name = put_replacing(site)
    work_off(None, site)
    request_undo(
        site.facilities, name, api_version="v1", permission="healthcare.dicomStores.dicomWebDelete"
    )


def _to_import_large(site: Site) -> None:
    """Ask for an import of which one object goes through the second lane, in parts."""
    put_files(site)
    study, series, sop_instance = uids(8)
    large = mr_instance(
        rows=LARGE_ROWS,
        study_instance_uid=study,
        series_instance_uid=series,
        sop_instance_uid=sop_instance,
    )
    assert len(large) > LARGE_BYTES
    site.put("in/3-large.dcm", large)
    ask_import(site)


FLOWS: Final = {
    "store": Flow(prepare=lambda _: None, act=store),
    "import": Flow(prepare=_to_import, act=work_off),
    "import of a large object": Flow(prepare=_to_import_large, act=work_off),
    "import by reference": Flow(prepare=partial(_to_import, mode="REFERENCE"), act=work_off),
    "import that replaces": Flow(prepare=lambda site: (put_replacing(site), None)[1], act=work_off),
    "export": Flow(prepare=_to_export, act=work_off),
    "export that replaces nothing": Flow(
        prepare=partial(_to_export, if_exists="FAIL"), act=work_off
    ),
    "deletion of a study": Flow(prepare=lambda site: _to_delete(site, *uids(0)[:1]), act=work_off),
    "deletion of a series": Flow(prepare=lambda site: _to_delete(site, *uids(0)[:2]), act=work_off),
    "collection": Flow(prepare=_to_collect, act=collect),
    "undo": Flow(prepare=_to_undo, act=work_off),
}


# ---------------------------------------------------------------------------------- how it stands


@dataclass(frozen=True, slots=True)
class Outcome:
    """All that a client can see, and the bytes."""

    instances: dict[UIDS, str]
    above: dict[str, tuple[object, ...]]
    """What studies are described by, how many instances series have, of how many bytes."""
    operations: list[tuple[object, ...]]
    exported: dict[str, str]

    def differs(self, other: Outcome) -> dict[str, tuple[object, object]]:
        """Give what is not as in another: what this one has, and what that one has."""
        return {
            name: (some(mine, theirs), some(theirs, mine))
            for name in self.__slots__
            if (mine := getattr(self, name)) != (theirs := getattr(other, name))
        }


def some(mine: Any, theirs: Any) -> object:
    """Give what is in one of two collections only."""
    if isinstance(mine, dict):
        return {key: value for key, value in mine.items() if theirs.get(key) != value}
    return [one for one in mine if one not in theirs]


def stored(site: Site) -> dict[UIDS, str]:
    """Give the SHA-256 of what a client gets of each instance."""
    with site.database.read() as connection:
        rows = all_rows(connection, schema.instances)
        series = {row.id: row for row in all_rows(connection, schema.series)}
        studies = {row.id: row for row in all_rows(connection, schema.studies)}
    found: dict[UIDS, str] = {}
    for row in rows:
        above = series[row.series_id]
        study = studies[above.study_id].study_instance_uid
        key = (study, above.series_instance_uid, row.sop_instance_uid)
        file = open_as_stored(
            site.content, find_instance(site.content, InstancePath(*map(Uid, key)))
        )
        found[key] = hashlib.sha256(b"".join(file.pieces)).hexdigest()
    assert len(found) == len(rows)
    return found


def outcome_of(site: Site) -> Outcome:
    """Give how all stands."""
    with site.database.read() as connection:
        above: dict[str, tuple[object, ...]] = {
            row.study_instance_uid: (row.patient_id,)
            for row in all_rows(connection, schema.studies)
        } | {
            row.series_instance_uid: (row.instance_count, row.bytes)
            for row in all_rows(connection, schema.series)
        }
    return Outcome(
        instances=stored(site),
        above=above,
        operations=[
            (one.kind, one.counters, one.error, one.response, ledger_of(site, one))
            for one in all_operations(site)
        ],
        exported={
            str(path.relative_to(site.bucket)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in site.bucket.rglob("*")
            if path.is_file()
        },
    )


def all_operations(site: Site) -> list[Operation]:
    """Give all operations, in the order in which they were asked for."""
    with site.database.read() as connection:
        found = operations.list_operations(connection, DATASET, page_size=100).items
    return sorted(found, key=lambda one: one.id)


def ledger_of(site: Site, operation: Operation) -> list[tuple[int, str, str]]:
    """Give the settled lines of an operation's ledger."""
    with site.database.read() as connection:
        chunks = operations.ledger_chunks(connection, operation.id, after=(-1, 0), at_most=10_000)
    lines = [line for *_, chunk in chunks for line in decode_chunk(chunk)]
    settled = [line for line in lines if line.result != DEFERRED]
    assert len({line.ordinal for line in settled}) == len(settled), "an ordinal is settled twice"
    counted = count_lines(settled)
    for term in TERMS if operation.kind in _WITH_LEDGER else ():
        assert getattr(counted, term) == getattr(operation.counters, term), term
    return sorted((line.ordinal, line.source, str(line.result)) for line in settled)


def check_meanwhile(site: Site) -> None:
    """What holds at every moment: no row without its bytes (I1), accounts that sum up (I3)."""
    for finding in check_store(site.database, site.facilities.blobs, area(site), deep=True):
        assert finding.fault is Fault.ORPHANED, finding
    assert list(check_references(site.database, site.facilities.buckets, area(site))) == []
    for one in all_operations(site):
        told = account(one)
        listed = told.pop("listed")
        assert sum(told.values()) == listed
        ledger_of(site, one)


def check_at_the_end(site: Site) -> None:
    """What holds once all was done again: rows and blobs agree both ways (I9, I14)."""
    check_meanwhile(site)
    found = check_store(site.database, site.facilities.blobs, area(site), deep=True)
    assert list(found) == []
    assert all(one.state is State.DONE for one in all_operations(site))


def _operation_rows(site: Site) -> Sequence[Row[*tuple[Any, ...]]]:
    with site.database.read() as connection:
        return all_rows(connection, schema.operations)
