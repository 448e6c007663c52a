"""What this process needs to hold a server."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Final

from fileroom.memory import keep_freed_memory
from fileroom.telemetry import set_up_logging

if TYPE_CHECKING:
    from fileroom.settings import Settings

SWITCH_INTERVAL_SECONDS: Final = 0.0005
"""Measured: with four threads building JSON the event loop waits 2 ms instead of 9."""


def prepare_process(settings: Settings) -> None:
    """Keep its files from others, log as the settings say, share the processor finely."""
    os.umask(0o077)
    set_up_logging(settings.log_level)
    sys.setswitchinterval(SWITCH_INTERVAL_SECONDS)
    keep_freed_memory()
