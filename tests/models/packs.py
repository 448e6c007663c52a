"""Every interleaving of erasing members of a pack with looking at them and reading them.

A pack of two members, 0 and 1, is committed. Users delete the one and the other, collectors of one
or several servers erase what is due and unlink the pack when they see nothing left, readers who
had found a row before its delete read on, a disk damages the head of a member. There is no lock
and no count.

What must hold in every state: what the disk left of a visible row's member is there. No reader
ever takes erased bytes for content. And at rest a pack in which nothing is left is gone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from tests.models import interleavings
from tests.models.interleavings import Findings, walk

MEMBERS = (0, 1)
KEPT, QUEUED, DROPPED = 0, 1, 2

Violation = Literal["dangling", "zeros read", "leaked"]


class World(NamedTuple):
    """What database and disk hold; a pair has one entry for each member."""

    rows: tuple[bool, bool] = (True, True)
    drops: tuple[int, int] = (KEPT, KEPT)
    heads: tuple[bool, bool] = (True, True)
    bodies: tuple[bool, bool] = (True, True)
    linked: bool = True
    zeros_read: bool = False


Move = interleavings.Move[World]
Actor = interleavings.Actor[World]
Step = Callable[[World, int], Move]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The rules that make erasing safe; a test takes each away in turn."""

    head_first: bool = True
    """The head of a member is zeroed before the rest of it."""
    reader_looks_after: bool = True
    """A reader looks at the head after it has read, not before."""
    looks_after_erasing: bool = True
    """A collector looks at what stands after it has erased, not before."""
    unlinks_only_when_nothing_is_left: bool = True
    looks_at_bodies: bool = True
    """What is left is told by all bytes, not by the heads alone."""


def _with(pair: tuple[bool, bool], member: int, *, value: bool) -> tuple[bool, bool]:
    return (value, pair[1]) if member == 0 else (pair[0], value)


def user_deletes(member: int) -> Actor:
    """A user who deletes an instance: the row goes and its place is queued, in one transaction."""

    def delete(world: World, memory: int) -> Move:
        first, second = world.drops
        return Move(
            world._replace(
                rows=_with(world.rows, member, value=False),
                drops=(QUEUED, second) if member == 0 else (first, QUEUED),
            ),
            memory,
        )

    return Actor(name=f"delete {member}", steps=(delete,))


def collector(member: int, rules: Rules) -> Actor:
    """Take a due drop, erase the member, look what is left of the others, unlink, forget it."""

    def take(world: World, memory: int) -> Move:
        return Move(world, memory, ends=world.drops[member] != QUEUED)

    def erase_head(world: World, memory: int) -> Move:
        return Move(world._replace(heads=_with(world.heads, member, value=False)), memory)

    def erase_body(world: World, memory: int) -> Move:
        return Move(world._replace(bodies=_with(world.bodies, member, value=False)), memory)

    def look(world: World, _memory: int) -> Move:
        left = any(
            world.heads[other] or (rules.looks_at_bodies and world.bodies[other])
            for other in MEMBERS
            if other != member
        )
        return Move(world, int(left and rules.unlinks_only_when_nothing_is_left))

    def unlink(world: World, memory: int) -> Move:
        return Move(world if memory else world._replace(linked=False), memory)

    def forget(world: World, memory: int) -> Move:
        first, second = world.drops
        drops = (DROPPED, second) if member == 0 else (first, DROPPED)
        return Move(world._replace(drops=drops), memory)

    erasing: Sequence[Step] = (erase_head, erase_body)
    if not rules.head_first:
        erasing = (erase_body, erase_head)
    steps = (*erasing, look) if rules.looks_after_erasing else (look, *erasing)
    return Actor(name=f"collector of {member}", steps=(take, *steps, unlink, forget))


def reader(member: int, rules: Rules) -> Actor:
    """Somebody who has the pack open, from before a delete perhaps; memory: 1 + what was read."""

    def read(world: World, memory: int) -> Move:
        return Move(world, memory | (1 if world.bodies[member] else 2))

    def look(world: World, memory: int) -> Move:
        return Move(world, memory | (4 if world.heads[member] else 0))

    def believe(world: World, memory: int) -> Move:
        stood, zeros = memory & 4, memory & 2
        return Move(world._replace(zeros_read=True) if stood and zeros else world, memory)

    steps = (read, look) if rules.reader_looks_after else (look, read)
    return Actor(name=f"reader of {member}", steps=(*steps, believe))


def damage(member: int) -> Actor:
    """A disk that loses the head of a member, and nothing else."""

    def lose(world: World, memory: int) -> Move:
        return Move(world._replace(heads=_with(world.heads, member, value=False)), memory)

    return Actor(name=f"damage of {member}", steps=(lose,))


def explore(actors: Sequence[Actor], *, until: Violation | None = None) -> Findings:
    """Walk every schedule of the actors; or until one violation is found."""

    def violation(world: World) -> Violation | None:
        for member in MEMBERS:
            if world.rows[member] and not (world.linked and world.bodies[member]):
                return "dangling"
        return "zeros read" if world.zeros_read else None

    def violation_at_rest(world: World) -> Violation | None:
        all_collected = QUEUED not in world.drops
        leaked = all_collected and world.linked and not any((*world.heads, *world.bodies))
        return "leaked" if leaked else None

    return walk(World(), actors, violation, violation_at_rest, until=until)
