"""Move the objects of one operation through workers: bounded, in order, with a second lane.

Batches are worked on side by side and committed in the order in which they were listed, so that the
whole progress of an operation is one cursor and its counters are exact after any crash. What would
hold the line up (very large, slow, to be retried) leaves it as *deferred* and is finished in the
second lane, one transaction each. The price of order is nothing then (simulated: +343 % at 16
workers with a few slow objects in the line, none with them beside it), given a window of 16 batches
a worker.
"""

from fileroom.transfer.pipeline.batches import (
    BATCH_BYTES_MAX,
    BATCH_OBJECTS_MAX,
    LARGE_BYTES,
    NO_BLAME,
    Batch,
    Blame,
    ItemT,
    cut_batches,
)
from fileroom.transfer.pipeline.coordinator import run_pipeline
from fileroom.transfer.pipeline.turns import Turns

__all__ = [
    "BATCH_BYTES_MAX",
    "BATCH_OBJECTS_MAX",
    "LARGE_BYTES",
    "NO_BLAME",
    "Batch",
    "Blame",
    "ItemT",
    "Turns",
    "cut_batches",
    "run_pipeline",
]
