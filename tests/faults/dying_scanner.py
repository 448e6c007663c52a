"""A scanner that ends its worker at certain files; preloaded by the workers of a test.

It stands for a fault in a native library: nothing below it is changed.
"""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING, Any

from fileroom.archive import ingest
from fileroom.dicom.part10 import scan

if TYPE_CHECKING:
    from fileroom.dicom.part10 import Scan


def _scan_or_die(data: Any, **options: Any) -> Scan:
    content = bytes(data) if len(data) < 4096 else b""
    if b"KILLS" in content:
        os.kill(os.getpid(), signal.SIGKILL)
    while b"HANGS" in content:
        time.sleep(1)
    if b"EATS" in content:
        _eat()
    return scan(data, **options)


def _eat() -> None:
    eaten = []
    while True:
        eaten.append(bytes(16 << 20))


vars(ingest)["scan"] = _scan_or_die
