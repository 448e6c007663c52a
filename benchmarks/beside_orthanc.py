"""Requests to Fileroom and to Orthanc's DICOMweb in turn, with the same instances stored."""

from __future__ import annotations

import json
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from benchmarks.lean_client import Answer, LeanClient
from benchmarks.measure import Goal, Result, Side, Work, measure
from benchmarks.sides import (
    DATASET,
    ORTHANC_DICOMWEB,
    NotDone,
    fetch,
    find_orthanc,
    running_fileroom,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

ORTHANC = "Orthanc"
ABSENT = {ORTHANC: "not installed (apt-get install orthanc-dicomweb)"}
_STORING_CLIENTS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What both are asked over DICOMweb."""

    title: str
    goal: Goal
    make: Callable[[Path, int], int]
    """Writes so many instances into a directory, and gives their bytes."""
    paths: Callable[[str], Sequence[str]]
    """Gives the paths to ask for, one after another, by the URL that DICOMweb has here."""
    headers: Mapping[str, str] = field(default_factory=dict)
    check: Callable[[bytes, int], bool] = lambda body, _: bool(body)
    """Whether a body is the answer, of so many instances."""


def ask(question: Question, directory: Path, instances: int, rounds: int) -> Result:
    """Have both answer, one client on loopback, from the request to the last byte."""
    source = directory / "source"
    size = question.make(source, instances)
    orthanc = find_orthanc(directory) if ORTHANC_DICOMWEB.exists() else None
    title = question.title
    with ExitStack() as stack:
        fileroom = stack.enter_context(running_fileroom(directory, source))
        fileroom.import_("store", instances)
        sides = [_side("Fileroom", f"{fileroom.url}/v1/{DATASET}/dicomStores/store/dicomWeb",
                       question, instances)]  # fmt: skip
        if orthanc is not None:
            port = stack.enter_context(orthanc.serving(source, _STORING_CLIENTS))
            title += f"; Orthanc {orthanc.version}"
            url = f"http://127.0.0.1:{port}/dicom-web"
            sides.append(_side(ORTHANC, url, question, instances))
        work = Work(
            title=title, instances=instances, size_bytes=size, goals={ORTHANC: question.goal}
        )
        absent = {} if orthanc else ABSENT
        return measure(work, sides, rounds=rounds, absent=absent, directory=directory)


def _side(name: str, dicom_web: str, question: Question, instances: int) -> Side:
    paths, url = question.paths(dicom_web), urlsplit(dicom_web)
    sizes: dict[str, int] = {}

    def run(number: int) -> float:
        """Give the seconds of all answers, each of which must have the size it had at first."""
        assert url.hostname is not None
        with LeanClient(url.hostname, url.port or 80) as client:
            began = time.perf_counter()
            for path in paths:
                answer = client.get(f"{url.path}{path}", question.headers)
                if answer != Answer(HTTPStatus.OK, sizes.setdefault(path, answer.size)):
                    raise NotDone(f"{name}: {answer} to {path} in run {number}")
            return time.perf_counter() - began

    _, body = fetch(f"{dicom_web}{paths[-1]}", question.headers)
    if not question.check(body, instances):
        raise NotDone(f"{name} gave something else for {paths[-1]}")
    run(0)  # workers that start, caches that fill
    return Side(name=name, run=run)


def study_path(dicom_web: str) -> str:
    """Give the path of the first study."""
    return f"/studies/{_first(dicom_web, '/studies', '0020000D')}"


def instance_paths(dicom_web: str) -> list[str]:
    """Give the paths of the instances of the first study, which is of one series."""
    study = study_path(dicom_web)
    series = f"{study}/series/{_first(dicom_web, f'{study}/series', '0020000E')}"
    _, body = fetch(f"{dicom_web}{series}/instances")
    return [f"{series}/instances/{found['00080018']['Value'][0]}" for found in json.loads(body)]


def _first(dicom_web: str, path: str, tag: str) -> str:
    _, body = fetch(f"{dicom_web}{path}?limit=1")
    value: str = json.loads(body)[0][tag]["Value"][0]
    return value
