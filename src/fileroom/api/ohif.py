"""OHIF, a viewer that the operator may put beside the console.

Its pages are below ``/ohif``; its built files stand at the root, where its bundles look for them.
It is served from the origin of the API, so that it needs no CORS and no token of its own; what an
operator names as OHIF is trusted as the console is.
"""

from __future__ import annotations

import mimetypes
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from fileroom.api.calls import Answer
from fileroom.errors import FailedPrecondition
from fileroom.objectstore.local import LocalBucket

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fileroom.objectstore.local import LocalObject

ROOT: Final = "ohif"
PIECE_BYTES: Final = 1 << 20
_INDEX: Final = "index.html"
_CONFIG: Final = "app-config.js"
_POLICY: Final = "; ".join(
    (
        "default-src 'self'",
        # Its bundles hold inline scripts, and its codecs are WebAssembly that runs in workers.
        "script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:",
        "worker-src 'self' blob:",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' blob: data:",
        "font-src 'self' data:",
        "connect-src 'self' blob: data:",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    )
)
_HEADERS: Final = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": _POLICY,
    "Content-Disposition": "inline",
}


class Ohif:
    """The files of a built OHIF; a path of none of them is a place in the viewer."""

    def __init__(self, directory: Path, config: bytes) -> None:
        """Take the directory of its ``index.html``, and the settings that it is to have.

        Raises
        ------
        FailedPrecondition
            If there is no such file.
        """
        self._bucket = LocalBucket(directory)
        self._config = config
        self._names = frozenset(entry.name for entry in directory.glob("*"))
        if self._bucket.find(_INDEX) is None:
            raise FailedPrecondition(
                f"ohif = {directory} holds no {_INDEX}: name the directory of a built OHIF, such as"
                " dist of the npm package @ohif/app",
                "ohif",
            )

    def may_have(self, path: str) -> bool:
        """Whether a path is a page of the viewer or begins as one of its files does."""
        first = path.removeprefix("/").partition("/")[0]
        return first == ROOT or first in self._names

    def find(self, path: str) -> Answer | None:
        """Give what a path stands for; ``None`` if it is none of the viewer's."""
        name = path.removeprefix("/")
        if name == _CONFIG:
            return Answer(media_type="text/javascript", body=self._config, headers=_HEADERS)
        if name == ROOT or name.startswith(f"{ROOT}/"):
            name = _INDEX
        if not _is_plain(name) or self._bucket.find(name) is None:
            return None
        opened = self._bucket.open(name)
        media_type = mimetypes.guess_type(name)[0] or "application/octet-stream"
        return Answer(
            media_type=media_type,
            body=_Pieces(opened),
            headers={**_HEADERS, "Content-Length": str(opened.size)},
        )


@dataclass(slots=True)
class _Pieces:
    """A file piece by piece; closed, it closes the file, begun or not."""

    opened: LocalObject
    at: int = 0

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if self.at >= self.opened.size:
            raise StopIteration
        piece = self.opened.read_at(self.at, PIECE_BYTES)
        self.at += len(piece)
        return piece

    def close(self) -> None:
        self.opened.close()


def _is_plain(name: str) -> bool:
    return not any(part in {"", ".", ".."} for part in name.split("/"))
