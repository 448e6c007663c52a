from __future__ import annotations

from typing import TYPE_CHECKING

import httpx2
import pytest

from tests import corpus
from tests.end_to_end.conftest import slices

if TYPE_CHECKING:
    from pathlib import Path

    from tests.end_to_end.conftest import Place

INSTANCES = 400


def told(place: Place) -> list[str]:
    """Give the SOP Instance UIDs that the metadata of the study tell; none if it is not there."""
    study = f"{corpus.UID_ROOT}.2.1"
    url = f"{place.server.url}/v1/{place.dicom_store}/dicomWeb/studies/{study}/metadata"
    answer = httpx2.get(
        url, headers={"Authorization": f"Bearer {place.server.token}"}, trust_env=False, timeout=30
    )
    if answer.status_code == 404:
        return []
    return [each["00080018"]["Value"][0] for each in answer.raise_for_status().json()]


@pytest.mark.clause(
    "Fileroom", "metadata tell every instance that an operation has counted", holds="own rule"
)
def test_metadata_are_right_at_every_moment_of_an_import(place: Place, tmp_path: Path) -> None:
    for number, content in enumerate(slices(INSTANCES)):
        place.put(f"{number:05d}.dcm", content)
    operation = place.client.import_(place.dicom_store, f"gs://{place.bucket_id}/**")
    lengths = []
    while not operation.done:
        operation = place.client.get_operation(operation.name)
        # What was counted before the request is told by its answer.
        uids = told(place)
        assert len(set(uids)) == len(uids) >= operation.counters.success
        lengths.append(len(uids))
    assert lengths == sorted(lengths)
    whole = told(place)
    assert len(whole) == operation.counters.success == INSTANCES

    cache = place.server.data / "cache"
    assert [file for file in cache.rglob("*") if file.is_file()]
    # It may be deleted at any time; at once, for a file may still be on its way into it.
    cache.rename(tmp_path / "deleted")
    assert told(place) == told(place) == whole
