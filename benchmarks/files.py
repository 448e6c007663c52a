"""The files that are moved: seeded, so that every run moves the same bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.corpus import UID_ROOT, ct_series, mr_instance

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SERIES_INSTANCES = 250
_SMALL_ROWS = 108


def make_ct(directory: Path, count: int) -> int:
    """Write ``count`` CT slices of 529 KB into one directory a series; give their bytes."""
    slices = (
        (f"series-{seed:03d}/{index:04d}.dcm", content)
        for seed in range((count + SERIES_INSTANCES - 1) // SERIES_INSTANCES)
        for index, content in enumerate(
            ct_series(min(SERIES_INSTANCES, count - seed * SERIES_INSTANCES), seed=seed)
        )
    )
    return _write(directory, slices)


def make_ct_study(directory: Path, count: int) -> int:
    """Write one study of one series of ``count`` CT slices of 529 KB; give their bytes."""
    slices = ct_series(count, seed=0)
    return _write(
        directory,
        ((f"series-000/{index:04d}.dcm", content) for index, content in enumerate(slices)),
    )


def make_small(directory: Path, count: int) -> int:
    """Write ``count`` MR slices of 24 KB into one directory a series; give their bytes."""
    slices = (
        (
            f"series-{number // SERIES_INSTANCES:03d}/{number % SERIES_INSTANCES:04d}.dcm",
            mr_instance(
                rows=_SMALL_ROWS,
                study_instance_uid=f"{UID_ROOT}.7.1",
                series_instance_uid=f"{UID_ROOT}.7.1.{number // SERIES_INSTANCES + 1}",
                sop_instance_uid=f"{UID_ROOT}.7.1.{number // SERIES_INSTANCES + 1}.{number + 1}",
                instance_number=str(number % SERIES_INSTANCES + 1),
            ),
        )
        for number in range(count)
    )
    return _write(directory, slices)


def size_bytes(directory: Path) -> int:
    """Give the bytes of all files below a directory."""
    return sum(file.stat().st_size for file in directory.rglob("*") if file.is_file())


def _write(directory: Path, files: Iterator[tuple[str, bytes]]) -> int:
    total = 0
    for name, content in files:
        file = directory / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        total += len(content)
    return total
