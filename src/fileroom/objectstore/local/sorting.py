"""Sort the names of a directory of any size in bounded memory."""

from __future__ import annotations

import heapq
import tempfile
from contextlib import ExitStack
from typing import IO, TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

HELD_NAMES_MAX: Final = 1_000_000
"""Names that are held at a time, about 100 MB; more wait in sorted runs in temporary files."""
_BLOCK_BYTES: Final = 1 << 20


def sorted_names(names: Iterable[str], *, held_names_max: int = HELD_NAMES_MAX) -> Iterator[str]:
    """Give names in the order of their code points, which is that of their UTF-8 bytes."""
    runs: list[IO[bytes]] = []
    held: list[str] = []
    for name in names:
        held.append(name)
        if len(held) >= held_names_max:
            runs.append(_spooled(held))
            held = []
    held.sort()
    return _merged(runs, held) if runs else iter(held)


def _spooled(names: list[str]) -> IO[bytes]:
    names.sort()
    file: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed once it is merged
    file.writelines(name.encode() + b"\0" for name in names)
    file.seek(0)
    return file


def _merged(runs: Sequence[IO[bytes]], held: Sequence[str]) -> Iterator[str]:
    with ExitStack() as stack:
        for run in runs:
            stack.enter_context(run)
        yield from heapq.merge(*(_names_of(run) for run in runs), held)


def _names_of(run: IO[bytes]) -> Iterator[str]:
    rest = b""
    while block := run.read(_BLOCK_BYTES):
        *names, rest = (rest + block).split(b"\0")
        for name in names:
            yield name.decode()
