"""Walk every schedule of actors that take steps between those of all the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

WorldT = TypeVar("WorldT")


class Move(NamedTuple, Generic[WorldT]):
    """What one step of an actor leaves behind."""

    world: WorldT
    memory: int = 0
    """What the actor alone knows: the horizon of an attempt, what a scan saw."""
    ends: bool = False
    """The actor is done, whatever steps it has left."""


@dataclass(kw_only=True)
class Actor(Generic[WorldT]):
    """Somebody who takes steps, one after the other, between those of all the others."""

    name: str
    steps: tuple[Callable[[WorldT, int], Move[WorldT]], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """How many states there are, and for each violation the first schedule that leads to it."""

    states: int
    schedules: dict[str, tuple[str, ...]]


_Node = tuple[WorldT, tuple[int, ...], tuple[int, ...]]


def walk(
    first: WorldT,
    actors: Sequence[Actor[WorldT]],
    violation: Callable[[WorldT], str | None],
    violation_at_rest: Callable[[WorldT], str | None],
    *,
    until: str | None = None,
) -> Findings:
    """Visit each state once; or stop when one violation is found.

    ``violation`` is asked of every state, ``violation_at_rest`` of those in which all have ended.
    """
    idle = (0,) * len(actors)
    start: _Node[WorldT] = (first, idle, idle)
    came_from: dict[_Node[WorldT], tuple[_Node[WorldT], str] | None] = {start: None}
    found: dict[str, _Node[WorldT]] = {}
    stack = [start]
    while stack and until not in found:
        node = stack.pop()
        world, counters, memories = node
        if (wrong := violation(world)) is not None:
            found.setdefault(wrong, node)
        at_rest = True
        for index, actor in enumerate(actors):
            counter = counters[index]
            if counter == len(actor.steps):
                continue
            at_rest = False
            after, memory, ends = actor.steps[counter](world, memories[index])
            reached = len(actor.steps) if ends else counter + 1
            successor: _Node[WorldT] = (
                after,
                (*counters[:index], reached, *counters[index + 1 :]),
                (*memories[:index], memory, *memories[index + 1 :]),
            )
            if successor not in came_from:
                came_from[successor] = (node, f"{actor.name}: step {counter + 1}")
                stack.append(successor)
        if at_rest and (wrong := violation_at_rest(world)) is not None:
            found.setdefault(wrong, node)
    schedules = {name: _schedule(came_from, node) for name, node in found.items()}
    return Findings(states=len(came_from), schedules=schedules)


def _schedule(
    came_from: dict[_Node[WorldT], tuple[_Node[WorldT], str] | None], node: _Node[WorldT]
) -> tuple[str, ...]:
    steps: list[str] = []
    while (origin := came_from[node]) is not None:
        node, step = origin
        steps.append(step)
    return tuple(reversed(steps))
