"""Which blobs a subset holds, and what is none."""

from __future__ import annotations

import pytest

from fileroom.archive.reach import Subset, parse_subset
from fileroom.errors import InvalidArgument


def test_parts_together_are_everything_and_share_nothing() -> None:
    keys = [f"{number:02x}/pack-{number}-0-token" for number in range(1000)]
    parts = [Subset(number=number, of=7) for number in range(1, 8)]
    held = [[key for key in keys if part.holds(key)] for part in parts]
    assert sorted(key for some in held for key in some) == sorted(keys)
    assert min(map(len, held)) > 1000 / 7 / 2


def test_a_subset_is_the_same_in_every_run() -> None:
    """A schedule of parts, one a night, must not begin anew with each version."""
    assert [n for n in range(1, 8) if Subset(number=n, of=7).holds("00/pack-1-0-a")] == [2]


@pytest.mark.parametrize("text", ["", "1", "0/3", "4/3", "1/0", "-1/3", "1/3/5", "x/3", "1/10001"])
def test_what_is_no_part_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match="write n/t"):
        parse_subset(text)


def test_a_part_is_written_as_it_is_read() -> None:
    assert str(parse_subset("2/7")) == "2/7"
