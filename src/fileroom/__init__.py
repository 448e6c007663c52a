"""Fileroom: a self-hosted DICOM store that speaks the Cloud Healthcare API v1."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fileroom.client import Client

__all__ = ["Client"]


def __getattr__(name: str) -> type[Client]:
    # Imported when first used: worker processes and ``fileroom --help`` have no need of HTTP.
    if name == "Client":
        from fileroom.client import Client

        return Client
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
