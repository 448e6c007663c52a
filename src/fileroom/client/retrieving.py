"""The bytes of an instance, as they arrive."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fileroom.client.transport import CHUNK_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fileroom.client.transport import Transport


def pieces(transport: Transport, path: str, transfer_syntax: str) -> Iterator[bytes]:
    """Give the file at the path of an instance, piece by piece."""
    accept = f"application/dicom; transfer-syntax={transfer_syntax}"
    with transport.open("GET", path, accept=accept) as response:
        yield from response.iter_bytes(CHUNK_BYTES)
