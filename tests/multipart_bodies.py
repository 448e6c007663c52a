"""multipart/related bodies, written as clients write them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

BOUNDARY = "0f3cf5c0-70e0-41ef-baef-c6f9f65ec3e1"
DICOM_PARTS = f'multipart/related; type="application/dicom"; boundary={BOUNDARY}'
DICOM_HEADERS = ("Content-Type: application/dicom",)


def multipart_body(
    contents: Iterable[bytes], *, headers: Iterable[str] = DICOM_HEADERS, boundary: str = BOUNDARY
) -> bytes:
    """Give a body with a part for each content."""
    lines = "".join(f"{line}\r\n" for line in headers)
    head = f"--{boundary}\r\n{lines}\r\n".encode()
    parts = b"".join(head + content + b"\r\n" for content in contents)
    return parts + f"--{boundary}--\r\n".encode()
