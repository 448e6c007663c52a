"""dicomweb-client of npm, the library inside most viewers of the web, against a real server."""

from __future__ import annotations

import base64
import json
import subprocess
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import imagecodecs
import numpy as np
import pydicom
import pytest

from tests import phantom
from tests.corpus import EXPLICIT, JPEG_BASELINE
from tests.server import clean_environment
from tests.tools import require_node_module

if TYPE_CHECKING:
    from tests.end_to_end.conftest import Place

_SCRIPT: Final = Path(__file__).with_name("dicomweb_client.mjs")
_STUDY: Final[dict[str, Any]] = {"studyInstanceUID": phantom.STUDY}
_PICTURES: Final = {series.uid: series.pictures for series in phantom.SERIES}
_FRAMES: Final = sum(series.pictures for series in phantom.SERIES)
_INSTANCES: Final = _FRAMES - phantom.MULTI_FRAME.pictures + 1


def instance(series: phantom.Series, number: int = 1) -> dict[str, Any]:
    return {
        **_STUDY,
        "seriesInstanceUID": series.uid,
        "sopInstanceUID": f"{series.uid}.{number}",
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """The client in a Node.js of its own for each call."""

    place: Place
    program: str

    def __call__(self, method: str, datasets: list[bytes] | None = None, **options: Any) -> Any:
        """Call a method: give what it gave, bytes decoded, or the status it failed with."""
        call = {
            "url": f"{self.place.server.url}/v1/{self.place.dicom_store}/dicomWeb",
            "token": self.place.server.token,
            "method": method,
            "options": options,
        }
        if datasets is not None:
            call["datasets"] = [base64.b64encode(each).decode() for each in datasets]
        ended = subprocess.run(
            [self.program, _SCRIPT],
            input=json.dumps(call),
            capture_output=True,
            text=True,
            env=clean_environment(),
            timeout=60,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr
        return json.loads(ended.stdout, object_hook=_decoded)


def _decoded(told: dict[str, Any]) -> Any:
    match told:
        case {"bytes": text}:
            return base64.b64decode(text)
        case {"gave": value}:
            return value
        case {"status": int() as status}:
            return status
        case _:
            return told


@pytest.fixture
def node(place: Place) -> Node:
    """Give the client, and put the phantom into the store through it."""
    program, _ = require_node_module("dicomweb-client")
    made = Node(place=place, program=program)
    answer = made("storeInstances", list(phantom.study()))
    assert answer.count('keyword="ReferencedSOPInstanceUID"') == _INSTANCES
    return made


def values(objects: list[dict[str, Any]], tag: str) -> list[Any]:
    return [each[tag]["Value"][0] for each in objects]


@pytest.mark.clause(
    "dicomweb-client (npm)", "stores, searches, reads metadata, misses what is gone"
)
def test_dicomweb_client_stores_and_searches(node: Node) -> None:
    studies = node("searchForStudies", queryParams={"PatientName": "Phan*"})
    series = node("searchForSeries", **_STUDY)
    instances = node("searchForInstances", **_STUDY, queryParams={"Modality": "US"})
    nothing = node("searchForStudies", queryParams={"PatientID": "nobody"})

    assert values(studies, "0020000D") == [phantom.STUDY]
    assert dict(zip(values(series, "0020000E"), values(series, "00201209"), strict=True)) == (
        _PICTURES | {phantom.MULTI_FRAME.uid: 1}
    )
    assert values(instances, "0020000E") == [phantom.MULTI_FRAME.uid]
    assert nothing == []

    of_study = node("retrieveStudyMetadata", **_STUDY)
    assert len(of_study) == _INSTANCES
    [of_instance] = node("retrieveInstanceMetadata", **instance(phantom.CT, 2))
    assert of_instance in of_study
    assert values([of_instance], "0008103E") == [phantom.CT.description]

    node.place.client.delete_instance(
        node.place.dicom_store,
        "studies/{studyInstanceUID}/series/{seriesInstanceUID}/instances/{sopInstanceUID}".format(
            **instance(phantom.CT, 2)
        ),
    )
    assert node("retrieveInstanceMetadata", **instance(phantom.CT, 2)) == 404
    assert len(node("retrieveStudyMetadata", **_STUDY)) == _INSTANCES - 1


@pytest.mark.clause("dicomweb-client (npm)", "stores into a study; what is refused is an error")
def test_dicomweb_client_is_told_what_is_refused(node: Node) -> None:
    [first, *_] = phantom.study()
    assert node("storeInstances", [first], studyInstanceUID="1.2.3") == 409
    assert node("searchForInstances", studyInstanceUID="1.2.3") == []


@pytest.mark.clause("dicomweb-client (npm)", "retrieves instances, series and studies decoded")
def test_dicomweb_client_retrieves_whole_files(node: Node) -> None:
    of_series = list(phantom.study())[: phantom.CT.pictures]

    assert node("retrieveInstance", **instance(phantom.CT)) == of_series[0]
    series = node("retrieveSeries", **_STUDY, seriesInstanceUID=phantom.CT.uid)
    assert sorted(series) == sorted(of_series)
    whole = node("retrieveStudy", **_STUDY)
    assert len(whole) == _INSTANCES
    read = [pydicom.dcmread(BytesIO(each)) for each in whole]
    assert {each.file_meta.TransferSyntaxUID for each in read} == {EXPLICIT}
    for compressed in phantom.COMPRESSED:
        [third] = [each for each in read if each.SOPInstanceUID == f"{compressed.uid}.3"]
        assert third.PixelData == phantom.samples(3, compressed.pictures).tobytes()


@pytest.mark.clause("dicomweb-client (npm)", "retrieves frames, decoded or as stored")
def test_dicomweb_client_retrieves_frames(node: Node) -> None:
    for series in (phantom.CT, *phantom.COMPRESSED):
        [frame] = node("retrieveInstanceFrames", **instance(series, 2), frameNumbers=[1])
        assert np.array_equal(
            np.frombuffer(frame, "<u2").reshape(phantom.SIDE, phantom.SIDE),
            phantom.samples(2, series.pictures),
        )

    frames = node(
        "retrieveInstanceFrames",
        **instance(phantom.MULTI_FRAME),
        frameNumbers=[3, 12],
        mediaTypes=[{"mediaType": "image/jpeg", "transferSyntaxUID": JPEG_BASELINE}],
    )
    assert [imagecodecs.jpeg8_decode(frame).shape for frame in frames] == [(256, 256)] * 2
    assert frames[0] != frames[1]
    absent = node("retrieveInstanceFrames", **instance(phantom.MULTI_FRAME), frameNumbers=[13])
    assert absent == 404


@pytest.mark.clause("dicomweb-client (npm)", "retrieves rendered instances, frames, thumbnails")
def test_dicomweb_client_retrieves_pictures(node: Node) -> None:
    rendered = node(
        "retrieveInstanceRendered",
        **instance(phantom.CT),
        mediaTypes=[{"mediaType": "image/png"}],
    )
    frame = node(
        "retrieveInstanceFramesRendered",
        **instance(phantom.MULTI_FRAME),
        frameNumbers=[5],
        mediaTypes=[{"mediaType": "image/jpeg"}],
    )
    thumbnail = node("retrieveInstanceThumbnail", **instance(phantom.COMPRESSED[0]))

    shown = imagecodecs.png_decode(rendered[0])
    y, x = (round((0.5 + part) * phantom.SIDE) for part in reversed(phantom.SPOTS["body"]))
    assert shown.shape[:2] == (phantom.SIDE, phantom.SIDE)
    assert abs(int(shown[y, x].max()) - 128) < 2
    assert imagecodecs.jpeg8_decode(frame[0]).shape[:2] == (phantom.SIDE, phantom.SIDE)
    assert max(imagecodecs.jpeg8_decode(thumbnail[0]).shape[:2]) <= phantom.SIDE


@pytest.mark.clause("dicomweb-client (npm)", "retrieves the bulk data that metadata name")
def test_dicomweb_client_retrieves_bulk_data(node: Node) -> None:
    [metadata] = node("retrieveInstanceMetadata", **instance(phantom.CT, 3))
    uri = metadata["7FE00010"]["BulkDataURI"]
    [value] = node("retrieveBulkData", BulkDataURI=uri)
    assert value == phantom.samples(3, phantom.CT.pictures).tobytes()
