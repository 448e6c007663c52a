"""The console's files: whole, guarded, cached by tag."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import pytest

from fileroom.api.static import StaticFiles

if TYPE_CHECKING:
    from fileroom.api.calls import Answer

INDEX = b"<!doctype html>" + b" " * 2000
FILES = {"index.html": ("text/html", INDEX), "app.js": ("text/javascript", b"1")}


def find(path: str, **headers: str) -> Answer | None:
    return StaticFiles(FILES).find(path, headers)


def test_the_root_leads_to_the_console() -> None:
    answer = find("/")
    assert answer is not None
    assert (answer.status, answer.headers["Location"]) == (302, "/console")


@pytest.mark.parametrize("path", ["/console", "/console/", "/console/projects/p/locations/l.x"])
def test_a_page_is_the_index(path: str) -> None:
    answer = find(path)
    assert answer is not None
    assert (answer.status, answer.media_type, answer.body) == (200, "text/html", INDEX)
    policy = answer.headers["Content-Security-Policy"]
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy


def test_a_module_that_is_absent_is_no_page() -> None:
    assert find("/console/absent.js") is None
    assert find("/consoles") is None
    assert StaticFiles({}).find("/", {}) is None


def test_a_file_is_packed_and_not_sent_again() -> None:
    packed = find("/console", **{"accept-encoding": "gzip, br"})
    assert packed is not None
    assert packed.headers["Content-Encoding"] == "gzip"
    assert isinstance(packed.body, bytes)
    assert gzip.decompress(packed.body) == INDEX
    again = find("/console", **{"if-none-match": packed.headers["ETag"]})
    assert again is not None
    assert (again.status, again.body) == (304, b"")
    small = find("/console/app.js", **{"accept-encoding": "gzip"})
    assert small is not None
    assert "Content-Encoding" not in small.headers
