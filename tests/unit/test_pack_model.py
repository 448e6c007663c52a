"""Members of a pack are erased, looked at and read in any order, without a lock and safely."""

from __future__ import annotations

import pytest

from tests.models.packs import (
    Actor,
    Rules,
    Violation,
    collector,
    explore,
    reader,
    user_deletes,
)


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


@pytest.mark.parametrize(
    ("rules", "violation"),
    [
        (Rules(head_first=False), "zeros read"),
        (Rules(reader_looks_after=False), "zeros read"),
        (Rules(looks_after_erasing=False), "leaked"),
        (Rules(unlinks_only_when_nothing_stands=False), "dangling"),
    ],
    ids=["body first", "reader looks before", "collector looks before", "unlinked with a member"],
)
def test_each_rule_is_needed(rules: Rules, violation: Violation) -> None:
    assert violation in explore(emptied_pack(rules), until=violation).schedules
