"""Members of a pack are erased, looked at and read in any order, without a lock and safely."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.models.packs import (
    Actor,
    Rules,
    Violation,
    collector,
    damage,
    explore,
    reader,
    user_deletes,
)

Scene = Callable[[Rules], list[Actor]]


def damaged_pack(rules: Rules) -> list[Actor]:
    """The neighbour of a member whose head the disk has lost goes."""
    return [damage(1), user_deletes(0), collector(0, rules), collector(0, rules), reader(1, rules)]


def emptied_pack(rules: Rules) -> list[Actor]:
    """Both members go, by collectors of two servers, while somebody reads each of them."""
    return [
        *(user_deletes(member) for member in (0, 1)),
        *(collector(member, rules) for member in (0, 1)),
        collector(0, rules),
        *(reader(member, rules) for member in (0, 1)),
    ]


@pytest.mark.clause(
    "Fileroom I1, I9",
    "in every interleaving of erasing members of a pack, reading them and unlinking it a visible "
    "instance has its bytes, nobody reads erased ones, and an empty pack goes",
    holds="own rule",
)
def test_every_interleaving_keeps_the_members_that_rows_name() -> None:
    findings = explore(emptied_pack(Rules()))

    assert findings.schedules == {}
    assert findings.states > 3_000
    assert explore(damaged_pack(Rules())).schedules == {}


@pytest.mark.parametrize(
    ("scene", "rules", "violation"),
    [
        (emptied_pack, Rules(head_first=False), "zeros read"),
        (emptied_pack, Rules(reader_looks_after=False), "zeros read"),
        (emptied_pack, Rules(looks_after_erasing=False), "leaked"),
        (emptied_pack, Rules(unlinks_only_when_nothing_is_left=False), "dangling"),
        (damaged_pack, Rules(looks_at_bodies=False), "dangling"),
    ],
    ids=["body first", "reader before", "collector before", "unlinked with a member", "heads"],
)
def test_each_rule_is_needed(scene: Scene, rules: Rules, violation: Violation) -> None:
    assert violation in explore(scene(rules), until=violation).schedules
