"""Every interleaving of imports, deletes, replacement, collection and the orphan scan.

One instance is imported by two operations, 0 and 1. An operation writes its blob under a name of
its own (``sha256-operation-ordinal``), so the two blobs are different files even when their bytes
are the same. Beside them run a writer that comes late, a user who deletes, one who cancels, a
collector for each name and a scan for orphans. There is no grace period: what holds here holds by
order alone.

What must hold in every state: a visible row's blob exists. And once all have come to rest, one more
scan and collection leaves exactly the blob that the row names.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from tests.models import interleavings
from tests.models.interleavings import walk

OPERATIONS = (0, 1)
NOBODY = -1
KEPT, QUEUED, DROPPING = 0, 1, 2

OnDuplicate = Literal["FAIL", "REPLACE"]
Violation = Literal["dangling", "resurrected", "leaked"]


class World(NamedTuple):
    """What database and disk hold; a pair has one entry for each operation."""

    row: int = NOBODY
    """The operation whose blob the visible row names."""
    blobs: tuple[bool, bool] = (False, False)
    drops: tuple[int, int] = (KEPT, KEPT)
    committed: tuple[bool, bool] = (False, False)
    """Whether the operation's one ordinal is committed."""
    finished: tuple[bool, bool] = (False, False)
    changes: int = 0
    tombstone: int = NOBODY
    """The change that deleted the instance last."""
    resurrected: bool = False
    """Whether an operation older than that delete brought the instance back."""


