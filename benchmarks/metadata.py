"""Metadata of a study as DICOM JSON, the first time and later, beside Orthanc's over DICOMweb.

One client on loopback, from the request to the last byte.
"""

from __future__ import annotations

import json
import shutil
from contextlib import ExitStack
from typing import TYPE_CHECKING

from benchmarks.files import make_ct_study
from benchmarks.measure import Goal, Result, Side, Work, measure
from benchmarks.sides import (
    DATASET,
    ORTHANC_DICOMWEB,
    Fileroom,
    NotDone,
    fetch,
    find_orthanc,
    running_fileroom,
)

if TYPE_CHECKING:
    from pathlib import Path

ORTHANC = "Orthanc"
_STORING_CLIENTS = 4


def metadata_first(directory: Path, instances: int, rounds: int) -> Result:
    """Have the metadata of CT told that nobody has asked for before."""
    goals = {ORTHANC: Goal(at_least=3, aim=5)}
    return _metadata("metadata of CT, first", goals, directory, instances, rounds, kept=False)


def metadata_later(directory: Path, instances: int, rounds: int) -> Result:
    """Have the metadata of CT told again."""
    goals = {ORTHANC: Goal(at_least=30, aim=100)}
    return _metadata("metadata of CT, later", goals, directory, instances, rounds, kept=True)


def _metadata(
    title: str,
    goals: dict[str, Goal],
    directory: Path,
    instances: int,
    rounds: int,
    *,
    kept: bool,
) -> Result:
    source = directory / "source"
    size = make_ct_study(source, instances)
    orthanc = find_orthanc(directory) if ORTHANC_DICOMWEB.exists() else None
    absent = {} if orthanc else {ORTHANC: "not installed (apt-get install orthanc-dicomweb)"}
    with ExitStack() as stack:
        fileroom = stack.enter_context(running_fileroom(directory, source))
        fileroom.import_("store", instances)
        dicom_web = f"{fileroom.url}/v1/{DATASET}/dicomStores/store/dicomWeb"
        url = _metadata_url(dicom_web)
        _told(url, instances)  # the workers are started by the first who needs them

        def tell(_: int) -> float:
            if not kept:
                shutil.rmtree(_cache(fileroom))
            return _told(url, instances)

        sides = [Side(name="Fileroom", run=tell)]
        if orthanc is not None:
            port = stack.enter_context(orthanc.serving(source, _STORING_CLIENTS))
            peer_url = _metadata_url(f"http://127.0.0.1:{port}/dicom-web")
            title += f"; Orthanc {orthanc.version}"
            sides.append(Side(name=ORTHANC, run=lambda _: _told(peer_url, instances)))
        work = Work(title=title, instances=instances, size_bytes=size, goals=goals)
        return measure(work, sides, rounds=rounds, absent=absent, directory=directory)


def _metadata_url(dicom_web: str) -> str:
    _, studies = fetch(f"{dicom_web}/studies")
    uid = json.loads(studies)[0]["0020000D"]["Value"][0]
    return f"{dicom_web}/studies/{uid}/metadata"


def _cache(fileroom: Fileroom) -> Path:
    return fileroom.data / "cache"


def _told(url: str, instances: int) -> float:
    seconds, body = fetch(url)
    if body.count(b'"00080018"') < instances:
        raise NotDone("the metadata do not tell of every instance")
    return seconds
