"""DICOMweb beside Orthanc's: what is searched, retrieved and rendered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.beside_orthanc import Question, ask, instance_paths, study_path
from benchmarks.files import make_ct_study, make_small
from benchmarks.measure import Goal

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from benchmarks.measure import Result

    Benchmark = Callable[[Path, int, int], Result]

_JSON = {"Accept": "application/dicom+json"}
_STORED = {"Accept": 'multipart/related; type="application/dicom"; transfer-syntax=*'}
_FRAME = {"Accept": 'multipart/related; type="application/octet-stream"; transfer-syntax=*'}


def _benchmark(question: Question) -> Benchmark:
    def benchmark(directory: Path, instances: int, rounds: int) -> Result:
        return ask(question, directory, instances, rounds)

    return benchmark


def _all_found(body: bytes, instances: int) -> bool:
    return body.count(b'"00080018"') == instances


def _all_parts(body: bytes, instances: int) -> bool:
    return body.count(b"DICM") >= instances


SEARCH_ALL = _benchmark(
    Question(
        title="QIDO-RS of all instances",
        goal=Goal(at_least=50, aim=150),
        make=make_small,
        paths=lambda _: ["/instances?limit=50000"],
        headers=_JSON,
        check=_all_found,
    )
)
SEARCH_STUDY = _benchmark(
    Question(
        title="QIDO-RS of the instances of a study, three times",
        goal=Goal(at_least=20, aim=50),
        make=make_small,
        paths=lambda url: [f"{study_path(url)}/instances?limit=50000"] * 3,
        headers=_JSON,
        check=_all_found,
    )
)
RETRIEVE_INSTANCE = _benchmark(
    Question(
        title="WADO-RS of CT as stored, one by one",
        goal=Goal(at_least=5, aim=10),
        make=make_ct_study,
        paths=instance_paths,
        headers=_STORED,
        check=lambda body, _: _all_parts(body, 1),
    )
)
RETRIEVE_STUDY = _benchmark(
    Question(
        title="WADO-RS of a study of CT as stored",
        goal=Goal(at_least=1.2, aim=2),
        make=make_ct_study,
        paths=lambda url: [study_path(url)],
        headers=_STORED,
        check=_all_parts,
    )
)
RETRIEVE_FRAME = _benchmark(
    Question(
        title="WADO-RS of frames of CT, one by one",
        goal=Goal(at_least=5, aim=10),
        make=make_ct_study,
        paths=lambda url: [f"{path}/frames/1" for path in instance_paths(url)],
        headers=_FRAME,
    )
)
RENDER_JPEG = _benchmark(
    Question(
        title="CT rendered as JPEG",
        goal=Goal(at_least=2, aim=4),
        make=make_ct_study,
        paths=lambda url: [f"{path}/rendered" for path in instance_paths(url)],
        headers={"Accept": "image/jpeg"},
        check=lambda body, _: body.startswith(b"\xff\xd8"),
    )
)
RENDER_PNG = _benchmark(
    Question(
        title="CT rendered as PNG",
        goal=Goal(at_least=5, aim=15),
        make=make_ct_study,
        paths=lambda url: [f"{path}/rendered" for path in instance_paths(url)],
        headers={"Accept": "image/png"},
        check=lambda body, _: body.startswith(b"\x89PNG"),
    )
)
