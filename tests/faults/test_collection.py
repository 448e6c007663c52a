"""What lost workers leave in the blobs goes in the end; what may still be written stays."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from fileroom.archive.collect import Collector
from tests.places import root_of
from tests.store_content import filled_store

if TYPE_CHECKING:
    from pathlib import Path


def test_old_temporary_files_are_swept_and_young_ones_stay(tmp_path: Path) -> None:
    with filled_store(tmp_path) as store:
        directory = root_of(store.content.blobs) / store.content.blob_prefix / "tmp"
        old, young = directory / ".fileroom-old-1", directory / ".fileroom-young-1"
        for path in (old, young):
            path.write_bytes(b"part of a file")
        long_ago = time.time() - 7200
        os.utime(old, (long_ago, long_ago))
        collector = Collector(
            store.database, store.content.blobs, interval_seconds=60, after_crash=False
        )

        collector.collect()

    assert not old.exists()
    assert young.exists()
