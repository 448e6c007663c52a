"""Measure what Fileroom publishes: ``python -m benchmarks [--size small|full] [NAME …]``."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks import dicomweb
from benchmarks.export_ct import export_ct
from benchmarks.export_transcoded import (
    export_from_jpeg_2000,
    export_from_jpeg_ls,
    export_to_jpeg_2000,
    export_to_jpeg_ls,
)
from benchmarks.import_ct import import_ct, import_small
from benchmarks.metadata import metadata_first, metadata_later
from benchmarks.scan import scan_ct

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchmarks.measure import Result

Benchmark = tuple["Callable[[Path, int, int], Result]", dict[str, int]]
BENCHMARKS: Final[dict[str, Benchmark]] = {
    "import_ct": (import_ct, {"small": 300, "full": 2000}),
    "import_small": (import_small, {"small": 1000, "full": 5000}),
    "export_ct": (export_ct, {"small": 300, "full": 2000}),
    "export_to_jpeg_2000": (export_to_jpeg_2000, {"small": 100, "full": 500}),
    "export_from_jpeg_2000": (export_from_jpeg_2000, {"small": 100, "full": 500}),
    "export_to_jpeg_ls": (export_to_jpeg_ls, {"small": 100, "full": 500}),
    "export_from_jpeg_ls": (export_from_jpeg_ls, {"small": 100, "full": 500}),
    "metadata_first": (metadata_first, {"small": 300, "full": 1000}),
    "metadata_later": (metadata_later, {"small": 300, "full": 1000}),
    "search_all": (dicomweb.SEARCH_ALL, {"small": 1000, "full": 7000}),
    "search_study": (dicomweb.SEARCH_STUDY, {"small": 1000, "full": 1000}),
    "retrieve_instance": (dicomweb.RETRIEVE_INSTANCE, {"small": 300, "full": 1000}),
    "retrieve_study": (dicomweb.RETRIEVE_STUDY, {"small": 300, "full": 1000}),
    "retrieve_frame": (dicomweb.RETRIEVE_FRAME, {"small": 300, "full": 1000}),
    "render_jpeg": (dicomweb.RENDER_JPEG, {"small": 100, "full": 1000}),
    "render_png": (dicomweb.RENDER_PNG, {"small": 100, "full": 500}),
    "scan_ct": (scan_ct, {"small": 300, "full": 2000}),
}
_ROUNDS: Final = 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmarks that are asked for, print their tables, write their JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)}")
    parser.add_argument("--size", choices=["small", "full"], default="small")
    parser.add_argument("--instances", type=int, help="in place of the number that --size means")
    parser.add_argument("--rounds", type=int, default=_ROUNDS, help="turns of each side")
    parser.add_argument("--json", type=Path, help="where to write all figures as JSON")
    parser.add_argument(
        "--work",
        type=Path,
        default=Path(".benchmarks"),
        help="a directory on the disk to measure, not in memory; cleared afterwards",
    )
    options = parser.parse_args(arguments)
    if unknown := set(options.names) - set(BENCHMARKS):
        parser.error(f"no benchmark named {', '.join(sorted(unknown))}")
    options.work.mkdir(parents=True, exist_ok=True)
    results = []
    for name in options.names or BENCHMARKS:
        benchmark, sizes = BENCHMARKS[name]
        with tempfile.TemporaryDirectory(dir=options.work) as directory:
            count = options.instances or sizes[options.size]
            result = benchmark(Path(directory).resolve(), count, options.rounds)
        results.append(result)
        print(result.to_table(), end="\n\n", flush=True)
    print("; ".join(f"{name} {value}" for name, value in results[0].machine.items()))
    if options.json is not None:
        options.json.write_text(json.dumps([result.to_json() for result in results], indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
