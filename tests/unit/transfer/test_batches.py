"""A listing is cut into batches: all of it, in order, none too large."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from fileroom.errors import Reason
from fileroom.transfer.pipeline import (
    BATCH_BYTES_MAX,
    BATCH_OBJECTS_MAX,
    NO_BLAME,
    Batch,
    cut_batches,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

LARGE = BATCH_BYTES_MAX
sizes = st.lists(
    st.sampled_from([0, 1, LARGE // 3, LARGE // 2, LARGE - 1, LARGE, LARGE + 1, 5 * LARGE])
    | st.integers(0, 2 * LARGE),
    max_size=60,
) | st.integers(0, 1000).map(lambda count: [1] * count)


@dataclass(frozen=True, slots=True)
class Item:
    ordinal: int
    size: int


def cut(sizes: list[int], first_ordinal: int) -> list[Batch[Item]]:
    items = [(Item(n, size), f"cursor {n}") for n, size in enumerate(sizes, first_ordinal)]
    return list(cut_batches(iter(items), first_ordinal=first_ordinal))


@given(sizes, st.sampled_from([0, 8, 10**6]))
def test_batches_cover_the_listing_in_order(sizes: list[int], first_ordinal: int) -> None:
    batches = cut(sizes, first_ordinal)

    items = [item for batch in batches for item in batch.items]
    assert items == [Item(n, size) for n, size in enumerate(sizes, first_ordinal)]
    assert all(batch.items for batch in batches)
    for batch, following in itertools.pairwise(batches):
        assert batch.next_ordinal == following.first_ordinal


@given(sizes, st.sampled_from([0, 8]))
def test_batch_is_bounded_unless_it_is_one_object(sizes: list[int], first_ordinal: int) -> None:
    for batch in cut(sizes, first_ordinal):
        assert len(batch.items) <= BATCH_OBJECTS_MAX
        if len(batch.items) > 1:
            assert sum(item.size for item in batch.items) <= BATCH_BYTES_MAX


@given(sizes, st.sampled_from([0, 8]))
def test_batch_ends_no_sooner_than_it_must(sizes: list[int], first_ordinal: int) -> None:
    batches = cut(sizes, first_ordinal)
    firsts = iter([8, 32, 128] if first_ordinal == 0 else [])
    for batch, following in itertools.pairwise(batches):
        most = next(firsts, BATCH_OBJECTS_MAX)
        size = sum(item.size for item in (*batch.items, following.items[0]))
        assert len(batch.items) == most or size > BATCH_BYTES_MAX


@given(sizes)
def test_cursor_is_that_of_the_last_object(sizes: list[int]) -> None:
    for batch in cut(sizes, 0):
        assert batch.cursor == f"cursor {batch.items[-1].ordinal}"


def test_first_batches_of_an_operation_are_small() -> None:
    assert [len(batch.items) for batch in cut([1] * 700, 0)] == [8, 32, 128, 250, 250, 32]


def test_resumed_listing_begins_with_whole_batches() -> None:
    assert [len(batch.items) for batch in cut([1] * 700, 8)] == [250, 250, 200]


def test_listing_is_drawn_no_further_than_one_object_ahead() -> None:
    drawn = []

    def listing() -> Iterator[tuple[Item, str]]:
        for n in range(1000):
            drawn.append(n)
            yield Item(n, 1), ""

    next(cut_batches(listing(), first_ordinal=0))

    assert len(drawn) <= 9


def test_blame_names_each_object_that_ended_a_worker() -> None:
    blame = NO_BLAME.with_item(3, Reason.WORKER_CRASHED).with_item(1, Reason.TIME_LIMIT)

    assert blame.reasons == ((3, Reason.WORKER_CRASHED), (1, Reason.TIME_LIMIT))
    assert NO_BLAME.reasons == ()


def test_full_batch_does_not_wait_for_the_next_object() -> None:
    def listing() -> Iterator[tuple[Item, str]]:
        for ordinal in range(8):
            yield Item(ordinal, 1), "cursor"
        raise AssertionError("the batch was full")

    assert len(next(cut_batches(listing(), first_ordinal=0)).items) == 8
