"""The order of import, replacement, deletion and collection is safe in every interleaving."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.models.blob_names import (
    Actor,
    Rules,
    attempt,
    collector,
    explore,
    late_writer,
    orphan_scan,
    user_cancels,
    user_deletes,
)

Scene = Callable[[Rules], list[Actor]]


def resumed_import(rules: Rules) -> list[Actor]:
    """Two operations import the same bytes; the first is resumed while its first attempt lives."""
    return [
        attempt(0, rules),
        attempt(0, rules),
        late_writer(0, rules),
        attempt(1, rules, starts_late=True),
        user_deletes(rules),
        user_deletes(rules),
        collector(0, rules),
        collector(1, rules),
    ]


def replacing_import(rules: Rules) -> list[Actor]:
    """The second operation replaces what the first stored, and is resumed itself."""
    return [
        attempt(0, rules),
        attempt(1, rules, on_duplicate="REPLACE"),
        attempt(1, rules, on_duplicate="REPLACE"),
        user_deletes(rules),
        late_writer(1, rules),
        collector(0, rules),
        collector(1, rules),
    ]


def scanned_import(rules: Rules) -> list[Actor]:
    """A scan for orphans runs beside a cancel, a late writer, a replacement and the collectors."""
    return [
        attempt(0, rules),
        user_cancels(0),
        late_writer(0, rules),
        attempt(1, rules, on_duplicate="REPLACE"),
        user_deletes(rules),
        orphan_scan(0, rules),
        orphan_scan(1, rules),
        collector(0, rules),
        collector(0, rules),
        collector(1, rules),
    ]


SCENES = [resumed_import, replacing_import, scanned_import]


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
@pytest.mark.clause(
    "Fileroom I1, I2, I9, I12",
    "in every interleaving of imports, deletes, REPLACE, collection and orphan scan a visible row "
    "has its blob, no deleted instance comes back, and no blob without row stays behind",
    holds="own rule",
)
def test_every_interleaving_keeps_rows_and_blobs_together(scene: Scene) -> None:
    verdict = explore(scene(Rules()), Rules())

    assert verdict.dangling is None
    assert verdict.resurrected is None
    assert verdict.leaked is None
    assert verdict.states > 3_000


@pytest.mark.parametrize(
    ("scene", "rules"),
    [
        (resumed_import, Rules(names_used_once=False)),
        (resumed_import, Rules(commits_once=False, tombstones=False)),
        (scanned_import, Rules(commits_once=False)),
        (scanned_import, Rules(scan_waits_for_writer=False)),
    ],
    ids=["shared name", "ordinal committed twice", "cancelled writer commits", "orphan by age"],
)
def test_a_row_loses_its_blob_once_a_rule_is_taken_away(scene: Scene, rules: Rules) -> None:
    schedule = explore(scene(rules), rules, until="dangling").dangling

    assert schedule is not None
    assert schedule[-1].startswith(("attempt at", "collector of"))


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
def test_a_deleted_instance_comes_back_without_tombstones(scene: Scene) -> None:
    rules = Rules(tombstones=False)

    assert explore(scene(rules), rules, until="resurrected").resurrected is not None
