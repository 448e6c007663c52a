"""Workers in which a bad object is one task's affair: processes of this server, or a Dask cluster.

A stock pool breaks every task when one worker dies, names no culprit, and leaves its workers
behind when the server is killed. Here a worker that crashes, hangs or takes too much memory fails
its own task with ``WorkerLost``, which names the object it was at, and is replaced alone.
"""

from fileroom.errors import WorkerLost
from fileroom.transfer.executors.choosing import LOCAL, open_executor, probe_executor
from fileroom.transfer.executors.limits import WorkerLimits
from fileroom.transfer.executors.pool import WorkerPool
from fileroom.transfer.executors.tls import TlsFiles
from fileroom.transfer.executors.worker import begin_item

__all__ = [
    "LOCAL",
    "TlsFiles",
    "WorkerLimits",
    "WorkerLost",
    "WorkerPool",
    "begin_item",
    "open_executor",
    "probe_executor",
]
