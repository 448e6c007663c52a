"""dicomweb-client, as its users use it: store, search, metadata, retrieve, frames, pictures."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

import pydicom
import pytest
from dicomweb_client.api import DICOMwebClient

from tests import corpus

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.end_to_end.conftest import Place

STUDY = "1.2.826.7.1"
SERIES = f"{STUDY}.1"


@pytest.fixture
def web(place: Place) -> Iterator[DICOMwebClient]:
    headers = {"Authorization": f"Bearer {place.server.token}"}
    web = DICOMwebClient(f"{place.server.url}/v1/{place.dicom_store}/dicomWeb", headers=headers)
    yield web
    web._session.close()


@pytest.mark.clause("PS3.18 10", "dicomweb-client stores, searches and retrieves")
def test_dicomweb_client(web: DICOMwebClient) -> None:
    files = [
        corpus.mr_instance(
            rows=16,
            study_instance_uid=STUDY,
            series_instance_uid=SERIES,
            sop_instance_uid=f"{SERIES}.{number}",
        )
        for number in (1, 2)
    ]
    stored = [pydicom.dcmread(BytesIO(file)) for file in files]
    web.store_instances(stored)

    found = web.search_for_instances(study_instance_uid=STUDY)
    assert {each["00080018"]["Value"][0] for each in found} == {f"{SERIES}.1", f"{SERIES}.2"}
    assert [each["0020000D"]["Value"] for each in web.search_for_studies()] == [[STUDY]]

    one = (STUDY, SERIES, f"{SERIES}.1")
    metadata = web.retrieve_instance_metadata(*one)
    assert metadata["00280010"]["Value"] == [16]

    study = web.retrieve_study(STUDY)
    assert [each.PixelData for each in study] == [each.PixelData for each in stored]
    as_stored = (("application/dicom", "*"),)
    series = web.retrieve_series(STUDY, SERIES, media_types=as_stored)
    assert [each.SOPInstanceUID for each in series] == [f"{SERIES}.1", f"{SERIES}.2"]
    assert web.retrieve_instance(*one).PixelData == stored[0].PixelData

    assert web.retrieve_instance_frames(*one, frame_numbers=[1]) == [stored[0].PixelData]
    (lossless,) = web.retrieve_instance_frames(
        *one, frame_numbers=[1], media_types=(("image/jls", "1.2.840.10008.1.2.4.80"),)
    )
    assert lossless.startswith(b"\xff\xd8")
    png = web.retrieve_instance_rendered(*one, media_types=("image/png",))
    assert png.startswith(b"\x89PNG")
    jpeg = web.retrieve_instance_rendered(
        *one, media_types=("image/jpeg",), params={"viewport": "8,8"}
    )
    assert jpeg.startswith(b"\xff\xd8")
    uri = metadata["7FE00010"]["BulkDataURI"]
    assert web.retrieve_bulkdata(uri) == [stored[0].PixelData]
