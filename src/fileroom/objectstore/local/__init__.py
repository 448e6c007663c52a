"""Local directories as buckets: listed in key order, read at one version, written durably.

Nothing leads out of the root: every part of a key is opened beneath its parent, symbolic links are
not followed, and only regular files are opened. What is written is there whole or not at all, and
survives a power cut once the call returns.
"""

from fileroom.objectstore.local.bucket import LocalBucket
from fileroom.objectstore.local.durable import (
    DurabilityLost,
    durability_lost,
    end_right_to_write,
)
from fileroom.objectstore.local.extents import (
    BLOCK_BYTES,
    HEAD_BYTES,
    Extent,
    LocalExtent,
    is_head,
)
from fileroom.objectstore.local.reading import LocalObject
from fileroom.objectstore.local.writing import TEMPORARY_DIRECTORY, ObjectWriter

__all__ = [
    "BLOCK_BYTES",
    "HEAD_BYTES",
    "TEMPORARY_DIRECTORY",
    "DurabilityLost",
    "Extent",
    "LocalBucket",
    "LocalExtent",
    "LocalObject",
    "ObjectWriter",
    "durability_lost",
    "end_right_to_write",
    "is_head",
]
