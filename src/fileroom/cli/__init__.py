"""The ``fileroom`` program."""

from fileroom.cli.program import main

__all__ = ["main"]
