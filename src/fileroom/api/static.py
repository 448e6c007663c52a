"""Files that anybody may read: the pages of the console, which hold nothing of anybody's.

What they show they ask the public API for, as the user who signed in.
"""

from __future__ import annotations

import gzip
import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from typing import TYPE_CHECKING, Final

from fileroom.api.calls import Answer
from fileroom.api.ohif import Ohif

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

ROOT: Final = "/console"
_INDEX: Final = "index.html"
_OHIF_CONFIG: Final = "ohif_config.js"
_PACKED_BYTES_MIN: Final = 1024
_POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob: data:",
        "connect-src 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "form-action 'none'",
    )
)


@dataclass(frozen=True, kw_only=True)
class _File:
    media_type: str
    content: bytes

    # Both are made when a page is first asked for: a start need not wait for them.

    @cached_property
    def packed(self) -> bytes:
        """As gzip; empty where that saves nothing worth it."""
        long = len(self.content) >= _PACKED_BYTES_MIN
        return gzip.compress(self.content, 9, mtime=0) if long else b""

    @cached_property
    def tag(self) -> str:
        return f'"{hashlib.sha256(self.content).hexdigest()[:16]}"'


def open_static_files(
    files: Mapping[str, tuple[str, bytes]],
    ohif: Path | None = None,
    *,
    providers: Sequence[str] = (),
    takes_keys: bool = False,
) -> StaticFiles:
    """Give the console's files, and those of OHIF if there is one.

    ``providers`` are the OpenID providers that may tell who signs in; ``takes_keys`` tells whether
    service accounts may.

    Raises
    ------
    FailedPrecondition
        If there is no OHIF in the directory.
    """
    if not files:
        return StaticFiles({})
    about = json.dumps(
        {
            "version": version("fileroom"),
            "ohif": ohif is not None,
            "providers": list(providers),
            "takesKeys": takes_keys,
        }
    ).encode()
    viewer = None if ohif is None else Ohif(ohif, files[_OHIF_CONFIG][1])
    return StaticFiles({**files, "about.json": ("application/json", about)}, viewer)


class StaticFiles:
    """The files below ``/console``; a path of none of them is a page, which the index shows."""

    def __init__(self, files: Mapping[str, tuple[str, bytes]], ohif: Ohif | None = None) -> None:
        self._files = {
            path: _File(media_type=media_type, content=content)
            for path, (media_type, content) in files.items()
        }
        self._ohif = ohif

    def may_have(self, path: str) -> bool:
        """Whether a path may be one of these, which is told at once."""
        if not self._files:
            return False
        return (
            path == "/"
            or path.startswith(ROOT)
            or (self._ohif is not None and self._ohif.may_have(path))
        )

    def find(self, path: str, headers: Mapping[str, str]) -> Answer | None:
        """Give what a path stands for; ``None`` if it is none of these."""
        if not self.may_have(path):
            return None
        if path == "/":
            return Answer(status=302, media_type=None, headers={"Location": ROOT})
        if path != ROOT and not path.startswith(f"{ROOT}/"):
            return None if self._ohif is None else self._ohif.find(path)
        name = path.removeprefix(ROOT).strip("/")
        file = self._files.get(name)
        if file is None:
            # A module that is gone must fail as such, not as a page in its place.
            if "." in name.rpartition("/")[2] and name.endswith((".js", ".css", ".svg")):
                return None
            file = self._files[_INDEX]
        return _answer(file, headers)


def _answer(file: _File, headers: Mapping[str, str]) -> Answer:
    sent = {
        "ETag": file.tag,
        # Asked for again at each load, and most often answered with 304.
        "Cache-Control": "no-cache",
        "Vary": "Accept-Encoding",
        "Content-Security-Policy": _POLICY,
        "Referrer-Policy": "no-referrer",
        "Content-Disposition": "inline",
    }
    if file.tag in headers.get("if-none-match", ""):
        return Answer(status=304, media_type=None, headers=sent)
    body = file.content
    if file.packed and "gzip" in headers.get("accept-encoding", ""):
        body = file.packed
        sent["Content-Encoding"] = "gzip"
    return Answer(media_type=file.media_type, body=body, headers=sent)
