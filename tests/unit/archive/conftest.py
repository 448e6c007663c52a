"""What the tests of collection and comparison share: a store with rows and blobs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.databases import dialect, server, shared
from tests.unit.transfer.site import opened_site

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.postgresql import PostgresqlServer
    from tests.unit.transfer.site import Site

__all__ = ["dialect", "server", "shared"]


@pytest.fixture
def site(shared: PostgresqlServer | None, tmp_path: Path) -> Iterator[Site]:
    with opened_site(tmp_path / "site", shared) as site:
        yield site
