"""What is exported and served is DICOM for another implementation too: dcmtk."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from tests import corpus
from tests.end_to_end.conftest import slices
from tests.tools import require_tool

if TYPE_CHECKING:
    from pathlib import Path

    from tests.end_to_end.conftest import Place


@pytest.mark.clause(
    "PS3.10 7",
    "dcmtk reads every exported file, and an instance that is served as Explicit VR Little Endian, "
    "to its end",
)
def test_dcmtk_reads_what_is_exported_and_served(place: Place, tmp_path: Path) -> None:
    dcmdump = require_tool("dcmdump")
    implicit = corpus.mr_instance(rows=16, transfer_syntax_uid=corpus.IMPLICIT)
    place.put("implicit.dcm", implicit)
    for index, content in enumerate(slices(3)):
        place.put(f"{index}.dcm", content)
    place.import_all()

    exported = place.client.export(place.dicom_store, f"gs://{place.bucket_id}/out")
    place.client.wait(exported, poll_seconds=0.1)
    study = f"{corpus.UID_ROOT}.2.1"
    served = tmp_path / "served.dcm"
    served.write_bytes(
        place.client.retrieve_instance(
            place.dicom_store,
            f"studies/{study}/series/{study}.1/instances/{study}.1.1",
            transfer_syntax=corpus.EXPLICIT,
        )
    )
    files = [*(place.bucket / "out").glob("*/*/*.dcm"), served]
    ended = subprocess.run(
        [dcmdump, "--read-file-only", "--handle-parse-errors", *files],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert len(files) == 5
    assert ended.returncode == 0, ended.stderr
    assert not ended.stderr
