"""The project's own files, as the tests about the code see them."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = Path(__file__).resolve().parent.parent
PACKAGE: Final = ROOT / "src" / "fileroom"
_MADE: Final = frozenset({"node_modules", "__pycache__", "dist", "build", "demo-data"})
"""Directories that the project's tools make, beside hidden ones."""
_HIDDEN: Final = frozenset({".ci"})
"""Hidden directories that belong to the project."""


@cache
def files() -> tuple[Path, ...]:
    """Give every file that belongs to the project."""
    return tuple(_walk(ROOT))


def _walk(directory: Path) -> Iterator[Path]:
    for entry in sorted(directory.iterdir()):
        if not entry.is_dir():
            yield entry
        elif entry.name in _HIDDEN or (not entry.name.startswith(".") and entry.name not in _MADE):
            yield from _walk(entry)


def texts() -> Iterator[tuple[Path, str]]:
    """Give every file that is text, with its content."""
    for file in files():
        try:
            yield file, file.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue


def pages() -> tuple[Path, ...]:
    """Give every Markdown page."""
    return tuple(file for file in files() if file.suffix == ".md")


def modules(*directories: str) -> tuple[Path, ...]:
    """Give the Python files below some directories of the project."""
    roots = [ROOT / directory for directory in directories]
    return tuple(
        file
        for file in files()
        if file.suffix == ".py" and any(file.is_relative_to(root) for root in roots)
    )


@cache
def tree(file: Path) -> ast.Module:
    """Give the syntax tree of a Python file."""
    return ast.parse(file.read_text(encoding="utf-8"), filename=str(file))


def relative(file: Path) -> str:
    """Give a file's path inside the project."""
    return file.relative_to(ROOT).as_posix()


def module_name(file: Path) -> str:
    """Give the dotted name of a module of the package."""
    parts = file.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
