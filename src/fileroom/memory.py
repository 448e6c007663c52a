"""How this process keeps the memory that it frees.

glibc gives freed memory back to the kernel beyond twice the largest buffer there was, and takes it
anew for the next buffer, a page fault for each 4 KB. Measured: a CT takes twice as long to be
rendered, and a fifth longer to be sent.
"""

from __future__ import annotations

import ctypes
import sys
from typing import Final

KEPT_BYTES: Final = 16 << 20
"""For each arena; a larger buffer is given back when it is freed."""
ARENAS_MAX: Final = 4
"""In place of eight for each core: one thread at a time runs Python."""
_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3
_M_ARENA_MAX: Final = -8


def keep_freed_memory() -> None:
    """Have the allocator keep a bounded part of what is freed; another one than glibc's is left."""
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_TRIM_THRESHOLD, KEPT_BYTES)
        mallopt(_M_MMAP_THRESHOLD, KEPT_BYTES)
        mallopt(_M_ARENA_MAX, ARENAS_MAX)