Move = interleavings.Move[World]
Actor = interleavings.Actor[World]
Step = Callable[[World, int], Move]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The rules that make collection safe; a test takes each away in turn."""

    commits_once: bool = True
    """A commit is refused unless its fence, its ordinal and the state RUNNING still stand."""
    tombstones: bool = True
    scan_waits_for_writer: bool = True
    """A blob is an orphan only when the operation that wrote it is finished; never by its age."""
    names_used_once: bool = True
    """A blob's name holds its operation; else both share one name, made from the hash alone."""

    def file(self, operation: int) -> int:
        """Which of the two files an operation writes."""
        return operation if self.names_used_once else 0

    def names(self, row: int, file: int) -> bool:
        """Whether the visible row names that file."""
        return row != NOBODY and self.file(row) == file


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What an exploration found."""

    states: int
    dangling: tuple[str, ...] | None
    """The first schedule that leaves a row without its blob."""
    resurrected: tuple[str, ...] | None
    """The first schedule in which an attempt older than a delete brings the instance back."""
    leaked: tuple[str, ...] | None
    """The first schedule after which a blob without row stays behind for ever."""


def _marked(pair: tuple[bool, bool], index: int, *, value: bool = True) -> tuple[bool, bool]:
    return (value, pair[1]) if index == 0 else (pair[0], value)


def _dropped(world: World, file: int, state: int) -> World:
    first, second = world.drops
    return world._replace(drops=(state, second) if file == 0 else (first, state))


def _queued(world: World, file: int, rules: Rules) -> World:
    """Queue a file that no row names, unless it is queued already."""
    if world.drops[file] != KEPT or rules.names(world.row, file):
        return world
    return _dropped(world, file, QUEUED)


def _write(operation: int, rules: Rules) -> Step:
    def write(world: World, memory: int) -> Move:
        return Move(world._replace(blobs=_marked(world.blobs, rules.file(operation))), memory)

    return write


def _start(world: World, _memory: int) -> Move:
    return Move(world, world.changes)


def _commit(operation: int, on_duplicate: OnDuplicate, rules: Rules) -> Step:
    def commit(world: World, memory: int) -> Move:
        if rules.commits_once and (world.committed[operation] or world.finished[operation]):
            return Move(world, memory, ends=True)
        committed = world._replace(committed=_marked(world.committed, operation))
        deleted_meanwhile = world.tombstone > memory
        mine = rules.file(operation)
        if world.row == NOBODY:
            if rules.tombstones and deleted_meanwhile:
                return Move(_queued(committed, mine, rules), memory)
            return Move(committed._replace(row=operation, resurrected=deleted_meanwhile), memory)
        if world.row != operation and on_duplicate == "REPLACE":
            replaced = committed._replace(row=operation)
            return Move(_queued(replaced, rules.file(world.row), rules), memory)
        return Move(_queued(committed, mine, rules), memory)

    return commit


def _finish(operation: int) -> Step:
    def finish(world: World, memory: int) -> Move:
        return Move(world._replace(finished=_marked(world.finished, operation)), memory)

    return finish


def attempt(
    operation: int, rules: Rules, *, on_duplicate: OnDuplicate = "FAIL", starts_late: bool = False
) -> Actor:
    """One coordinator with its worker; a second one is a resume, while the first may live on."""
    steps = (_write(operation, rules), _commit(operation, on_duplicate, rules), _finish(operation))
    return Actor(name=f"attempt at {operation}", steps=(_start, *steps) if starts_late else steps)


def late_writer(operation: int, rules: Rules) -> Actor:
    """A worker that was stopped and writes its blob after all."""
    return Actor(name=f"late writer of {operation}", steps=(_write(operation, rules),))


def user_deletes(rules: Rules) -> Actor:
    """A user who deletes the instance: row away, tombstone set, blob queued, in one transaction."""

    def delete(world: World, memory: int) -> Move:
        if world.row == NOBODY:
            return Move(world, memory)
        changes = world.changes + 1
        deleted = world._replace(row=NOBODY, changes=changes, tombstone=changes)
        return Move(_queued(deleted, rules.file(world.row), rules), memory)

    return Actor(name="delete", steps=(delete,))


def user_cancels(operation: int) -> Actor:
    """A user who ends an operation that may have written, and not committed, its blob."""
    return Actor(name=f"cancel {operation}", steps=(_finish(operation),))


def collector(file: int, rules: Rules) -> Actor:
    """Take a due drop, unlink its file, forget the drop: two transactions and a delete between."""

    def take(world: World, memory: int) -> Move:
        if world.drops[file] != QUEUED:
            return Move(world, memory, ends=True)
        if rules.names(world.row, file):
            return Move(_dropped(world, file, KEPT), memory, ends=True)
        return Move(_dropped(world, file, DROPPING), memory)

    def unlink(world: World, memory: int) -> Move:
        return Move(world._replace(blobs=_marked(world.blobs, file, value=False)), memory)

    def forget(world: World, memory: int) -> Move:
        return Move(_dropped(world, file, KEPT), memory)

    return Actor(name=f"collector of {file}", steps=(take, unlink, forget))


def orphan_scan(file: int, rules: Rules) -> Actor:
    """List the blob, then, some time later, compare it with the rows; queue it if it has none."""

    def look(world: World, memory: int) -> Move:
        return Move(world, memory, ends=not world.blobs[file])

    def compare(world: World, memory: int) -> Move:
        writer_is_gone = world.finished[file] or not rules.scan_waits_for_writer
        return Move(_queued(world, file, rules) if writer_is_gone else world, memory)

    return Actor(name=f"orphan scan of {file}", steps=(look, compare))


def _leaks(world: World, rules: Rules) -> bool:
    """Whether a blob without row outlives one more scan and collection after all have ended."""
    world = world._replace(finished=(True, True))
    for file in OPERATIONS:
        for actor in (orphan_scan(file, rules), collector(file, rules)):
            for step in actor.steps:
                world, _, ends = step(world, 0)
                if ends:
                    break
    return any(world.blobs[file] and not rules.names(world.row, file) for file in OPERATIONS)


def explore(actors: Sequence[Actor], rules: Rules, *, until: Violation | None = None) -> Verdict:
    """Walk every schedule of the actors; or until one violation is found."""

    def violation(world: World) -> Violation | None:
        if world.row != NOBODY and not world.blobs[rules.file(world.row)]:
            return "dangling"
        return "resurrected" if world.resurrected else None

    def violation_at_rest(world: World) -> Violation | None:
        return "leaked" if _leaks(world, rules) else None

    findings = walk(World(), actors, violation, violation_at_rest, until=until)
    return Verdict(
        states=findings.states,
        dangling=findings.schedules.get("dangling"),
        resurrected=findings.schedules.get("resurrected"),
        leaked=findings.schedules.get("leaked"),
    )
