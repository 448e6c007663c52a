"""The settings that the pages show are settings that a server starts with."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from fileroom.settings import load_settings
from tests.certificates import make_certificate
from tests.tools import ROOT

if TYPE_CHECKING:
    from pathlib import Path

PAGES = ("docs/how-to/storage-permissions.md", "docs/reference/settings.md")
_BLOCK = re.compile(r"^```toml\n(.*?)^```", re.MULTILINE | re.DOTALL)
_CREDENTIALS = re.compile(r'(credentials = ")(/?[^"/:]*/?[^":]*)(")')
_NO_FILES = ("default", "anonymous")


@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_shows_of_buckets_is_accepted(tmp_path: Path, page: str) -> None:
    shown = [block for block in _BLOCK.findall((ROOT / page).read_text()) if "[buckets." in block]
    assert shown
    for number, block in enumerate(shown):

        def placed(match: re.Match[str]) -> str:
            """Put an empty file where the page names one of credentials."""
            if match[2] in _NO_FILES:
                return match[0]
            path = tmp_path / match[2].rpartition("/")[2]
            path.touch()
            return f"{match[1]}{path}{match[3]}"

        config = tmp_path / f"{number}.toml"
        config.write_text(_CREDENTIALS.sub(placed, block))
        settings = load_settings({"data": tmp_path / "data"}, {}, config)
        assert len(settings.buckets) == block.count("[buckets.")


@pytest.mark.parametrize("page", ["docs/how-to/secure.md", "docs/how-to/let-callers-in.md"])
def test_what_a_page_shows_of_access_is_accepted(tmp_path: Path, page: str) -> None:
    cert, key = make_certificate(tmp_path)
    shown = _BLOCK.findall((ROOT / page).read_text())
    assert len(shown) > 1
    for number, block in enumerate(shown):
        placed = re.sub(
            r'"/etc/fileroom/.*\.pem"', lambda m: f'"{key if "key" in m[0] else cert}"', block
        )
        config = tmp_path / f"{number}.toml"
        config.write_text(placed)
        load_settings({"data": tmp_path / "data"}, {}, config)
