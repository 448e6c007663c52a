"""Each call of each example against a real server: what it prints, writes and exits with."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from imagecodecs import png_decode

from tests.corpus import UID_ROOT
from tests.end_to_end.conftest import slices
from tests.examples.languages import with_call

if TYPE_CHECKING:
    from pathlib import Path
    from subprocess import CompletedProcess

    from fileroom.client import Json, JsonObject
    from tests.end_to_end.conftest import Place
    from tests.examples.languages import Language

SERIES = f"{UID_ROOT}.5.1"
INSTANCE = f"{SERIES}.1"


def counter(ended: CompletedProcess[str]) -> Any:
    """Give what the one line of an operation says."""
    (line,) = ended.stdout.splitlines()
    return json.loads(line)


def study_of(place: Place) -> str:
    """Give the UID of the only study of a store."""
    (study,) = place.client.search_studies(place.dicom_store)
    return str(value_of(study, "0020000D"))


def value_of(found: JsonObject, tag: str) -> Json:
    """Give the first value of an attribute."""
    attribute = found[tag]
    assert isinstance(attribute, dict)
    values = attribute["Value"]
    assert isinstance(values, list)
    return values[0]


def fill(place: Place, number: int = 2) -> list[bytes]:
    """Put slices into the bucket and import them."""
    contents = list(slices(number))
    for index, content in enumerate(contents):
        place.put(f"{index}.dcm", content)
    place.import_all("*.dcm")
    return contents


@with_call("import")
def test_import(language: Language, place: Place, tmp_path: Path) -> None:
    for index, content in enumerate(slices(2)):
        place.put(f"good/{index}.dcm", content)
    place.put("notes.txt", b"no DICOM at all" * 20)

    whole = language.run(
        place.server, tmp_path, "import", place.dicom_store, f"gs://{place.bucket_id}/good/*.dcm"
    )
    partly = language.run(
        place.server, tmp_path, "import", place.dicom_store, f"gs://{place.bucket_id}/**"
    )

    assert (whole.returncode, counter(whole)) == (0, {"success": "2"}), whole.stderr
    assert (partly.returncode, counter(partly)) == (1, {"success": "2", "failure": "1"})
    first, *samples = partly.stderr.splitlines()
    assert first
    assert [line.partition(": ")[0] for line in samples] == [f"gs://{place.bucket_id}/notes.txt"]
    assert "DICOM" in samples[0].partition(": ")[2]


@with_call("export")
def test_export(language: Language, place: Place, tmp_path: Path) -> None:
    contents = fill(place)
    forms = {
        "stored": (),
        "frames": ("application/octet-stream; transfer-syntax=1.2.840.10008.1.2.1",),
        "jpeg": ("image/jpeg; transfer-syntax=1.2.840.10008.1.2.4.50",),
        "png": ("image/png",),
    }
    for directory, mime_type in forms.items():
        ended = language.run(
            place.server, tmp_path, "export", place.dicom_store,
            f"gs://{place.bucket_id}/{directory}", *mime_type,
        )  # fmt: skip
        assert (ended.returncode, counter(ended)) == (0, {"success": "2"}), ended.stderr
    written = {
        directory: [
            each.read_bytes() for each in (place.bucket / directory).rglob("*") if each.is_file()
        ]
        for directory in forms
    }
    assert sorted(written["stored"]) == sorted(contents)
    assert {len(each) for each in written["frames"]} == {2 * 16 * 16}
    assert {each[:2] for each in written["jpeg"]} == {b"\xff\xd8"}
    assert {png_decode(each).shape for each in written["png"]} == {(16, 16)}


@with_call("store")
def test_store(language: Language, place: Place, tmp_path: Path) -> None:
    (content,) = slices(1)
    file = tmp_path / "one.dcm"
    file.write_bytes(content)
    ended = language.run(place.server, tmp_path, "store", place.dicom_store, str(file))
    assert ended.returncode == 0, ended.stderr
    (reference,) = json.loads(ended.stdout)["00081199"]["Value"]
    assert reference["00081155"]["Value"] == [INSTANCE]
    assert len(list(place.client.search_instances(place.dicom_store))) == 1


@with_call("search")
def test_search(language: Language, place: Place, tmp_path: Path) -> None:
    nothing = language.run(place.server, tmp_path, "search", place.dicom_store)
    fill(place)
    found = language.run(
        place.server, tmp_path, "search", place.dicom_store, "ModalitiesInStudy=MR&limit=5"
    )
    other = language.run(place.server, tmp_path, "search", place.dicom_store, "PatientID=nobody")
    assert (nothing.returncode, json.loads(nothing.stdout)) == (0, []), nothing.stderr
    assert found.returncode == 0, found.stderr
    (study,) = json.loads(found.stdout)
    assert value_of(study, "0020000D") == study_of(place)
    assert json.loads(other.stdout) == []


@with_call("retrieve")
def test_retrieve(language: Language, place: Place, tmp_path: Path) -> None:
    contents = fill(place)
    file = tmp_path / "one.dcm"
    ended = language.run(
        place.server, tmp_path, "retrieve", place.dicom_store, study_of(place), SERIES, INSTANCE,
        str(file),
    )  # fmt: skip
    assert (ended.returncode, ended.stdout.strip()) == (0, f"wrote {file}"), ended.stderr
    assert file.read_bytes() == contents[0]


@with_call("rendered")
def test_rendered(language: Language, place: Place, tmp_path: Path) -> None:
    fill(place)
    file = tmp_path / "one.png"
    ended = language.run(
        place.server, tmp_path, "rendered", place.dicom_store, study_of(place), SERIES, INSTANCE,
        str(file),
    )  # fmt: skip
    assert (ended.returncode, ended.stdout.strip()) == (0, f"wrote {file}"), ended.stderr
    assert png_decode(file.read_bytes()).shape == (16, 16)


@with_call("delete")
def test_delete(language: Language, place: Place, tmp_path: Path) -> None:
    fill(place)
    ended = language.run(place.server, tmp_path, "delete", place.dicom_store, study_of(place))
    assert ended.returncode == 0, ended.stderr
    counter(ended)
    assert list(place.client.search_instances(place.dicom_store)) == []


@with_call("import")
def test_wrong_usage(language: Language, place: Place, tmp_path: Path) -> None:
    ended = language.run(place.server, tmp_path, "import")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("usage: ")
