"""``fileroom serve`` with the bucket ``gs://generated``, and ``gs://sink`` which swallows.

Run it as ``python -m tests.generated_server OBJECTS --data=DIRECTORY --port=PORT``.
"""

from __future__ import annotations

import argparse
import os
import socket
from dataclasses import replace
from pathlib import Path

from fileroom.api.server import run_server
from fileroom.cli.process import prepare_process
from fileroom.console import load_files
from fileroom.deployment import open_deployment
from fileroom.settings import load_settings
from tests.generated_bucket import GeneratedBucketSettings


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser()
    parser.add_argument("objects", type=int)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--port", type=int)
    flags = vars(parser.parse_args())
    buckets = (
        GeneratedBucketSettings(name="gs://generated", count=flags.pop("objects")),
        GeneratedBucketSettings(name="gs://sink"),
    )
    settings = replace(load_settings(flags, os.environ), buckets=buckets)
    prepare_process(settings)
    with (
        socket.create_server((settings.host, settings.port)) as listener,
        open_deployment(settings) as deployment,
    ):
        run_server(deployment, listener, lambda: None, load_files())


if __name__ == "__main__":
    main()
