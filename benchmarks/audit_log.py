"""What the audit log costs each request, against a server that keeps none.

Run it as ``python -m benchmarks.audit_log [PAIRS]``. One server answers all; in turns its entries
are written and left out. Told are requests a second of one client, and by how much longer one took
with the log: the median of all pairs of runs, and their quartiles.
"""

from __future__ import annotations

import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from statistics import median, quantiles
from typing import TYPE_CHECKING, Final

from fileroom.api.auditing import Auditor
from fileroom.settings import Settings
from tests.corpus import UID_ROOT, minimal_instance
from tests.unit.api.conftest import served

if TYPE_CHECKING:
    from collections.abc import Callable

    from fileroom.api.auditing import Exchange
    from fileroom.api.calls import Answer
    from tests.unit.api.conftest import ServedDeployment

READS: Final = 400
WRITES: Final = 40
_STUDY: Final = f"{UID_ROOT}.97"
_PATH: Final = f"studies/{_STUDY}/series/{_STUDY}.1/instances/{_STUDY}.1.1"
_WHOLE: Final = {"Accept": "application/dicom; transfer-syntax=*"}
_MULTIPART: Final = {"Content-Type": "multipart/related; type=application/dicom; boundary=b"}


async def _unwritten(_self: Auditor, _exchange: Exchange, answer: Answer) -> Answer:
    return answer


def main() -> None:
    """Print a line for each kind of request."""
    pairs = int(sys.argv[1]) if sys.argv[1:] else 24
    written = Auditor.answered
    with tempfile.TemporaryDirectory() as directory:
        data = Path(directory) / "data"
        with served(Settings(data=data, workers=1, requests_per_second=0)) as server:
            for what, (ask, times) in _asked(server).items():
                rates: dict[bool, list[float]] = {True: [], False: []}
                _rate(ask, times)
                for turn in range(2 * pairs):
                    logged = turn % 4 in {0, 3}
                    Auditor.answered = written if logged else _unwritten  # type: ignore[assignment,method-assign]
                    rates[logged].append(_rate(ask, times))
                Auditor.answered = written  # type: ignore[method-assign]
                longer = [off / on - 1 for on, off in zip(rates[True], rates[False], strict=True)]
                low, _, high = quantiles(longer, n=4)
                print(
                    f"{what}: {median(rates[True]):.0f}/s, without {median(rates[False]):.0f}/s:"
                    f" {median(longer):+.1%} ({low:+.1%} to {high:+.1%})",
                    flush=True,
                )


def _asked(server: ServedDeployment) -> dict[str, tuple[Callable[[], object], int]]:
    """Give what is asked, and how often in a run."""
    store = server.make_store(server.make_dataset("d"), "s")
    web, client = f"/v1/{store}/dicomWeb", server.client
    content = minimal_instance(
        study_instance_uid=_STUDY,
        series_instance_uid=f"{_STUDY}.1",
        sop_instance_uid=f"{_STUDY}.1.1",
    )
    body = b"--b\r\nContent-Type: application/dicom\r\n\r\n" + content + b"\r\n--b--\r\n"
    patch = partial(
        client.patch,
        f"/v1/{store}",
        params={"updateMask": "labels"},
        json={"labels": {"a": "b"}},
    )
    assert client.post(f"{web}/studies", content=body, headers=_MULTIPART).status_code == 200
    return {
        "a DICOM store": (partial(client.get, f"/v1/{store}"), READS),
        "a search for studies": (partial(client.get, f"{web}/studies"), READS),
        "an instance": (partial(client.get, f"{web}/{_PATH}", headers=_WHOLE), READS),
        "its metadata": (partial(client.get, f"{web}/{_PATH}/metadata"), READS),
        "changed labels": (patch, WRITES),
    }


def _rate(ask: Callable[[], object], times: int) -> float:
    began = time.perf_counter()
    for _ in range(times):
        ask()
    return times / (time.perf_counter() - began)


if __name__ == "__main__":
    main()
