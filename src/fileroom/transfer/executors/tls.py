"""How a server and a Dask cluster trust one another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsFiles:
    """By which files a server and a Dask cluster know one another."""

    ca: Path
    cert: Path
    key: Path
