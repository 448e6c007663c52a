"""The files of the console, as the package holds them."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator
    from importlib.resources.abc import Traversable

MEDIA_TYPES: Final = {
    ".css": "text/css; charset=UTF-8",
    ".html": "text/html; charset=UTF-8",
    ".js": "text/javascript; charset=UTF-8",
    ".svg": "image/svg+xml",
}


def load_files() -> dict[str, tuple[str, bytes]]:
    """Give each file by its path below ``/console/``: its media type and its content."""
    return dict(_load(files("fileroom.console") / "static", ""))


def _load(directory: Traversable, above: str) -> Iterator[tuple[str, tuple[str, bytes]]]:
    for entry in directory.iterdir():
        path = f"{above}{entry.name}"
        if entry.is_dir():
            yield from _load(entry, f"{path}/")
        elif (suffix := f".{entry.name.rpartition('.')[2]}") in MEDIA_TYPES:
            yield path, (MEDIA_TYPES[suffix], entry.read_bytes())
