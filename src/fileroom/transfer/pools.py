"""The workers of a server: of batches, of exports that decode pixels, and of requests."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from fileroom.archive.workers import RequestWorkers
from fileroom.transfer.executors import WorkerPool, begin_item, open_executor

if TYPE_CHECKING:
    from contextlib import ExitStack

    from fileroom.transfer.executors import TlsFiles
    from fileroom.transfer.executors.cluster import DaskExecutor

    Pools = tuple[WorkerPool | DaskExecutor, WorkerPool | DaskExecutor]

WORKER_MODULES: Final = ("fileroom.transfer.importing.worker", "fileroom.transfer.exporting.worker")
"""What a worker imports before its first task, so that the first instance is not kept waiting."""
RENDER_MODULES: Final = ("fileroom.archive.metadata.slices",)
"""The same for the workers of requests, which start when they are first needed."""
TRANSCODE_MODULES: Final = (
    "fileroom.transfer.exporting.transcoding",
    "fileroom.dicom.pixels.decode",
    "fileroom.dicom.pixels.encode",
    "fileroom.dicom.pixels.picture",
)
"""The same for the workers of exports that decode pixels; what the codecs take as they are loaded
is not counted against an instance's memory."""


def open_render_workers(count: int, stack: ExitStack) -> RequestWorkers:
    """Give the second pool: a codec that ends its process ends no batch of an import with it."""
    pool = WorkerPool(count, name="render", preload=RENDER_MODULES, lazy=True)
    stack.callback(pool.kill_workers)
    return RequestWorkers(executor=pool, count=count, begin_item=begin_item)


def open_pools(
    stack: ExitStack, executor: str, *, workers: int, transcoders: int, tls: TlsFiles | None
) -> Pools:
    """Give the workers of batches, and those of exports that decode pixels.

    The latter are beside the workers of requests: none waits behind a batch.
    """
    chosen = partial(open_executor, stack, executor, tls=tls)
    return (
        chosen(workers, name="ingest", preload=WORKER_MODULES),
        chosen(transcoders, name="transcode", preload=TRANSCODE_MODULES, lazy=True),
    )
