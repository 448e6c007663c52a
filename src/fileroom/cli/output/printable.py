"""Text that others chose, made fit for a terminal."""

from __future__ import annotations


def printable(text: str) -> str:
    """Give text that cannot command a terminal: object names hold what their makers chose."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
