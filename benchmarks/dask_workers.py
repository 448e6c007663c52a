"""Import of CT on a Dask cluster beside worker processes, in turn, two workers each.

Run it as ``python -m benchmarks.dask_workers [FILES [ROUNDS]]``. Scheduler and workers are on this
machine, and so on the same processors.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks.files import make_ct
from tests.dask_cluster import dask_cluster
from tests.server import running_server

if TYPE_CHECKING:
    from fileroom import Client

DATASET: Final = "projects/demo/locations/us-central1/datasets/dask"
WORKERS: Final = 2


def main() -> None:
    """Print the rates of both, and their ratio."""
    given = sys.argv[1:]
    files, rounds = map(int, (*given, *("400", "3")[len(given) :]))
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        source = directory / "source"
        make_ct(source, files)
        cluster = stack.enter_context(dask_cluster(directory / "dask", WORKERS))
        chosen = {
            "worker processes": {"FILEROOM_WORKERS": str(WORKERS)},
            "Dask": {"FILEROOM_EXECUTOR": cluster.executor},
        }
        clients: dict[str, Client] = {}
        for number, (name, environment) in enumerate(chosen.items()):
            server = stack.enter_context(
                running_server(
                    directory / f"data-{number}", f"--bucket=here={source}", environment=environment
                )
            )
            clients[name] = stack.enter_context(server.client())
            clients[name].wait(clients[name].create_dataset(DATASET))
            _import(clients[name], -1)
        rates: dict[str, list[float]] = {name: [] for name in clients}
        for number in range(rounds):
            for name, client in clients.items():
                rates[name].append(files / _import(client, number))
    local, dask = (statistics.median(rates[name]) for name in chosen)
    print(
        f"CT imported a second: worker processes {local:,.0f}, Dask {dask:,.0f}; {dask / local:.2f}"
    )


def _import(client: Client, number: int) -> float:
    store = f"{DATASET}/dicomStores/imported-{number + 1}"
    client.create_dicom_store(store)
    began = time.perf_counter()
    ended = client.wait(client.import_(store, "gs://here/**"), poll_seconds=0.02)
    assert ended.counters.failure == 0
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
