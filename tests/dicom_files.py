"""Real DICOM files that every machine has: those in pydicom's wheel."""

from __future__ import annotations

from pathlib import Path

import pydicom


def wheel_files() -> tuple[Path, ...]:
    """Give pydicom's test files, bad ones included."""
    directory = Path(pydicom.__file__).parent / "data" / "test_files"
    return tuple(file for file in sorted(directory.rglob("*")) if file.is_file())
