"""Headers of every answer, and those that web pages of other origins may send and see."""

from __future__ import annotations

from typing import Final

GUARDS: Final = {
    "Cache-Control": "private, no-store",
    "Content-Security-Policy": "default-src 'none'; sandbox; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""What guards a browser against content that somebody else stored."""
READ_HEADERS: Final = (
    "Accept",
    "Authorization",
    "Content-Type",
    "If-None-Match",
    "Range",
    "Storage-Class",
    "X-Goog-User-Project",
)
SHOWN_HEADERS: Final = (
    "Accept-Ranges",
    "Content-Range",
    "ETag",
    "Retry-After",
    "X-Request-Id",
    "X-Total-Count",
)
