from __future__ import annotations

import gc
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from fileroom.objectstore.local.bucket import LocalBucket
from fileroom.objectstore.local.sorting import sorted_names

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

NAMES = st.lists(
    st.text(st.characters(exclude_characters="\0/", exclude_categories=["Cs"]), min_size=1),
    unique=True,
)


@given(NAMES, st.integers(1, 5))
def test_names_come_in_order_whatever_part_of_them_is_held(names: list[str], held: int) -> None:
    assert list(sorted_names(names, held_names_max=held)) == sorted(names, key=str.encode)


def test_a_listing_that_is_left_off_closes_its_temporary_files() -> None:
    names = sorted_names((f"{number:05}" for number in range(1000)), held_names_max=100)
    assert next(names) == "00000"
    del names
    gc.collect()  # a file left open would warn, and warnings are errors


def test_a_flat_directory_larger_than_what_is_held_lists_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    defaults = sorted_names.__kwdefaults__
    assert defaults is not None
    monkeypatch.setitem(defaults, "held_names_max", 7)
    for number in range(50):
        (tmp_path / f"{number * 37 % 50:02}").touch()
    listed = [entry.key for entry in LocalBucket(tmp_path).list(start_after="09")]
    assert listed == [f"{number:02}" for number in range(10, 50)]
