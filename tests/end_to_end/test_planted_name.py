"""A patient's name is in no log and no error, whatever is done with files that hold it (S22)."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

import httpx2
import pytest

from tests.corpus import mr_instance
from tests.server import running_server
from tests.silence import LISTENER, PLANTED_NAME, check_written

if TYPE_CHECKING:
    from pathlib import Path

STORE: Final = "projects/p1/locations/us-central1/datasets/d/dicomStores/s"
MULTIPART: Final = 'multipart/related; type="application/dicom"; boundary=b'
WHOLE: Final = mr_instance(patient_name=PLANTED_NAME)


def broken_variants() -> list[bytes]:
    """Give files that hold the name and cannot be stored, each for another reason."""
    at = WHOLE.index(PLANTED_NAME.encode())
    return [
        WHOLE[: at + 5],
        WHOLE[: at - 2] + b"\xff\xff" + WHOLE[at:],
        WHOLE[132:],
        PLANTED_NAME.encode() * 100,
        mr_instance(patient_name=PLANTED_NAME, sop_instance_uid=PLANTED_NAME),
        mr_instance(patient_name=PLANTED_NAME, study_instance_uid=PLANTED_NAME),
    ]


def stowed(data: bytes) -> bytes:
    return b"--b\r\nContent-Type: application/dicom\r\n\r\n" + data + b"\r\n--b--\r\n"


def test_a_planted_name_is_in_nothing_that_was_written(tmp_path: Path) -> None:
    with running_server(tmp_path / "data", "--log-level=DEBUG") as server:
        bucket = server.make_bucket("input")
        for number, data in enumerate([WHOLE, *broken_variants()]):
            (bucket / f"{number}.dcm").write_bytes(data)
        server.make_bucket("output")
        authorization = {"Authorization": f"Bearer {server.token}"}
        with server.client() as client:
            client.create_dataset(STORE.partition("/dicomStores")[0])
            client.create_dicom_store(STORE)
            imported = client.import_(STORE, "gs://input/**")
            client.wait(imported, poll_seconds=0.1)
            with httpx2.Client(base_url=server.url, headers=authorization) as http:
                ledger = http.get(f"/v1/{imported.name}:ledger").text
                failures = http.get(f"/v1/{imported.name}:failures").text
                refused = [*_ask(http), *_retrieve(http)]
            exported = client.export(STORE, "gs://output/all/")
            client.wait(exported, poll_seconds=0.1)
            client.delete_dicom_store(STORE)
        assert "SOURCE" in ledger.upper()
        assert failures.strip()
        for told in (ledger, failures, *refused):
            assert PLANTED_NAME not in told
        check_written(server.log, server.data)
        assert server.stop() == 0


def _ask(http: httpx2.Client) -> list[str]:
    """Ask for the name in every way; give the errors that come back."""
    web = f"/v1/{STORE}/dicomWeb"
    found = http.get(f"{web}/studies", params={"PatientName": PLANTED_NAME})
    assert found.status_code == 200
    assert PLANTED_NAME in found.text, "whoever may read it is told"
    assert http.get(f"{web}/studies", params={"PatientName": f"{PLANTED_NAME}*"}).is_success
    headers = {"Content-Type": MULTIPART}
    answers = [
        http.post(f"{web}/studies", headers=headers, content=stowed(data))
        for data in broken_variants()[:4]
    ]
    assert all(each.status_code >= 400 for each in answers), [each.status_code for each in answers]
    assert http.post(f"{web}/studies", headers=headers, content=stowed(WHOLE)).status_code in {
        *(200, 202, 409)
    }
    return [each.text for each in answers]


def _retrieve(http: httpx2.Client) -> list[str]:
    """Read it in every form, and ask for what it has not; give the errors that come back."""
    web = f"/v1/{STORE}/dicomWeb"
    (found,) = http.get(f"{web}/instances", params={"PatientName": PLANTED_NAME}).json()
    study, series, instance = (
        found[tag]["Value"][0] for tag in ("0020000D", "0020000E", "00080018")
    )
    path = f"{web}/studies/{study}/series/{series}/instances/{instance}"
    read = [http.get(f"{path}{form}") for form in ("", "/metadata", "/rendered", "/frames/1")]
    assert [each.status_code for each in read] == [200] * len(read)
    assert PLANTED_NAME in read[0].text
    assert PLANTED_NAME in read[1].text
    missing = [http.get(f"{path}{form}") for form in ("/frames/9", "/frames/0", "/bulkdata/x")]
    assert all(each.status_code in {400, 404} for each in missing)
    change = {"Content-Type": "application/dicom+json"}
    refused = http.patch(
        f"{web}/studies/{study}/metadata", headers=change, content=f'[{{"{PLANTED_NAME}": 1}}]'
    )
    return [each.text for each in (*missing, refused)]


@pytest.mark.parametrize("where", ["audit", "dumps"])
def test_the_look_finds_a_name_that_is_there(tmp_path: Path, where: str) -> None:
    with (
        pytest.raises(AssertionError, match="a patient's name in"),
        running_server(tmp_path / "data") as server,
    ):
        _plant(server.data / where)


def _plant(directory: Path) -> None:
    directory.mkdir(exist_ok=True)
    (directory / "more").write_text(PLANTED_NAME)


def test_a_record_that_tells_a_name_is_heard() -> None:
    logger = logging.getLogger("fileroom.some.module")
    logger.error("stored", extra={"patient": PLANTED_NAME})
    logger.error("stored", extra={"patient": "nobody"})
    (heard,) = LISTENER.take()
    assert PLANTED_NAME in heard
